package analysis

import (
	"fmt"
	"path"
	"strings"
)

// endpoint is one handler with its stacks counted.
type endpoint struct {
	name string
	how  string // see Endpoint.How
	// handlers counts the functions that stacks take for the handler: a label
	// may cover several, and the heaviest is shown.
	handlers map[*fn]int64
	lines    map[*fn]int64 // a line inside the function, for one with no start line
}

// remainder is a piece of the CPU that belongs to no endpoint.
type remainder *string

// attribution gives every stack its endpoint, or the remainder it belongs to.
type attribution struct {
	t      *paths
	sp     *spine
	byKey  map[string]*endpoint
	others map[string]remainder
	routes map[string]string
	labels string // the label key in use; "" for none
	buf    []frame

	gateways map[*fn]string // methods by the closure that serves them; nil until asked for
}

// attribute works on all stacks at once, those of the CPU and of allocations
// and goroutines, since what one stack cannot tell
// another may: a middleware shows itself only where it calls the next handler.
func attribute(t *paths, cpu []stack, routes map[string]string, others ...[]stack) *attribution {
	repair(t, cpu)
	a := &attribution{t: t, byKey: map[string]*endpoint{}, others: map[string]remainder{}, routes: routes, labels: t.labelKey(cpu)}
	a.sp = newSpine(t, cpu, others)
	t.settle()
	all := append([][]stack{cpu}, others...)
	for s := range each(all) {
		s.handler = int32(a.sp.places.at(s.node).depth)
		if a.sp.places.at(s.node).served {
			a.assign(s)
		}
	}
	a.byLabel(cpu, all)
	// What a request started is its own before it is asked whether it
	// dispatches: a query's iterators call one another like handlers do.
	a.spawned(all)
	placed := false
	for s := range each(all) {
		if s.end == nil && s.other == nil && !s.truncated {
			a.dispatched(s)
			placed = placed || s.end != nil
		}
	}
	if placed {
		a.spawned(all)
	}
	a.rest(all)
	a.distinguish()
	a.sp = nil
	return a
}

// each yields the stacks of several lists in place.
func each(lists [][]stack) func(yield func(*stack) bool) {
	return func(yield func(*stack) bool) {
		for _, l := range lists {
			for i := range l {
				if !yield(&l[i]) {
					return
				}
			}
		}
	}
}

// frames are the stack's frames, root first, until the next call.
func (a *attribution) frames(s *stack) []frame {
	a.buf = a.t.path(s.node, a.buf)
	return a.buf
}

// served reports whether a stack lies below a server's mark.
func (a *attribution) served(s *stack) bool { return a.sp.places.at(s.node).served }

func (a *attribution) leave(s *stack, name string) {
	r := a.others[name]
	if r == nil {
		r = &name
		a.others[name] = r
	}
	s.end, s.other = nil, r
}

// assign gives a served stack its endpoint by its place.
func (a *attribution) assign(s *stack) {
	pl := a.sp.places.at(s.node)
	index := func(n uint32) int32 { return int32(a.sp.places.at(n).depth) - 1 }
	h := pl.handler
	switch {
	case pl.glue != 0:
		name := rpcName(a.t.at(pl.glue).fn)
		if h == 0 {
			h = pl.glue
		}
		a.put(s, "rpc "+name, name, "rpc", index(h), a.t.at(h))
	case h != 0 && a.sp.onPath[a.t.at(h).fn]:
		s.handler = index(h)
		a.middleware(s, h)
	case h != 0 && a.t.at(h).fn.has(isGateway):
		f := a.t.at(h)
		name := a.gatewayName(f.fn)
		a.put(s, "rpc "+name, name, "rpc", index(h), f)
	case h != 0:
		f := a.t.at(h)
		key, name := "stack "+f.fn.name, a.nameOf(f.fn)
		if route, ok := a.routeFor(f.fn.name); ok {
			key = "route " + route // several handlers may serve it
		}
		if f.fn.origin != originApp {
			// A library's closures serve one purpose, however often it made them.
			key, name = "stack "+f.fn.base, pretty(makerOf(f.fn))
		}
		a.put(s, key, name, "stack", index(h), f)
	case pl.spine != 0 && a.t.at(pl.spine).fn.origin == originApp && pl.glue == 0:
		a.middleware(s, pl.spine) // a home-made dispatcher's own work
	default:
		a.library(s, pl)
	}
}

// gatewayName names the method that a generated closure serves: that of the one
// function it calls for it, in whatever stack shows it.
func (a *attribution) gatewayName(f *fn) string {
	if a.gateways == nil {
		a.gateways = map[*fn]string{}
		methods := make([][]string, len(a.t.all))
		for i, f := range a.t.all {
			methods[i] = gwCall.FindStringSubmatch(f.sym)
		}
		for n := 1; n < len(a.t.nodes); n++ {
			m := methods[a.t.at(uint32(n)).fn.id]
			if m == nil {
				continue
			}
			for k := a.t.nodes[n].parent; k != 0; k = a.t.nodes[k].parent {
				if by := a.t.at(k).fn; by.has(isGateway) {
					a.gateways[by] = m[1] + "/" + m[2] + " (gateway)"
					break
				}
			}
		}
	}
	if name := a.gateways[f]; name != "" {
		return name
	}
	return gateway.FindStringSubmatch(f.sym)[1] + " (gateway)"
}

// library places a served stack without a frame of the application: a
// library's handler, the own work of a library's middleware, or the server's.
func (a *attribution) library(s *stack, pl place) {
	if n := a.next(s.node, pl.spine); pl.spine != 0 && n != 0 {
		f, by := a.t.at(n), a.t.at(pl.spine).fn
		at := int32(a.sp.places.at(n).depth) - 1
		switch {
		case f.fn.has(isServer | isIO), f.fn.codec != nil, by.has(isRPCGlue):
		case f.fn.pkg == "net/http/pprof", f.fn.origin == originThird && handsDirectly(by):
			// What calls handlers called it.
			a.put(s, "stack "+f.fn.name, a.nameOf(f.fn), "stack", at, f)
			return
		}
		if by.origin == originThird && by.has(isClosure) && !by.has(isServerRoot) && !routerLike.MatchString(by.sym) {
			s.handler = at
			a.middleware(s, pl.spine)
			return
		}
	}
	a.leave(s, otherServer)
}

// ofInit reports whether a function is a literal of a package's variables or
// init: a hook, and no handler of a library's.
func ofInit(f *fn) bool {
	return f.has(isClosure) && (strings.HasPrefix(f.sym, "init.") || strings.HasPrefix(f.sym, "glob.."))
}

// handsDirectly reports whether a function calls handlers only, so that what it
// calls is one.
func handsDirectly(f *fn) bool {
	return strings.Contains(f.sym, "HandlerFunc") || !f.has(isClosure) && f.last != "ServeHTTP" && nexts.MatchString(f.last)
}

// middleware gives a stack to the middleware in whose own work it is. A heavy
// one is reported like an endpoint, with what it does.
func (a *attribution) middleware(s *stack, n uint32) {
	f := a.t.at(n)
	name := "(middleware) " + pretty(f.fn)
	if f.fn.origin != originApp {
		name = "(middleware) " + pretty(makerOf(f.fn))
	}
	a.put(s, name, name, "middleware", min(s.handler, int32(a.sp.places.at(n).depth)-1), f)
}

// makerOf is the function that made a closure.
func makerOf(f *fn) *fn {
	return &fn{name: f.base, pkg: f.pkg, sym: strings.TrimPrefix(f.base, f.pkg+"."), base: f.base, last: f.last}
}

const otherServer = "(server) reading requests, routing, writing replies"

// next is the node below an ancestor on the way to n; 0 when they are one.
func (a *attribution) next(n, ancestor uint32) uint32 {
	below := uint32(0)
	for ; n != ancestor && n != 0; n = a.t.nodes[n].parent {
		below = n
	}
	return below
}

func (a *attribution) put(s *stack, key, name, how string, handler int32, f frame) {
	e := a.byKey[key]
	if e == nil {
		e = &endpoint{name: name, how: how, handlers: map[*fn]int64{}, lines: map[*fn]int64{}}
		a.byKey[key] = e
	}
	s.end, s.other, s.handler = e, nil, handler
	// A goroutine that a handler started does not show the handler.
	if f.fn != nil && (how == "goroutine" || a.served(s) || len(e.handlers) == 0) {
		e.handlers[f.fn] += s.value
		if l, ok := e.lines[f.fn]; !ok || f.line < l {
			e.lines[f.fn] = f.line
		}
	}
}

// at is a frame of a path; none beyond its end.
func at(fs []frame, i int) frame {
	if i < 0 || i >= len(fs) {
		return frame{}
	}
	return fs[i]
}

// routeOf undoes the doubled method of tracers that put the method before a
// pattern which has one since Go 1.22: "GET GET /live/list".
func routeOf(label string) string {
	if method, rest, ok := strings.Cut(label, " "); ok && strings.HasPrefix(rest, method+" ") {
		return rest
	}
	return label
}

// firstApp is the index of the first application frame; the path's length for none.
func firstApp(fs []frame) int {
	for i, f := range fs {
		if f.fn.origin == originApp {
			return i
		}
	}
	return len(fs)
}

// distinguish gives endpoints of the same name different ones, since everything
// from here on goes by the name: their package, or else all of the path.
func (a *attribution) distinguish() {
	byName := map[string][]*endpoint{}
	for _, e := range a.byKey {
		byName[e.name] = append(byName[e.name], e)
	}
	for name, same := range byName {
		if len(same) < 2 {
			continue
		}
		taken := map[string]int{}
		for _, e := range same {
			if f := e.heaviest(); f != nil && f.pkg != "" && f.pkg != "main" && !strings.HasPrefix(e.how, "label:") {
				taken[lastOf(f.pkg)]++
			}
		}
		for _, e := range same {
			f := e.heaviest()
			if f == nil || f.pkg == "" || f.pkg == "main" || strings.HasPrefix(e.how, "label:") {
				continue
			}
			pkg := lastOf(f.pkg)
			if taken[pkg] > 1 {
				pkg = f.pkg
			}
			// "goroutine (*T).Run", "(middleware) (*T).Serve"
			at := strings.LastIndex(name, " (*") + 1
			e.name = name[:at] + pkg + "." + strings.TrimPrefix(name[at:], lastOf(f.pkg)+".")
		}
	}
}

// nameOf is what people call a handler: the configured route, the function
// without its package path, and for a function literal where it stands.
func (a *attribution) nameOf(f *fn) string {
	if route, ok := a.routeFor(f.name); ok {
		return route
	}
	// Profiles of Go before 1.20 do not tell where a function starts, and the
	// line of some sample would name it anew every time.
	if f.has(isClosure) && f.file != "" && f.line > 0 {
		return fmt.Sprintf("%s (%s:%d)", pretty(f), path.Base(f.file), f.line)
	}
	return pretty(f)
}

// routeFor is the configured route of a function: that of the longest suffix.
func (a *attribution) routeFor(name string) (route string, ok bool) {
	longest := ""
	for suffix, r := range a.routes {
		if strings.HasSuffix(name, suffix) && len(suffix) >= len(longest) {
			longest, route, ok = suffix, r, true
		}
	}
	return route, ok
}

// pretty drops the path and, where a receiver tells enough, the package:
// "(*API).LiveList", "shop.List".
func pretty(f *fn) string {
	sym := strings.ReplaceAll(f.sym, "-fm", "") // a method value's wrapper
	if f.pkg == "" || f.pkg == "main" || strings.HasPrefix(sym, "(") {
		return sym
	}
	return lastOf(f.pkg) + "." + sym
}
