package flame

import (
	"math/rand/v2"
	"testing"

	"github.com/profbot/profbot/internal/analysis"
)

// FuzzLayout lays out trees that no profile would give: totals that do not add
// up, negative ones, chains. Boxes must stay inside the root and not overlap.
func FuzzLayout(f *testing.F) {
	for _, seed := range []uint64{1, 2, 3, 42} {
		f.Add(seed, 40)
	}
	f.Add(uint64(7), 500)
	f.Fuzz(func(t *testing.T, seed uint64, size int) {
		r := rand.New(rand.NewPCG(seed, 1))
		root := &analysis.Node{Name: "all", Total: 1 + r.Int64N(1000)}
		nodes := []*analysis.Node{root}
		for range min(max(size, 0), 2000) {
			n := &analysis.Node{Name: "f", Total: r.Int64N(1100) - 50, Category: looks[r.IntN(lookDiffs)].category}
			parent := nodes[r.IntN(len(nodes))]
			parent.Children = append(parent.Children, n)
			nodes = append(nodes, n)
		}
		boxes := layout(root, root.Total/500, newPainter(root))
		byRow := map[int][]box{}
		for _, b := range boxes {
			if b.at < 0 || b.at+b.total > root.Total || b.total <= 0 {
				t.Fatalf("box %+v is outside the root of %d", b, root.Total)
			}
			byRow[b.row] = append(byRow[b.row], b)
		}
		for row, bs := range byRow {
			covered := make([]bool, root.Total)
			for _, b := range bs {
				for i := b.at; i < b.at+b.total; i++ {
					if covered[i] {
						t.Fatalf("row %d: boxes overlap at %d", row, i)
					}
					covered[i] = true
				}
			}
		}
	})
}
