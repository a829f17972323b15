package flame

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// at is a frame of an endpoint.
func at(end string, n *analysis.Node) *analysis.Node {
	n.Endpoint = end
	for _, c := range n.Children {
		at(end, c)
	}
	return n
}

// TestRoutingIsOneBox folds what stands above handlers, whoever wrote it, up to
// where routes part; what the middleware does besides stays in sight.
func TestRoutingIsOneBox(t *testing.T) {
	lib, app := analysis.CatLibrary, analysis.CatApp
	mux := &analysis.Node{Name: "mux", Category: lib, Total: 90, Children: []*analysis.Node{
		{Name: "mount", Category: lib, Total: 60, Children: []*analysis.Node{at("GET /a", chain(60, app))}},
		{Name: "HandlerFunc", Category: lib, Total: 30, Children: []*analysis.Node{at("GET /b", chain(30, app))}},
	}}
	auth := &analysis.Node{Name: "auth", Category: app, Total: 100, Children: []*analysis.Node{mux, {Name: "verify", Category: analysis.CatCrypto, Total: 10, Self: 10}}}
	serve := &analysis.Node{Name: "serve", Category: lib, Total: 100, Children: []*analysis.Node{auth}}
	tree := rooted(serve, chain(10, app))
	var got []string
	for _, b := range layout(tree.Root, 1, newPainter(tree.Root)) {
		got = append(got, fmt.Sprintf("%d %d+%d %s %s", b.row, b.at, b.total, looks[b.look].label, b.label))
	}
	slices.Sort(got)
	want := []string{
		"0 0+110 libraries all",
		"1 0+100 routing, middleware serve … mux (3 frames)",
		"1 100+10 application app",
		"2 0+60 routing, middleware mount",
		"2 60+30 routing, middleware HandlerFunc",
		"2 90+10 crypto verify",
		"3 0+60 application app",
		"3 60+30 application app",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestZoomMerges takes an endpoint's frames from wherever they stand.
func TestZoomMerges(t *testing.T) {
	app, dec := analysis.CatApp, analysis.CatDecode
	live := "GET /live"
	tree := rooted(
		&analysis.Node{Name: "serve", Func: "serve", Category: analysis.CatLibrary, Total: 80, Children: []*analysis.Node{at(live, chain(50, app, dec)), at("GET /other", chain(30, app))}},
		&analysis.Node{Name: "go", Func: "go", Category: analysis.CatLibrary, Total: 40, Children: []*analysis.Node{at(live, chain(40, app, dec, analysis.CatGC))}},
	)
	z, ok := zoom(tree.Root, live)
	if !ok {
		t.Fatal("the endpoint was not found")
	}
	var got []string
	walk(z.root, func(n *analysis.Node) { got = append(got, fmt.Sprintf("%s %d %d", n.Name, n.Total, n.Self)) })
	if d := cmp.Diff([]string{"GET /live 90 0", "app 90 0", "decode 90 50", "gc 40 40"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"all", "serve"}, z.above); d != "" || z.places != 2 {
		t.Errorf("%d places, above (-want +got):\n%s", z.places, d)
	}
	if _, ok := zoom(tree.Root, "GET /none"); ok {
		t.Error("an endpoint that is not there was found")
	}
}
