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
	t *paths
	// calls are what the functions above a decode call, in CPU and in allocs
	// stacks: by endpoint, and of all endpoints together.
	calls [2]map[caller]calls
	// readers are the readers seen below a decode, by the place that decodes.
	readers map[caller]map[*source]int64
	found   map[foundKey]found

	// What stands in for evidence of a request's body where its reader was too
	// quick to be seen: see request.
	allocs bool // there are allocs stacks
	served map[*endpoint]bool
	others map[*endpoint]bool // it reads replies or files
}

type foundKey struct {
	entry uint32 // node of the codec's entry
	end   *endpoint
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
	// carried is what was spent on reading all of something (io.ReadAll) of
	// which the stack does not say what it is.
	carried int64
}

// caller is a function, or a line of it, in an endpoint.
type caller struct {
	end  *endpoint // nil: any
	fn   *fn
	line int64
}

// gather indexes the calls of every function that stands above a decode.
func gather(t *paths, cpu, allocs []stack) *evidence {
	ev := &evidence{
		t: t, readers: map[caller]map[*source]int64{}, found: map[foundKey]found{},
		served: map[*endpoint]bool{}, others: map[*endpoint]bool{}, allocs: len(allocs) > 0,
	}
	above := make([]bool, len(t.all)) // by fn.id
	decoding := false
	var fs []frame
	for s := range each([][]stack{cpu, allocs}) {
		if s.work.dir != decode {
			continue
		}
		fs = t.path(s.node, fs)
		for i := min(s.handler, s.work.entry); i < s.work.entry; i++ {
			above[fs[i].fn.id], decoding = true, true
		}
		ev.noteReader(s, fs)
	}
	if !decoding {
		return ev
	}
	for k, stacks := range [2][]stack{cpu, allocs} {
		ev.calls[k] = map[caller]calls{}
		edges := map[edge]*[2]*callWeight{}
		for i := range stacks {
			fs = t.path(stacks[i].node, fs)
			ev.noteCalls(ev.calls[k], fs, &stacks[i], edges, above)
			ev.noteBodies(&stacks[i], fs)
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

func (ev *evidence) noteCalls(index map[caller]calls, fs []frame, s *stack, edges map[edge]*[2]*callWeight, above []bool) {
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
	carrier := false
	for i := len(fs) - 1; i > 0; i-- {
		f := fs[i].fn
		if i < last && f.source != nil && (f.source.how != binder || f.source.kind == SourceReply) {
			src = f.source
		}
		carrier = carrier || i < last && f.has(isCarrier)
		from := fs[i-1]
		if !above[from.fn.id] {
			continue
		}
		below, carries := src, carrier && src == nil
		if i >= last {
			below, carries = nil, false
		}
		by := edge{from, f, s.end}
		ws := edges[by]
		if ws == nil {
			ws = &[2]*callWeight{weigh(index, caller{fn: from.fn}, call{from.line, f})}
			if s.end != nil {
				ws[1] = weigh(index, caller{end: s.end, fn: from.fn}, call{from.line, f})
			}
			edges[by] = ws
		}
		for _, w := range ws {
			w.add(s.value, below, carries)
		}
	}
}

// noteBodies remembers which endpoints serve requests, and whose bytes they read.
func (ev *evidence) noteBodies(s *stack, fs []frame) {
	if s.end != nil && served(fs) {
		ev.served[s.end] = true
	}
	for _, f := range fs {
		if src := f.fn.source; src != nil && s.end != nil && (src.kind == SourceReply || src.kind == SourceUnknown) {
			ev.others[s.end] = true
		}
	}
}

// edge is a call in an endpoint, of which the weights are remembered: in it,
// and in any.
type edge struct {
	at     frame
	callee *fn
	end    *endpoint
}

// weigh finds or makes the weight of a call.
func weigh(index map[caller]calls, by caller, c call) *callWeight {
	cs := index[by]
	if cs == nil {
		cs = calls{}
		index[by] = cs
	}
	w := cs[c]
	if w == nil {
		w = &callWeight{}
		cs[c] = w
	}
	return w
}

func (w *callWeight) add(value int64, src *source, carries bool) {
	if w == nil {
		return
	}
	w.total += value
	if carries {
		w.carried += value
	}
	if src != nil {
		if w.source == nil {
			w.source = map[*source]int64{}
		}
		w.source[src] += value
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
	key := foundKey{s.node, s.end}
	for i := len(fs) - 1; i > int(s.work.entry); i-- {
		key.entry = ev.t.nodes[key.entry].parent
	}
	f, ok := ev.found[key]
	if !ok {
		f = ev.search(s, fs)
		ev.found[key] = f
	}
	return f
}

func (ev *evidence) search(s *stack, fs []frame) found {
	entry := int(s.work.entry)
	from := min(int(s.handler), entry)
	// A queue's client that hands messages to the application.
	for i := range entry {
		if src := fs[i].fn.source; src != nil && src.kind == SourceQueue {
			return found{src.kind, src.via, "ancestor"}
		}
	}
	// A framework or a client that decodes by itself.
	for i := entry - 1; i >= from; i-- {
		if src := fs[i].fn.source; src != nil && src.how != reader {
			return found{src.kind, src.via, "ancestor"}
		}
	}
	// A streaming decode reads its bytes below itself.
	if entry > 0 {
		at := fs[entry-1]
		if src := heaviestSource(ev.readers[caller{s.end, at.fn, at.line}]); src != nil {
			return found{src.kind, src.via, "reader"}
		}
		if all := ev.readers[caller{nil, at.fn, at.line}]; oneKind(all) {
			if src := heaviestSource(all); src != nil {
				return found{src.kind, src.via, "reader"}
			}
		}
	}
	// A call on an earlier line of a function on the way here.
	for i := entry - 1; i >= from; i-- {
		if f, ok := ev.sibling(s.end, fs[i], fs[i+1].fn); ok {
			return f
		}
	}
	for i := entry - 1; i >= from; i-- {
		if fs[i].fn.has(isCacheName) {
			return found{SourceCache, "", "name"}
		}
	}
	if ev.request(s, fs) {
		return found{SourceRequest, "", "elimination"}
	}
	return found{kind: SourceUnknown}
}

// request reports whether the bytes can only be the request's: a served
// endpoint reads all of something or decodes a stream, and no store, reply,
// file or reader of memory was found on the way, though there are allocs
// stacks, in which a cache's copy and a reader show.
func (ev *evidence) request(s *stack, fs []frame) bool {
	if s.end == nil || !ev.allocs || !ev.served[s.end] || ev.others[s.end] {
		return false
	}
	entry := int(s.work.entry)
	reads := strings.Contains(fs[entry].fn.sym, "Decoder).")
	for i := entry - 1; i >= min(int(s.handler), entry); i-- {
		for k := range ev.calls {
			for c, w := range ev.calls[k][caller{end: s.end, fn: fs[i].fn}] {
				if memoryReaders.MatchString(c.callee.name) {
					return false
				}
				reads = reads || c.line <= fs[i].line && w.carried*4 >= w.total
			}
		}
	}
	return reads
}

// oneKind reports whether all sources are of one kind: what other endpoints do
// at the same place says nothing where they differ.
func oneKind(m map[*source]int64) bool {
	var kind SourceKind
	for src := range m {
		if kind != "" && src.kind != kind {
			return false
		}
		kind = src.kind
	}
	return true
}

// sibling finds the latest call that at's function makes on an earlier line
// than at, or on the same one, and that is mostly a source: in this endpoint,
// or else in any if all agree.
func (ev *evidence) sibling(end *endpoint, at frame, not *fn) (found, bool) {
	if end != nil {
		if sum := ev.earlier(caller{end: end, fn: at.fn}, at, not); len(sum) > 0 {
			return describe(sum), true
		}
	}
	if sum := ev.earlier(caller{fn: at.fn}, at, not); len(sum) > 0 && (end == nil || oneKind(sum)) {
		return describe(sum), true
	}
	return found{}, false
}

func (ev *evidence) earlier(by caller, at frame, not *fn) map[*source]int64 {
	var line int64 = -1
	sum := map[*source]int64{}
	for k := range ev.calls {
		for c, w := range ev.calls[k][by] {
			if c.line > at.line || c.callee == not || c.callee.codec != nil {
				continue
			}
			var weight int64
			for _, n := range w.source {
				weight += n
			}
			if weight == 0 || float64(weight) < siblingShare*float64(w.total-w.carried) || c.line < line {
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
	return sum
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
		if best == nil || n > m[best] || n == m[best] && (src.via < best.via || src.via == best.via && src.kind < best.kind) {
			best = src
		}
	}
	return best
}
