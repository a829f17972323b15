package analysis

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// walk is a run of frames that repeats nowhere.
func walk(t *paths, from, n int) []frame {
	var out []frame
	for i := range n {
		out = append(out, frame{t.intern(fmt.Sprintf("main.f%d", from+i), "main.go", 1), int64(from + i)})
	}
	return out
}

func TestRepair(t *testing.T) {
	tree := newPaths()
	root := walk(tree, 1000, 1)
	mk := func(value int64, runs ...[]frame) stack {
		n, ok := tree.join(0, runs...)
		if !ok {
			t.Fatal("no room")
		}
		return stacksOf([]sample{{n, 0, value}})[0]
	}
	cut := walk(tree, 10, cutDepth+6) // begins at f10
	list := []stack{
		mk(5, root, walk(tree, 0, 40)),            // the way to it, from the root
		mk(9, cut),                                // its root is gone
		mk(2, root, walk(tree, 500, 3)),           // another root's
		mk(3, walk(tree, 2000, cutDepth)),         // cut, and nobody knows from where
		mk(4, walk(tree, 3000, cutDepth-1)),       // short of being cut
		mk(7, root, walk(tree, 4000, cutDepth+9)), // deep, and complete
		mk(8, walk(tree, 20, cutDepth), nil),      // cut further down the same path
	}
	// Fifteen frames of overlap are too few to be believed.
	few := append(walk(tree, 5000, overlap-1), walk(tree, 6000, 60)...)
	list = append(list, mk(1, few), mk(6, root, walk(tree, 5000, overlap-1), walk(tree, 7000, 3)))
	repair(tree, list)
	var got []string
	for _, s := range list {
		fs := tree.path(s.node, nil)
		got = append(got, fmt.Sprintf("%s %d frames, truncated %v", fs[0].fn.name, len(fs), s.truncated))
	}
	want := []string{
		"main.f1000 41 frames, truncated false",
		"main.f1000 81 frames, truncated false",
		"main.f1000 4 frames, truncated false",
		"main.f2000 64 frames, truncated true",
		"main.f3000 63 frames, truncated false",
		"main.f1000 74 frames, truncated false",
		"main.f1000 85 frames, truncated false",
		"main.f5000 75 frames, truncated true",
		"main.f1000 19 frames, truncated false",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRepairAmbiguous: where complete stacks disagree on the way, nobody knows
// it; that they call from different lines is no disagreement.
func TestRepairAmbiguous(t *testing.T) {
	tree := newPaths()
	mk := func(value int64, runs ...[]frame) stack {
		n, _ := tree.join(0, runs...)
		return stacksOf([]sample{{n, 0, value}})[0]
	}
	tail := walk(tree, 10, 40)
	way := walk(tree, 800, 2)
	other := []frame{way[0], {way[1].fn, 7}}
	agree := []stack{mk(5, way, tail), mk(5, other, tail), mk(1, walk(tree, 10, cutDepth))}
	repair(tree, agree)
	if fs := tree.path(agree[2].node, nil); fs[0].fn.name != "main.f800" || len(fs) != cutDepth+2 || agree[2].truncated {
		t.Errorf("%s, %d frames", fs[0].fn.name, len(fs))
	}
	list := []stack{mk(2, walk(tree, 900, 3), tail), mk(5, way, tail), mk(1, walk(tree, 10, cutDepth))}
	repair(tree, list)
	if !list[2].truncated {
		t.Error("repaired though a third of the stacks disagree")
	}
}
