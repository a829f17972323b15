package analysis

import (
	"regexp"
	"strings"
)

// place is what the frames from the root down to a node say about who serves
// it. A node inherits its parent's and adds its own frame.
type place struct {
	spine   uint32 // deepest node that calls the next handler; 0 for none
	handler uint32 // the handler's node: the first application frame below the spine; 0 for none yet
	glue    uint32 // deepest generated RPC glue on the spine; 0 for none
	app     uint32 // deepest node of the application
	chain   uint32 // deepest node that the handler's work runs through: itself, or a step below it
	depth   uint16 // frames from the root, 1 for the root's
	served  bool   // below a server's mark
	back    bool   // below the first application frame of another goroutine
	inside  bool   // below a codec, a store or I/O: whatever calls back from there dispatches nothing
	uses    bool   // the handler has called a library
	open    bool   // what chain has called so far are libraries
}

// spine finds every node's place. What one path cannot tell another may, so it
// looks at all of them, and again while it learns.
type spine struct {
	t      *paths
	places places
	sub    []int64 // votes at and below a node: samples of CPU stacks, 1 for others
	// onPath are functions that mostly hand on: middleware. nextAt are the
	// lines of theirs from which the next handler was called.
	onPath map[*fn]bool
	nextAt map[frame]bool
	// ends are libraries' functions that look like dispatchers and never call
	// a next handler: they are handlers.
	ends map[*fn]bool
	// viaAt are lines of nextAt that call the next handler through a library:
	// reflection, an executor.
	viaAt map[frame]bool
	// outAt are lines of nextAt that were told by their fan-out.
	outAt map[frame]bool
	// steps are calls from one function of the application to another that a
	// wrapper runs through on its way to handlers.
	steps   map[[2]*fn]bool
	replies []bool // a reply is written at or below the node; nil until asked for
}

func newSpine(t *paths, cpu []stack, others [][]stack) *spine {
	sp := &spine{
		t: t, places: newPlaces(len(t.nodes)), sub: make([]int64, len(t.nodes)),
		onPath: map[*fn]bool{}, nextAt: map[frame]bool{}, viaAt: map[frame]bool{}, outAt: map[frame]bool{}, ends: map[*fn]bool{}, steps: map[[2]*fn]bool{},
	}
	for _, s := range cpu {
		sp.sub[s.node] += s.value
	}
	for s := range each(others) {
		sp.sub[s.node]++
	}
	for n := len(t.nodes) - 1; n > 0; n-- {
		sp.sub[t.nodes[n].parent] += sp.sub[n]
	}
	sp.learnFrameworks()
	sp.sweep()
	sp.learn()
	sp.sweep()
	t.settle()
	for range 6 { // dispatch within dispatch is rare; deeper is not believed
		if !sp.fanOut() {
			break
		}
		sp.sweep()
	}
	sp.sub, sp.replies = nil, nil
	return sp
}

// sweep gives every node its place by what has been learned so far.
func (sp *spine) sweep() {
	sp.places.clear()
	for n := 1; n < len(sp.t.nodes); n++ {
		sp.places.set(uint32(n), sp.t.nodes[n].parent, sp.below(uint32(n)))
	}
}

// below follows a path by one frame. The spine is contiguous: it runs from the
// server through frameworks and middleware, and ends where the application
// begins to work. A handler that uses its framework (to bind, to write a
// reply) calls into the same packages as a middleware that hands on, so what
// counts is the function that is called.
func (sp *spine) below(n uint32) place {
	parent := sp.t.nodes[n].parent
	pl, f := sp.places.at(parent), sp.t.at(n).fn
	pl.depth++
	if !pl.served {
		pl.served = marks(f, pl.depth)
	}
	app := f.origin == originApp && !f.has(isRPCGlue)
	pl.back = !pl.served && (pl.back || app)
	switch {
	case pl.inside || !pl.served && !pl.back:
	case f.codec != nil, f.source != nil && !f.has(isServer|isDispatcher), f.has(isIO) && !f.has(isDispatcher|isServerRoot) && pl.handler == 0:
		pl.inside, pl.open = true, false
	case pl.handler == 0:
		switch {
		case f.has(isDispatcher|isRPCGlue) && !sp.ends[f] && !f.has(isGateway):
			sp.pass(&pl, n, f)
		case app && (pl.uses && sp.calledBack(pl.spine) || pl.served && codes(f)):
			pl.inside = true
		case app || sp.ends[f] || f.has(isGateway):
			sp.enter(&pl, n)
		default:
			pl.uses = true
		}
	case f.has(isDispatcher|isRPCGlue) && !sp.ends[f] && sp.handsOn(pl, parent, f):
		sp.pass(&pl, n, f)
	case app && f.last == "ServeHTTP" && !f.has(isClosure):
		// By its contract the next handler: the application is its own framework.
		pl.spine = parent
		sp.enter(&pl, n)
	case app:
		if h := sp.t.at(pl.handler); pl.app == pl.handler && sp.onPath[h.fn] && sp.nextAt[h] && (parent == pl.handler || sp.viaAt[h]) && (sp.outAt[h] || !helps(f)) {
			// A middleware may call a handler that is no function of a
			// dispatcher's, from the line where it calls the others.
			pl.spine = pl.handler
			sp.enter(&pl, n)
			break
		}
		if pl.open && pl.app == pl.chain && sp.near(pl) && sp.steps[[2]*fn{sp.t.at(pl.chain).fn, f}] {
			pl.chain = n
			break
		}
		pl.open = false
	default:
		pl.uses = true
	}
	if app {
		pl.app = n
	}
	return pl
}

// marks reports whether a function shows that a goroutine serves requests.
func marks(f *fn, depth uint16) bool {
	return depth <= serverMarkDepth && f.has(isServerRoot) ||
		depth == 1 && f.has(isClosure) && f.last == "ServeHTTP" && f.origin != originApp // a timeout handler's goroutine
}

// near reports whether a dispatcher may lie this far below the handler's place:
// in goroutines of no known server only at the top, since data structures call
// each other's methods in the same way.
func (sp *spine) near(pl place) bool {
	return !pl.back || pl.depth-sp.places.at(pl.handler).depth <= 3
}

// codes reports whether a function is a codec of the application's that its
// framework calls.
func codes(f *fn) bool {
	return !f.has(isClosure) && strings.Contains(f.sym, ".") && codecMethod.MatchString(f.last)
}

var codecMethod = regexp.MustCompile(`(?i)^(un)?marshal|^(en|de)code(json|message|request|response)?$`)

// helps reports whether a function is called like a helper: a deferred Close is
// called from the line that returns what the next handler returned.
func helps(f *fn) bool {
	return callback.MatchString(f.last) || renders.MatchString(f.last) || strings.Contains(f.sym, "Writer).")
}

// handsOn reports whether the application calls the next handler here, and
// does not use its framework: ServeHTTP always hands on; a closure or a method
// called Next does when the application itself calls it.
func (sp *spine) handsOn(pl place, parent uint32, f *fn) bool {
	return f.last == "ServeHTTP" && !f.has(isClosure) || f.has(isRPCGlue) || !pl.uses && sp.t.at(parent).fn.origin == originApp
}

// calledBack reports whether a spine's end hands on by itself only, so that
// what its library calls later is no handler but a callback: a middleware's
// closure, and not a router.
func (sp *spine) calledBack(n uint32) bool {
	f := sp.t.at(n).fn
	return f.has(isClosure) && f.origin == originThird && !f.has(isServerRoot) && !routerLike.MatchString(f.sym)
}

func (sp *spine) pass(pl *place, n uint32, f *fn) {
	pl.spine, pl.handler, pl.chain, pl.uses, pl.open = n, 0, 0, false, false
	if f.has(isRPCGlue) {
		pl.glue = n
	}
}

func (sp *spine) enter(pl *place, n uint32) {
	pl.handler, pl.chain, pl.uses, pl.open = n, n, false, true
}

// learnFrameworks finds libraries that no table knows and that stand between
// a server and the application: what calls the first application frame of a
// request is a framework, whatever it is called.
func (sp *spine) learnFrameworks() {
	type seen struct{ served, app bool }
	states := make([]seen, len(sp.t.nodes))
	modules := map[string]bool{}
	depth := make([]uint16, len(sp.t.nodes))
	for n := 1; n < len(states); n++ {
		parent := sp.t.nodes[n].parent
		st, f := states[parent], sp.t.at(uint32(n)).fn
		depth[n] = depth[parent] + 1
		st.served = st.served || marks(f, depth[n])
		if st.served && f.origin == originApp {
			if p := sp.t.at(parent).fn; !st.app && parent != 0 && p.origin == originThird && !p.has(isServer) && p.isPlainLibrary() {
				modules[moduleGuess(p.pkg)] = true
			}
			st.app = true
		}
		states[n] = st
	}
	if len(modules) == 0 {
		return
	}
	for _, f := range sp.t.all {
		if f.origin == originThird && !f.has(isServer) && f.isPlainLibrary() && modules[moduleGuess(f.pkg)] {
			f.flags |= isServer
			if dispatches(f) {
				f.flags |= isDispatcher
			}
		}
	}
}

// isPlainLibrary reports whether no table says what a library is for.
func (f *fn) isPlainLibrary() bool {
	return f.codec == nil && f.source == nil && f.category == CatLibrary && !f.has(isLogging)
}

// learn finds out from every path which functions hand on, and how much.
func (sp *spine) learn() {
	type weight struct{ all, on int64 }
	weights := map[*fn]*weight{}
	lines := map[frame]bool{}
	// on is how much of a node's weight a dispatcher or a handler below it took.
	on := sp.t.perNode()
	for n := len(sp.t.nodes) - 1; n > 0; n-- {
		pl, at := sp.places.at(uint32(n)), sp.t.at(uint32(n))
		parent := sp.t.nodes[n].parent
		if !pl.served && !pl.back {
			continue
		}
		w := weights[at.fn]
		if w == nil {
			w = &weight{}
			weights[at.fn] = w
		}
		self := pl.spine == uint32(n)
		if self || pl.handler == uint32(n) || on[n] > 0 {
			w.all += sp.sub[n]
			w.on += on[n]
			if on[n] > 0 {
				lines[at] = true
			}
		}
		switch {
		case self || pl.handler == uint32(n):
			on[parent] += sp.sub[n]
		default:
			on[parent] += on[n]
		}
	}
	for f, w := range weights {
		switch {
		case f.origin == originApp:
			// Not one stack of hundreds: a handler may call back once.
			if w.on*5 >= w.all || w.on >= 5 && w.on*20 >= w.all {
				sp.onPath[f] = w.on > 0
			}
		case w.on*20 < w.all && f.has(isDispatcher) && endsItself(f):
			sp.ends[f] = true // it may call the application back, to count or to log
		case w.on > 0:
			sp.onPath[f] = true
		}
	}
	for at := range lines {
		if sp.onPath[at.fn] {
			sp.nextAt[at] = true
		}
	}
}

// endsItself reports whether a library's dispatcher that never hands on is to
// be taken for a handler: metrics, files, a proxy. A router that was never seen
// to hand on is still a router.
func endsItself(f *fn) bool {
	switch {
	case f.has(isServerRoot), ofInit(f):
		return false
	case f.origin == originStd:
		return f.last == "ServeHTTP" && !strings.Contains(f.sym, "Mux") && !strings.Contains(f.sym, "HandlerFunc") && !strings.Contains(f.sym, "timeout")
	}
	return (f.last == "ServeHTTP" || f.has(isClosure)) && !routerLike.MatchString(f.sym)
}

// routerLike matches what belongs to routers and servers.
var routerLike = regexp.MustCompile(`(?i)rout|mux|engine|server|\(\*(Echo|App|Router|Group|Tree|node|Context|Ctx)\)|serve[A-Z]`)
