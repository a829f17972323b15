package analysis

import (
	"maps"
	"slices"
	"strings"
)

// evidence is what stacks show about where decoded bytes come from. Stacks of
// CPU and of allocations are kept apart, since their values do not add up: a
// cache in the same process answers in under a microsecond and is too rare in
// CPU samples, but the copy it hands out shows among the allocations.
type evidence struct {
	kinds [2]map[*fn]calls
	// readers are the readers seen below a decode, by the place that decodes.
	readers map[place]map[*source]int64
}

// calls are the calls that a function makes, by line and callee.
type calls map[call]*callWeight

type call struct {
	line   int64
	callee *fn
}

type callWeight struct {
	total  int64
	source map[*source]int64
}

// place is a line of a function that calls a codec.
type place struct {
	end  *endpoint // nil: any
	fn   *fn
	line int64
}

// gather indexes the calls of every function that stands above a decode.
func gather(cpu, allocs []*stack) *evidence {
	ev := &evidence{readers: map[place]map[*source]int64{}}
	above := map[*fn]bool{}
	for _, s := range slices.Concat(cpu, allocs) {
		if s.work.dir != Decode {
			continue
		}
		for i := min(s.handler, s.work.entry); i < s.work.entry; i++ {
			above[s.frames[i].fn] = true
		}
		ev.noteReader(s)
	}
	for k, stacks := range [2][]*stack{cpu, allocs} {
		ev.kinds[k] = map[*fn]calls{}
		for _, s := range stacks {
			ev.noteCalls(ev.kinds[k], s, above)
		}
	}
	return ev
}

// noteReader remembers a reader that works below a decode.
func (ev *evidence) noteReader(s *stack) {
	e := s.work.entry
	if e == 0 {
		return
	}
	for _, f := range s.frames[e:] {
		if f.fn.source != nil && f.fn.source.how == reader {
			at := s.frames[e-1]
			for _, p := range []place{{s.end, at.fn, at.line}, {nil, at.fn, at.line}} {
				if ev.readers[p] == nil {
					ev.readers[p] = map[*source]int64{}
				}
				ev.readers[p][f.fn.source] += s.value
			}
			return
		}
	}
}

func (ev *evidence) noteCalls(index map[*fn]calls, s *stack, above map[*fn]bool) {
	// The source below each frame, from the leaf up: the outermost one counts,
	// and what lies below a codec's entry was consumed there.
	last := len(s.frames)
	for i, f := range s.frames {
		if f.fn.codec != nil {
			last = i
			break
		}
	}
	var src *source
	for i := len(s.frames) - 1; i >= 0; i-- {
		f := s.frames[i].fn
		if i < last && f.source != nil && f.source.how != binder {
			src = f.source
		}
		if i == 0 {
			return
		}
		caller := s.frames[i-1]
		if !above[caller.fn] {
			continue
		}
		cs := index[caller.fn]
		if cs == nil {
			cs = calls{}
			index[caller.fn] = cs
		}
		key := call{caller.line, f}
		w := cs[key]
		if w == nil {
			w = &callWeight{source: map[*source]int64{}}
			cs[key] = w
		}
		w.total += s.value
		if src != nil && i < last {
			w.source[src] += s.value
		}
	}
}

// origin is a found source.
type found struct {
	kind     SourceKind
	via      string
	evidence string
}

// siblingShare is how much of an earlier call must be the source itself for
// the call to be believed to have fetched the bytes.
const siblingShare = 0.25

// find says where the bytes of a decoding stack came from.
func (ev *evidence) find(s *stack) found {
	w := s.work
	from := min(s.handler, w.entry)
	// A framework or a client that decodes by itself.
	for i := w.entry - 1; i >= from; i-- {
		if src := s.frames[i].fn.source; src != nil && src.how != reader {
			return found{src.kind, src.via, "ancestor"}
		}
	}
	// A streaming decode reads its bytes below itself.
	if w.entry > 0 {
		at := s.frames[w.entry-1]
		for _, p := range []place{{s.end, at.fn, at.line}, {nil, at.fn, at.line}} {
			if src := heaviestSource(ev.readers[p]); src != nil {
				return found{src.kind, src.via, "reader"}
			}
		}
	}
	// A call on an earlier line of a function on the way here.
	for i := w.entry - 1; i >= from; i-- {
		if f, ok := ev.sibling(s.frames[i], s.frames[i+1].fn); ok {
			return f
		}
	}
	for i := w.entry - 1; i >= from; i-- {
		if f := s.frames[i].fn; f.origin == originApp && cacheName.MatchString(f.sym) {
			return found{SourceCache, "", "name"}
		}
	}
	return found{kind: SourceUnknown}
}

// sibling finds the latest call that at's function makes on an earlier line
// than at, or on the same one, and that is mostly a source.
func (ev *evidence) sibling(at frame, not *fn) (found, bool) {
	var line int64 = -1
	sum := map[*source]int64{}
	for k := range ev.kinds {
		for c, w := range ev.kinds[k][at.fn] {
			if c.line > at.line || c.callee == not || c.callee.codec != nil {
				continue
			}
			var weight int64
			for _, n := range w.source {
				weight += n
			}
			if weight == 0 || float64(weight) < siblingShare*float64(w.total) || c.line < line {
				continue
			}
			if c.line > line {
				line = c.line
				clear(sum)
			}
			for src, n := range w.source {
				// Shares, so that bytes do not drown samples.
				sum[src] += max(1, n*1000/weight)
			}
		}
	}
	if line < 0 {
		return found{}, false
	}
	return describe(sum), true
}

// describe sums up the sources of one call: a local cache filled from Redis
// shows both.
func describe(sum map[*source]int64) found {
	best := heaviestSource(sum)
	kind := best.kind
	names := map[string]int64{}
	for src, n := range sum {
		if src.kind == SourceCache {
			kind = SourceCache // whatever else it took, the bytes were cached
		}
		names[src.via] += n
	}
	var total int64
	for _, n := range names {
		total += n
	}
	var via []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name]*20 >= total {
			via = append(via, name)
		}
	}
	return found{kind, strings.Join(via, " + "), "sibling"}
}

func heaviestSource(m map[*source]int64) *source {
	var best *source
	for src, n := range m {
		if best == nil || n > m[best] || n == m[best] && src.via < best.via {
			best = src
		}
	}
	return best
}
