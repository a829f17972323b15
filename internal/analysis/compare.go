package analysis

import (
	"fmt"
	"math"
	"strings"
)

// Comparison says what changed from one report to another of the same service.
// It compares shares, so the two may differ in length, pods and load.
type Comparison struct {
	// Endpoints are those of the first report that it flagged, in its order.
	Endpoints []Change `json:"endpoints"`
	// Before and After are the requests for each second of CPU, over the hot
	// pods, by metrics; 0 where they are not known.
	Before float64 `json:"requests_per_cpu_second_before,omitempty"`
	After  float64 `json:"requests_per_cpu_second_after,omitempty"`
}

// Change is one endpoint's in a [Comparison].
type Change struct {
	Name string `json:"name"`
	Rule Rule   `json:"rule"` // what it was flagged for
	// Before and After are the work that it was flagged for (decoding,
	// encoding or compression), as shares of the endpoint.
	Before Share `json:"before"`
	After  Share `json:"after"`
	// WorkBefore and WorkAfter are the same work as shares of the process.
	WorkBefore Share `json:"work_before"`
	WorkAfter  Share `json:"work_after"`
	// CPUBefore and CPUAfter are the endpoint's shares of the process.
	CPUBefore Share   `json:"cpu_before"`
	CPUAfter  Share   `json:"cpu_after"`
	Outcome   Outcome `json:"outcome"`
}

// Outcome says how a [Change] is to be read.
type Outcome string

// Outcomes of a change. Fixed and Better are significant at the 5 % level
// (two-proportion z test).
const (
	// OutcomeFixed: significantly less, and either the whole interval is below
	// the limit of the rule, or the work takes so little of the process's CPU
	// that it would not be judged. The latter is what a good fix leaves: an
	// endpoint with hardly any samples.
	OutcomeFixed  Outcome = "fixed"
	OutcomeBetter Outcome = "better, and not gone" // significantly less, and perhaps still above the limits
	OutcomeSame   Outcome = "no significant change"
	OutcomeWorse  Outcome = "worse"                  // significantly more
	OutcomeFew    Outcome = "too few samples to say" // seen after, and hardly
	OutcomeUnseen Outcome = "not seen"               // no sample after: there may have been no traffic
)

// minCompared is how many samples an endpoint needs after a change before
// anything is said: with none of 12 the 95 % interval ends at 24 %, just below
// the default limit of the rules.
const minCompared = 12

// Compare holds after against before. It looks at what before flagged: whether
// that is gone is the question that a fix asks.
func Compare(before, after *Report, th Thresholds) Comparison {
	var c Comparison
	now := map[string]Endpoint{} // by the earlier name
	for _, p := range matchEndpoints(before.Endpoints, after.Endpoints) {
		if len(p.wasNames) == 1 && len(p.names) == 1 {
			for _, e := range after.Endpoints {
				if e.Name == p.names[0] {
					now[p.wasNames[0]] = e
				}
			}
		}
	}
	th = th.WithDefaults()
	for _, was := range before.Flagged() {
		is := now[was.Name]
		ch := Change{Name: was.Name, Rule: was.Verdict.Rule, CPUBefore: was.Share, CPUAfter: is.Share}
		ch.Before, _, _ = was.Work()
		is.Verdict.Rule = was.Verdict.Rule // the same work, whatever is said of it now
		ch.After, _, _ = is.Work()
		ch.WorkBefore, ch.WorkAfter = share(ch.Before.Samples, before.Samples), share(ch.After.Samples, after.Samples)
		ch.Outcome = outcome(ch, th)
		c.Endpoints = append(c.Endpoints, ch)
	}
	return c
}

func outcome(ch Change, th Thresholds) Outcome {
	limit := th.Dominated
	if ch.Rule == RuleCompress {
		limit = th.Compress
	}
	z := twoProportions(ch.Before, ch.After)
	switch {
	case ch.After.Of == 0:
		return OutcomeUnseen
	case twoProportions(ch.WorkBefore, ch.WorkAfter) >= z95 && ch.WorkAfter.High < th.MinShare:
		return OutcomeFixed
	case ch.After.Of < minCompared:
		return OutcomeFew
	case z >= z95 && ch.After.High < limit:
		return OutcomeFixed
	case z >= z95:
		return OutcomeBetter
	case z <= -z95:
		return OutcomeWorse
	}
	return OutcomeSame
}

// twoProportions is the z statistic of the pooled two-proportion test: above 0
// when a is the larger share. 0 without samples.
func twoProportions(a, b Share) float64 {
	if a.Of == 0 || b.Of == 0 {
		return 0
	}
	n, m := float64(a.Of), float64(b.Of)
	pooled := float64(a.Samples+b.Samples) / (n + m)
	se := math.Sqrt(pooled * (1 - pooled) * (1/n + 1/m))
	if se == 0 {
		return 0
	}
	return (a.Part - b.Part) / se
}

// Proven reports whether everything that was flagged is fixed.
func (c Comparison) Proven() bool {
	for _, ch := range c.Endpoints {
		if ch.Outcome != OutcomeFixed {
			return false
		}
	}
	return len(c.Endpoints) > 0
}

// Gain is how many times more requests a second of CPU serves; 0 when that is
// not known.
func (c Comparison) Gain() float64 {
	if c.Before == 0 {
		return 0
	}
	return c.After / c.Before
}

// Headline says the outcome in one line: "GET /live/list 87 % → 3.1 %, GET
// /gift/list 92 % → 4.0 %; 1.9 times the requests per CPU-second".
func (c Comparison) Headline() string {
	if len(c.Endpoints) == 0 {
		return "there is nothing to compare with any more"
	}
	const most = 3
	var parts []string
	for _, ch := range c.Endpoints[:min(len(c.Endpoints), most)] {
		part := fmt.Sprintf("%s %s → %s", ch.Name, percent(ch.Before.Part), percent(ch.After.Part))
		if ch.Outcome == OutcomeUnseen || ch.Outcome == OutcomeFew {
			part = fmt.Sprintf("%s %s → %s", ch.Name, percent(ch.Before.Part), ch.Outcome)
		} else if ch.Outcome != OutcomeFixed {
			part += fmt.Sprintf(" (%s)", ch.Outcome)
		}
		parts = append(parts, part)
	}
	line := strings.Join(parts, ", ")
	if more := len(c.Endpoints) - most; more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	if g := c.Gain(); g > 0 {
		line += fmt.Sprintf("; %.1f times the requests per CPU-second", g)
	}
	return line
}
