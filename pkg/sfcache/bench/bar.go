package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Verdict says whether one cell reaches the bar.
type Verdict struct {
	What  string  `json:"what"`
	Cell  string  `json:"cell"`
	Value float64 `json:"value"` // the median, where it is a ratio
	Min   float64 `json:"min"`   // over the rounds
	Max   float64 `json:"max"`
	Limit float64 `json:"limit"`
	Least bool    `json:"least"` // the value must be at least the limit, not at most
	Met   bool    `json:"met"`
}

// rule is one line of the bar. It says nothing of cells that were not run.
type rule struct {
	what  string
	least bool
	judge func(g *Group) (value Ratio, limit float64, ok bool)
}

// parity allows for what two runs of the same code differ by.
const parity = 1.05

// bytePeers are those whose values are private, each with the codec that its
// own documentation or common use has.
var bytePeers = []string{"redis", "freecache", "go-redis/cache-json", "go-redis/cache-msgpack"}

// bar is what sfcache wants to be.
var bar = []rule{
	{"shared hit, 1 and 100 keys: CPU of otter's", false, fewKeys(against("sfcache", "CPU/op", 0.5, "otter"))},
	{"shared hit, 1 and 100 keys: CPU of otter's with a coarse clock", false, fewKeys(against("sfcache", "CPU/op", 0.8, "otter-coarse"))},
	{"shared hit: allocations", false, fewKeys(number("hot", "allocs/op", 0.01))},
	{"private copies: CPU of the best byte peer's", false, func(g *Group) (Ratio, float64, bool) {
		limit := 1.0 / 8
		if strings.HasPrefix(g.Case, "500KB") {
			limit = 1.0 / 4
		}
		return only("hot", against("sfcache/clone", "CPU/op", limit, bytePeers...))(g)
	}},
	{"hold off, 1 key, 256 goroutines: CPU of the pattern's", false, oneHot(against("sfcache/strict", "CPU/op", parity, "pattern"))},
	{"hold off, 1 key, 256 goroutines, fast codec: CPU of the pattern's", false, oneHot(against("sfcache/strict-goccy", "CPU/op", parity, "pattern-goccy"))},
	{"hold off, many keys: CPU of freecache+Unmarshal's", false, many(against("sfcache/strict", "CPU/op", parity, "freecache"))},
	{"hold off, many keys, fast codec: CPU of freecache+Unmarshal's", false, many(against("sfcache/strict-goccy", "CPU/op", parity, "freecache-goccy"))},
	{"hold off, many keys: bytes of freecache+Unmarshal's", false, many(against("sfcache/strict", "B/op", 0.7, "freecache"))},
	{"cold stampede: loads", false, number("cold", "loads/op", 1)},
	{"cold stampede: decodes", false, number("cold", "decodes/op", 0)},
	{"cold stampede: wall of the best peer's", false, only("cold", against("sfcache", "wall/op", 1.2, "*"))},
	{"cold stampede: wall of the best peer's that stores before it answers", false, only("cold", against("sfcache", "wall/op", 1.2,
		"redis", "freecache", "pattern", "go-redis/cache-json", "go-redis/cache-msgpack", "otter", "otter-coarse", "theine", "ristretto", "ttlcache"))},
	{"lease: loads of all processes", false, number("lease", "loads/op", 1)},
	{"paced: CPU of the no-op's", false, only("paced", against("sfcache", "CPU/op", 1.3, "noop"))},
	{"zipf: hits without decode, more than otter's", true, func(g *Group) (Ratio, float64, bool) {
		our, other := g.cell("sfcache"), g.cell("otter")
		if g.Scenario != "zipf" || our == nil || other == nil {
			return Ratio{}, 0, false
		}
		d := other.Median.Decodes - our.Median.Decodes
		return Ratio{Min: d, Median: d, Max: d}, -0.02, true
	}},
	{"zipf: Redis reads of the best peer's", false, only("zipf", against("sfcache", "reads/op", 1, "*"))},
	{"collection with byte tier full: CPU of an empty heap's", false, only("gc", against("sfcache/strict", "CPU/op", 1.3, "noop"))},
	{"decoded tier full: heap of its bound", false, number("held", "heap", 1.25)},
	{"decoded tier full: heap of its bound, at least", true, number("held", "heap", 0.75)},
}

func (g *Group) cell(name string) *Cell {
	i := slices.IndexFunc(g.Cells, func(c Cell) bool { return c.Contender == name })
	if i < 0 {
		return nil
	}
	return &g.Cells[i]
}

type judge func(*Group) (Ratio, float64, bool)

// against is our number by that of the peer with the best one; "*" means all
// that are not floors.
func against(our, name string, limit float64, peers ...string) judge {
	return func(g *Group) (Ratio, float64, bool) {
		c := g.cell(our)
		if c == nil {
			return Ratio{}, 0, false
		}
		m := metricNamed(name)
		var best *Cell
		for i := range g.Cells {
			p := &g.Cells[i]
			all := peers[0] == "*" && p.Kind != string(ours) && p.Kind != string(floor)
			if (all || slices.Contains(peers, p.Contender)) && (best == nil || *m.of(&p.Median) < *m.of(&best.Median)) {
				best = p
			}
		}
		if best == nil || *m.of(&best.Median) == 0 {
			return Ratio{}, 0, false
		}
		return ratio(c, best, name), limit, true
	}
}

// number is our number by itself.
func number(scenario, name string, limit float64) judge {
	m := metricNamed(name)
	return only(scenario, func(g *Group) (Ratio, float64, bool) {
		c := g.cell("sfcache")
		if c == nil {
			return Ratio{}, 0, false
		}
		v := make([]float64, len(c.Rounds))
		for i := range c.Rounds {
			v[i] = *m.of(&c.Rounds[i])
		}
		return Ratio{Min: slices.Min(v), Median: median(v), Max: slices.Max(v)}, limit, true
	})
}

func only(scenario string, j judge) judge {
	return func(g *Group) (Ratio, float64, bool) {
		if g.Scenario != scenario {
			return Ratio{}, 0, false
		}
		return j(g)
	}
}

func where(j judge, parts ...string) judge {
	return only("hot", func(g *Group) (Ratio, float64, bool) {
		for _, p := range parts {
			if !strings.Contains(g.Case+"/", "/"+p+"/") {
				return Ratio{}, 0, false
			}
		}
		return j(g)
	})
}

func fewKeys(j judge) judge {
	return only("hot", func(g *Group) (Ratio, float64, bool) {
		if strings.Contains(g.Case, skewedKeys.name) {
			return Ratio{}, 0, false
		}
		return j(g)
	})
}

func oneHot(j judge) judge { return where(j, oneKey.name, "G256") }
func many(j judge) judge   { return where(j, manyKeys.name) }

// hold judges the report by the bar.
func (r *Report) hold() {
	r.Bar = nil
	for _, rule := range bar {
		for i := range r.Groups {
			g := &r.Groups[i]
			value, limit, ok := rule.judge(g)
			if !ok {
				continue
			}
			v := Verdict{
				What: rule.what, Cell: g.Scenario + "/" + g.Case, Value: value.Median, Min: value.Min, Max: value.Max,
				Limit: limit, Least: rule.least, Met: value.Median <= limit,
			}
			if rule.least {
				v.Met = value.Median >= limit
			}
			r.Bar = append(r.Bar, v)
		}
	}
}

// barRows sums the verdicts up, a line for each rule.
func barRows(all []Verdict) [][]string {
	var rows [][]string
	for _, rule := range bar {
		var of []Verdict
		met := 0
		for _, v := range all {
			if v.What == rule.what {
				of = append(of, v)
				if v.Met {
					met++
				}
			}
		}
		if len(of) == 0 {
			continue
		}
		// How far from its limit, as a part of it.
		far := func(v Verdict) float64 {
			d := v.Value - v.Limit
			if v.Limit > 0 {
				d /= v.Limit
			}
			if v.Least {
				d = -d
			}
			return d
		}
		worst := slices.MaxFunc(of, func(a, b Verdict) int {
			switch {
			case far(a) < far(b):
				return -1
			case far(a) > far(b):
				return 1
			}
			return 0
		})
		rows = append(rows, []string{
			rule.what, fmt.Sprint(len(of)), fmt.Sprint(met),
			fmt.Sprintf("%s (%s-%s)", figures(worst.Value), figures(worst.Min), figures(worst.Max)), worst.want(), worst.Cell,
		})
	}
	return rows
}

func (v Verdict) want() string {
	if v.Least {
		return "≥ " + figures(v.Limit)
	}
	return "≤ " + figures(v.Limit)
}

// printBar prints the summary and then the cells that miss; it returns how many.
func (r *Report) printBar(w io.Writer) (missed int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nbar\tcells\tmet\tworst\twant\tworst cell")
	for _, row := range barRows(r.Bar) {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
	for _, v := range r.Bar {
		if v.Met {
			continue
		}
		if missed == 0 {
			fmt.Fprintln(w, "\nmissed")
		}
		missed++
		fmt.Fprintf(w, "  %s  %s: %s (%s-%s), want %s\n", v.Cell, v.What, figures(v.Value), figures(v.Min), figures(v.Max), v.want())
	}
	return missed
}
