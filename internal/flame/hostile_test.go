package flame_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
)

// names that profiles of strangers may hold.
var evil = []string{
	"", ".", "main.f", `</script><script>alert(1)</script>`, "a\x00b\x1b[31m", "\xff\xfe", "x\u202ey", "<svg onload=x>", "]]>", "--><!--",
	"main.(*T).", "((((", strings.Repeat("long.", 400), "日本語.(*型).方法", "a\nb\tc", `"'&;`, "\u2028",
}

// drawn draws a tree in every way and wants each to be whole.
func drawn(t *testing.T, tree *analysis.Tree, opt flame.Options) {
	t.Helper()
	var png, svg, html bytes.Buffer
	if err := flame.PNG(&png, tree, opt); err != nil {
		t.Fatal(err)
	}
	if r := decode(t, png.Bytes()).Rect; r.Dx() != cmp.Or(opt.Width, 1600) || r.Dy() > 920 {
		t.Errorf("the picture is %v", r)
	}
	if err := flame.SVG(&svg, tree, opt); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, svg.Bytes())
	if err := flame.HTML(&html, tree, opt); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(html.Bytes(), []byte("</script>")); n != 2 {
		t.Errorf("the page has %d ends of scripts, want 2", n)
	}
	data := dataOf(t, html.Bytes())
	if !json.Valid(data) {
		t.Error("the page's data is not JSON")
	}
}

// FuzzHostile draws trees with names, totals and shapes that no Go program
// gives, whole and zoomed, and laid over one another.
func FuzzHostile(f *testing.F) {
	for _, seed := range []uint64{1, 2, 3} {
		f.Add(seed, 60, "main.(*T).M", int64(-5))
	}
	f.Add(uint64(9), 300, "\x00<&", int64(math.MaxInt64/8))
	f.Fuzz(func(t *testing.T, seed uint64, size int, name string, total int64) {
		r := rand.New(rand.NewPCG(seed, 5))
		cats := []analysis.Category{analysis.CatApp, analysis.CatDecode, analysis.CatLibrary, analysis.CatIO, analysis.CatLock, "no such", ""}
		root := &analysis.Node{Name: "all", Func: "all", Total: 1 + r.Int64N(1000)}
		nodes := []*analysis.Node{root}
		pick := func() string {
			if i := r.IntN(len(evil) + 1); i < len(evil) {
				return evil[i]
			}
			return name
		}
		for range min(max(size, 0), 400) {
			n := &analysis.Node{Name: pick(), Func: pick(), File: pick(), Line: r.Int64N(100) - 50, Category: cats[r.IntN(len(cats))], Total: r.Int64N(1100) - 50, Self: r.Int64N(50) - 5}
			if r.IntN(3) == 0 {
				n.Endpoint = pick()
			}
			if r.IntN(20) == 0 {
				n.Total = min(max(total, math.MinInt64/8), math.MaxInt64/8)
			}
			parent := nodes[r.IntN(len(nodes))]
			parent.Children = append(parent.Children, n)
			nodes = append(nodes, n)
		}
		tree := &analysis.Tree{Root: root, Kind: pick(), Unit: pick()}
		const width = 480 // pixels cost most of the time
		drawn(t, tree, flame.Options{Title: name, Subtitle: pick(), Highlight: []string{name}, Width: width})
		drawn(t, tree, flame.Options{Title: pick(), Zoom: name, Width: width})
		d, err := analysis.DiffTree(tree, tree)
		if err != nil {
			t.Fatal(err)
		}
		if d.Root.Total > 0 {
			drawn(t, d, flame.Options{Title: pick(), Zoom: name, Width: width})
		}
	})
}

// TestExtremes draws trees as deep and as wide as files can make them.
func TestExtremes(t *testing.T) {
	drawn(t, deep(3000), flame.Options{Title: "deep"})
	drawn(t, wide(50_000), flame.Options{Title: "wide"})
}

// large is a tree of n nodes in the shape of a busy service's: 46 rows at most,
// few wide frames and many narrow ones.
func large(n int) *analysis.Tree {
	r := rand.New(rand.NewPCG(7, 7))
	cats := []analysis.Category{analysis.CatApp, analysis.CatDecode, analysis.CatLibrary, analysis.CatGC, analysis.CatRuntime, analysis.CatIO}
	root := node("all", analysis.CatLibrary, "", 0)
	at := []*analysis.Node{root}
	for i := 1; i < n; {
		path := root
		for depth := 0; depth < 46 && i < n; depth++ {
			if len(path.Children) > 0 && r.IntN(4) > 0 {
				path = path.Children[r.IntN(min(3, len(path.Children)))]
				continue
			}
			end := path.Endpoint
			if depth == 4 {
				end = fmt.Sprintf("GET /e%d", r.IntN(20))
			}
			c := node(fmt.Sprintf("pkg%d.(*T%d).Method%d", r.IntN(60), r.IntN(30), r.IntN(900)), cats[r.IntN(len(cats))], end, 1+r.Int64N(9))
			path.Children = append(path.Children, c)
			at = append(at, c)
			path, i = c, i+1
		}
	}
	for i := len(at) - 1; i >= 0; i-- {
		for _, c := range at[i].Children {
			at[i].Total += c.Total
		}
	}
	return &analysis.Tree{Root: root, Kind: "cpu", Unit: "samples", PerSecond: 100}
}

func BenchmarkDraw(b *testing.B) {
	small, large := small(), large(100_000)
	for _, bc := range []struct {
		name string
		draw func() error
	}{
		{"small/PNG", func() error { return flame.PNG(io.Discard, small, options) }},
		{"100k/PNG", func() error { return flame.PNG(io.Discard, large, options) }},
		{"100k/zoom", func() error { return flame.PNG(io.Discard, large, flame.Options{Zoom: "GET /e7"}) }},
		{"100k/SVG", func() error { return flame.SVG(io.Discard, large, options) }},
		{"100k/HTML", func() error { return flame.HTML(io.Discard, large, options) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bc.draw(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
