package analysis

import (
	"regexp"
	"strings"
)

// dispatchName matches the names of functions that choose a handler.
var dispatchName = regexp.MustCompile(`(?i)serve|handle|dispatch|rout|next|invoke|call|wrap|middleware|process|exec|^do$|^run$`)

// callback matches methods that libraries call for other reasons than to have
// a request handled.
var callback = regexp.MustCompile(`(?i)^(less|swap|len|compare|equal|hash|read|write|close|seek|string|error|format|scan|value|roundtrip|.*unmarshal.*|.*marshal.*|.*decode.*|.*encode.*|new|load|fetch|get|set)$`)

// renders matches functions that write replies for many handlers.
var renders = regexp.MustCompile(`(?i)^(write|render|respond|reply|send|encode|json|error|fail|flush|finish|print|log)`)

// handlerName matches what people call handlers.
var handlerName = regexp.MustCompile(`(?i)handler$|^(serve|handle|on|do|cmd|api|get|post|put|delete|list|create|update)_?[A-Z0-9]`)

// position is where a function stands in the source.
type position struct {
	file string
	line int64
}

// handlerMethod matches methods by which handlers of several types are called.
var handlerMethod = regexp.MustCompile(`(?i)^(serve|handle|execute|exec|dispatch|process|invoke|call|perform|do|run)`)

// callee is what one line of a function calls.
type callee struct {
	votes   int64
	direct  bool
	replies bool
}

// called are the functions of the application that one function calls, by line.
type called struct {
	total int64 // votes of the function in the handler's place
	back  int64 // of these in goroutines of no known server
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
	for n := 1; n < len(sp.t.nodes); n++ {
		pl, f := sp.places.at(uint32(n)), sp.t.at(uint32(n)).fn
		if !pl.served && !pl.back || f.origin != originApp {
			continue
		}
		up := sp.places.at(sp.t.nodes[n].parent)
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
			if pl.back {
				of(f).back += sp.sub[n]
			}
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
	copies := map[position]int{}
	for f := range by {
		if f.has(isClosure) && f.line > 0 {
			copies[position{f.file, f.line}]++
		}
	}
	for f, cs := range by {
		for _, at := range handsOut(f, cs, from, copies[position{f.file, f.line}] > 1) {
			if !sp.nextAt[at.frame] || at.via && !sp.viaAt[at.frame] {
				sp.nextAt[at.frame], sp.outAt[at.frame], sp.onPath[f] = true, true, true
				learned, found[f] = true, true
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
	back := cs.back*2 > cs.total
	named := f.has(isClosure) && !back || dispatchName.MatchString(f.last) && !f.has(isClosure)
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
		n, likely, via, relations := 0, 0, false, map[string]int{}
		family := map[string]int{}
		methods := map[string]int{} // callees by name, where it is one that handlers have
		for to, c := range tos {
			if c.direct && !renders.MatchString(to.last) {
				sw.add(f, line, to, c, own(to, c))
			}
			if c.direct && c.votes >= 2 && c.votes*200 >= cs.total {
				relations[familyOf(to)]++ // rare routes too: a family calls itself nowhere else
			}
			if !own(to, c) {
				continue
			}
			n++
			family[familyOf(to)]++
			if c.direct && strings.Contains(to.sym, ".") && !to.has(isClosure) && handlerMethod.MatchString(to.last) {
				methods[to.last]++
			}
			via = via || !c.direct
			if to.has(isClosure) || !renders.MatchString(to.last) && (c.replies || handlerName.MatchString(to.last)) {
				likely++
			}
			if adapter && c.direct && c.votes*5 >= cs.total && !renders.MatchString(to.last) {
				out = append(out, lineOf{frame{f, line}, false})
			}
		}
		relatives, rare := 0, false
		for name, k := range family {
			relatives = max(relatives, k)
			rare = rare || f.has(isClosure) && !back && relations[name] >= 2
		}
		// One line that calls a method of several types calls an interface.
		calls := false
		for _, k := range methods {
			calls = calls || k >= 2 && k == n
		}
		if n >= 2 && (f.has(isClosure) && !back || named && likely >= 2 || calls) || rare || n >= 4 && relatives*5 >= n*4 {
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
	for n := 1; n < len(sp.t.nodes); n++ {
		pl := sp.places.at(uint32(n))
		if pl.chain != uint32(n) || pl.handler == uint32(n) || !found[sp.t.at(uint32(n)).fn] {
			continue
		}
		for k := sp.t.nodes[n].parent; ; k = sp.t.nodes[k].parent {
			if at := sp.t.at(k); at.fn.origin == originApp {
				sp.onPath[at.fn], sp.nextAt[at], sp.outAt[at] = true, true, true
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
	sp.replies = make([]bool, len(sp.t.nodes))
	writes := make([]bool, len(sp.t.all))
	for i, f := range sp.t.all {
		writes[i] = replyWriters.MatchString(f.name) || f.has(isServer) && f.origin == originThird && !f.has(isDispatcher) && writerLike.MatchString(f.sym)
	}
	for n := len(sp.t.nodes) - 1; n > 0; n-- {
		pl := sp.places.at(uint32(n))
		if sp.replies[n] || (pl.served || pl.back) && pl.handler != 0 && writes[sp.t.at(uint32(n)).fn.id] {
			sp.replies[n] = true
			sp.replies[sp.t.nodes[n].parent] = true
		}
	}
}
