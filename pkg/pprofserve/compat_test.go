package pprofserve_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	_ "net/http/pprof" // what this package is compared with
	"reflect"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// own is a profile as programs make them for themselves.
var own = pprof.NewProfile("example.com/own")

// TestAnswersAsNetHTTPPprof asks this package and net/http/pprof the same, and
// compares status, headers and what of the body does not depend on the moment.
func TestAnswersAsNetHTTPPprof(t *testing.T) {
	theirs := httptest.NewServer(http.DefaultServeMux)
	t.Cleanup(theirs.Close)
	ours := start(t, pprofserve.Options{})
	own.Add(t, 1)
	t.Cleanup(func() { own.Remove(t) })
	pc := reflect.ValueOf(strings.Join).Pointer()

	binary := func(b []byte) string { // a gzipped profile: which sample types it has
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return err.Error()
		}
		raw, err := io.ReadAll(z)
		if err != nil {
			return err.Error()
		}
		var types []string
		for _, s := range []string{"alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "contentions", "delay", "goroutine", "threadcreate", "nanoseconds", "cpu", "example.com/own"} {
			if bytes.Contains(raw, []byte(s)) {
				types = append(types, s)
			}
		}
		return strings.Join(types, " ")
	}
	numbers := regexp.MustCompile(`[0-9]+`)
	firstLine := func(b []byte) string {
		line, _, _ := strings.Cut(string(b), "\n")
		return numbers.ReplaceAllString(line, "N")
	}
	whole := func(b []byte) string { return string(b) }
	links := func(b []byte) string { // of the index, to the profiles
		var names []string
		for _, m := range regexp.MustCompile(`href='(?:\./)?([^'?]*)\?debug=1'`).FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}

	for _, tc := range []struct {
		method, path string
		body         func([]byte) string
	}{
		{"GET", "/debug/pprof/", links},
		{"GET", "/debug/pprof/cmdline", whole},
		{"GET", "/debug/pprof/symbol", whole},
		{"GET", fmt.Sprintf("/debug/pprof/symbol?%#x+0x1+nonsense", pc), whole},
		{"GET", "/debug/pprof/heap", binary},
		{"GET", "/debug/pprof/heap?gc=1", binary},
		{"GET", "/debug/pprof/heap?debug=1", firstLine},
		{"GET", "/debug/pprof/heap?debug=nonsense", binary},
		{"GET", "/debug/pprof/allocs", binary},
		{"GET", "/debug/pprof/block", binary},
		{"GET", "/debug/pprof/mutex", binary},
		{"GET", "/debug/pprof/mutex?debug=1", firstLine},
		{"GET", "/debug/pprof/threadcreate", binary},
		{"GET", "/debug/pprof/goroutine", binary},
		{"GET", "/debug/pprof/goroutine?debug=1", firstLine},
		{"GET", "/debug/pprof/goroutine?debug=2", firstLine},
		{"GET", "/debug/pprof/example.com/own", binary},
		{"GET", "/debug/pprof/example.com/own?debug=1", firstLine},
		{"GET", "/debug/pprof/profile?seconds=1", binary},
		{"GET", "/debug/pprof/trace?seconds=0.1", func(b []byte) string { return string(b[:min(8, len(b))]) }},
		{"GET", "/debug/pprof/allocs?seconds=1", binary},
		{"GET", "/debug/pprof/heap?seconds=1", binary},
		{"GET", "/debug/pprof/goroutine?seconds=1", binary},
		{"GET", "/debug/pprof/mutex?seconds=1", binary},
		{"GET", "/debug/pprof/block?seconds=1", binary},
		{"GET", "/debug/pprof/threadcreate?seconds=1", binary},
		{"GET", "/debug/pprof/unknown", whole},
		{"GET", "/debug/pprof/unknown?seconds=1", whole},
		{"GET", "/debug/pprof/heap?seconds=nonsense", whole},
		{"GET", "/debug/pprof/heap?seconds=0", whole},
		{"GET", "/debug/pprof/heap?seconds=-1", whole},
		{"GET", "/debug/pprof/heap?seconds=0.5", whole},
		{"GET", "/debug/pprof/heap?seconds=1&debug=1", whole},
		{"GET", "/debug/pprof/example.com/own?seconds=1", whole},
		{"GET", "/debug/pprof/goroutineleak?seconds=1", whole},
		{"HEAD", "/debug/pprof/heap", whole},
		{"POST", "/debug/pprof/heap", whole},
		{"POST", "/debug/pprof/symbol", whole},
		{"DELETE", "/debug/pprof/", whole},
		{"GET", "/debug/pprofx", whole},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			if !strings.Contains(tc.path, "profile?") && !strings.Contains(tc.path, "trace?") { // of which there is one at a time
				t.Parallel()
			}
			want := do(t.Context(), t, tc.method, theirs.URL+tc.path, nil)
			got := do(t.Context(), t, tc.method, ours+tc.path, nil)
			if got.status != want.status {
				t.Errorf("status %d, want %d: %s", got.status, want.status, got.body)
			}
			for _, h := range []string{"Content-Type", "Content-Disposition", "X-Content-Type-Options", "X-Go-Pprof", "Allow"} {
				if g, w := got.header.Get(h), want.header.Get(h); g != w {
					t.Errorf("%s: %q, want %q", h, g, w)
				}
			}
			if g, w := tc.body(got.body), tc.body(want.body); g != w {
				t.Errorf("body:\n%s\nwant:\n%s", g, w)
			}
		})
	}
}

// TestBusyAsNetHTTPPprof: when somebody whom this package may not interrupt
// has the profiler, the answer is the one that tools know.
func TestBusyAsNetHTTPPprof(t *testing.T) {
	theirs := httptest.NewServer(http.DefaultServeMux)
	defer theirs.Close()
	ours := start(t, pprofserve.Options{})
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	const path = "/debug/pprof/profile?seconds=1"
	want, got := get(t.Context(), t, theirs.URL+path), get(t.Context(), t, ours+path)
	if got.status != want.status || string(got.body) != string(want.body) || got.header.Get("X-Go-Pprof") != "1" {
		t.Errorf("%d %q, want %d %q", got.status, got.body, want.status, want.body)
	}
}

// TestBothServe: a service that imports net/http/pprof too still has both, and
// is told that it is exposed.
func TestBothServe(t *testing.T) {
	theirs := httptest.NewServer(http.DefaultServeMux)
	defer theirs.Close()
	ours := start(t, pprofserve.Options{})
	var wg sync.WaitGroup
	for _, url := range []string{theirs.URL, ours} {
		wg.Go(func() {
			if a := get(t.Context(), t, url+"/debug/pprof/goroutine?debug=1"); a.status != http.StatusOK || !bytes.Contains(a.body, []byte("goroutine profile: total")) {
				t.Errorf("%s: %d %.80s", url, a.status, a.body)
			}
		})
	}
	wg.Wait()
	if !pprofserve.Exposed() {
		t.Error("net/http/pprof is imported by this test, and Exposed says no")
	}
}
