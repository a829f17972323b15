package pprofchi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/pprofchi"
)

// router labels by the middleware of this module, or, with inside, by the one
// of pprofserve in groups.
func router(t *testing.T, inside bool) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.StripSlashes, quietly)
	group := func(f func(chi.Router)) { r.Group(f) }
	if inside {
		group = func(f func(chi.Router)) { r.Group(func(r chi.Router) { r.Use(pprofserve.Label); f(r) }) }
	} else {
		r.Use(pprofchi.Label(r))
	}
	show := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, seen(r.Context(), t)) }
	withCode := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code); show(w, r) }
	}
	r.NotFound(withCode(http.StatusNotFound))
	r.MethodNotAllowed(withCode(http.StatusMethodNotAllowed))
	group(func(r chi.Router) {
		r.Get("/", show)
		r.Get("/live/list", show)
		r.Get("/users/{id:[0-9]+}", show)
		r.HandleFunc("/any", show)
		r.Get("/files/*", show)
		r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
		r.Get("/stream", func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				fmt.Fprintln(w, seen(r.Context(), t))
				w.(http.Flusher).Flush()
			}
		})
		r.Route("/v1", func(r chi.Router) {
			if inside {
				r = r.With(pprofserve.Label)
			}
			r.Post("/things/{thing}", show)
			sub := chi.NewRouter()
			if inside {
				sub.Group(func(r chi.Router) { r.Use(pprofserve.Label); r.Get("/leaf", show) })
			} else {
				sub.Get("/leaf", show)
			}
			r.Mount("/deep", sub)
		})
	})
	return r
}

// quietly turns panics into 500, as middleware.Recoverer without its output.
func quietly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func TestLabel(t *testing.T) {
	for _, inside := range []bool{false, true} {
		h := router(t, inside)
		for _, tc := range []struct {
			method, path string
			code         int
			want         string
		}{
			{"GET", "/", 200, "GET /"},
			{"GET", "/live/list?room=1", 200, "GET /live/list"},
			{"GET", "/users/4711", 200, "GET /users/{id:[0-9]+}"},
			{"DELETE", "/any", 200, "DELETE /any"},
			{"GET", "/files/a/b.txt", 200, "GET /files/*"},
			{"POST", "/v1/things/17", 200, "POST /v1/things/{thing}"},
			{"GET", "/v1/deep/leaf", 200, "GET /v1/deep/leaf"},
			{"GET", "/nowhere", 404, "none"},
			{"GET", "/users/nobody", 404, "none"},
			{"GET", "/v1/deep/nowhere", 404, "none"},
			{"POST", "/live/list", 405, "none"},
			{"HEAD", "/users/1", 405, "none"},
			{"MADEUP", "/users/1", 405, "none"},
			{"GET", "/panic", 500, ""},
		} {
			if inside && strings.HasSuffix(tc.path, "/deep/nowhere") {
				tc.want = "GET /v1/deep/*" // a mount is a route of the router around it
			}
			if code, got := ask(t, h, tc.method, tc.path); code != tc.code || got != tc.want {
				t.Errorf("inside %v: %s %s: %d %q, want %d %q", inside, tc.method, tc.path, code, got, tc.code, tc.want)
			}
		}
		if n := goroutinesWith(t, "GET /panic"); n != 0 {
			t.Errorf("after a panic %d goroutines have its label", n)
		}
	}
}

func TestStream(t *testing.T) {
	s := httptest.NewServer(router(t, false))
	defer s.Close()
	res, err := http.Get(s.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != strings.Repeat("GET /stream\n", 3) {
		t.Errorf("%q, %v", b, err)
	}
}

// TestExposed: chi's own package middleware, which this test uses, imports
// net/http/pprof, and so puts it on http.DefaultServeMux of whoever uses it.
func TestExposed(t *testing.T) {
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/", http.NoBody))
	if w.Code != http.StatusOK || !pprofserve.Exposed() {
		t.Errorf("pprof on the public mux answers %d, Exposed says %v", w.Code, pprofserve.Exposed())
	}
}

func ExampleLabel() {
	r := chi.NewRouter()
	r.Use(pprofchi.Label(r))
	r.Get("/users/{id}", func(_ http.ResponseWriter, r *http.Request) {
		endpoint, _ := pprof.Label(r.Context(), "endpoint")
		fmt.Println(endpoint)
	})
	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/users/4711", http.NoBody))
	// Output: GET /users/{id}
}

// goroutinesWith counts the stacks in the goroutine profile whose goroutines
// have this endpoint as their label.
func goroutinesWith(t *testing.T, endpoint string) int {
	t.Helper()
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return strings.Count(b.String(), fmt.Sprintf("%q:%q", pprofserve.LabelKey, endpoint))
}

// until waits for goroutines that are about to end.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

// seen is what a handler finds: its endpoint, and whether the goroutine and
// one that it starts have it as their label.
func seen(ctx context.Context, t *testing.T) string {
	endpoint, ok := pprof.Label(ctx, pprofserve.LabelKey)
	if !ok {
		return "none"
	}
	until(t, "this goroutine alone has the label "+endpoint, func() bool { return goroutinesWith(t, endpoint) == 1 })
	up, hold := make(chan struct{}), make(chan struct{})
	go func() { close(up); <-hold }() // ended below
	<-up
	if n := goroutinesWith(t, endpoint); n != 2 {
		t.Errorf("%d goroutines have the label %q, want the handler's and its own", n, endpoint)
	}
	close(hold)
	return endpoint
}

// ask sends a request, and looks for labels that were left behind.
func ask(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { // a goroutine as the server has one for a connection; ended by the handler
		defer close(done)
		r := httptest.NewRequest(method, path, http.NoBody)
		h.ServeHTTP(w, r)
		pprof.ForLabels(r.Context(), func(k, v string) bool { t.Errorf("the outer request has %s=%s", k, v); return true })
	}()
	<-done
	endpoint := strings.TrimSpace(w.Body.String())
	until(t, "no goroutine has the label "+endpoint+" any more", func() bool { return goroutinesWith(t, endpoint) == 0 })
	return w.Code, endpoint
}
