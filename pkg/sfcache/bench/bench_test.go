package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary be one of the processes of the lease scenario.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

var smoke = settings{
	sizes: []int{4000}, keys: []keySet{oneKey, {"10 keys", 10, true}}, goroutines: []int{1, 16}, rounds: 2,
	hot: time.Millisecond, paced: 20 * time.Millisecond, churn: 20 * time.Millisecond, stampedes: 1,
	zipfKeys: 600, zipfOps: 1000, gcEntries: 1000, gcCycles: 2, heldBytes: 2 << 20, processes: 3,
}

func smokeRunner(t *testing.T) (*runner, *bytes.Buffer) {
	t.Helper()
	s, err := startRedis(t.Context())
	if errors.Is(err, errNoRedis) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	all, out := regexp.MustCompile(""), &bytes.Buffer{}
	return &runner{settings: smoke, server: s, cells: all, which: all, out: out, report: newReport(true)}, out
}

// TestScenarios runs every contender in every scenario. Preparing them looks
// at each value.
func TestScenarios(t *testing.T) {
	r, out := smokeRunner(t)
	for _, s := range scenarios {
		if err := s.run(t.Context(), r); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	seen := map[string][]string{}
	for _, g := range r.report.Groups {
		for _, c := range g.Cells {
			if len(c.Rounds) == 0 || c.Median.Ops == 0 {
				t.Errorf("%s/%s: %s did nothing", g.Scenario, g.Case, c.Contender)
			}
			if !slices.Contains(seen[g.Scenario], c.Contender) {
				seen[g.Scenario] = append(seen[g.Scenario], c.Contender)
			}
		}
	}
	for _, c := range contenders {
		if in := c.only; in == "" && !slices.Contains(seen["hot"], c.name) || in != "" && !slices.Contains(seen[in], c.name) {
			t.Errorf("%s took no part", c.name)
		}
	}
	for _, s := range scenarios {
		if len(seen[s.name]) == 0 {
			t.Errorf("scenario %s has no cells", s.name)
		}
	}
	for _, g := range r.report.Groups {
		our := g.cell("sfcache")
		if our == nil {
			continue
		}
		switch g.Scenario {
		case "hot":
			if our.Median.Decodes > 0 || our.Median.Loads > 0 {
				t.Errorf("%s: %g decodes, %g loads a hit, want none", g.Case, our.Median.Decodes, our.Median.Loads)
			}
		case "cold", "lease":
			if our.Median.Loads != 1 || our.Median.Decodes != 0 {
				t.Errorf("%s/%s: %g loads, %g decodes, want 1, 0", g.Scenario, g.Case, our.Median.Loads, our.Median.Decodes)
			}
		}
	}
	r.report.hold()
	r.report.printBar(out)
	for _, rule := range bar {
		if strings.HasPrefix(rule.what, "zipf: Redis reads") {
			continue // so few keys fit into the smallest freecache
		}
		if !strings.Contains(out.String(), rule.what) && !strings.Contains(rule.what, "256 goroutines") && !strings.Contains(rule.what, "many keys") {
			t.Errorf("nothing was judged by %q", rule.what)
		}
	}
}

// TestPrivate pins which contenders give each caller a value of its own: the
// comparison of copies rests on it.
func TestPrivate(t *testing.T) {
	r, _ := smokeRunner(t)
	for i, c := range contenders {
		e, err := newEnv(4000)
		if err != nil {
			t.Fatal(err)
		}
		e.keys, e.entries = 1, roomy
		e.redis = r.server.client(1 + i)
		l, err := c.open(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := warm(t.Context(), e, l, c); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		a, err1 := l.Get(t.Context(), keyName(0))
		b, err2 := l.Get(t.Context(), keyName(0))
		if err := errors.Join(err1, err2, l.Close()); err != nil {
			t.Fatal(err)
		}
		shared := a == b || &a.Items[0] == &b.Items[0] || &a.Items[0].Tags[0] == &b.Items[0].Tags[0]
		if c.private && shared {
			t.Errorf("%s: two callers share a value", c.name)
		}
		if c.kind == objects && !shared {
			t.Errorf("%s: two callers have a value each", c.name)
		}
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	md, js := filepath.Join(dir, "r.md"), filepath.Join(dir, "r.json")
	var out bytes.Buffer
	err := run(t.Context(), []string{"-quick", "-rounds", "1", "-run", "^hot/4KB/1 key/G1$", "-contenders", "^(sfcache|otter|noop)$", "-md", md, "-json", js}, &out)
	if errors.Is(err, errNoRedis) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(md)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(table), "| otter |") {
		t.Errorf("no line for otter in\n%s", table)
	}
	data, err := os.ReadFile(js)
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Groups) != 1 || len(r.Groups[0].Cells) != 3 {
		t.Errorf("JSON has %d groups, want 1 with 3 cells", len(r.Groups))
	}
	if err := run(t.Context(), []string{"-run", "("}, &out); err == nil {
		t.Error("a pattern that is none was taken")
	}
}

func TestBar(t *testing.T) {
	cells := func(our, other float64) []Cell {
		cell := func(name string, k kind, v float64) Cell {
			s := Sample{Ops: 1, CPU: v}
			return Cell{Contender: name, Kind: string(k), Median: s, Rounds: []Sample{s}}
		}
		return []Cell{cell("sfcache", ours, our), cell("otter", objects, other)}
	}
	r := Report{Groups: []Group{
		{Scenario: "hot", Case: "4KB/1 key/G1", Cells: cells(10, 40)},
		{Scenario: "hot", Case: "4KB/100 keys/G1", Cells: cells(30, 40)},
		{Scenario: "hot", Case: "4KB/zipf/G1", Cells: cells(90, 40)}, // not in the bar
	}}
	r.hold()
	var got []string
	for _, v := range r.Bar {
		if v.What == bar[0].what {
			got = append(got, v.Cell+" "+figures(v.Value)+" "+map[bool]string{true: "met", false: "missed"}[v.Met])
		}
	}
	want := []string{"hot/4KB/1 key/G1 0.250 met", "hot/4KB/100 keys/G1 0.750 missed"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var out bytes.Buffer
	if n := r.printBar(&out); n != 1 || !strings.Contains(out.String(), "hot/4KB/100 keys/G1") {
		t.Errorf("%d missed in\n%s", n, out.String())
	}
}

func TestRatio(t *testing.T) {
	of := func(v ...float64) *Cell {
		c := &Cell{}
		for _, x := range v {
			c.Rounds = append(c.Rounds, Sample{Wall: x})
		}
		return c
	}
	got := ratio(of(1, 2, 9), of(2, 2, 3), "wall/op")
	if d := cmp.Diff(Ratio{"wall/op", 0.5, 1, 3}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Ratio{Metric: "wall/op"}, ratio(of(1), of(0), "wall/op")); d != "" {
		t.Error(d)
	}
}

func TestClone(t *testing.T) {
	l := newList(4000)
	c := l.clone()
	if d := cmp.Diff(l, c); d != "" {
		t.Error(d)
	}
	c.Items[0].Tags[0], c.Items[0].Title = "x", "y"
	if !l.equal(l.ID, newList(4000)) {
		t.Error("changing the copy changed the list")
	}
	if l.equal(l.ID, c) {
		t.Error("a changed list counts as equal")
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.00021: "2.1e-04", 0.0456: "0.046", 1.236: "1.24", 12.345: "12.3", 1234.5: "1234", -0.5: "-0.500"} {
		if got := figures(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "-", 12.34: "12.3 ns", 1234: "1.23 µs", 2.5e6: "2.50 ms"} {
		if got := nanos(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}
