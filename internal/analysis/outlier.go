package analysis

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// minDifference is how far apart two shares must be to be worth a word,
// however sure the difference is.
const minDifference = 0.05

// maxNamed is how many pods are told apart in the notes.
const maxNamed = 3

// outliers finds pods that differ from the others together, in their share of
// decoding or in what endpoints take: two-proportion tests at the 5 % level,
// divided by how many there are (Bonferroni).
func outliers(rep *Report, perPod [][]stack) {
	type counted struct {
		pod      int
		all, dec int64
		ends     map[string]int64
	}
	var pods []counted
	for i, p := range rep.Pods {
		if p.Control || p.Samples < minCompared {
			continue
		}
		c := counted{pod: i, all: p.Samples, ends: map[string]int64{}}
		for _, s := range perPod[i] {
			if s.work.dir == decode && !s.work.io {
				c.dec += s.value
			}
			if s.end != nil {
				c.ends[s.end.name] += s.value
			}
		}
		pods = append(pods, c)
	}
	if len(pods) < 2 {
		return
	}
	var names []string
	for _, e := range rep.Endpoints {
		if e.Share.Part >= minDifference/2 && !slices.Contains(names, e.Name) {
			names = append(names, e.Name)
		}
	}
	named := 0
	z := bonferroni(len(pods) * (1 + len(names)))
	for i, c := range pods {
		test := func(what string, of func(counted) int64) {
			var k, n int64
			for j, o := range pods {
				if j != i {
					k, n = k+of(o), n+o.all
				}
			}
			d := Difference{What: what, Pod: share(of(c), c.all), Others: share(k, n)}
			if math.Abs(twoProportions(d.Pod, d.Others)) >= z && math.Abs(d.Pod.Part-d.Others.Part) >= minDifference && expected(d.Pod, d.Others) {
				rep.Pods[c.pod].Differs = append(rep.Pods[c.pod].Differs, d)
			}
		}
		test("decode", func(c counted) int64 { return c.dec })
		for _, name := range names {
			test(name, func(c counted) int64 { return c.ends[name] })
		}
		if ds := rep.Pods[c.pod].Differs; len(ds) > 0 {
			if named++; named <= maxNamed {
				rep.Notes = append(rep.Notes, differs(rep.Pods[c.pod].Name, ds))
			}
		}
	}
	if named > maxNamed {
		rep.Notes = append(rep.Notes, fmt.Sprintf("In all, %d of %d pods differ from the others: they may not do the same work, and shares of all together say little of each.", named, len(pods)))
	}
}

// differs says it in a sentence.
func differs(pod string, ds []Difference) string {
	var parts []string
	for _, d := range ds {
		what := d.What
		if what == "decode" {
			what = "decoding"
		}
		parts = append(parts, fmt.Sprintf("%s %s of its CPU against %s", what, d.Pod, d.Others))
	}
	return fmt.Sprintf("%s differs from the other pods: %s.", pod, strings.Join(parts, "; "))
}

// expected reports whether there are enough samples for the normal
// approximation of the two-proportion test: five of either outcome on each
// side, if both had the same share.
func expected(a, b Share) bool {
	if a.Of == 0 || b.Of == 0 {
		return false
	}
	p := float64(a.Samples+b.Samples) / float64(a.Of+b.Of)
	least := min(p, 1-p) * float64(min(a.Of, b.Of))
	return least >= 5
}

// bonferroni is the two-sided quantile at the 5 % level over n comparisons.
func bonferroni(n int) float64 { return normalQuantile(0.05 / float64(max(n, 1))) }

// normalQuantile is the z beyond which, on both sides together, a standard
// normal has probability p.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(1-p) }

// lowerPoisson is the lower 95 % bound of a Poisson count's mean, as a part of
// the count (Byar's approximation).
func lowerPoisson(n int64) float64 {
	if n < 1 {
		return 0
	}
	f := 1 - 1/(9*float64(n)) - z95/(3*math.Sqrt(float64(n)))
	return max(0, f*f*f)
}
