package web_test

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

func TestVerify(t *testing.T) {
	s := newSite(t)
	done := s.done(t, "live-api")
	open := s.accept(t, incident.Alert{ID: "open", Key: incident.Key{Service: "billing", Monitor: "2"}})
	for _, tc := range []struct {
		name, incident, query string
		head                  map[string]string
		status                int
		body                  string
	}{
		{"a script", done, "?by=deploy", nil, 202, `"incident": "v1"`},
		{"the page's button", done, "", map[string]string{"Accept": "text/html,*/*", "Sec-Fetch-Site": "same-origin"}, 303, ""},
		{"another site's page", done, "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, ""},
		{"an old browser on another site", done, "", map[string]string{"Origin": "http://evil.example"}, 403, ""},
		{"not finished", open, "", nil, 409, "still being worked on"},
		{"unknown", "nosuch", "", nil, 404, "not stored"},
		{"nothing flagged", done, "?by=nothing", nil, 409, "nothing to verify"},
		{"a name that is none", done, "?by=" + strings.Repeat("x", 81), nil, 400, "at most 80"},
		{"no text", done, "?by=%ff", nil, 400, "at most 80"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://profbot.test/api/incidents/"+tc.incident+"/verify"+tc.query, http.NoBody)
			for k, v := range tc.head {
				req.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			s.h.ServeHTTP(w, req)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.body) {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body, tc.status, tc.body)
			}
			if to := w.Result().Header.Get("Location"); tc.status == 303 && to != "/" {
				t.Errorf("sent to %q", to)
			}
		})
	}
	if d := cmp.Diff([]string{done + " for deploy", done + " for ", done + " for nothing"}, s.asked); d != "" {
		t.Errorf("asked for (-want +got):\n%s", d)
	}
	// The button stands where there is something to verify.
	flagged := s.accept(t, incident.Alert{ID: "flagged", Key: incident.Key{Service: "shop", Monitor: "3"}})
	rep := &analysis.Report{Service: "shop", Endpoints: []analysis.Endpoint{{Name: "GET /list", Verdict: analysis.Verdict{Flagged: true}}}}
	s.finish(t, flagged, rep)
	page := s.get(t, "/").Body.String()
	for id, want := range map[string]bool{flagged: true, done: false, open: false} {
		if got := strings.Contains(page, `action="api/incidents/`+id+`/verify"`); got != want {
			t.Errorf("button of incident %s: %v, want %v\n%s", id, got, want, page)
		}
	}
	if !strings.Contains(page, "not all of it told") || !strings.Contains(page, template.HTMLEscapeString(rep.Headline())) {
		t.Errorf("the page does not say what was found, or that nobody was told:\n%s", page)
	}
}
