package analysis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gprofile "github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/profile"
)

// TestChild holds the tree against a map while its table grows, is dropped and
// is made again.
func TestChild(t *testing.T) {
	tree := newPaths()
	want := map[node]uint32{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		n := node{uint32(r.IntN(len(tree.nodes))), uint32(r.IntN(50))}
		id, err := tree.child(n.parent, n.frame)
		if err != nil {
			t.Fatal(err)
		}
		if was, ok := want[n]; ok && was != id {
			t.Fatalf("%v was %d, is %d", n, was, id)
		}
		want[n] = id
		if tree.nodes[id] != n || n.parent >= id {
			t.Fatalf("node %d is %v, want %v", id, tree.nodes[id], n)
		}
		if len(want)%5000 == 0 {
			tree.table = nil
		}
	}
	if len(tree.nodes) != len(want)+1 {
		t.Errorf("%d nodes for %d", len(tree.nodes), len(want))
	}
	if len(tree.table)*3 < len(tree.nodes)*4 {
		t.Errorf("a table of %d for %d nodes", len(tree.table), len(tree.nodes))
	}
}

func TestChildLimit(t *testing.T) {
	tree := newPaths()
	tree.limit = 3
	a, err := tree.child(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.child(a, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.child(a, 2); !errors.Is(err, errUnfolds) {
		t.Errorf("a node over the limit: %v", err)
	}
	if id, err := tree.child(0, 1); err != nil || id != a {
		t.Errorf("a node that is there: %d, %v", id, err)
	}
	if _, ok := tree.join(0, []frame{{line: 1}}, []frame{{line: 2}}); ok {
		t.Error("joined beyond the limit")
	}
}

func TestExpect(t *testing.T) {
	for _, tc := range []struct{ n, done, all, least, most int }{
		{1000, 50, 100, 1000, 1200},   // half is read
		{1000, 99, 100, 100, 250},     // nearly all is
		{1000, 1, 100, 6000, 7100},    // too early to believe it
		{1000, 100, 100, 100, 250},    // more pods may come
		{0, 1, 100, 1, 100},           //
		{1 << 20, 1, 1, 1 << 16, 2e5}, // a last sample may bring more than one node
	} {
		if got := expect(tc.n, tc.done, tc.all); got < tc.least || got > tc.most {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

// TestReadMerges: samples of the same path and labels are one, whatever their
// locations, and different labels keep them apart.
func TestReadMerges(t *testing.T) {
	fn := []*gprofile.Function{{ID: 1, Name: "main.a"}, {ID: 2, Name: "main.b"}}
	line := func(i int, no int64) gprofile.Line { return gprofile.Line{Function: fn[i], Line: no} }
	// The third location is the second inlined into the first.
	loc := []*gprofile.Location{{ID: 1, Line: []gprofile.Line{line(0, 1)}}, {ID: 2, Line: []gprofile.Line{line(1, 2)}}, {ID: 3, Line: []gprofile.Line{line(1, 2), line(0, 1)}}, {ID: 4}}
	add := func(v int64, label string, locs ...int) *gprofile.Sample {
		s := &gprofile.Sample{Value: []int64{v}}
		for _, l := range locs {
			s.Location = append(s.Location, loc[l])
		}
		if label != "" {
			s.Label = map[string][]string{"endpoint": {label}, "request_id": {fmt.Sprint(v)}}
		}
		return s
	}
	p := ours(&gprofile.Profile{
		SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}}, Function: fn, Location: loc,
		Sample: []*gprofile.Sample{
			add(1, "", 1, 0), add(2, "", 2), add(4, "/x", 2), add(8, "/x", 1, 0), add(16, "", 0), add(0, "", 1), add(32, ""), add(64, "", 3, 0),
		},
	})
	tree := newPaths()
	list, err := readSamples(tree, p, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		var names []string
		for _, f := range tree.path(s.node, nil) {
			names = append(names, fmt.Sprintf("%s:%d", f.fn.name, f.line))
		}
		got = append(got, fmt.Sprintf("%s %s %d", strings.Join(names, ";"), tree.labels.sets[s.labels]["endpoint"], s.value))
	}
	want := []string{"main.a:1;main.b:2  3", "main.a:1;main.b:2 /x 12", "main.a:1  16", "main.a:1;(unknown):0  64"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	stacks := stacksOf(list)
	if sums := tree.sums(stacks); sums[0] != 95 || sums[1] != 95 {
		t.Errorf("sums %v", sums)
	}
	if again := tree.sums(stacks[:1], stacks[1:2]); again[0] != 15 {
		t.Errorf("sums of two lists %v", again)
	}
}

// TestSamplesGrow holds a list of samples against a map.
func TestSamplesGrow(t *testing.T) {
	l := samples{table: make([]uint32, 4)}
	want := map[[2]uint32]int64{}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 10_000 {
		s := sample{uint32(r.IntN(800)), uint32(r.IntN(3)), int64(i)}
		want[[2]uint32{s.node, s.labels}] += s.value
		l.add(s)
		if i == 700 {
			l.room(5000)
		}
	}
	got := map[[2]uint32]int64{}
	for _, s := range l.list {
		got[[2]uint32{s.node, s.labels}] += s.value
	}
	if d := cmp.Diff(want, got); d != "" || len(l.list) != len(want) {
		t.Errorf("%d samples for %d: %s", len(l.list), len(want), d)
	}
}

func TestSubtract(t *testing.T) {
	before := []sample{{1, 0, 5}, {2, 0, 7}, {2, 1, 3}, {4, 0, 9}}
	// Labels of a path may differ from one profile to the next.
	after := []sample{{1, 0, 5}, {2, 0, 4}, {2, 2, 10}, {3, 0, 2}, {4, 0, 1}}
	if d := cmp.Diff([]sample{{2, 2, 4}, {3, 0, 2}}, subtract(after, before), cmp.AllowUnexported(sample{})); d != "" {
		t.Error(d)
	}
	if got := subtract(nil, before); len(got) != 0 {
		t.Errorf("nothing less something: %v", got)
	}
}

// unfolding is a profile with a location of many inlined lines, which every
// sample has with one of its own below: times of it on a path.
func unfolding(lines, samples, times int) *profile.Profile {
	p := &gprofile.Profile{
		SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Function:   []*gprofile.Function{{ID: 1, Name: "main.f", Filename: "main.go"}},
	}
	loc := func(n int) *gprofile.Location {
		l := &gprofile.Location{ID: uint64(len(p.Location) + 1)}
		for i := range n {
			l.Line = append(l.Line, gprofile.Line{Function: p.Function[0], Line: int64(i%100 + len(p.Location))})
		}
		p.Location = append(p.Location, l)
		return l
	}
	long := loc(lines)
	for range samples {
		s := &gprofile.Sample{Location: []*gprofile.Location{}, Value: []int64{1, 1e7}}
		own := loc(1)
		for range times {
			s.Location = append(s.Location, long)
		}
		// The root is the sample's own, so that no two share a path.
		s.Location = append(s.Location, own)
		p.Sample = append(p.Sample, s)
	}
	return ours(p)
}

// TestUnfoldingProfiles: profiles of a few hundred kilobytes that stand for
// millions of frames are refused, and cost little until then.
func TestUnfoldingProfiles(t *testing.T) {
	for name, p := range map[string]*profile.Profile{
		"a long inlined run in every sample": unfolding(5000, 10_000, 1),
		"many short ones":                    unfolding(100, 5000, 50),
		"deeper than any stack":              unfolding(9000, 1, 1),
	} {
		if p.RawSize() > 500<<10 {
			t.Fatalf("%s: %d bytes", name, p.RawSize())
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tree := newPaths()
		_, _, err := cpuSamples(tree, p)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errUnfolds) {
			t.Errorf("%s: error %v", name, err)
		}
		if most := max(minNodes, p.RawSize()); len(tree.nodes) > most+1 || cap(tree.nodes) > 2*most {
			t.Errorf("%s: %d nodes, room for %d", name, len(tree.nodes), cap(tree.nodes))
		}
		// Nodes, their table and what both left when they grew.
		if got := int(after.TotalAlloc - before.TotalAlloc); got > 24<<20 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
		if _, err := Analyze([]PodProfiles{{Pod: "a", CPU: p}}, Options{}); !errors.Is(err, errUnfolds) || !strings.HasPrefix(err.Error(), "a: its stacks unfold") {
			t.Errorf("%s: Analyze says %v", name, err)
		}
		// Of a control pod it costs the report nothing but a note.
		res, err := Analyze([]PodProfiles{{Pod: "hot", CPU: load(t, "router-std.cpu.pb.gz")}, {Pod: "cool", Control: true, CPU: p}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if notes := strings.Join(res.Report.Notes, "\n"); !strings.Contains(notes, "cool: left out: its stacks unfold") {
			t.Errorf("%s: notes %q", name, notes)
		}
	}
}

// TestSharedFrames: paths that share nearly everything add few nodes, but rules
// walk along all of them.
func TestSharedFrames(t *testing.T) {
	p := &gprofile.Profile{
		SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Function:   []*gprofile.Function{{ID: 1, Name: "main.f", Filename: "main.go"}},
	}
	loc := func(n int) *gprofile.Location {
		l := &gprofile.Location{ID: uint64(len(p.Location) + 1)}
		for i := range n {
			l.Line = append(l.Line, gprofile.Line{Function: p.Function[0], Line: int64(i)})
		}
		p.Location = append(p.Location, l)
		return l
	}
	root := loc(8000)
	for i := range 4000 {
		leaf := loc(1)
		leaf.Line[0].Line = int64(i)
		p.Sample = append(p.Sample, &gprofile.Sample{Location: []*gprofile.Location{leaf, root}, Value: []int64{1, 1e7}})
	}
	start := time.Now()
	_, err := Analyze([]PodProfiles{{CPU: ours(p)}}, Options{})
	if !errors.Is(err, errUnfolds) {
		t.Errorf("error %v after %v", err, time.Since(start))
	}
}
