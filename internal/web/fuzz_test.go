package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzInternal sends any request to the internal door. LINK in the path stands
// for a finished incident's link and TOKEN for the token in it, so that what
// is behind the signature is reached too.
func FuzzInternal(f *testing.F) {
	for _, path := range []string{
		"/", "/healthz", "/readyz", "LINK", "LINKreport.json", "LINKflame.png", "LINKflame.html", "LINK" + cpuBlob, "LINK%2e%2e%2fx", "LINK/../..",
		"/r/TOKEN", "/r/TOKENx/", "/r/xTOKEN/report.json", "/r/AAAA/", "/r//", "/r/%00/", "//r/TOKEN/", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/trace", "/debug/pprof/cmdline", "/nosuch",
	} {
		f.Add("GET", path, "", "", "")
	}
	f.Add("HEAD", "LINK", "a=b", "Range", "bytes=0-1")
	f.Add("POST", "/", "", "Content-Type", "text/html")
	f.Add("GET", "/debug/pprof/goroutine", "debug=2", "", "")
	f.Add("GET", "/debug/pprof/allocs", "seconds=1&gc=1", "", "")
	f.Add("GET", "/debug/pprof/profile", "seconds=-1", "", "")
	f.Add("GET", "/debug/pprof/symbol", "0x1+0xffffffffffffffffff", "", "")
	f.Add("GET", "LINKflame.png", "", "If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT")
	f.Add("GET", "LINKflame.html", "", "Host", "evil.example")
	f.Add("POST", "/api/incidents/INCIDENT/verify", "by=rosa", "Sec-Fetch-Site", "cross-site")
	f.Add("POST", "/api/incidents/%2f..%00/verify", "by=%ff", "Accept", "text/html")
	f.Add("CONNECT", "/r/TOKEN/", "", "", "")

	s := newSite(f)
	done := s.done(f, "live-api")
	link := s.path(done)
	token := strings.Split(link, "/")[2]
	f.Fuzz(func(t *testing.T, method, path, query, name, value string) {
		path = strings.NewReplacer("LINK", link, "TOKEN", token, "INCIDENT", done).Replace(path)
		address := "http://profbot.test" + path
		if query != "" {
			address += "?" + query
		}
		req, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
		if err != nil || req.URL.Host != "profbot.test" {
			return // no request that a server would get
		}
		if strings.Contains(req.URL.Path, "debug") {
			// A profile of half a minute is no finding: its caller is gone already.
			ctx, cancel := context.WithDeadline(t.Context(), time.Now())
			defer cancel()
			req = req.WithContext(ctx)
		}
		req.RequestURI = req.URL.RequestURI()
		req.Header.Set(name, value)
		w := httptest.NewRecorder()
		s.h.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Errorf("status %d, %q", w.Code, w.Body)
		}
		// Nobody reads an incident without its link.
		if w.Code == 200 && strings.HasPrefix(req.URL.Path, "/r/") && !strings.HasPrefix(req.URL.Path, link) {
			t.Errorf("%q was answered: %q", req.URL.Path, w.Body)
		}
		if w.Code == 200 && strings.HasPrefix(req.URL.Path, "/r/") && w.Result().Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%q may be cached", req.URL.Path)
		}
	})
}
