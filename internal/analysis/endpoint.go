package analysis

import (
	"fmt"
	"path"
	"regexp"
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

// attribution gives every stack its endpoint, or the name of the remainder it
// belongs to.
type attribution struct {
	byKey map[string]*endpoint
	// onPath are functions seen above another dispatcher: middleware. nextAt
	// are the lines of theirs from which the next handler was called.
	onPath map[*fn]bool
	nextAt map[frame]bool
	routes map[string]string
	labels string // the label key in use; "" for none
}

// attribute works on all stacks at once, since what one stack cannot tell
// another may: a middleware shows itself only where it calls the next handler.
func attribute(cpu, allocs []*stack, routes map[string]string) *attribution {
	a := &attribution{byKey: map[string]*endpoint{}, onPath: map[*fn]bool{}, nextAt: map[frame]bool{}, routes: routes, labels: labelKey(cpu)}
	all := make([]*stack, 0, len(cpu)+len(allocs))
	all = append(append(all, cpu...), allocs...)
	for _, s := range cpu {
		s.votes = s.value
	}
	repair(cpu)

	var served []*stack
	for _, s := range all {
		s.handler = len(s.frames)
		if serverMark(s) >= 0 {
			served = append(served, s)
		}
	}
	spine := a.spine(served)
	a.fanOut(served, spine)
	for _, s := range served {
		a.assign(s, spine[s])
	}
	a.byLabel(cpu, all)
	a.spawned(all)
	a.rest(all)
	return a
}

// serverMark finds the frame that shows a server's goroutine; -1 for none.
func serverMark(s *stack) int {
	for i, f := range s.frames[:min(serverMarkDepth, len(s.frames))] {
		if f.fn.has(isServerRoot) {
			return i
		}
	}
	return -1
}

// spine finds, for every served stack, the index of the deepest frame that
// calls the next handler, and learns which other functions do.
func (a *attribution) spine(served []*stack) map[*stack]int {
	deepest := make(map[*stack]int, len(served))
	for _, s := range served {
		d := -1
		for i := serverMark(s); i < len(s.frames); i++ {
			f := s.frames[i].fn
			if f.codec != nil || f.source != nil && f.source.how != reader {
				break // inside the handler's work
			}
			if f.has(isDispatcher) || f.has(isRPCGlue) {
				d = i
			}
		}
		deepest[s] = d
	}
	// What stands above a dispatcher calls the next handler too: app
	// middleware, a home-made mux, a library's wrapper.
	for s, d := range deepest {
		for i := serverMark(s); i < d; i++ {
			a.onPath[s.frames[i].fn] = true
			a.nextAt[s.frames[i]] = true
		}
	}
	// A middleware may call a handler that is no function of a dispatcher's,
	// from the line where it calls the others.
	for s, d := range deepest {
		for h := handlerAt(s, d); h >= 0 && h+1 < len(s.frames) && a.onPath[s.frames[h].fn] && a.nextAt[s.frames[h]] &&
			s.frames[h+1].fn.origin == originApp; h = handlerAt(s, d) {
			d = h
			deepest[s] = d
		}
	}
	return deepest
}

// dispatchName matches the names of functions that choose a handler.
var dispatchName = regexp.MustCompile(`(?i)serve|handle|dispatch|rout|next|invoke|call|wrap|middleware|process|exec|^do$|^run$`)

// fanOut finds home-made dispatch: a function in the handler's place one line
// of which reaches several application functions. It moves the spine into them.
func (a *attribution) fanOut(served []*stack, spine map[*stack]int) {
	type site struct {
		fn   *fn
		line int64
	}
	for range 3 { // dispatch within dispatch is rare; deeper is not believed
		callees := map[site]map[*fn]int64{}
		total := map[*fn]int64{}
		from := map[*fn]map[*fn]int64{} // callee -> caller -> votes
		for _, s := range served {
			for i := 1; i < len(s.frames); i++ {
				if c := s.frames[i].fn; c.origin == originApp {
					if from[c] == nil {
						from[c] = map[*fn]int64{}
					}
					from[c][s.frames[i-1].fn] += s.votes
				}
			}
			h := handlerAt(s, spine[s])
			if h < 0 {
				continue
			}
			f := s.frames[h].fn
			total[f] += s.votes
			if h+1 < len(s.frames) && s.frames[h+1].fn.origin == originApp && s.frames[h+1].fn != f {
				at := site{f, s.frames[h].line}
				if callees[at] == nil {
					callees[at] = map[*fn]int64{}
				}
				callees[at][s.frames[h+1].fn] += s.votes
			}
		}
		dispatch := map[*fn]bool{}
		for at, cs := range callees {
			if !at.fn.has(isClosure) && !dispatchName.MatchString(at.fn.last) {
				continue
			}
			n := 0
			for c, seen := range cs {
				// Called from elsewhere as well it is a helper, not a handler.
				var others int64
				for caller, k := range from[c] {
					if caller != at.fn {
						others += k
					}
				}
				if seen >= 2 && seen*50 >= total[at.fn] && others*10 <= seen {
					n++
				}
			}
			if n >= 2 {
				dispatch[at.fn] = true
			}
		}
		if len(dispatch) == 0 {
			return
		}
		for _, s := range served {
			if h := handlerAt(s, spine[s]); h >= 0 && dispatch[s.frames[h].fn] {
				a.onPath[s.frames[h].fn] = true
				spine[s] = h
			}
		}
	}
}

// handlerAt finds the first application frame below the spine's end; -1 when
// there is none.
func handlerAt(s *stack, spine int) int {
	for i := spine + 1; i < len(s.frames); i++ {
		f := s.frames[i].fn
		if f.origin == originApp && !f.has(isRPCGlue) {
			return i
		}
		if f.codec != nil || f.source != nil {
			return -1 // the framework's own reading and decoding
		}
	}
	return -1
}

// assign gives a served stack its endpoint by its frames.
func (a *attribution) assign(s *stack, spine int) {
	glue := -1
	for i := range min(spine+1, len(s.frames)) {
		if s.frames[i].fn.has(isRPCGlue) {
			glue = i
		}
	}
	h := handlerAt(s, spine)
	switch {
	case glue >= 0:
		name := rpcName(s.frames[glue].fn)
		if h < 0 {
			h = glue
		}
		a.put(s, "rpc "+name, name, "rpc", h)
	case h >= 0 && a.onPath[s.frames[h].fn]:
		s.other, s.handler = "(middleware) "+pretty(s.frames[h].fn), h
	case h >= 0:
		f := s.frames[h].fn
		a.put(s, "stack "+f.name, a.nameOf(f, s.frames[h].line), "stack", h)
	default:
		// A library's handler: metrics, profiles, files.
		if i := spine + 1; spine >= 0 && i < len(s.frames) {
			f := s.frames[i].fn
			if a.onPath[f] && !f.has(isServer) {
				s.other, s.handler = "(middleware) "+pretty(f), i
				return
			}
			if !f.has(isServer) && f.origin == originThird || f.pkg == "net/http/pprof" {
				a.put(s, "stack "+f.name, a.nameOf(f, s.frames[i].line), "stack", i)
				return
			}
		}
		s.other = "(server) reading requests, routing, writing replies"
	}
}

func (a *attribution) put(s *stack, key, name, how string, handler int) {
	e := a.byKey[key]
	if e == nil {
		e = &endpoint{name: name, how: how, handlers: map[*fn]int64{}, lines: map[*fn]int64{}}
		a.byKey[key] = e
	}
	s.end, s.other, s.handler = e, "", handler
	// A goroutine that a handler started does not show the handler.
	if handler < len(s.frames) && (how == "goroutine" || serverMark(s) >= 0 || len(e.handlers) == 0) {
		f := s.frames[handler]
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
func (a *attribution) byLabel(cpu, all []*stack) {
	if a.labels == "" {
		return
	}
	labelled := map[*stack]string{}
	votes := map[*fn]map[string]int64{}
	for _, s := range cpu {
		v := routeOf(s.label(a.labels))
		if v == "" {
			continue
		}
		labelled[s] = v
		seen := map[*fn]bool{}
		for _, f := range s.frames {
			if f.fn.origin != originApp || seen[f.fn] {
				continue
			}
			seen[f.fn] = true
			if votes[f.fn] == nil {
				votes[f.fn] = map[string]int64{}
			}
			votes[f.fn][v] += s.votes
		}
	}
	owner := make(map[*fn]string, len(votes))
	for f, by := range votes {
		var sum, best int64
		var name string
		for v, n := range by {
			sum += n
			if n > best || n == best && v < name {
				best, name = n, v
			}
		}
		if best*10 >= sum*9 {
			owner[f] = name
		}
	}
	for _, s := range all {
		own, h := "", -1
		want := labelled[s]
		for i, f := range s.frames {
			if v := owner[f.fn]; v != "" && (want == "" || v == want) {
				own, h = v, i
				break
			}
		}
		switch {
		case want != "":
			if h < 0 {
				if h = s.handler; h >= len(s.frames) {
					h = firstApp(s)
				}
			}
			a.put(s, "label "+want, want, "label:"+a.labels, h)
		case own != "" && serverMark(s) >= 0:
			a.put(s, "label "+own, own, "label:"+a.labels, h)
		case s.end != nil && s.handler < len(s.frames) && len(votes[s.frames[s.handler].fn]) > 1 && owner[s.frames[s.handler].fn] == "":
			s.end, s.other = nil, "(middleware) "+pretty(s.frames[s.handler].fn)
		}
	}
}

// routeOf undoes the doubled method of tracers that put the method before a
// pattern which has one since Go 1.22: "GET GET /live/list".
func routeOf(label string) string {
	if method, rest, ok := strings.Cut(label, " "); ok && strings.HasPrefix(rest, method+" ") {
		return rest
	}
	return label
}

// firstApp is the index of the first application frame; len(frames) for none.
func firstApp(s *stack) int {
	for i, f := range s.frames {
		if f.fn.origin == originApp {
			return i
		}
	}
	return len(s.frames)
}

// spawned gives goroutines that a handler started back to it. A closure keeps
// the name of the function that made it; where that function is seen under one
// endpoint only, the goroutine is that endpoint's.
func (a *attribution) spawned(all []*stack) {
	seen := map[string]map[*endpoint]int64{}
	note := func(base string, e *endpoint) {
		if seen[base] == nil {
			seen[base] = map[*endpoint]int64{}
		}
		seen[base][e]++
	}
	for _, s := range all {
		if s.end == nil {
			continue
		}
		done := map[string]bool{}
		for _, f := range s.frames[min(s.handler, len(s.frames)):] {
			if f.fn.origin == originApp && !done[f.fn.base] {
				done[f.fn.base] = true
				note(f.fn.base, s.end)
			}
		}
	}
	for _, s := range all {
		if s.end != nil || s.other != "" {
			continue
		}
		i := firstApp(s)
		if i >= len(s.frames) || s.truncated {
			continue
		}
		var sum, best int64
		var to *endpoint
		for e, n := range seen[s.frames[i].fn.base] {
			sum += n
			if n > best || n == best && to != nil && e.name < to.name {
				best, to = n, e
			}
		}
		if to != nil && best*10 >= sum*8 {
			s.end, s.handler = to, i
		}
	}
}

// rest names what is left: the collector, the scheduler, clients' loops,
// background goroutines.
func (a *attribution) rest(all []*stack) {
	for _, s := range all {
		if s.end != nil || s.other != "" {
			continue
		}
		i := firstApp(s)
		root := s.frames[0].fn
		switch {
		case s.truncated:
			s.other = "(truncated) stacks cut off by the runtime"
		case i < len(s.frames):
			f := s.frames[i].fn
			s.handler = i
			name := "goroutine " + pretty(&fn{name: f.base, pkg: f.pkg, sym: strings.TrimPrefix(f.base, f.pkg+"."), base: f.base, last: f.last})
			a.put(s, "goroutine "+f.base, name, "goroutine", i)
		case isGC(s):
			s.other = "(gc) background garbage collection"
		case runtimeOnly(s):
			s.other = "(runtime) scheduler and timers"
		case strings.HasPrefix(root.name, "net/http.(*persistConn)") || strings.HasPrefix(root.name, "net/http.(*Transport)") || strings.HasPrefix(root.name, "net/http.(*http2ClientConn)"):
			s.other = "(http client) connections"
		default:
			s.other = "goroutine " + root.name
		}
	}
}

func isGC(s *stack) bool {
	for _, f := range s.frames {
		if f.fn.has(isGCRoot) {
			return true
		}
	}
	return false
}

func runtimeOnly(s *stack) bool {
	for _, f := range s.frames {
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
