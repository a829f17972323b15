package web_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/web"
)

const (
	html   = "text/html; charset=utf-8"
	text   = "text/plain; charset=utf-8"
	strict = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
	loose  = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

func TestRoutes(t *testing.T) {
	s := newSite(t)
	done := s.done(t, "live-api")
	open := s.accept(t, incident.Alert{ID: "open", Key: incident.Key{Service: "billing", Monitor: "2"}})
	lost := s.done(t, "lost")
	if err := os.RemoveAll(filepath.Join(s.dir, "blobs", lost)); err != nil {
		t.Fatal(err)
	}
	r, unfinished, unknown, empty := s.path(done), s.path(open), s.path("nosuchincident"), s.path(lost)
	for _, tc := range []struct {
		method, path string
		status       int
		kind         string // content type
		csp          string // "" for routes that are no pages
		body         string
	}{
		{"GET", "/", 200, html, strict, "live-api"},
		{"HEAD", "/", 200, html, strict, ""},
		{"GET", "/healthz", 200, "", "", "ok"},
		{"GET", "/readyz", 200, "", strict, "ok"},
		{"GET", "/debug/pprof/", 200, html, "", "goroutine"},
		{"GET", "/debug/pprof/heap", 200, "application/octet-stream", "", ""},
		{"GET", "/debug/pprof/cmdline", 200, text, "", "test"},
		{"GET", "/debug/pprof/symbol", 200, text, "", "num_symbols"},
		{"GET", "/debug/pprof/nosuch", 404, text, "", "Unknown profile"},

		{"GET", r, 200, html, strict, "live-api"},
		{"GET", r + "report.json", 200, "application/json", strict, `"samples": 379`},
		{"GET", r + "flame.png", 200, "image/png", strict, "\x89PNG"},
		{"GET", r + "flame.html", 200, html, loose, "flame"},
		{"GET", r + cpuBlob, 200, "application/octet-stream", strict, "cpu"},
		{"HEAD", r + cpuBlob, 200, "application/octet-stream", strict, ""},

		// An incident that has no report yet, and one that is not known.
		{"GET", unfinished, 200, html, strict, "Not finished yet: accepted"},
		{"GET", unfinished + "report.json", 404, text, strict, "not stored"},
		{"GET", unfinished + "flame.png", 404, text, strict, "not stored"},
		{"GET", unfinished + "flame.html", 404, text, strict, "not stored"},
		{"GET", unfinished + cpuBlob, 404, text, strict, "not stored"},
		{"GET", unknown, 404, text, strict, "not stored"},
		{"GET", unknown + "report.json", 404, text, strict, "not stored"},
		{"GET", unknown + "flame.html", 404, text, strict, "not stored"},
		{"GET", unknown + cpuBlob, 404, text, strict, "not stored"},

		// An incident whose files are gone.
		{"GET", empty, 200, html, strict, "lost"},
		{"GET", empty + "flame.png", 404, text, strict, "not stored"},
		{"GET", empty + "flame.html", 404, text, strict, "not stored"},
		{"GET", empty + cpuBlob, 404, text, strict, "not stored"},

		// What there is not.
		{"GET", "/favicon.ico", 404, text, "", ""},
		{"GET", "/r/", 404, text, "", ""},
		{"GET", "/webhooks/datadog", 404, text, "", ""},
		{"GET", strings.TrimSuffix(r, "/"), 307, html, "", ""}, // the mux adds the slash
		{"GET", r + "a/b", 404, text, "", ""},

		{"POST", "/", 405, text, "", ""},
		{"GET", "/api/incidents/" + done + "/verify", 405, text, "", ""},
		{"POST", r, 405, text, "", ""},
		{"PUT", r + "report.json", 405, text, "", ""},
		{"DELETE", r + cpuBlob, 405, text, "", ""},
		{"POST", "/healthz", 405, text, "", ""},
		{"POST", "/readyz", 405, text, "", ""},
		{"POST", "/debug/pprof/profile", 405, text, "", ""},
		{"OPTIONS", r, 405, text, "", ""},
	} {
		t.Run(tc.method+" "+strings.ReplaceAll(tc.path, r, "DONE/"), func(t *testing.T) {
			w := s.do(t, tc.method, tc.path)
			head := w.Result().Header
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.body) {
				t.Errorf("status %d, want %d; %q, want %q in it", w.Code, tc.status, w.Body, tc.body)
			}
			if got := head.Get("Content-Type"); tc.kind != "" && got != tc.kind {
				t.Errorf("content type %q, want %q", got, tc.kind)
			}
			if got := head.Get("Content-Security-Policy"); got != tc.csp {
				t.Errorf("content security policy %q, want %q", got, tc.csp)
			}
			if tc.csp != "" {
				for k, want := range map[string]string{"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"} {
					if got := head.Get(k); got != want {
						t.Errorf("%s: %q, want %q", k, got, want)
					}
				}
			}
			wantName := ""
			if tc.kind == "application/octet-stream" && tc.csp != "" {
				wantName = "attachment"
			}
			if got := head.Get("Content-Disposition"); tc.csp != "" && got != wantName {
				t.Errorf("content disposition %q, want %q", got, wantName)
			}
			if tc.status == http.StatusMethodNotAllowed && head.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
	var rep analysis.Report
	if err := json.Unmarshal(s.get(t, r+"report.json").Body.Bytes(), &rep); err != nil || rep.Service != "live-api" {
		t.Errorf("report.json: %+v, %v", rep, err)
	}
}

// TestIndexLinks follows the links that the index has: they carry the right to
// read, also without a URL in the configuration.
func TestIndexLinks(t *testing.T) {
	s := newSite(t, func(o *web.Options) { o.URL = "" })
	id := s.done(t, "live-api")
	if report, flame := s.Link(id); report != "" || flame != "" {
		t.Errorf("links without an address: %q, %q", report, flame)
	}
	body := s.get(t, "/").Body.String()
	_, rest, ok := strings.Cut(body, `<a href="r/`)
	token, _, ok2 := strings.Cut(rest, `/">`+id)
	if !ok || !ok2 {
		t.Fatalf("no link to %s in %s", id, body)
	}
	if w := s.get(t, "/r/"+token+"/"); w.Code != 200 || !strings.Contains(w.Body.String(), id) {
		t.Errorf("the link of the index: %d", w.Code)
	}
}

func TestTokens(t *testing.T) {
	s := newSite(t)
	id, other := s.done(t, "live-api"), s.done(t, "billing")
	good := strings.TrimSuffix(strings.TrimPrefix(s.path(id), "/r/"), "/")
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	made := func(f func(b []byte) []byte) string {
		return base64.RawURLEncoding.EncodeToString(f(bytes.Clone(raw)))
	}
	cases := map[string]string{
		"empty payload":      base64.RawURLEncoding.EncodeToString(make([]byte, 40)),
		"a word":             "report",
		"the incident":       id,
		"not base64":         good[:len(good)-1] + "!",
		"padded":             good + "==",
		"a byte short":       made(func(b []byte) []byte { return b[:len(b)-1] }),
		"a byte long":        made(func(b []byte) []byte { return append(b, 0) }),
		"without signature":  made(func(b []byte) []byte { return b[:8+len(id)] }),
		"signature of zeros": made(func(b []byte) []byte { return append(b[:8+len(id)], make([]byte, 32)...) }),
		"lives for ever":     made(func(b []byte) []byte { copy(b, "\x7f\xff\xff\xff\xff\xff\xff\xff"); return b }),
		"another's incident": made(func(b []byte) []byte { copy(b[8:], other); return b }),
		"swapped signature": func() string {
			o, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(strings.TrimPrefix(s.path(other), "/r/"), "/"))
			if err != nil {
				t.Fatal(err)
			}
			return made(func(b []byte) []byte { return append(b[:8+len(id)], o[8+len(other):]...) })
		}(),
	}
	for i := range raw { // every bit of it counts
		cases["flipped bit of byte "+string(rune('0'+i/10))+string(rune('0'+i%10))] = made(func(b []byte) []byte { b[i] ^= 1 << (i % 8); return b })
	}
	for name, token := range cases {
		for _, file := range []string{"", "report.json", "flame.png", "flame.html", cpuBlob} {
			w := s.get(t, "/r/"+token+"/"+file)
			if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "not a link that profbot made") {
				t.Errorf("%s, file %q: %d %q", name, file, w.Code, w.Body)
			}
			if got := w.Result().Header.Get("Content-Security-Policy"); got != strict {
				t.Errorf("%s, file %q: content security policy %q", name, file, got)
			}
		}
	}

	// Another handler with another key has never heard of it.
	stranger := newSite(t, func(o *web.Options) { o.Key = []byte("ffffffffffffffffffffffffffffffff"); o.Store = s.st })
	if w := stranger.get(t, s.path(id)); w.Code != http.StatusNotFound {
		t.Errorf("another key's link: %d", w.Code)
	}
	// The right to read one incident is not the right to read the next.
	s.put(t, other, "secret.pb.gz", "secret")
	for _, name := range []string{"secret.pb.gz", "..%2F" + other + "%2Fsecret.pb.gz", "..%2F" + other + "%2F" + cpuBlob} {
		if w := s.get(t, s.path(id)+name); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}

	link := s.path(id)
	s.now = start.Add(30*24*time.Hour - time.Second)
	if w := s.get(t, link); w.Code != 200 {
		t.Errorf("a second before it expires: %d", w.Code)
	}
	s.now = start.Add(30 * 24 * time.Hour)
	for _, file := range []string{"", "report.json", "flame.png", "flame.html", cpuBlob} {
		if w := s.get(t, link+file); w.Code != http.StatusGone || !strings.Contains(w.Body.String(), "expired") {
			t.Errorf("%q when it has expired: %d %q", file, w.Code, w.Body)
		}
	}
}

// TestBlobNames: only what the incident's rows name is read, whatever lies
// in the folder beside it.
func TestBlobNames(t *testing.T) {
	s := newSite(t)
	id := s.done(t, "live-api")
	if _, err := s.st.Secret("link.key"); err != nil {
		t.Fatal(err)
	}
	s.put(t, id, "unnamed.pb.gz", "nobody captured this")
	for _, name := range []string{
		"unnamed.pb.gz", cpuBlob + ".part", cpuBlob + "%00", "%00", "%2e%2e", "%2e", "..%2f..%2fprofbot.db", "..%2Fsecrets%2Flink.key",
		"..%5c..%5cprofbot.db", "%2Fetc%2Fpasswd", "profbot.db", "flame.png%00.html", "FLAME.PNG", "flame.png.part", "*", "%20" + cpuBlob, strings.Repeat("x", 5000),
	} {
		w := s.get(t, s.path(id)+name)
		if w.Code != http.StatusNotFound || w.Result().Header.Get("Content-Type") != text {
			t.Errorf("%.40s: %d %q", name, w.Code, w.Body)
		}
	}
	for _, dots := range []string{"../", "../../", "./", "x/../../../secrets/link.key"} { // the mux cleans these first
		if w := s.get(t, s.path(id)+dots); w.Code == 200 || w.Code >= 500 {
			t.Errorf("%s: %d", dots, w.Code)
		}
	}
}

// broken is a store whose database is gone.
type broken struct{ web.Store }

var errBroken = errors.New("disk I/O error at sector 7")

func (broken) Ping(context.Context) error { return errBroken }
func (broken) Incident(context.Context, string) (incident.Incident, int64, error) {
	return incident.Incident{}, 0, errBroken
}

func (broken) Incidents(context.Context, int) ([]incident.Incident, error) { return nil, errBroken }

func (broken) Captures(context.Context, string) ([]incident.Capture, error) { return nil, errBroken }

func (broken) Report(context.Context, string) (*analysis.Report, error) { return nil, errBroken }

func (broken) Blob(string, string) ([]byte, error) { return nil, errBroken }

// TestBrokenStore: pages fail in plain words, the log has the cause, and
// health does not depend on the database, while readiness does.
func TestBrokenStore(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, func(o *web.Options) {
		o.Store, o.Logger = broken{o.Store}, slog.New(slog.NewTextHandler(&log, nil))
	})
	r := s.path("anything")
	for path, want := range map[string]int{
		"/": 500, r: 500, r + "report.json": 500, r + "flame.png": 500, r + "flame.html": 500, r + cpuBlob: 500, "/readyz": 503, "/healthz": 200,
	} {
		log.Reset()
		w := s.get(t, path)
		if w.Code != want || strings.Contains(w.Body.String(), "sector 7") {
			t.Errorf("%s: %d %q, want %d without the cause", path, w.Code, w.Body, want)
		}
		if want >= 500 && (!strings.Contains(log.String(), "sector 7") || w.Result().Header.Get("Content-Type") != text) {
			t.Errorf("%s: log %q, content type %q", path, log.String(), w.Result().Header.Get("Content-Type"))
		}
		if token := strings.Split(r, "/")[2]; strings.Contains(log.String(), token) {
			t.Errorf("%s: the log holds a link", path)
		}
	}
}

func TestNewChecks(t *testing.T) {
	s := newSite(t)
	for want, change := range map[string]func(*web.Options){
		"Store":    func(o *web.Options) { o.Store = nil },
		"Alerts":   func(o *web.Options) { o.Alerts = nil },
		"Verify":   func(o *web.Options) { o.Verify = nil },
		"31 bytes": func(o *web.Options) { o.Key = o.Key[:31] },
	} {
		opt := s.Options
		change(&opt)
		if _, err := web.New(opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q in it", err, want)
		}
	}
}
