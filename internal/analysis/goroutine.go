package analysis

import (
	"regexp"
	"strings"
)

// spawned gives goroutines that a handler started back to it. A closure keeps
// the name of the function that made it, whatever module that is in; where that
// function runs under one endpoint only, the goroutine is that endpoint's.
// Goroutines start goroutines, so each round may place what the next needs.
func (a *attribution) spawned(all [][]stack) {
	// How many stacks show a function, by endpoint; nil is of those that belong
	// to none: a function that background goroutines run starts theirs too.
	seen := map[string]map[*endpoint]int64{}
	var open []*stack
	asked := map[string]bool{}
	for s := range each(all) {
		if s.end == nil && s.other == nil && !s.truncated {
			open = append(open, s)
			for _, names := range starters(a.frames(s)) {
				for _, name := range names {
					asked[name] = true
				}
			}
		}
	}
	if len(asked) == 0 {
		return
	}
	matters := make([]bool, len(a.t.all)) // by fn.id: somebody asks for it
	for i, f := range a.t.all {
		matters[i] = asked[f.name]
	}
	at := make([]int, len(a.t.all)) // by fn.id: the last stack that showed it
	nth := 0
	note := func(s *stack, end *endpoint, n int64) {
		nth++
		from, own := int32(0), ""
		if end != nil {
			from = s.handler
		} else if fs := a.frames(s); firstApp(fs) < len(fs) {
			own = fs[firstApp(fs)].fn.name // what it made again in a recursion says nothing of who began
		}
		k := s.node
		for depth := int32(a.sp.places.depth[k]); depth > from; depth-- {
			f := a.t.at(k).fn
			k = a.t.nodes[k].parent
			if !matters[f.id] || at[f.id] == nth || own != "" && strings.HasPrefix(own, f.name) {
				continue
			}
			at[f.id] = nth
			if seen[f.name] == nil {
				seen[f.name] = map[*endpoint]int64{}
			}
			seen[f.name][end] += n
		}
	}
	for s := range each(all) {
		if s.end != nil && s.end.how != "middleware" || s.end == nil && s.other == nil && !s.truncated {
			note(s, s.end, 1)
		}
	}
	for range 4 {
		left, placed := open[:0], []*stack(nil)
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
			note(s, nil, -1)
			note(s, s.end, 1)
		}
		open = left
	}
}

// starter finds the one endpoint under which the function was seen that
// started the goroutine of a stack.
func (a *attribution) starter(s *stack, seen map[string]map[*endpoint]int64) (*endpoint, int32) {
	fs := a.frames(s)
	try := func(name string) *endpoint {
		var sum, best int64
		var to *endpoint
		for e, n := range seen[name] {
			sum += n
			if e != nil && (n > best || n == best && to != nil && e.name < to.name) {
				best, to = n, e
			}
		}
		if best*10 < sum*8 {
			return nil
		}
		return to
	}
	for at, names := range starters(fs) {
		for _, name := range names {
			if e := try(name); e != nil {
				return e, int32(at)
			}
		}
	}
	return nil, 0
}

// starters yields who may have started the goroutine of a path, most likely
// first, with the index of the frame that keeps their names.
func starters(fs []frame) func(yield func(int, []string) bool) {
	return func(yield func(int, []string) bool) {
		i := firstApp(fs)
		// A closure was made by somebody: a library that runs it did not.
		if i < len(fs) && (!yield(i, makers(fs[i].fn)) || fs[i].fn.has(isClosure)) {
			return
		}
		// A library's function that the handler called started it.
		for k, f := range fs[:min(i, len(fs), serverMarkDepth)] {
			if f.fn.origin == originThird && f.fn.has(isClosure) && !yield(k, makers(f.fn)) {
				return
			}
		}
	}
}

// makers are the functions that may have made a closure, the innermost first:
// "a.(*T).F.func1.2" was made in "a.(*T).F.func1", which was made in "a.(*T).F".
// Where F was inlined into G, the closure is called "a.G.F.func1".
func makers(f *fn) []string {
	if f.makers != nil {
		return f.makers
	}
	f.makers = []string{f.name}
	// "go t.execute(...)" in Execute: no closure keeps the maker's name.
	if last := strings.LastIndex(f.base, f.last); !f.has(isClosure) && last > 0 && f.last != "" {
		f.makers = append(f.makers, f.base[:last]+strings.ToUpper(f.last[:1])+f.last[1:])
	}
	for name := f.name; f.has(isClosure); {
		i := strings.LastIndexAny(name, ".-")
		if i <= len(f.pkg) || name[i-1] == ')' {
			break
		}
		name = name[:i]
		f.makers = append(f.makers, name)
	}
	return f.makers
}

// rest names what is left: the collector, the scheduler, clients' loops,
// background goroutines.
func (a *attribution) rest(all [][]stack) {
	// What a goroutine's closure hands nearly all its work to names it better
	// than the function that made the closure.
	only := map[*fn]map[*fn]int64{}
	left := func(s *stack) bool { return s.end == nil && s.other == nil }
	for s := range each(all) {
		if !left(s) {
			continue
		}
		fs := a.frames(s)
		for i := firstApp(fs); i < len(fs) && fs[i].fn.has(isClosure) && fs[i].fn.origin == originApp; i++ {
			if only[fs[i].fn] == nil {
				only[fs[i].fn] = map[*fn]int64{}
			}
			only[fs[i].fn][calleeAt(fs, i)]++
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
			for handsAll(only[fs[i].fn], calleeAt(fs, i)) {
				i++
			}
			f := fs[i].fn
			a.put(s, "goroutine "+f.base, "goroutine "+pretty(makerOf(f)), "goroutine", int32(i), fs[i])
		case isGC(fs):
			a.leave(s, otherGC)
		case root.pkg == "runtime" || root.pkg == "" || len(fs) == 1 && root.origin == originStd || runtimeOnly(fs) && root.origin == originStd && !strings.HasPrefix(root.pkg, "net"):
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

// calleeAt is the application's function that a frame calls; nil for none.
func calleeAt(fs []frame, i int) *fn {
	if i+1 < len(fs) && fs[i+1].fn.origin == originApp {
		return fs[i+1].fn
	}
	return nil
}

// handsAll reports whether one callee has nearly all of a closure's stacks.
func handsAll(callees map[*fn]int64, to *fn) bool {
	var sum int64
	for _, n := range callees {
		sum += n
	}
	return to != nil && sum > 0 && callees[to]*10 >= sum*9
}

// dispatched places a goroutine of no known server in which a dispatcher was
// found: a server of a protocol of its own, a worker that runs jobs.
func (a *attribution) dispatched(s *stack) {
	pl := a.sp.places.at(s.node)
	if !pl.back || pl.handler == 0 || a.t.at(pl.handler).fn.origin != originApp {
		return
	}
	f := a.t.at(pl.handler)
	switch {
	case a.sp.onPath[f.fn]:
		a.middleware(s, pl.handler)
	case pl.spine != 0 && a.t.at(pl.spine).fn.origin == originApp:
		a.put(s, "stack "+f.fn.name, a.nameOf(f.fn), "stack", int32(a.sp.places.at(pl.handler).depth)-1, f)
	}
}

const otherGC = "(gc) background garbage collection"

func isGC(fs []frame) bool {
	for _, f := range fs {
		switch {
		case f.fn.has(isGCRoot):
			return true
		case f.fn.has(isAlloc), f.fn.category != CatRuntime && f.fn.category != CatGC:
			return false // an assist: whoever allocates pays for it
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
