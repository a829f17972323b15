package pprofserve

import (
	"context"
	"maps"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
)

// LabelKey is the key of the label that names the endpoint. profbot, and who
// else reads such labels, looks for it.
const LabelKey = "endpoint"

// MaxEndpoints is how many endpoints have labels of their own in a process;
// all that come after them are labelled "other". Routes are far fewer. The
// bound is for values that turn out to be none, for each would be kept.
const MaxEndpoints = 250

// LabelMux wraps a mux: each request is labelled with the pattern that it
// matches there, and what matches none has no label. It is the one line for a
// service with one [http.ServeMux]:
//
//	http.ListenAndServe(":8080", pprofserve.LabelMux(mux))
//
// The mux matches each request twice for it. [Label] avoids that, inside.
func LabelMux(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		DoRequest(r, pattern, func(r *http.Request) { mux.ServeHTTP(w, r) })
	})
}

// Label wraps the handler of a route: each request is labelled with its
// pattern, [http.Request.Pattern]. It belongs inside the mux, since outside of
// it no pattern is known yet, and does nothing there:
//
//	mux.Handle("GET /live/list", pprofserve.Label(list))
//
// Where labelled handlers are nested the inner one's label holds.
func Label(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		DoRequest(r, r.Pattern, func(r *http.Request) { h.ServeHTTP(w, r) })
	})
}

// DoRequest calls f with the request, labelled with the route that it matched,
// for routers that this package does not know. The value is the route with the
// method before it; a pattern that has one already is left as it is. With an
// empty route f is called without a label.
func DoRequest(r *http.Request, route string, f func(*http.Request)) {
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
	default: // a client can make up as many as it likes
		method = ""
	}
	// As ServeMux patterns: "GET /path" and "GET host/path" have a method.
	if i := strings.IndexAny(route, " \t/"); i >= 0 && route[i] != '/' {
		method = ""
	}
	Do(r.Context(), method, route, func(ctx context.Context) {
		if ctx != r.Context() {
			r = r.WithContext(ctx)
		}
		f(r)
	})
}

// Do calls f with a context that carries the label "endpoint", and sets it on
// the goroutine for as long; goroutines that f starts inherit it. The value is
// the method, a space and the route; or the route alone where method is empty,
// as for the full name of a remote procedure. With an empty route f is called
// without a label.
//
// It does what [pprof.Do] would, at less cost: what is the same in every
// request of an endpoint is made once. Other labels of ctx are kept.
func Do(ctx context.Context, method, route string, f func(context.Context)) {
	if route == "" {
		f(ctx)
		return
	}
	labelled := with(ctx, endpoints.get(method, route))
	// As pprof.Do does, panics included.
	defer pprof.SetGoroutineLabels(ctx)
	pprof.SetGoroutineLabels(labelled)
	f(labelled)
}

// with adds an endpoint's label to ctx.
func with(ctx context.Context, e *endpoint) context.Context {
	others := false
	pprof.ForLabels(ctx, func(key, _ string) bool {
		others = key != LabelKey
		return !others
	})
	if others {
		return pprof.WithLabels(ctx, e.set)
	}
	return &labelledContext{Context: ctx, labels: e.labels}
}

// labelledContext is its parent with the labels of another context: those of
// an endpoint, made once for all its requests.
type labelledContext struct {
	context.Context
	labels context.Context // [context.Background] with labels, and so without any other value
}

// Value looks for the labels first. The type of their key is known to
// runtime/pprof alone, but the context of labels has no other.
func (c *labelledContext) Value(key any) any {
	if v := c.labels.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// endpoint is the label of one endpoint, in both shapes in which it is needed.
type endpoint struct {
	set    pprof.LabelSet
	labels context.Context
}

func newEndpoint(value string) *endpoint {
	set := pprof.Labels(LabelKey, value)
	return &endpoint{set: set, labels: pprof.WithLabels(context.Background(), set)}
}

// table finds an endpoint's label by its method and route. It is read in every
// request and written when an endpoint is seen for the first time.
type endpointTable struct {
	known atomic.Pointer[map[name]*endpoint] // the map is never written to
	mu    sync.Mutex                         // held by who replaces known
	other *endpoint
}

// name is what an endpoint is found by, without putting a string together.
type name struct{ method, route string }

var endpoints = newEndpointTable()

func newEndpointTable() *endpointTable {
	t := &endpointTable{other: newEndpoint("other")}
	t.known.Store(&map[name]*endpoint{})
	return t
}

func (t *endpointTable) get(method, route string) *endpoint {
	n := name{method, route}
	if e := (*t.known.Load())[n]; e != nil {
		return e
	}
	if len(*t.known.Load()) >= MaxEndpoints {
		return t.other
	}
	return t.add(n)
}

func (t *endpointTable) add(n name) *endpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := *t.known.Load()
	if e := known[n]; e != nil {
		return e
	}
	if len(known) >= MaxEndpoints {
		return t.other
	}
	value := strings.Clone(n.route) // it may be a piece of something large
	if n.method != "" {
		value = n.method + " " + n.route
	}
	e := newEndpoint(value)
	next := maps.Clone(known)
	next[name{strings.Clone(n.method), strings.Clone(n.route)}] = e
	t.known.Store(&next)
	return e
}
