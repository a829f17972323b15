package routers

import (
	"net"
	"net/http"
	"time"

	"github.com/dimfeld/httptreemux/v5"
	"github.com/emicklei/go-restful/v3"
	"github.com/julienschmidt/httprouter"
	"github.com/justinas/alice"
	"github.com/uptrace/bunrouter"
	"github.com/urfave/negroni/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// on serves a net/http handler.
func on(h http.Handler, handlers map[string]string) Server {
	return Server{Handlers: handlers, Serve: func(l net.Listener) error {
		return (&http.Server{Handler: h, ReadHeaderTimeout: time.Minute}).Serve(l)
	}}
}

func init() {
	All["httprouter"] = func(a *svc.API) Server {
		h, r := &web{a}, httprouter.New()
		for path, f := range h.routes() {
			r.HandlerFunc(method(path), path, f)
		}
		return on(r, methods("web", wide))
	}
	All["httptreemux"] = func(a *svc.API) Server {
		h, r := &web{a}, httptreemux.NewContextMux()
		for path, f := range h.routes() {
			r.Handle(method(path), path, f)
		}
		return on(r, methods("web", wide))
	}
	All["bunrouter"] = func(a *svc.API) Server {
		h, r := &web{a}, bunrouter.New(bunrouter.Use(func(next bunrouter.HandlerFunc) bunrouter.HandlerFunc {
			return func(w http.ResponseWriter, r bunrouter.Request) error { return next(w, r) }
		}))
		for path, f := range h.routes() {
			r.Handle(method(path), path, bunrouter.HTTPHandlerFunc(f))
		}
		return on(r, methods("web", wide))
	}
	All["restful"] = func(a *svc.API) Server {
		h, c, ws := &web{a}, restful.NewContainer(), new(restful.WebService)
		c.Filter(func(req *restful.Request, resp *restful.Response, chain *restful.FilterChain) {
			chain.ProcessFilter(req, resp)
		})
		for path, f := range h.routes() {
			ws.Route(ws.Method(method(path)).Path(path).To(func(req *restful.Request, resp *restful.Response) { f(resp.ResponseWriter, req.Request) }))
		}
		c.Add(ws)
		return on(c, methods("web", wide))
	}
	All["negroni"] = func(a *svc.API) Server {
		n := negroni.New(negroni.NewRecovery(), negroni.HandlerFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			if r.Header.Get("X-Banned") == "" {
				next(w, r)
			}
		}))
		n.UseHandler(mux(a))
		return on(n, methods("web", wide))
	}
	All["alice"] = func(a *svc.API) Server {
		return on(alice.New(recovery, logging, metrics, auth).Then(mux(a)), methods("web", wide))
	}
	All["h2c"] = func(a *svc.API) Server {
		s := on(h2c.NewHandler(recovery(mux(a)), &http2.Server{}), methods("web", wide))
		s.H2C = true
		return s
	}
	All["std-http2"] = func(a *svc.API) Server {
		s := Server{H2C: true, Handlers: methods("web", wide)}
		s.Serve = func(l net.Listener) error {
			srv := &http.Server{Handler: auth(mux(a)), ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols)}
			srv.Protocols.SetHTTP1(true)
			srv.Protocols.SetUnencryptedHTTP2(true)
			return srv.Serve(l)
		}
		return s
	}
}

func mux(a *svc.API) *http.ServeMux {
	h, m := &web{a}, http.NewServeMux()
	for path, f := range h.routes() {
		m.HandleFunc(method(path)+" "+path, f)
	}
	return m
}
