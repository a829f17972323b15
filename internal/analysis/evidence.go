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
	t     *paths
	kinds [2]map[*fn]calls
	// readers are the readers seen below a decode, by the place that decodes.
	readers map[caller]map[*source]int64
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

// caller is a line of a function that calls a codec.
type caller struct {
	end  *endpoint // nil: any
	fn   *fn
	line int64
}

// gather indexes the calls of every function that stands above a decode.
func gather(t *paths, cpu, allocs []stack) *evidence {
	ev := &evidence{t: t, readers: map[caller]map[*source]int64{}}
	above := map[*fn]bool{}
	var fs []frame
	for s := range each([][]stack{cpu, allocs}) {
		if s.work.dir != decode {
			continue
		}
		fs = t.path(s.node, fs)
		for i := min(s.handler, s.work.entry); i < s.work.entry; i++ {
			above[fs[i].fn] = true
		}
		ev.noteReader(s, fs)
	}
	if len(above) == 0 {
		return ev
	}
	for k, stacks := range [2][]stack{cpu, allocs} {
		ev.kinds[k] = map[*fn]calls{}
		for i := range stacks {
			fs = t.path(stacks[i].node, fs)
			ev.noteCalls(ev.kinds[k], fs, stacks[i].value, above)
		}
	}
	return ev
}

// noteReader remembers a reader that works below a decode.
func (ev *evidence) noteReader(s *stack, fs []frame) {
	e := s.work.entry
	if e == 0 {
		return
	}
	for _, f := range fs[e:] {
		if f.fn.source != nil && f.fn.source.how == reader {
			at := fs[e-1]
			for _, p := range []caller{{s.end, at.fn, at.line}, {nil, at.fn, at.line}} {
				if ev.readers[p] == nil {
					ev.readers[p] = map[*source]int64{}
				}
				ev.readers[p][f.fn.source] += s.value
			}
			return
		}
	}
}

func (ev *evidence) noteCalls(index map[*fn]calls, fs []frame, value int64, above map[*fn]bool) {
	// The source below each frame, from the leaf up: the outermost one counts,
	// and what lies below a codec's entry was consumed there.
	last := len(fs)
	for i, f := range fs {
		if f.fn.codec != nil {
			last = i
			break
		}
	}
	var src *source
	for i := len(fs) - 1; i >= 0; i-- {
		f := fs[i].fn
		if i < last && f.source != nil && f.source.how != binder {
			src = f.source
		}
		if i == 0 {
			return
		}
		caller := fs[i-1]
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
		w.total += value
		if src != nil && i < last {
			w.source[src] += value
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
func (ev *evidence) find(s *stack, fs []frame) found {
	w := s.work
	entry := int(w.entry)
	from := min(int(s.handler), entry)
	// A framework or a client that decodes by itself.
	for i := entry - 1; i >= from; i-- {
		if src := fs[i].fn.source; src != nil && src.how != reader {
			return found{src.kind, src.via, "ancestor"}
		}
	}
	// A streaming decode reads its bytes below itself.
	if entry > 0 {
		at := fs[entry-1]
		for _, p := range []caller{{s.end, at.fn, at.line}, {nil, at.fn, at.line}} {
			if src := heaviestSource(ev.readers[p]); src != nil {
				return found{src.kind, src.via, "reader"}
			}
		}
	}
	// A call on an earlier line of a function on the way here.
	for i := entry - 1; i >= from; i-- {
		if f, ok := ev.sibling(fs[i], fs[i+1].fn); ok {
			return f
		}
	}
	for i := entry - 1; i >= from; i-- {
		if f := fs[i].fn; f.origin == originApp && cacheName.MatchString(f.sym) {
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
