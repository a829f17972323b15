package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/profbot/profbot/internal/analysis"
)

// line is the judgement of one profile, and of all together in result.Total.
type line struct {
	Profile string `json:"profile"`
	Router  string `json:"router,omitempty"`
	Samples int64  `json:"samples"` // of the CPU profile

	// Marked samples; those in a reported endpoint; those of them that are
	// that endpoint's most common; those in their marker's main endpoint.
	Marked   int64 `json:"marked"`
	Placed   int64 `json:"placed"`
	Pure     int64 `json:"pure"`
	Complete int64 `json:"complete"`

	Handlers      int `json:"handlers"` // endpoints whose handler is judged
	HandlersFound int `json:"handlers_found"`

	Shares       int `json:"shares"` // endpoints whose decode share is judged
	SharesIn     int `json:"shares_in"`
	SharesInAsIs int `json:"shares_in_as_reported"` // without moving writes and reads

	// Decode samples by what was said of their source.
	SourceRight   int64 `json:"source_right"`
	SourceUnknown int64 `json:"source_unknown"`
	SourceWrong   int64 `json:"source_wrong"`
}

// miss is one thing that is not as the truth has it.
type miss struct {
	Profile  string   `json:"profile"`
	What     string   `json:"what"` // "lost", "mixed", "spread", "handler", "decode share", "source", "codec"
	Endpoint string   `json:"endpoint,omitempty"`
	Samples  int64    `json:"samples"`
	Detail   string   `json:"detail"`
	Stacks   []string `json:"stacks,omitempty"`
}

// profileTruth judges one profile.
func (t *truth) profile(p trueProfile) (line, []miss, error) {
	pods, err := t.pods(p)
	if err != nil {
		return line{}, nil, err
	}
	res, err := analysis.Analyze(pods, analysis.Options{})
	if err != nil {
		return line{}, nil, err
	}
	j := &judge{p: p, res: res, line: line{Profile: p.CPU, Router: p.Router, Samples: res.Report.Samples}, ends: map[string]*analysis.Endpoint{}}
	for i := range res.Report.Endpoints {
		j.ends[res.Report.Endpoints[i].Name] = &res.Report.Endpoints[i]
	}
	j.place()
	for _, name := range slices.Sorted(maps.Keys(p.Endpoints)) {
		e := p.Endpoints[name]
		end := j.find(name, e)
		j.handler(name, e, end)
		j.share(name, e, end)
		j.sources(name, e, end)
	}
	return j.line, j.misses, nil
}

// judge holds what judging one profile finds.
type judge struct {
	p      trueProfile
	res    *analysis.Result
	ends   map[string]*analysis.Endpoint // by name
	landed map[string]map[string]int64   // true endpoint -> reported endpoint -> samples
	line   line
	misses []miss
}

func (j *judge) miss(what, endpoint string, n int64, stacks map[string]int64, detail string, args ...any) {
	m := miss{Profile: j.p.CPU, What: what, Endpoint: endpoint, Samples: n, Detail: fmt.Sprintf(detail, args...)}
	for _, s := range heaviest(stacks, 4) {
		m.Stacks = append(m.Stacks, fmt.Sprintf("%d x %s", stacks[s], s))
	}
	j.misses = append(j.misses, m)
}

// marks finds the true endpoint of a stack by the outermost marker on it.
func (j *judge) marks() func(path []*analysis.Node) string {
	byMarker := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(j.p.Endpoints)) {
		if m := j.p.Endpoints[name].marker; m != "" {
			byMarker[m] = name
		}
	}
	base := map[string]string{}
	return func(path []*analysis.Node) string {
		for _, n := range path {
			b, ok := base[n.Func]
			if !ok {
				b = baseName(n.Func)
				base[n.Func] = b
			}
			if name := byMarker[b]; name != "" {
				return name
			}
		}
		return ""
	}
}

// place counts purity and completeness.
func (j *judge) place() {
	of := j.marks()
	j.landed = map[string]map[string]int64{}
	from := map[string]map[string]int64{}      // reported -> true -> samples
	stacks := map[[2]string]map[string]int64{} // {true, reported} -> stack -> samples
	lost := map[string]int64{}
	walk(j.res.Tree, func(s sample) {
		is := of(s.path)
		if is == "" {
			return
		}
		j.line.Marked += s.n
		end := s.end
		if j.ends[end] == nil {
			end = ""
		}
		key := [2]string{is, end}
		if stacks[key] == nil {
			stacks[key] = map[string]int64{}
		}
		stacks[key][s.rootString()] += s.n
		if end == "" {
			lost[is] += s.n
			return
		}
		add(j.landed, is, end, s.n)
		add(from, end, is, s.n)
		j.line.Placed += s.n
	})
	for is, n := range lost {
		j.miss("lost", is, n, stacks[[2]string{is, ""}], "in no endpoint")
	}
	for is, m := range j.landed {
		best, sum := most(m)
		j.line.Complete += m[best]
		for end, n := range m {
			if end != best {
				j.miss("spread", is, n, stacks[[2]string{is, end}], "in %q, most of %d in %q", end, sum, best)
			}
		}
	}
	for end, m := range from {
		best, sum := most(m)
		j.line.Pure += m[best]
		for is, n := range m {
			if is != best {
				j.miss("mixed", is, n, stacks[[2]string{is, end}], "in %q, which is %s's by %d of %d samples", end, best, m[best], sum)
			}
		}
	}
}

// find is the reported endpoint for a true one: where most of the marked
// samples are, else the one of the expected name; nil for none.
func (j *judge) find(name string, e *trueEndpoint) *analysis.Endpoint {
	if best, sum := most(j.landed[name]); sum > 0 {
		return j.ends[best]
	}
	for i := range j.res.Report.Endpoints {
		if end := &j.res.Report.Endpoints[i]; e.handler != nil && named(e.handler, end) {
			return end
		}
	}
	return nil
}

func named(want *regexp.Regexp, end *analysis.Endpoint) bool {
	return want.MatchString(end.Handler) || want.MatchString(end.Name)
}

// ran is the timed CPU, in seconds, from which on an endpoint must be in the
// profile: thirty samples at Go's 100 Hz.
const ran = 0.3

// handler judges the name. An endpoint that is not in the profile at all is
// only judged when it must be.
func (j *judge) handler(name string, e *trueEndpoint, end *analysis.Endpoint) {
	if e.handler == nil || end == nil && e.HandlerCPU < ran {
		return
	}
	j.line.Handlers++
	switch {
	case end == nil:
		j.miss("handler", name, 0, nil, "no endpoint %s; there are %s", e.Handler, j.names())
	case !named(e.handler, end):
		j.miss("handler", name, end.Share.Samples, nil, "%s (%s), want %s", end.Handler, end.Name, e.Handler)
	default:
		j.line.HandlersFound++
	}
}

func (j *judge) names() []string {
	var names []string
	for _, e := range j.res.Report.Endpoints {
		names = append(names, fmt.Sprintf("%s=%d", e.Name, e.Share.Samples))
	}
	return names
}

func add(m map[string]map[string]int64, a, b string, n int64) {
	if m[a] == nil {
		m[a] = map[string]int64{}
	}
	m[a][b] += n
}

// most is the key with the largest count, and the sum of all.
func most(m map[string]int64) (best string, sum int64) {
	for k, n := range m {
		sum += n
		if best == "" || n > m[best] || n == m[best] && k < best {
			best = k
		}
	}
	return best, sum
}
