package analysis

import (
	"fmt"
	"path"
	"regexp"
	"slices"
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
}

// attribute works on all stacks at once, since what one stack cannot tell
// another may: a middleware shows itself only where it calls the next handler.
func attribute(t *paths, cpu, allocs []stack, routes map[string]string) *attribution {
	repair(t, cpu)
	a := &attribution{t: t, byKey: map[string]*endpoint{}, others: map[string]remainder{}, routes: routes, labels: t.labelKey(cpu)}
	a.sp = newSpine(t, cpu, allocs)
	all := [][]stack{cpu, allocs}
	for s := range each(all) {
		s.handler = int32(a.sp.places[s.node].depth)
		if a.sp.places[s.node].served {
			a.assign(s)
		} else {
			a.dispatched(s)
		}
	}
	a.byLabel(cpu, all)
	a.spawned(all)
	a.rest(all)
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
func (a *attribution) served(s *stack) bool { return a.sp.places[s.node].served }

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
	pl := a.sp.places[s.node]
	index := func(n uint32) int32 { return int32(a.sp.places[n].depth) - 1 }
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
	case h != 0:
		f := a.t.at(h)
		name := a.nameOf(f.fn, f.line)
		if f.fn.origin != originApp {
			name = pretty(baseOf(f.fn))
		}
		a.put(s, "stack "+f.fn.name, name, "stack", index(h), f)
	case pl.spine != 0 && a.t.at(pl.spine).fn.origin == originApp && pl.glue == 0:
		a.middleware(s, pl.spine) // a home-made dispatcher's own work
	default:
		a.library(s, pl)
	}
}

// library places a served stack without a frame of the application: a
// library's handler, the own work of a library's middleware, or the server's.
func (a *attribution) library(s *stack, pl place) {
	if n := a.next(s.node, pl.spine); pl.spine != 0 && n != 0 {
		f, by := a.t.at(n), a.t.at(pl.spine).fn
		at := int32(a.sp.places[n].depth) - 1
		switch {
		case f.fn.has(isServer | isIO), f.fn.codec != nil, by.has(isRPCGlue):
		case f.fn.pkg == "net/http/pprof", f.fn.origin == originThird && handsDirectly(by):
			// What calls handlers called it.
			a.put(s, "stack "+f.fn.name, a.nameOf(f.fn, f.line), "stack", at, f)
			return
		}
		if by.origin == originThird && by.has(isClosure) && !routerLike.MatchString(by.sym) {
			s.handler = at
			a.middleware(s, pl.spine)
			return
		}
	}
	a.leave(s, otherServer)
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
		name = "(middleware) " + pretty(baseOf(f.fn))
	}
	a.put(s, name, name, "middleware", min(s.handler, int32(a.sp.places[n].depth)-1), f)
}

// baseOf is the function that made a closure.
func baseOf(f *fn) *fn {
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

// byLabel lets labels overrule frames: they were set by somebody who knew.
// They also teach: a function that is seen under one label only belongs to
// that endpoint, which places the stacks that have no labels (allocs), and one
// that is seen under several is middleware.
func (a *attribution) byLabel(cpu []stack, all [][]stack) {
	if a.labels == "" {
		return
	}
	votes := map[*fn]map[string]int64{}
	seen := map[*fn]bool{}
	for i := range cpu {
		s := &cpu[i]
		v := a.route(s)
		if v == "" {
			continue
		}
		clear(seen)
		for _, f := range a.frames(s) {
			if f.fn.origin != originApp || seen[f.fn] {
				continue
			}
			seen[f.fn] = true
			if votes[f.fn] == nil {
				votes[f.fn] = map[string]int64{}
			}
			votes[f.fn][v] += s.value
		}
	}
	owner := make(map[*fn]string, len(votes))
	for f, by := range votes {
		var sum int64
		for _, n := range by {
			sum += n
		}
		if name := top(by); by[name]*10 >= sum*9 {
			owner[f] = name
		}
	}
	for s := range each(all) {
		want := a.route(s)
		own, h := "", -1
		fs := a.frames(s)
		for i, f := range fs {
			if v := owner[f.fn]; v != "" && (want == "" || v == want) {
				own, h = v, i
				break
			}
		}
		switch {
		case want != "":
			if h < 0 {
				if h = int(s.handler); h >= len(fs) {
					h = firstApp(fs)
				}
			}
			a.put(s, "label "+want, want, "label:"+a.labels, int32(h), at(fs, h))
		case own != "" && a.served(s):
			a.put(s, "label "+own, own, "label:"+a.labels, int32(h), at(fs, h))
		case s.end != nil && int(s.handler) < len(fs):
			if f := fs[s.handler]; len(votes[f.fn]) > 1 && owner[f.fn] == "" {
				name := "(middleware) " + pretty(f.fn)
				a.put(s, name, name, "middleware", s.handler, f)
			}
		}
	}
}

// route is the route that a stack's label names; "" for none.
func (a *attribution) route(s *stack) string { return routeOf(a.t.labels.sets[s.labels][a.labels]) }

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

// spawned gives goroutines that a handler started back to it. A closure keeps
// the name of the function that made it, whatever module that is in; where that
// function is seen under one endpoint only, the goroutine is that endpoint's.
// Goroutines start goroutines, so each round may place what the next needs.
func (a *attribution) spawned(all [][]stack) {
	seen := map[string]map[*endpoint]int64{}
	var done []string
	note := func(s *stack) {
		done = done[:0]
		fs := a.frames(s)
		for _, f := range fs[min(int(s.handler), len(fs)):] {
			if f.fn.origin == originStd || slices.Contains(done, f.fn.base) {
				continue
			}
			done = append(done, f.fn.base)
			if seen[f.fn.base] == nil {
				seen[f.fn.base] = map[*endpoint]int64{}
			}
			seen[f.fn.base][s.end]++
		}
	}
	var open []*stack
	for s := range each(all) {
		switch {
		case s.end != nil && s.end.how != "middleware":
			note(s)
		case s.end == nil && s.other == nil && !s.truncated:
			open = append(open, s)
		}
	}
	for range 4 {
		var left, placed []*stack
		for _, s := range open {
			if e, at := a.starter(s, seen); e != nil {
				s.end, s.handler = e, at
				placed = append(placed, s)
			} else {
				left = append(left, s)
			}
		}
		if len(placed) == 0 {
			return
		}
		// Only now: the order of stacks must not decide.
		for _, s := range placed {
			note(s)
		}
		open = left
	}
}

// starter finds the one endpoint under which the function was seen that
// started the goroutine of a stack.
func (a *attribution) starter(s *stack, seen map[string]map[*endpoint]int64) (*endpoint, int32) {
	fs := a.frames(s)
	i := firstApp(fs)
	try := func(name string) *endpoint {
		var sum, best int64
		var to *endpoint
		for e, n := range seen[name] {
			sum += n
			if n > best || n == best && to != nil && e.name < to.name {
				best, to = n, e
			}
		}
		if best*10 < sum*8 {
			return nil
		}
		return to
	}
	if i < len(fs) {
		f := fs[i].fn
		if e := try(f.base); e != nil {
			return e, int32(i)
		}
		// "go t.execute(...)" in Execute: no closure keeps the maker's name.
		if last := strings.LastIndex(f.base, f.last); !f.has(isClosure) && last > 0 && f.last != "" {
			if e := try(f.base[:last] + strings.ToUpper(f.last[:1]) + f.last[1:]); e != nil {
				return e, int32(i)
			}
		}
	}
	// A library's function that the handler called started it.
	for k, f := range fs[:min(i, len(fs), serverMarkDepth)] {
		if f.fn.origin == originThird && f.fn.has(isClosure) {
			if e := try(f.fn.base); e != nil {
				return e, int32(k)
			}
		}
	}
	return nil, 0
}

// rest names what is left: the collector, the scheduler, clients' loops,
// background goroutines.
func (a *attribution) rest(all [][]stack) {
	// What a goroutine's closure hands nearly all its work to names it better
	// than the function that made the closure.
	only := map[*fn]map[*fn]int64{}
	callee := func(fs []frame, i int) *fn {
		if i+1 < len(fs) && fs[i+1].fn.origin == originApp {
			return fs[i+1].fn
		}
		return nil
	}
	left := func(s *stack) bool { return s.end == nil && s.other == nil }
	for s := range each(all) {
		if !left(s) {
			continue
		}
		fs := a.frames(s)
		if i := firstApp(fs); i < len(fs) && fs[i].fn.has(isClosure) {
			if only[fs[i].fn] == nil {
				only[fs[i].fn] = map[*fn]int64{}
			}
			only[fs[i].fn][callee(fs, i)]++
		}
	}
	for s := range each(all) {
		if !left(s) {
			continue
		}
		fs := a.frames(s)
		i := firstApp(fs)
		root := fs[0].fn
		switch {
		case s.truncated:
			a.leave(s, "(truncated) stacks cut off by the runtime")
		case i < len(fs):
			f := fs[i].fn
			var sum, most int64
			for c, n := range only[f] {
				if sum += n; c != nil && n > most {
					most, f = n, c
				}
			}
			if most*10 < sum*9 {
				f = fs[i].fn
			}
			a.put(s, "goroutine "+f.base, "goroutine "+pretty(baseOf(f)), "goroutine", int32(i), fs[i])
		case isGC(fs):
			a.leave(s, otherGC)
		case root.pkg == "runtime" || root.pkg == "" || runtimeOnly(fs) && root.origin == originStd && !strings.HasPrefix(root.pkg, "net"):
			a.leave(s, "(runtime) scheduler and timers")
		case clientLoops.MatchString(root.name):
			a.leave(s, "(client) connections to other services")
		case serverLoops.MatchString(root.name):
			a.leave(s, otherServer)
		default:
			a.leave(s, "goroutine "+root.base)
		}
	}
}

// Loops of connections that have goroutines of their own.
var (
	clientLoops = regexp.MustCompile(`^net/http\.\(\*(persistConn|Transport|http2ClientConn|http2clientConnReadLoop)\)|^golang\.org/x/net/http2\.\(\*(ClientConn|Transport|clientConnReadLoop)\)|^google\.golang\.org/grpc/internal/transport\.(newHTTP2Client|NewHTTP2Client|\(\*http2Client\))|^google\.golang\.org/grpc\.\(\*(addrConn|ClientConn|ccBalancerWrapper)\)`)
	serverLoops = regexp.MustCompile(`^net/http\.\(\*(connReader|conn|Server)\)|^google\.golang\.org/grpc/internal/transport\.(newHTTP2Server|NewServerTransport|\(\*http2Server\))|^golang\.org/x/net/http2\.\(\*serverConn\)`)
)

// dispatched places a goroutine of no known server in which a dispatcher was
// found: a server of a protocol of its own, a worker that runs jobs.
func (a *attribution) dispatched(s *stack) {
	pl := a.sp.places[s.node]
	if !pl.back || pl.handler == 0 || a.t.at(pl.handler).fn.origin != originApp {
		return
	}
	f := a.t.at(pl.handler)
	switch {
	case a.sp.onPath[f.fn]:
		a.middleware(s, pl.handler)
	case pl.spine != 0 && a.t.at(pl.spine).fn.origin == originApp:
		a.put(s, "stack "+f.fn.name, a.nameOf(f.fn, f.line), "stack", int32(a.sp.places[pl.handler].depth)-1, f)
	}
}

const otherGC = "(gc) background garbage collection"

func isGC(fs []frame) bool {
	for _, f := range fs {
		if f.fn.has(isGCRoot) {
			return true
		}
	}
	return false
}

func runtimeOnly(fs []frame) bool {
	for _, f := range fs {
		if f.fn.category != CatRuntime && f.fn.category != CatGC && f.fn.category != CatIO {
			return false
		}
	}
	return true
}

// nameOf is what people call a handler: the configured route, the function
// without its package path, and for a function literal where it stands.
func (a *attribution) nameOf(f *fn, line int64) string {
	for suffix, route := range a.routes {
		if strings.HasSuffix(f.name, suffix) {
			return route
		}
	}
	if f.has(isClosure) {
		at := f.line
		if at == 0 {
			at = line
		}
		if f.file != "" && at > 0 {
			return fmt.Sprintf("%s (%s:%d)", pretty(f), path.Base(f.file), at)
		}
	}
	return pretty(f)
}

// pretty drops the path and, where a receiver tells enough, the package:
// "(*API).LiveList", "shop.List".
func pretty(f *fn) string {
	if f.pkg == "" || strings.HasPrefix(f.sym, "(") {
		return f.sym
	}
	if f.pkg == "main" {
		return f.sym
	}
	return path.Base(f.pkg) + "." + f.sym
}
