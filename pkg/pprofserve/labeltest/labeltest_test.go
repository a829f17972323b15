package labeltest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/labeltest"
)

// labeller labels a request with a route, and calls f with it.
type labeller func(r *http.Request, route string, f func(*http.Request))

// service is a mux with the routes that the suite asks for, labelled from outside.
func service(t testing.TB, label labeller) http.Handler {
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, labeltest.Seen(r.Context(), t)) }
	for _, p := range []string{"GET /{$}", "GET /live/list", "/any", "GET /users/{id}"} {
		mux.HandleFunc(p, show)
	}
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			fmt.Fprintln(w, labeltest.Seen(r.Context(), t))
			w.(http.Flusher).Flush()
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		_, route := mux.Handler(r)
		label(r, strings.TrimSuffix(route, "{$}"), func(r *http.Request) {
			if route != "" {
				mux.ServeHTTP(w, r)
				return
			}
			refusal := httptest.NewRecorder() // 404 or 405, as the mux says
			mux.ServeHTTP(refusal, r)
			w.WriteHeader(refusal.Code)
			show(w, r)
		})
	})
}

func TestGood(t *testing.T) {
	h := service(t, pprofserve.DoRequest)
	labeltest.TestHandler(t, h)
	labeltest.Check(t, h, "GET", "/users/1", 200, "GET /users/{id}")
}

// report is a test whose failures are looked at.
type report struct {
	testing.TB
	mu   sync.Mutex // protects said
	said strings.Builder
}

func (r *report) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *report) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// TestBites: labels that are wrong in one way each are found out.
func TestBites(t *testing.T) {
	set := func(ctx context.Context, e string) context.Context {
		return pprof.WithLabels(ctx, pprof.Labels(pprofserve.LabelKey, e))
	}
	for _, tc := range []struct {
		name, path string
		label      labeller
		want       string
	}{
		{"the context alone", "/any", func(r *http.Request, route string, f func(*http.Request)) {
			f(r.WithContext(set(r.Context(), route)))
		}, "0 goroutines have the label"},
		{"the goroutine alone", "/any", func(r *http.Request, route string, f func(*http.Request)) {
			ctx := set(r.Context(), route)
			defer pprof.SetGoroutineLabels(r.Context())
			pprof.SetGoroutineLabels(ctx)
			f(r)
		}, "goroutines that should have no label: map[/any:1]"},
		{"never removed", "/any", func(r *http.Request, route string, f func(*http.Request)) {
			ctx := set(r.Context(), route)
			pprof.SetGoroutineLabels(ctx)
			f(r.WithContext(ctx))
		}, "GET /any left labels behind, on so many goroutines: map[/any:1]"},
		{"not removed after a panic", "/panic", func(r *http.Request, route string, f func(*http.Request)) {
			ctx := set(r.Context(), route)
			pprof.SetGoroutineLabels(ctx)
			f(r.WithContext(ctx))
			pprof.SetGoroutineLabels(r.Context())
		}, "GET /panic left labels behind, on so many goroutines: map[GET /panic:1]"},
		{"in the outer request", "/any", func(r *http.Request, route string, f func(*http.Request)) {
			pprofserve.DoRequest(r, route, func(in *http.Request) { f(in); *r = *in })
		}, `the outer request has the label "GET /any"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // waits for labels to go end at once
				r := &report{TB: t}
				var wg sync.WaitGroup
				wg.Go(func() { labeltest.Ask(r, service(r, tc.label), http.MethodGet, tc.path) })
				wg.Wait()
				if !strings.Contains(r.said.String(), tc.want) {
					t.Errorf("said %q, want %q", r.said.String(), tc.want)
				}
			})
		})
	}
	t.Run("a path for a route", func(t *testing.T) {
		r := &report{TB: t}
		byPath := func(r *http.Request, _ string, f func(*http.Request)) { pprofserve.DoRequest(r, r.URL.Path, f) }
		labeltest.TestHandler(r, service(r, byPath))
		if want := `GET /nowhere: 404 "GET /nowhere", want 404 "none"`; !strings.Contains(r.said.String(), want) {
			t.Errorf("said %q, want %q", r.said.String(), want)
		}
	})
}

// TestUntil: what does not come ends the test.
func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &report{TB: t}
		after := false
		var wg sync.WaitGroup
		wg.Go(func() {
			labeltest.Until(r, "two is one", func() bool { return false })
			after = true
		})
		wg.Wait()
		if got := r.said.String(); got != "never: two is one\n" || after {
			t.Errorf("said %q, went on: %v", got, after)
		}
	})
}

// TestGoroutines: goroutines with the same stack are counted one by one.
func TestGoroutines(t *testing.T) {
	hold := make(chan struct{})
	var up, wg sync.WaitGroup
	up.Add(3)
	pprofserve.Do(t.Context(), "GET", `/a "quoted" \ route`, func(context.Context) {
		for range 3 {
			wg.Go(func() { up.Done(); <-hold })
		}
		up.Wait()
		if n := labeltest.Goroutines()[`GET /a "quoted" \ route`]; n != 4 {
			t.Errorf("%d goroutines, want three and the one that started them", n)
		}
	})
	close(hold)
	wg.Wait()
	labeltest.Gone(t)
}
