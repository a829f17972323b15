package analysis

import "regexp"

// place is what the frames from the root down to a node say about who serves
// it. A node inherits its parent's and adds its own frame.
type place struct {
	spine   uint32 // deepest node that calls the next handler; 0 for none
	handler uint32 // the handler's node: the first application frame below the spine; 0 for none yet
	glue    uint32 // deepest generated RPC glue on the spine; 0 for none
	app     uint32 // deepest node of the application
	depth   uint16 // frames from the root, 1 for the root's
	served  bool   // below a server's mark
	inside  bool   // below a codec or a store: whatever calls back from there dispatches nothing
	lost    bool   // between spine and handler lies a codec or a source: the framework's own work
	open    bool   // the handler has called libraries only
}

// spine finds every node's place. What one path cannot tell another may, so it
// looks at all of them, and again while it learns.
type spine struct {
	t      *paths
	places []place
	sub    []int64 // votes at and below a node: samples of CPU stacks, 1 for others
	// onPath are functions seen above another dispatcher: middleware. nextAt
	// are the lines of theirs from which the next handler was called.
	onPath map[*fn]bool
	nextAt map[frame]bool
	// dispatch are the application's own dispatchers, told by their fan-out.
	dispatch map[*fn]bool
	replies  []bool // a reply is written at or below the node; nil until asked for
}

func newSpine(t *paths, cpu, allocs []stack) *spine {
	sp := &spine{t: t, places: make([]place, len(t.nodes)), sub: make([]int64, len(t.nodes)),
		onPath: map[*fn]bool{}, nextAt: map[frame]bool{}, dispatch: map[*fn]bool{}}
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
	sp.middleware()
	sp.sweep()
	for range 4 { // dispatch within dispatch is rare; deeper is not believed
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

func (sp *spine) below(n uint32) place {
	parent := sp.t.nodes[n].parent
	pl, f := sp.places[parent], sp.t.at(n).fn
	pl.depth++
	if !pl.served {
		if pl.served = pl.depth <= serverMarkDepth && f.has(isServerRoot); !pl.served {
			return pl
		}
	}
	app := f.origin == originApp && !f.has(isRPCGlue)
	pl.inside = pl.inside || f.codec != nil || f.source != nil && f.source.how != reader
	switch {
	case !pl.inside && (f.has(isDispatcher) || f.has(isRPCGlue)):
		pl.spine, pl.handler, pl.lost, pl.open = n, 0, false, false
		if f.has(isRPCGlue) {
			pl.glue = n
		}
	case pl.handler != 0 && pl.handler == parent && app && sp.onPath[sp.t.at(parent).fn] && sp.nextAt[sp.t.at(parent)]:
		// A middleware may call a handler that is no function of a
		// dispatcher's, from the line where it calls the others.
		pl.spine = parent
		sp.enter(&pl, n, f)
	case pl.handler != 0:
		pl.open = pl.open && !app && !pl.inside
	case pl.lost:
	case app:
		sp.enter(&pl, n, f)
	case f.codec != nil || f.source != nil:
		pl.lost = true
	}
	if app {
		pl.app = n
	}
	return pl
}

// enter makes a node the handler, unless its function is known to dispatch.
func (sp *spine) enter(pl *place, n uint32, f *fn) {
	pl.handler, pl.open = n, true
	if sp.dispatch[f] {
		pl.spine, pl.handler = n, 0
	}
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
		st.served = st.served || depth[n] <= serverMarkDepth && f.has(isServerRoot)
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

// middleware learns from every path which functions call the next handler:
// those that stand above a dispatcher.
func (sp *spine) middleware() {
	above := make([]bool, len(sp.places)) // a dispatcher lies below
	for n := len(sp.places) - 1; n > 0; n-- {
		pl := sp.places[n]
		if above[n] && pl.served {
			at := sp.t.at(uint32(n))
			sp.onPath[at.fn], sp.nextAt[at] = true, true
		}
		if above[n] || pl.served && pl.spine == uint32(n) {
			above[sp.t.nodes[n].parent] = true
		}
	}
}

// dispatchName matches the names of functions that choose a handler.
var dispatchName = regexp.MustCompile(`(?i)serve|handle|dispatch|rout|next|invoke|call|wrap|middleware|process|exec|^do$|^run$`)

// callback matches methods that libraries call for other reasons than to have
// a request handled.
var callback = regexp.MustCompile(`(?i)^(less|swap|len|compare|equal|hash|read|write|close|seek|string|error|format|scan|value|roundtrip|.*unmarshal.*|.*marshal.*|.*decode.*|.*encode.*|new|load|fetch|get|set)$`)

// renders matches functions that write replies for many handlers.
var renders = regexp.MustCompile(`(?i)^(write|render|respond|reply|send|encode|json|error|fail|flush|finish|print|log)`)

// site is a place that calls handlers.
type site struct {
	fn   *fn
	line int64
}

// callee is what one site calls.
type callee struct {
	votes   int64
	direct  bool
	replies bool
}

// fanOut finds home-made dispatch: a function in the handler's place one line
// of which reaches several application functions that nobody else calls, by
// itself or through a library; or whose lines reach several that each write
// replies. It reports whether it learned a dispatcher.
func (sp *spine) fanOut() bool {
	if sp.replies == nil {
		sp.findReplies()
	}
	callees := map[site]map[*fn]callee{}
	total := map[*fn]int64{}
	from := map[*fn]map[*fn]int64{} // callee -> the application's function above it -> votes
	for n := 1; n < len(sp.places); n++ {
		pl, f := sp.places[n], sp.t.at(uint32(n)).fn
		if !pl.served || f.origin != originApp {
			continue
		}
		parent := sp.t.nodes[n].parent
		up := sp.places[parent]
		var caller *fn
		if up.app != 0 {
			caller = sp.t.at(up.app).fn
		}
		if from[f] == nil {
			from[f] = map[*fn]int64{}
		}
		from[f][caller] += sp.sub[n]
		if pl.handler == uint32(n) {
			total[f] += sp.sub[n]
		}
		if up.handler == 0 || up.handler != up.app || !up.open || caller == f {
			continue // not the first application function below the handler
		}
		direct := parent == up.handler
		if !direct && (callback.MatchString(f.last) || f.has(isClosure) && f.base == caller.base) {
			continue
		}
		h := sp.t.at(up.handler)
		at := site{h.fn, h.line}
		if callees[at] == nil {
			callees[at] = map[*fn]callee{}
		}
		c := callees[at][f]
		c.votes, c.direct, c.replies = c.votes+sp.sub[n], c.direct || direct, c.replies || sp.replies[n]
		callees[at][f] = c
	}
	own := func(of *fn, f *fn, c callee) bool {
		// Called from elsewhere as well it is a helper, not a handler.
		var others int64
		for caller, k := range from[f] {
			if caller != of {
				others += k
			}
		}
		return c.votes >= 2 && c.votes*50 >= total[of] && others*10 <= c.votes
	}
	learned := false
	byFunc := map[*fn]map[*fn]bool{} // callees that reply, over all lines
	for at, cs := range callees {
		if !at.fn.has(isClosure) && !dispatchName.MatchString(at.fn.last) {
			continue
		}
		n := 0
		for f, c := range cs {
			if !own(at.fn, f, c) {
				continue
			}
			n++
			if c.replies && !renders.MatchString(f.last) {
				if byFunc[at.fn] == nil {
					byFunc[at.fn] = map[*fn]bool{}
				}
				byFunc[at.fn][f] = true
			}
		}
		if n >= 2 && !sp.dispatch[at.fn] {
			sp.dispatch[at.fn], sp.onPath[at.fn], learned = true, true, true
		}
	}
	for f, cs := range byFunc {
		if len(cs) >= 2 && !sp.dispatch[f] {
			sp.dispatch[f], sp.onPath[f], learned = true, true, true
		}
	}
	return learned
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
		if sp.replies[n] || sp.places[n].served && sp.places[n].handler != 0 && writes[sp.t.at(uint32(n)).fn.id] {
			sp.replies[n] = true
			sp.replies[sp.t.nodes[n].parent] = true
		}
	}
}
