package analysis

import (
	"cmp"
	"iter"
	"slices"

	"github.com/profbot/profbot/internal/profile"
)

// values reads the first value that a profile has of those named; negative ones
// count as 0. No profile, or
// none with such a value, has no stacks.
func (t *paths) values(p *profile.Profile, types ...string) ([]stack, error) {
	if p == nil {
		return nil, nil
	}
	i := p.TypeIndex(types...)
	if i < 0 {
		return nil, nil
	}
	list, err := readSamples(t, p, i)
	return stacksOf(list), err
}

// values are what to read of a profile, and where to.
type values struct {
	to *[]stack
	p  *profile.Profile
	of string
}

func (t *paths) readAll(list []values) error {
	for _, v := range list {
		stacks, err := t.values(v.p, v.of)
		if err != nil {
			return err
		}
		*v.to = append(*v.to, stacks...)
	}
	return nil
}

// each yields stacks with their frames, root first, which are valid until the
// next stack.
func (t *paths) each(stacks []stack) iter.Seq2[*stack, []frame] {
	return func(yield func(*stack, []frame) bool) {
		var fs []frame
		for i := range stacks {
			if fs = t.path(stacks[i].node, fs); !yield(&stacks[i], fs) {
				return
			}
		}
	}
}

// siteOf is the place in the code that answers for frame i of the frames: the
// nearest application frame above it, else the nearest one of a library, else
// frame i itself. frame i counts as above itself.
func siteOf(s *stack, fs []frame, i int) frame {
	i = max(0, min(i, len(fs)-1))
	from := 0
	if s.end != nil {
		from = min(int(s.handler), i) // what called the handler is not to blame
	}
	for j := i; j >= from; j-- {
		if fs[j].fn.origin == originApp {
			return fs[j]
		}
	}
	if s.end != nil {
		return fs[from]
	}
	for j := i; j >= 0; j-- {
		if fs[j].fn.origin == originThird {
			return fs[j]
		}
	}
	return fs[i]
}

// site is a place with the library function that was reached from there.
type site struct {
	at  frame
	via *fn // nil when the place itself is meant
}

// tally sums values by place.
type tally map[site]int64

func (t tally) sum() (n int64) {
	for _, v := range t {
		n += v
	}
	return n
}

// minus takes another tally of cumulative counters away. What fell is left out:
// a counter that fell was restarted.
func (t tally) minus(before tally) tally {
	out := tally{}
	for k, v := range t {
		if v -= before[k]; v > 0 {
			out[k] = v
		}
	}
	return out
}

// weighed is one place with its value.
type weighed struct {
	site
	value int64
}

// top lists the n heaviest places.
func (t tally) top(n int) []weighed {
	out := make([]weighed, 0, len(t))
	for k, v := range t {
		out = append(out, weighed{k, v})
	}
	slices.SortFunc(out, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.at.fn.name, b.at.fn.name), cmp.Compare(a.at.line, b.at.line),
			cmp.Compare(a.at.fn.file, b.at.fn.file), cmp.Compare(a.viaName(), b.viaName()))
	})
	return out[:min(n, len(out))]
}

func (s site) viaName() string {
	if s.via == nil {
		return ""
	}
	return s.via.name
}

// leastEvidence is the part of the whole below which a place is not worth a
// line beside a heavier one.
const leastEvidence = 0.01

// evidence writes places down. share makes the share of a value, and may look
// at its place.
func (t tally) evidence(n int, what, unit string, share func(weighed) Share) []Evidence {
	var out []Evidence
	sum := t.sum()
	for i, w := range t.top(n) {
		if i > 0 && float64(w.value) < leastEvidence*float64(sum) {
			break
		}
		e := Evidence{What: what, Func: w.at.fn.name, File: w.at.fn.file, Line: w.at.line, Via: w.viaName(), Share: share(w)}
		if unit != "" {
			e.Value, e.Unit = w.value, unit
		}
		out = append(out, e)
	}
	return out
}

// sampledShare is the share that value has of total, where the runtime saw
// events events for the total: what was sampled makes the interval, not the
// bytes or nanoseconds that each sample stands for.
func sampledShare(value, total, events int64) Share {
	if total <= 0 {
		return Share{}
	}
	events = max(events, 1)
	s := share(int64(float64(value)/float64(total)*float64(events)+0.5), events)
	s.Part = min(float64(value)/float64(total), 1)
	s.Low, s.High = min(s.Low, s.Part), max(s.High, s.Part)
	return s
}
