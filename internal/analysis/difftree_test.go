package analysis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func leaf(fn string, self int64, kids ...*Node) *Node {
	n := &Node{Name: fn, Func: fn, Self: self, Total: self, Children: kids}
	for _, k := range kids {
		n.Total += k.Total
	}
	return n
}

func cpuTree(kids ...*Node) *Tree {
	return &Tree{Root: leaf("all", 0, kids...), Kind: "cpu", Unit: "samples"}
}

func flatDiff(n *Node, depth int) string {
	s := fmt.Sprintf("%s%s %d→%d %+.0f %t\n", strings.Repeat(" ", depth), n.Func, n.Diff.Base, n.Diff.Cur, 100*n.Diff.Change, n.Diff.Significant())
	for _, c := range n.Children {
		s += flatDiff(c, depth+1)
	}
	return s
}

func TestDiffTree(t *testing.T) {
	// The literal has another number, an endpoint that is one another line,
	// the second profile is twice as long, and decoding is gone.
	base := cpuTree(leaf("main.serve.func1", 0, leaf("main.list", 10, leaf("json.Unmarshal", 60)), leaf("main.user", 30)))
	cur := cpuTree(leaf("main.serve.func7", 0, leaf("main.user", 182), leaf("main.list", 18)))
	base.Root.Children[0].Endpoint, cur.Root.Children[0].Endpoint = "main.routes.func1 (main.go:10)", "main.routes.func3 (main.go:44)"
	d, err := DiffTree(base, cur)
	if err != nil {
		t.Fatal(err)
	}
	want := `all 100→200 +0 false
 main.serve.func7 100→200 +0 false
  main.user 30→182 +61 true
  main.list 70→18 -61 true
   json.Unmarshal 60→0 -60 true
`
	if diff := cmp.Diff(want, flatDiff(d.Root, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What vanished keeps half of the width that it had.
	if gone := d.Root.Children[0].Children[1].Children[0]; gone.Total != DiffScale*3/10 {
		t.Errorf("json.Unmarshal is %d wide", gone.Total)
	}
}

// TestDiffTreeOfNoise compares a profile with itself, sampled anew: hardly
// anything may be called a change.
func TestDiffTreeOfNoise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sample := func() *Tree {
		kids := make([]*Node, 40)
		for i := range kids {
			kids[i] = leaf(fmt.Sprintf("main.f%d", i), 0)
		}
		for range 2000 {
			n := kids[r.IntN(len(kids))]
			n.Self, n.Total = n.Self+1, n.Total+1
		}
		return cpuTree(kids...)
	}
	coloured := 0
	for range 20 {
		d, err := DiffTree(sample(), sample())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range d.Root.Children {
			if c.Diff.Significant() {
				coloured++
			}
		}
	}
	if coloured > 800*7/100 {
		t.Errorf("%d of 800 frames that did not change are called changed", coloured)
	}
}

// TestDiffTreeCountsObservations does not take bytes for samples: 4 KiB more
// of a mebibyte is one allocation seen.
func TestDiffTreeCountsObservations(t *testing.T) {
	base := cpuTree(leaf("main.a", 1<<20), leaf("main.b", 1<<20))
	cur := cpuTree(leaf("main.a", 1<<20+1<<18), leaf("main.b", 1<<20))
	for _, tc := range []struct {
		per  float64
		want bool
	}{{0, true}, {512 << 10, false}} {
		base.PerSample, cur.PerSample = tc.per, tc.per
		d, err := DiffTree(base, cur)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Root.Children[0].Diff.Significant(); got != tc.want {
			t.Errorf("%v units an observation: significant %t", tc.per, got)
		}
	}
}

func TestDiffTreeRefuses(t *testing.T) {
	ok := cpuTree(leaf("main.a", 1))
	heap := cpuTree(leaf("main.a", 1))
	heap.Kind, heap.Unit = "heap", "bytes"
	for name, pair := range map[string][2]*Tree{"nil": {nil, ok}, "empty": {ok, cpuTree()}, "kinds": {ok, heap}} {
		if _, err := DiffTree(pair[0], pair[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzDiffTree lays trees over one another that no profile would give.
func FuzzDiffTree(f *testing.F) {
	f.Add(uint64(1), 30)
	f.Add(uint64(9), 400)
	f.Fuzz(func(t *testing.T, seed uint64, size int) {
		r := rand.New(rand.NewPCG(seed, 3))
		wild := func() *Tree {
			tree := cpuTree(leaf("main.a", 1))
			nodes := []*Node{tree.Root}
			for range min(max(size, 0), 1000) {
				n := leaf([]string{"main.a", "main.a.func1", "", "(", "x\x00.func2", "a/b.c[...].d"}[r.IntN(6)], r.Int64N(100)-10)
				parent := nodes[r.IntN(len(nodes))]
				parent.Children = append(parent.Children, n)
				nodes = append(nodes, n)
			}
			return tree
		}
		d, err := DiffTree(wild(), wild())
		if err != nil {
			t.Fatal(err)
		}
		var check func(n *Node)
		check = func(n *Node) {
			sum := n.Self
			for _, c := range n.Children {
				check(c)
				sum += c.Total
			}
			if n.Self < 0 || sum != n.Total || n.Diff == nil {
				t.Fatalf("%q: self %d, total %d, sum %d", n.Func, n.Self, n.Total, sum)
			}
		}
		check(d.Root)
	})
}
