//go:build !small

package routers

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

func init() {
	All["chi-nested"] = func(a *svc.API) Server { // what the corpus has flat: subrouters, groups, wrapped handlers
		h, r, sub := &web{a}, chi.NewRouter(), chi.NewRouter()
		r.Use(middleware.RequestID, middleware.Recoverer, auth)
		sub.Group(func(g chi.Router) {
			g.Use(logging, middleware.Compress(5, "text/plain"))
			for path, f := range h.routes() {
				g.With(middleware.NoCache).MethodFunc(method(path), path, func(w http.ResponseWriter, r *http.Request) { f(w, r) })
			}
		})
		r.Mount("/", sub)
		return on(r, methods("web", wide))
	}
}
