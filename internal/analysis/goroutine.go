package analysis

import (
	"regexp"
	"slices"
	"strings"
)

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
	pl := a.sp.places.at(s.node)
	if !pl.back || pl.handler == 0 || a.t.at(pl.handler).fn.origin != originApp {
		return
	}
	f := a.t.at(pl.handler)
	switch {
	case a.sp.onPath[f.fn]:
		a.middleware(s, pl.handler)
	case pl.spine != 0 && a.t.at(pl.spine).fn.origin == originApp:
		a.put(s, "stack "+f.fn.name, a.nameOf(f.fn, f.line), "stack", int32(a.sp.places.at(pl.handler).depth)-1, f)
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
