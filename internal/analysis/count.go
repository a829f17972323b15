package analysis

import (
	"cmp"
	"slices"
)

// counts adds up stacks into a report.
type counts struct {
	rep       *Report
	ev        *evidence
	ends      map[*endpoint]*endCount
	other     map[string]int64
	suspected map[string]int64
	truncated int64
	lost      int64
	gcSamples int64
}

// endCount is one endpoint's numbers, in samples.
type endCount struct {
	total, decode, encode, compress, io, alloc int64

	codecs  map[codecKey]*codecCount
	sources map[found]int64

	allocBytes, decodeBytes int64
	gcShare, gcDecode       float64 // of the process's CPU
	// inside is how many goroutines were in the endpoint at one moment.
	inside int64
}

type codecKey struct {
	name string
	dir  Direction
}

type codecCount struct {
	samples int64
	entries map[string]int64
	callers map[frame]int64
}

func newCounts(rep *Report, ev *evidence) *counts {
	return &counts{rep: rep, ev: ev, ends: map[*endpoint]*endCount{}, other: map[string]int64{}, suspected: map[string]int64{}}
}

func (c *counts) end(e *endpoint) *endCount {
	if c.ends[e] == nil {
		c.ends[e] = &endCount{codecs: map[codecKey]*codecCount{}, sources: map[found]int64{}}
	}
	return c.ends[e]
}

// add counts one CPU stack with its frames.
func (c *counts) add(s *stack, fs []frame) {
	if s.truncated {
		c.truncated += s.value
	}
	w := workOf(fs, s.from())
	if f := w.suspected; f != nil {
		c.suspected[f.name] += s.value
	}
	if s.end == nil {
		c.other[*s.other] += s.value
		if s.truncated {
			c.lost += s.value
		}
		if *s.other == otherGC {
			c.gcSamples += s.value
		}
		return
	}
	e := c.end(s.end)
	e.total += s.value
	if w.alloc {
		e.alloc += s.value
	}
	switch {
	case w.io:
		e.io += s.value
		return // the codec only called it
	case w.dir == decode:
		e.decode += s.value
		e.sources[c.ev.find(s, fs)] += s.value
	case w.dir == encode:
		e.encode += s.value
	case w.dir == compress || w.dir == decompress:
		e.compress += s.value
	default:
		return
	}
	key := codecKey{w.codec.name, w.dir.direction()}
	cc := e.codecs[key]
	if cc == nil {
		cc = &codecCount{entries: map[string]int64{}, callers: map[frame]int64{}}
		e.codecs[key] = cc
	}
	cc.samples += s.value
	cc.entries[fs[w.entry].fn.name] += s.value
	if w.entry > 0 {
		if at := siteOf(s, fs, int(w.entry)-1); at.fn.origin == originApp || int(s.handler) < int(w.entry) {
			cc.callers[at] += s.value
		}
	}
}

// gc shares the background collector's CPU out by allocated bytes: who
// allocates makes it run.
func (c *counts) gc(allocs []stack) {
	var total int64
	for i := range allocs {
		s := &allocs[i]
		total += s.value
		if s.end == nil || c.ends[s.end] == nil {
			continue
		}
		e := c.ends[s.end]
		e.allocBytes += s.value
		if s.work.dir == decode {
			e.decodeBytes += s.value
		}
	}
	if total == 0 || c.rep.Samples == 0 {
		return
	}
	gc := float64(c.gcSamples) / float64(c.rep.Samples)
	for _, n := range c.ends {
		n.gcShare = gc * float64(n.allocBytes) / float64(total)
		n.gcDecode = gc * float64(n.decodeBytes) / float64(total)
	}
}

// inside counts the goroutines that were in each endpoint's handler when the
// goroutine profile was taken: the callers that could have shared a flight.
func (c *counts) inside(t *paths, goroutines []stack) {
	byHandler := map[*fn]*endCount{}
	for e, n := range c.ends {
		for f := range e.handlers {
			byHandler[f] = n
		}
	}
	var fs []frame
	for i := range goroutines {
		fs = t.path(goroutines[i].node, fs)
		for _, f := range fs {
			if n := byHandler[f.fn]; n != nil {
				n.inside += goroutines[i].value
				break
			}
		}
	}
}

// minBackground is the share of the CPU below which a background goroutine is
// no row of its own: a ticker seen in one sample would stand among endpoints.
const minBackground = 0.01

// finish writes the numbers into the report.
func (c *counts) finish(th Thresholds) {
	r := c.rep
	for e, n := range c.ends {
		if e.how == "goroutine" && float64(n.total) < minBackground*float64(r.Samples) {
			c.other["(background) small background goroutines"] += n.total
			continue
		}
		if e.how == "middleware" && float64(n.total) < th.MinShare*float64(r.Samples) {
			c.other[e.name] += n.total
			continue
		}
		out := Endpoint{
			Name: e.name, How: e.how, Share: share(n.total, r.Samples),
			Decode: share(n.decode, n.total), Encode: share(n.encode, n.total), Compress: share(n.compress, n.total),
			IO: share(n.io, n.total), Alloc: share(n.alloc, n.total),
			BackgroundGC: n.gcShare, DecodeGC: n.gcDecode, Inside: n.inside,
		}
		if f := e.heaviest(); f != nil {
			out.Handler, out.File, out.Line = f.name, f.file, f.line
			if out.Line == 0 {
				out.Line = e.lines[f]
			}
		}
		out.Codecs, out.Sources = n.codecList(), n.sourceList()
		out.Verdict = judge(out, th)
		r.Endpoints = append(r.Endpoints, out)
	}
	slices.SortFunc(r.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(b.Share.Samples, a.Share.Samples), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Handler, b.Handler), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.How, b.How))
	})
	r.Other = parts(c.other, r.Samples, 0)
	r.Suspected = parts(c.suspected, r.Samples, 0.02)
	r.Truncated, r.Unattributed = share(c.truncated, r.Samples), share(c.lost, r.Samples)
}

func (e *endpoint) heaviest() *fn {
	var best *fn
	for f, n := range e.handlers {
		if best == nil || n > e.handlers[best] || n == e.handlers[best] && (f.name < best.name || f.name == best.name && f.file < best.file) {
			best = f
		}
	}
	return best
}

func (n *endCount) codecList() []Codec {
	var out []Codec
	for key, cc := range n.codecs {
		co := Codec{Name: key.name, Direction: key.dir, Share: share(cc.samples, n.total), Entry: top(cc.entries)}
		var best frame
		for f, k := range cc.callers {
			if best.fn == nil || k > cc.callers[best] || k == cc.callers[best] && cmp.Or(cmp.Compare(f.fn.name, best.fn.name), cmp.Compare(f.fn.file, best.fn.file), cmp.Compare(f.line, best.line)) < 0 {
				best = f
			}
		}
		if best.fn != nil {
			co.Caller, co.CallerFile, co.CallerLine = best.fn.name, best.fn.file, best.line
		}
		out = append(out, co)
	}
	slices.SortFunc(out, func(a, b Codec) int {
		return cmp.Or(cmp.Compare(b.Share.Samples, a.Share.Samples), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Direction, b.Direction))
	})
	return out
}

func (n *endCount) sourceList() []Source {
	var out []Source
	for f, k := range n.sources {
		out = append(out, Source{Kind: f.kind, Via: f.via, Evidence: f.evidence, Share: share(k, n.decode)})
	}
	slices.SortFunc(out, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Share.Samples, a.Share.Samples), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Via, b.Via), cmp.Compare(a.Evidence, b.Evidence))
	})
	return out
}

func top(m map[string]int64) string {
	best := ""
	for k, n := range m {
		if best == "" || n > m[best] || n == m[best] && k < best {
			best = k
		}
	}
	return best
}

// parts lists named shares of at least the given size, largest first.
func parts(m map[string]int64, of int64, atLeast float64) []Part {
	var out []Part
	for name, n := range m {
		if n > 0 && float64(n) >= atLeast*float64(of) {
			out = append(out, Part{name, share(n, of)})
		}
	}
	slices.SortFunc(out, func(a, b Part) int {
		return cmp.Or(cmp.Compare(b.Share.Samples, a.Share.Samples), cmp.Compare(a.Name, b.Name))
	})
	return out
}
