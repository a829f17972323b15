// Package pprofchi labels goroutines with the chi route that they serve, so
// that CPU profiles say which endpoint costs what. See package pprofserve.
package pprofchi

import (
	"net/http"
	"sync"

	"github.com/go-chi/chi/v5"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// Label is middleware that labels each request with the method and pattern of
// its route ("GET /users/{id}"), mounted routers included. Requests that match
// no route have no label.
//
//	r := chi.NewRouter()
//	r.Use(pprofchi.Label(r))
//
// Middleware of a chi router runs before the routing, so that it looks the
// route up itself: every request is routed twice. Where that matters, use
// [pprofserve.Label] in a Group or With, whose middleware runs after it:
//
//	r.Group(func(r chi.Router) {
//		r.Use(pprofserve.Label)
//		r.Get("/users/{id}", user)
//	})
//
// routes is the outermost router; its patterns are read for every request.
func Label(routes chi.Routes) func(http.Handler) http.Handler {
	contexts := sync.Pool{New: func() any { return chi.NewRouteContext() }}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := contexts.Get().(*chi.Context)
			c.Reset()
			path := r.URL.RawPath // as chi's own routing
			if path == "" {
				path = r.URL.Path
			}
			if path == "" {
				path = "/"
			}
			route := routes.Find(c, r.Method, path)
			contexts.Put(c)
			pprofserve.DoRequest(r, route, func(r *http.Request) { next.ServeHTTP(w, r) })
		})
	}
}
