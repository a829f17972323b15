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
	depth   uint16 // frames from the root, 1 for the root's
	served  bool   // below a server's mark
	back    bool   // below the first application frame of another goroutine
	inside  bool   // below a codec, a store or I/O: whatever calls back from there dispatches nothing
	uses    bool   // the handler has called a library
	chain   uint32 // deepest node that the handler's work runs through: itself, or a step below it
	open    bool   // what chain has called so far are libraries
}

// spine finds every node's place. What one path cannot tell another may, so it
// looks at all of them, and again while it learns.
type spine struct {
	t      *paths
	places []place
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
	// steps are calls from one function of the application to another that a
	// wrapper runs through on its way to handlers.
	steps   map[[2]*fn]bool
	replies []bool // a reply is written at or below the node; nil until asked for
}

func newSpine(t *paths, cpu, allocs []stack) *spine {
	sp := &spine{t: t, places: make([]place, len(t.nodes)), sub: make([]int64, len(t.nodes)),
		onPath: map[*fn]bool{}, nextAt: map[frame]bool{}, viaAt: map[frame]bool{}, ends: map[*fn]bool{}, steps: map[[2]*fn]bool{}}
	for _, s := range cpu {
		sp.sub[s.node] += s.value
	}
	for _, s := range allocs {
		sp.sub[s.node]++
	}
	for n := len(t.nodes) - 1; n > 0; n-- {
		sp.sub[t.nodes[n].parent] += sp.sub[n]
	}
	sp.learnFrameworks()
	sp.sweep()
	sp.learn()
	sp.sweep()
	for range 6 { // dispatch within dispatch is rare; deeper is not believed
		if !sp.fanOut() {
			break
		}
		sp.sweep()
	}
	return sp
}

// sweep gives every node its place by what has been learned so far.
func (sp *spine) sweep() {
	for n := 1; n < len(sp.places); n++ {
		sp.places[n] = sp.below(uint32(n))
	}
}

// below follows a path by one frame. The spine is contiguous: it runs from the
// server through frameworks and middleware, and ends where the application
// begins to work. A handler that uses its framework (to bind, to write a
// reply) calls into the same packages as a middleware that hands on, so what
// counts is the function that is called.
func (sp *spine) below(n uint32) place {
	parent := sp.t.nodes[n].parent
	pl, f := sp.places[parent], sp.t.at(n).fn
	pl.depth++
	if !pl.served {
		pl.served = marks(f, pl.depth)
	}
	app := f.origin == originApp && !f.has(isRPCGlue)
	pl.back = pl.back || !pl.served && app
	switch {
	case pl.inside || !pl.served && !pl.back:
	case f.codec != nil, f.source != nil && !f.has(isServer|isDispatcher), f.has(isIO) && !f.has(isDispatcher|isServerRoot) && pl.handler == 0:
		pl.inside, pl.open = true, false
	case pl.handler == 0:
		switch {
		case f.has(isDispatcher|isRPCGlue) && !sp.ends[f]:
			sp.pass(&pl, n, f)
		case app && pl.uses && sp.calledBack(pl.spine):
			pl.inside = true
		case app || sp.ends[f]:
			sp.enter(&pl, n)
		default:
			pl.uses = true
		}
	case f.has(isDispatcher|isRPCGlue) && !sp.ends[f] && sp.handsOn(pl, parent, f):
		sp.pass(&pl, n, f)
	case app:
		if h := sp.t.at(pl.handler); pl.app == pl.handler && sp.onPath[h.fn] && sp.nextAt[h] && (parent == pl.handler || sp.viaAt[h]) {
			// A middleware may call a handler that is no function of a
			// dispatcher's, from the line where it calls the others.
			pl.spine = pl.handler
			sp.enter(&pl, n)
			break
		}
		if pl.open && pl.app == pl.chain && sp.steps[[2]*fn{sp.t.at(pl.chain).fn, f}] {
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
	states := make([]seen, len(sp.places))
	modules := map[string]bool{}
	depth := make([]uint16, len(sp.places))
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
	on := make([]int64, len(sp.places))
	for n := len(sp.places) - 1; n > 0; n-- {
		pl, at := sp.places[n], sp.t.at(uint32(n))
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
	case f.has(isServerRoot):
		return false
	case f.origin == originStd:
		return f.last == "ServeHTTP" && !strings.Contains(f.sym, "Mux") && !strings.Contains(f.sym, "HandlerFunc") && !strings.Contains(f.sym, "timeout")
	}
	return (f.last == "ServeHTTP" || f.has(isClosure)) && !routerLike.MatchString(f.sym)
}

// routerLike matches what belongs to routers and servers.
var routerLike = regexp.MustCompile(`(?i)rout|mux|engine|server|\(\*(Echo|App|Router|Group|Tree|node|Context|Ctx)\)|serve[A-Z]`)

// dispatchName matches the names of functions that choose a handler.
var dispatchName = regexp.MustCompile(`(?i)serve|handle|dispatch|rout|next|invoke|call|wrap|middleware|process|exec|^do$|^run$`)

// callback matches methods that libraries call for other reasons than to have
// a request handled.
var callback = regexp.MustCompile(`(?i)^(less|swap|len|compare|equal|hash|read|write|close|seek|string|error|format|scan|value|roundtrip|.*unmarshal.*|.*marshal.*|.*decode.*|.*encode.*|new|load|fetch|get|set)$`)

// renders matches functions that write replies for many handlers.
var renders = regexp.MustCompile(`(?i)^(write|render|respond|reply|send|encode|json|error|fail|flush|finish|print|log)`)

// handlerName matches what people call handlers.
var handlerName = regexp.MustCompile(`(?i)handler$|^(serve|handle|on|do|cmd|api|get|post|put|delete|list|create|update)_?[A-Z0-9]`)

// site is where a function stands in the source.
type site struct {
	file string
	line int64
}

// callee is what one line of a function calls.
type callee struct {
	votes   int64
	direct  bool
	replies bool
}

// called are the functions of the application that one function calls, by line.
type called struct {
	total int64 // votes of the function in the handler's place
	back  bool  // in a goroutine of no known server
	lines map[int64]map[*fn]*callee
}

// fanOut finds home-made dispatch: a function in the handler's place one line
// of which reaches several application functions that nobody else calls, by
// itself or through a library; or whose lines reach several that are called
// like handlers or write replies. Wrappers that stand between the handler's
// place and such a function are stepped through. It reports whether it learned
// anything.
func (sp *spine) fanOut() bool {
	if sp.replies == nil {
		sp.findReplies()
	}
	by := map[*fn]*called{}
	from := map[*fn]map[*fn]int64{} // callee -> the application's function above it -> votes
	of := func(f *fn) *called {
		c := by[f]
		if c == nil {
			c = &called{lines: map[int64]map[*fn]*callee{}}
			by[f] = c
		}
		return c
	}
	for n := 1; n < len(sp.places); n++ {
		pl, f := sp.places[n], sp.t.at(uint32(n)).fn
		if !pl.served && !pl.back || f.origin != originApp {
			continue
		}
		up := sp.places[sp.t.nodes[n].parent]
		var above *fn
		if up.app != 0 {
			above = sp.t.at(up.app).fn
		}
		if from[f] == nil {
			from[f] = map[*fn]int64{}
		}
		from[f][above] += sp.sub[n]
		if pl.chain == uint32(n) {
			of(f).total += sp.sub[n]
			of(f).back = of(f).back || pl.back
		}
		if up.chain == 0 || up.chain != up.app || !up.open || above == f {
			continue // not the first application function below the handler
		}
		direct := sp.t.nodes[n].parent == up.chain
		if !direct && (callback.MatchString(f.last) || f.has(isClosure) && f.base == above.base) {
			continue
		}
		cs := of(above)
		line := sp.t.at(up.chain).line
		if cs.lines[line] == nil {
			cs.lines[line] = map[*fn]*callee{}
		}
		c := cs.lines[line][f]
		if c == nil {
			c = &callee{}
			cs.lines[line][f] = c
		}
		c.votes, c.direct, c.replies = c.votes+sp.sub[n], c.direct || direct, c.replies || sp.replies[n]
	}
	learned := false
	found := map[*fn]bool{}
	// An adapter that is inlined where it is used, or generic, leaves several
	// closures of one place in the source.
	copies := map[site]int{}
	for f := range by {
		if f.has(isClosure) && f.line > 0 {
			copies[site{f.file, f.line}]++
		}
	}
	for f, cs := range by {
		for _, at := range handsOut(f, cs, from, copies[site{f.file, f.line}] > 1) {
			if !sp.nextAt[at.frame] || at.via && !sp.viaAt[at.frame] {
				sp.nextAt[at.frame], sp.onPath[f], learned, found[f] = true, true, true, true
				if at.via {
					sp.viaAt[at.frame] = true
				}
			}
		}
	}
	for f, cs := range by {
		for _, line := range cs.lines {
			for to, c := range line {
				key := [2]*fn{f, to}
				pass := f.has(isClosure) && to.base == f.base || c.votes*5 >= cs.total*4 ||
					c.votes*2 >= cs.total && (to.has(isClosure) || dispatchName.MatchString(to.last))
				if c.direct && pass && !sp.steps[key] && !found[f] {
					sp.steps[key], learned = true, true
				}
			}
		}
	}
	if len(found) > 0 {
		sp.stepsInto(found)
	}
	return learned
}

// lineOf is a line that hands out requests.
type lineOf struct {
	frame
	via bool // through a library
}

// handsOut finds the lines of a function that call handlers. A line may call
// several functions in turn ("render(w, load(id))"), so what its function is
// called counts: a closure or a name like dispatch needs two callees, others
// need a family of at least four. An adapter needs one.
func handsOut(f *fn, cs *called, from map[*fn]map[*fn]int64, adapter bool) []lineOf {
	named := f.has(isClosure) && !cs.back || dispatchName.MatchString(f.last) && !f.has(isClosure)
	own := func(to *fn, c *callee) bool {
		// Called from elsewhere as well it is a helper, not a handler.
		var others int64
		for above, k := range from[to] {
			if above != f {
				others += k
			}
		}
		return c.votes >= 2 && c.votes*50 >= cs.total && others*10 <= c.votes
	}
	var out []lineOf
	sw := branches{}
	for line, tos := range cs.lines {
		n, likely, via := 0, 0, false
		family := map[string]int{}
		for to, c := range tos {
			if c.direct && !renders.MatchString(to.last) {
				sw.add(f, line, to, c, own(to, c))
			}
			if !own(to, c) {
				continue
			}
			n++
			family[familyOf(to)]++
			via = via || !c.direct
			if to.has(isClosure) || !renders.MatchString(to.last) && (c.replies || handlerName.MatchString(to.last)) {
				likely++
			}
			if adapter && c.direct && c.votes*5 >= cs.total && !renders.MatchString(to.last) {
				out = append(out, lineOf{frame{f, line}, false})
			}
		}
		relatives := 0
		for _, k := range family {
			relatives = max(relatives, k)
		}
		if n >= 2 && (f.has(isClosure) && !cs.back || named && likely >= 2) || n >= 4 && relatives*5 >= n*4 {
			out = append(out, lineOf{frame{f, line}, via})
		}
	}
	if named {
		out = append(out, sw.lines(cs.total)...)
	}
	return out
}

// branches are the calls of a function by the family of what they call: a
// switch calls every handler from a line of its own.
type branches map[string]*branch

type branch struct {
	own, handlers int // functions that nobody else calls; of these, those that look like handlers
	votes         int64
	at            []lineOf
}

func (b branches) add(f *fn, line int64, to *fn, c *callee, own bool) {
	fam := b[familyOf(to)]
	if fam == nil {
		fam = &branch{}
		b[familyOf(to)] = fam
	}
	fam.at = append(fam.at, lineOf{frame{f, line}, false})
	if !own {
		return
	}
	fam.own++
	fam.votes += c.votes
	if c.replies || handlerName.MatchString(to.last) {
		fam.handlers++
	}
}

// lines are the lines of the families that are handlers: two that look like it,
// or three that share nearly all the work between them.
func (b branches) lines(total int64) []lineOf {
	var out []lineOf
	for _, fam := range b {
		if fam.handlers >= 2 || fam.own >= 3 && fam.votes*10 >= total*7 {
			out = append(out, fam.at...)
		}
	}
	return out
}

// familyOf is what handlers of one dispatcher have in common: the receiver, or
// that they are closures of one function.
func familyOf(f *fn) string {
	if f.has(isClosure) {
		return f.pkg + " closures"
	}
	return f.pkg + "." + strings.TrimSuffix(f.sym, f.last)
}

// stepsInto makes the lines between the handler's place and a dispatcher found
// below it call the next handler too.
func (sp *spine) stepsInto(found map[*fn]bool) {
	for n := 1; n < len(sp.places); n++ {
		pl := sp.places[n]
		if pl.chain != uint32(n) || pl.handler == uint32(n) || !found[sp.t.at(uint32(n)).fn] {
			continue
		}
		for k := sp.t.nodes[n].parent; ; k = sp.t.nodes[k].parent {
			if at := sp.t.at(k); at.fn.origin == originApp {
				sp.onPath[at.fn], sp.nextAt[at] = true, true
			}
			if k == pl.handler || k == 0 {
				break
			}
		}
	}
}

// replyWriters are functions that write a reply to the client.
var replyWriters = regexp.MustCompile(`^(net/http\.(\(\*(response|chunkWriter|timeoutWriter|http2responseWriter)\)\.|Error$|NotFound$|Redirect$|ServeContent$|ServeFile$)|` +
	`github\.com/valyala/fasthttp\.(\(\*(Response|RequestCtx|ResponseHeader)\)\.(Set|Write|Add|Append)))`)

// findReplies marks the nodes below which a reply is written.
func (sp *spine) findReplies() {
	sp.replies = make([]bool, len(sp.places))
	writes := make([]bool, len(sp.t.all))
	for i, f := range sp.t.all {
		writes[i] = replyWriters.MatchString(f.name) || f.has(isServer) && f.origin == originThird && !f.has(isDispatcher) && writerLike.MatchString(f.sym)
	}
	for n := len(sp.places) - 1; n > 0; n-- {
		if sp.replies[n] || (sp.places[n].served || sp.places[n].back) && sp.places[n].handler != 0 && writes[sp.t.at(uint32(n)).fn.id] {
			sp.replies[n] = true
			sp.replies[sp.t.nodes[n].parent] = true
		}
	}
}
