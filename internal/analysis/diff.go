package analysis

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Diff is what changed from one report to another, of everything that a
// report has shares of. It compares shares, so the two may differ in length,
// pods and load; where requests are known it compares CPU a request too.
type Diff struct {
	// Tests is how many differences were tested: each is significant at the
	// 5 % level over all of them together (Holm's method), so that looking at
	// many finds no more by chance than looking at one.
	Tests     int     `json:"tests"`
	Endpoints []Delta `json:"endpoints,omitempty"` // shares of the process, by size of the change
	// Work are the shares of the process that decode, encode, compress, are
	// I/O, or allocate and collect.
	Work   []Delta `json:"work,omitempty"`
	Parts  []Delta `json:"parts,omitempty"`  // outside the endpoints
	Codecs []Delta `json:"codecs,omitempty"` // shares of the process, by endpoint, codec and direction
	// New, Gone and Kept are findings and flagged verdicts, by rule, endpoint
	// and the function of the first evidence.
	New  []FindingRef `json:"new,omitempty"`
	Gone []FindingRef `json:"gone,omitempty"`
	Kept []FindingRef `json:"kept,omitempty"`
	// RequestsPerCPUSecondBefore and RequestsPerCPUSecondAfter are the requests that a second of
	// CPU served, over the endpoints whose requests are known in both reports;
	// 0 when there is none.
	RequestsPerCPUSecondBefore float64  `json:"requests_per_cpu_second_before,omitempty"`
	RequestsPerCPUSecondAfter  float64  `json:"requests_per_cpu_second_after,omitempty"`
	Notes                      []string `json:"notes,omitempty"` // what limits the comparison
}

// Delta is one share before and after.
type Delta struct {
	Name     string `json:"name"`               // as in the later report
	Was      string `json:"was,omitempty"`      // its name in the earlier one, when that was another
	Endpoint string `json:"endpoint,omitempty"` // of a codec
	Before   Share  `json:"before"`             // of the earlier process's CPU
	After    Share  `json:"after"`              // of the later one's
	// Change is After less Before in shares of the process, with its 95 %
	// interval (Newcombe's, of two Wilson intervals).
	Change Range   `json:"change"`
	Point  float64 `json:"point"` // the change itself
	// PerRequestBefore and PerRequestAfter are the CPU time of a request; 0
	// unless both reports know the endpoint's requests.
	PerRequestBefore time.Duration `json:"cpu_per_request_before_ns,omitempty"`
	PerRequestAfter  time.Duration `json:"cpu_per_request_after_ns,omitempty"`
	Trend            Trend         `json:"trend"` // how it is to be read
}

// Trend says how a [Delta] is to be read.
type Trend string

// Trends.
const (
	TrendGrew   Trend = "grew"                   // significantly
	TrendShrank Trend = "shrank"                 // significantly
	TrendNew    Trend = "new"                    // grew from none
	TrendGone   Trend = "gone"                   // shrank to none
	TrendSame   Trend = "no significant change"  // tested, and no more than chance
	TrendFew    Trend = "too few samples to say" // not tested
)

// FindingRef names a finding.
type FindingRef struct {
	Rule     Rule   `json:"rule"`               // that found it
	Endpoint string `json:"endpoint,omitempty"` // "" is the process
	Title    string `json:"title"`              // a few words
	Func     string `json:"func,omitempty"`     // of the first evidence, or of the caller of the codec
}

// minCompare is the share of the process below which nothing is compared:
// tests of what is hardly there would cost those that matter their power.
const minCompare = 0.005

// DiffReports holds after against before.
func DiffReports(before, after *Report) *Diff {
	d := &Diff{}
	pairs := matchEndpoints(before.Endpoints, after.Endpoints)
	was := map[string]string{} // names in the later report to those in the earlier
	for _, p := range pairs {
		x := delta(p.name, share(p.before, before.Samples), share(p.after, after.Samples))
		if p.was != p.name {
			x.Was = p.was
		}
		x.PerRequestBefore, x.PerRequestAfter = p.perBefore, p.perAfter
		if p.perBefore == 0 || p.perAfter == 0 {
			x.PerRequestBefore, x.PerRequestAfter = 0, 0
		}
		d.Endpoints = append(d.Endpoints, x)
		for _, n := range p.names {
			was[n] = p.name
		}
		for _, n := range p.wasNames {
			was["\x00"+n] = p.name
		}
	}
	for _, k := range []struct {
		name string
		of   func(Endpoint) Share
	}{
		{"decoding", func(e Endpoint) Share { return e.Decode }},
		{"encoding", func(e Endpoint) Share { return e.Encode }},
		{"compression", func(e Endpoint) Share { return e.Compress }},
		{"I/O", func(e Endpoint) Share { return e.IO }},
	} {
		d.Work = append(d.Work, delta(k.name, before.Total(k.of), after.Total(k.of)))
	}
	d.Work = append(d.Work, delta("allocation and the collector", before.GC, after.GC))
	d.Parts = diffParts(before, after)
	d.Codecs = diffCodecs(before, after, was)
	d.judge()
	d.findings(before, after, was)
	d.requests(before, after)
	if before.Samples == 0 || after.Samples == 0 {
		d.Notes = append(d.Notes, "One of the two has no CPU samples: only findings can be compared.")
	}
	return d
}

// Total is one kind of work of all endpoints together, as a share of the
// process.
func (r *Report) Total(of func(Endpoint) Share) Share {
	var n int64
	for _, e := range r.Endpoints {
		n += of(e).Samples
	}
	return share(n, r.Samples)
}

// delta compares two shares; judge says whether it means anything.
func delta(name string, before, after Share) Delta {
	d := Delta{Name: name, Before: before, After: after, Point: after.Part - before.Part, Trend: TrendSame}
	d.Change = Range{
		Low:  d.Point - math.Hypot(after.Part-after.Low, before.High-before.Part),
		High: d.Point + math.Hypot(after.High-after.Part, before.Part-before.Low),
	}
	return d
}

// diffParts pairs what is outside the endpoints by name. Names of goroutines
// and middleware may hold closure numbers, which shift from build to build.
func diffParts(before, after *Report) []Delta {
	sum := func(r *Report) map[string]int64 {
		m := map[string]int64{}
		for _, p := range r.Other {
			m[stableName(p.Name)] += p.Share.Samples
		}
		return m
	}
	b, a := sum(before), sum(after)
	var out []Delta
	for _, name := range keysOf(b, a) {
		out = append(out, delta(name, share(b[name], before.Samples), share(a[name], after.Samples)))
	}
	return out
}

// stableName is a name without closure numbers.
func stableName(s string) string { return strings.TrimSpace(closureTail.ReplaceAllString(s, "")) }

func keysOf(ms ...map[string]int64) []string {
	seen := map[string]bool{}
	var out []string
	for _, m := range ms {
		for k := range m {
			if !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
	}
	slices.Sort(out)
	return out
}

func diffCodecs(before, after *Report, was map[string]string) []Delta {
	const sep = "\x00"
	sum := func(r *Report, prefix string) map[string]int64 {
		m := map[string]int64{}
		for _, e := range r.Endpoints {
			for _, c := range e.Codecs {
				m[cmp.Or(was[prefix+e.Name], e.Name)+sep+c.Name+" "+string(c.Direction)] += c.Share.Samples
			}
		}
		return m
	}
	b, a := sum(before, sep), sum(after, "")
	var out []Delta
	for _, k := range keysOf(b, a) {
		end, name, _ := strings.Cut(k, sep)
		x := delta(name, share(b[k], before.Samples), share(a[k], after.Samples))
		x.Endpoint = end
		out = append(out, x)
	}
	return out
}

// judge tests all differences together and sorts each list by its changes.
func (d *Diff) judge() {
	var tested []*Delta
	for _, list := range []*[]Delta{&d.Endpoints, &d.Work, &d.Parts, &d.Codecs} {
		*list = slices.DeleteFunc(*list, func(x Delta) bool { return max(x.Before.Part, x.After.Part) < minCompare })
		for i := range *list {
			x := &(*list)[i]
			if !expected(x.Before, x.After) {
				x.Trend = TrendFew
				continue
			}
			tested = append(tested, x)
		}
	}
	d.Tests = len(tested)
	z := func(x *Delta) float64 { return math.Abs(twoProportions(x.Before, x.After)) }
	slices.SortStableFunc(tested, func(a, b *Delta) int { return cmp.Compare(z(b), z(a)) })
	for i, x := range tested {
		if z(x) < bonferroni(len(tested)-i) {
			break
		}
		switch {
		case x.Before.Samples == 0:
			x.Trend = TrendNew
		case x.After.Samples == 0:
			x.Trend = TrendGone
		case x.Point > 0:
			x.Trend = TrendGrew
		default:
			x.Trend = TrendShrank
		}
	}
	for _, list := range []*[]Delta{&d.Endpoints, &d.Work, &d.Parts, &d.Codecs} {
		slices.SortStableFunc(*list, func(a, b Delta) int {
			return cmp.Or(cmp.Compare(math.Abs(b.Point), math.Abs(a.Point)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Endpoint, b.Endpoint))
		})
	}
}

// Significant reports whether the difference is one.
func (x Delta) Significant() bool {
	return x.Trend == TrendGrew || x.Trend == TrendShrank || x.Trend == TrendNew || x.Trend == TrendGone
}

// findings pairs what was found.
func (d *Diff) findings(before, after *Report, was map[string]string) {
	refs := func(r *Report, prefix string) (list []FindingRef, byKey map[string]bool) {
		byKey = map[string]bool{}
		add := func(ref FindingRef) {
			key := string(ref.Rule) + "\x00" + ref.Endpoint + "\x00" + stableName(ref.Func)
			if !byKey[key] {
				byKey[key] = true
				list = append(list, ref)
			}
		}
		for _, e := range r.Flagged() {
			_, _, dir := e.Work()
			c, _ := e.codec(dir)
			add(FindingRef{e.Verdict.Rule, cmp.Or(was[prefix+e.Name], e.Name), e.Verdict.Title, c.Caller})
		}
		for _, f := range r.Problems() {
			ref := FindingRef{Rule: f.Rule, Endpoint: cmp.Or(was[prefix+f.Endpoint], f.Endpoint), Title: f.Title}
			if len(f.Evidence) > 0 {
				ref.Func = f.Evidence[0].Func
			}
			add(ref)
		}
		return list, byKey
	}
	b, inB := refs(before, "\x00")
	a, inA := refs(after, "")
	has := func(m map[string]bool, f FindingRef) bool {
		return m[string(f.Rule)+"\x00"+f.Endpoint+"\x00"+stableName(f.Func)]
	}
	for _, f := range a {
		if has(inB, f) {
			d.Kept = append(d.Kept, f)
		} else {
			d.New = append(d.New, f)
		}
	}
	for _, f := range b {
		if !has(inA, f) {
			d.Gone = append(d.Gone, f)
		}
	}
}

// requests sums up the endpoints whose requests both reports know.
func (d *Diff) requests(before, after *Report) {
	var rb, ra, cb, ca float64
	for _, x := range d.Endpoints {
		if x.PerRequestBefore == 0 || x.PerRequestAfter == 0 {
			continue
		}
		for _, side := range []struct {
			r          *Report
			name       string
			rate, core *float64
		}{{before, cmp.Or(x.Was, x.Name), &rb, &cb}, {after, x.Name, &ra, &ca}} {
			for _, e := range side.r.Endpoints {
				if e.Name == side.name {
					*side.rate += e.Rate
					*side.core += e.Rate * e.CPUPerRequest.Seconds()
				}
			}
		}
	}
	if cb > 0 && ca > 0 {
		d.RequestsPerCPUSecondBefore, d.RequestsPerCPUSecondAfter = rb/cb, ra/ca
	}
}
