package app

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/webhook"
)

// FuzzPublic sends any request to the public door of a whole profbot, whose
// alerts go into a real database. Whatever an alert says, the internal pages
// can show it afterwards.
func FuzzPublic(f *testing.F) {
	w := newAround(f)
	a, err := New(f.Context(), w.config(), w.logger())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			f.Error(err)
		}
	})
	good := "Bearer " + hookToken
	for _, e := range []webhook.Example{
		{Service: "live-api", Monitor: "1", MonitorName: "CPU", Transition: "triggered", Cycle: "c1", EventID: "e1", At: time.Now()},
		{Service: "live-api", Monitor: "1", MonitorName: "CPU", Transition: "recovered", Cycle: "c1", EventID: "e2", At: time.Now(), Form: true},
		{Service: "<script>", Monitor: "1", MonitorName: "\u2028\"", Transition: "triggered", EventID: "e3", At: time.Now(), DefaultPayload: true},
	} {
		req, err := e.Request(f.Context(), "http://profbot.test/webhooks/datadog", hookToken)
		if err != nil {
			f.Fatal(err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(http.MethodPost, "/webhooks/datadog", req.Header.Get("Content-Type"), good, "", "", body)
	}
	f.Add("POST", "/webhooks/datadog", "", good, "Content-Encoding", "gzip", []byte("\x1f\x8b"))
	f.Add("POST", "/webhooks/datadog", "", good, "Content-Length", "-1", []byte(`{"id":1,"date":99999999999999999,"service":"s","alert_transition":"Triggered"}`))
	f.Add("POST", "/webhooks/datadog", "application/json", good, "", "", []byte(`{"id":"\u0000\ud800","tags":["service:\u0000"],"transition":"Triggered","title":"`+strings.Repeat("[", 600)+`"}`))
	f.Add("POST", "/webhooks/datadog", "application/json; charset=utf-16", good, "", "", []byte("{}"))
	f.Add("POST", "/webhooks/datadog", "application/json", "Basic Og==", "", "", []byte("{}"))
	f.Add("POST", "/webhooks/datadog", "application/json", "Bearer", "Authorization", good, []byte(strings.Repeat("[", 20000)))
	f.Add("GET", "/webhooks/datadog", "", "", "", "", []byte(nil))
	f.Add("GET", "/healthz", "", "", "Host", "evil.example", []byte(nil))
	f.Add("GET", "/", "", "", "", "", []byte(nil))
	f.Add("GET", "/r/x/", "", "", "", "", []byte(nil))
	f.Add("GET", "//webhooks/../healthz", "", "", "", "", []byte(nil))
	f.Add("GET", "/debug/pprof/", "", "", "", "", []byte(nil))
	f.Add("CONNECT", "/%2e%2e/", "", "", "", "", []byte(nil))

	public, inside := a.publicHandler(), a.web.Internal()
	f.Fuzz(func(t *testing.T, method, path, contentType, authorization, name, value string, body []byte) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://profbot.test"+path, bytes.NewReader(body))
		if err != nil || req.URL.Host != "profbot.test" {
			return // no request that a server would get
		}
		req.RequestURI = req.URL.RequestURI()
		req.Header.Set(name, value)
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", authorization)
		rec := httptest.NewRecorder()
		public.ServeHTTP(rec, req)
		if rec.Code >= 500 {
			t.Errorf("status %d, %q", rec.Code, rec.Body)
		}
		if rec.Code >= 300 || req.URL.Path != "/webhooks/datadog" {
			if rec.Code < 300 && req.URL.Path != "/healthz" {
				t.Errorf("%q is answered to the world: %d %q", req.URL.Path, rec.Code, rec.Body)
			}
			return
		}
		if !strings.Contains(authorization, hookToken) {
			t.Errorf("%q was let in", authorization)
		}
		page := httptest.NewRecorder()
		inside.ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if page.Code != http.StatusOK || strings.Contains(page.Body.String(), "<script") {
			t.Errorf("the index after %q: %d", body, page.Code)
		}
	})
}
