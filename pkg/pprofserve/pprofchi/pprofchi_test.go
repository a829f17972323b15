package pprofchi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/labeltest"
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
	show := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, labeltest.Seen(r.Context(), t)) }
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
				fmt.Fprintln(w, labeltest.Seen(r.Context(), t))
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
		t.Run(fmt.Sprintf("inside %v", inside), func(t *testing.T) {
			mounted := labeltest.None
			if inside {
				mounted = "GET /v1/deep/*" // a mount is a route of the router around it
			}
			h := router(t, inside)
			labeltest.TestHandler(t, h)
			labeltest.Check(t, h, "GET", "/users/4711", 200, "GET /users/{id:[0-9]+}")
			labeltest.Check(t, h, "GET", "/files/a/b.txt", 200, "GET /files/*")
			labeltest.Check(t, h, "POST", "/v1/things/17", 200, "POST /v1/things/{thing}")
			labeltest.Check(t, h, "GET", "/v1/deep/leaf", 200, "GET /v1/deep/leaf")
			labeltest.Check(t, h, "GET", "/users/nobody", 404, labeltest.None)
			labeltest.Check(t, h, "HEAD", "/users/1", 405, labeltest.None)
			labeltest.Check(t, h, "GET", "/v1/deep/nowhere", 404, mounted)
		})
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
