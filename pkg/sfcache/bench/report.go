package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is everything that one run measured.
type Report struct {
	Date   time.Time `json:"date"`
	Go     string    `json:"go"`
	CPUs   int       `json:"cpus"`
	Quick  bool      `json:"quick"`
	Groups []Group   `json:"groups"`
	Bar    []Verdict `json:"bar"`
}

// Group is contenders that did the same work.
type Group struct {
	Scenario string `json:"scenario"`
	Case     string `json:"case"`
	Cells    []Cell `json:"cells"`
}

// Cell is one contender's results.
type Cell struct {
	Contender string   `json:"contender"`
	Kind      string   `json:"kind"`
	Median    Sample   `json:"median"` // of each number by itself
	Rounds    []Sample `json:"rounds"`
	// Ratios are those of sfcache to this contender, by sfcache's variant.
	Ratios map[string]Ratio `json:"ratios,omitempty"`
}

// Ratio is one contender's number divided by another's, both of the same
// round; the least, the median and the most of the rounds.
type Ratio struct {
	Metric string  `json:"metric"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// metric is a number of a sample.
type metric struct {
	name string
	of   func(*Sample) *float64
	unit func(float64) string
}

var metrics = []metric{
	{"wall/op", func(s *Sample) *float64 { return &s.Wall }, nanos},
	{"CPU/op", func(s *Sample) *float64 { return &s.CPU }, nanos},
	{"allocs/op", func(s *Sample) *float64 { return &s.Allocs }, plain},
	{"B/op", func(s *Sample) *float64 { return &s.Bytes }, plain},
	{"decodes/op", func(s *Sample) *float64 { return &s.Decodes }, plain},
	{"loads/op", func(s *Sample) *float64 { return &s.Loads }, plain},
	{"reads/op", func(s *Sample) *float64 { return &s.Reads }, plain},
	{"p50", func(s *Sample) *float64 { return &s.P50 }, nanos},
	{"p99", func(s *Sample) *float64 { return &s.P99 }, nanos},
	{"heap", func(s *Sample) *float64 { return &s.Heap }, plain},
}

func metricNamed(name string) metric {
	return metrics[slices.IndexFunc(metrics, func(m metric) bool { return m.name == name })]
}

// mainMetric is what a scenario's ratios are of.
func mainMetric(scenario string) string {
	switch scenario {
	case "cold", "lease":
		return "wall/op"
	case "zipf":
		return "reads/op"
	case "held":
		return "heap"
	}
	return "CPU/op"
}

// add puts a group's samples into the report.
func (r *Report) add(g group, in []contender, samples [][]Sample) {
	out := Group{Scenario: g.scenario, Case: g.name}
	for i, c := range in {
		cell := Cell{Contender: c.name, Kind: string(c.kind), Rounds: samples[i]}
		for j := range samples[i] {
			cell.Median.Ops += samples[i][j].Ops
		}
		for _, m := range metrics {
			*m.of(&cell.Median) = medianOf(samples[i], m)
		}
		out.Cells = append(out.Cells, cell)
	}
	for i := range out.Cells {
		c := &out.Cells[i]
		c.Ratios = map[string]Ratio{}
		for _, our := range out.Cells {
			if our.Kind == string(ours) && our.Contender != c.Contender {
				c.Ratios[our.Contender] = ratio(&our, c, mainMetric(g.scenario))
			}
		}
	}
	r.Groups = append(r.Groups, out)
}

func medianOf(all []Sample, m metric) float64 {
	v := make([]float64, len(all))
	for i := range all {
		v[i] = *m.of(&all[i])
	}
	return median(v)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratio is a divided by b, round by round.
func ratio(a, b *Cell, name string) Ratio {
	m := metricNamed(name)
	var v []float64
	for i := range min(len(a.Rounds), len(b.Rounds)) {
		if d := *m.of(&b.Rounds[i]); d > 0 {
			v = append(v, *m.of(&a.Rounds[i])/d)
		}
	}
	if len(v) == 0 {
		return Ratio{Metric: name}
	}
	return Ratio{name, slices.Min(v), median(v), slices.Max(v)}
}

// printLast prints the group that came last.
func (r *Report) printLast(w io.Writer) {
	g := r.Groups[len(r.Groups)-1]
	fmt.Fprintf(w, "\n%s  %s\n", g.Scenario, g.Case)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range g.rows() {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
}

// rows are the group's table, its head first: the metrics that were measured,
// then sfcache's ratios to the contender of the line.
func (g *Group) rows() [][]string {
	var used []metric
	for _, m := range metrics {
		if slices.ContainsFunc(g.Cells, func(c Cell) bool { return *m.of(&c.Median) > 0 }) {
			used = append(used, m)
		}
	}
	head := []string{"contender"}
	for _, m := range used {
		head = append(head, m.name)
	}
	var our []string
	for _, c := range g.Cells {
		if c.Kind == string(ours) {
			our = append(our, c.Contender)
			head = append(head, c.Contender+" / this")
		}
	}
	rows := [][]string{head}
	for _, c := range g.Cells {
		row := []string{c.Contender}
		for _, m := range used {
			row = append(row, m.unit(*m.of(&c.Median)))
		}
		for _, name := range our {
			ratio, ok := c.Ratios[name]
			if !ok || ratio.Max == 0 {
				row = append(row, "")
				continue
			}
			row = append(row, ratio.String())
		}
		rows = append(rows, row)
	}
	return rows
}

func (r Ratio) String() string {
	return fmt.Sprintf("%s (%s-%s)", figures(r.Median), figures(r.Min), figures(r.Max))
}

// writeMarkdown writes all tables, the verdicts first.
func (r *Report) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "# Results\n\n%s, %d processors, %s. Ratios are sfcache's number divided by the line's, both of one round:\nmedian (least-most) over the rounds.\n", r.Go, r.CPUs, r.Date.Format(time.DateOnly))
	if len(r.Bar) > 0 {
		fmt.Fprint(w, "\n## Bar\n\n")
		rows := [][]string{{"what", "cells", "met", "worst", "want", "worst cell"}}
		rows = append(rows, barRows(r.Bar)...)
		markdownTable(w, rows)
	}
	for _, g := range r.Groups {
		fmt.Fprintf(w, "\n## %s: %s\n\n", g.Scenario, g.Case)
		markdownTable(w, g.rows())
	}
}

func markdownTable(w io.Writer, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
}

func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

func newReport(quick bool) Report {
	return Report{Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.GOMAXPROCS(0), Quick: quick}
}

// nanos prints a duration with three figures.
func nanos(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 1e3:
		return figures(v) + " ns"
	case v < 1e6:
		return figures(v/1e3) + " µs"
	}
	return figures(v/1e6) + " ms"
}

func plain(v float64) string { return figures(v) }

// figures prints v with three figures, and no more than three decimals.
func figures(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.9995:
		return fmt.Sprintf("%.2f", v)
	case a >= 0.0005:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.1e", v)
}
