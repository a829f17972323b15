package flame

import (
	"image"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
)

// chain is a run of frames of one sample count, callers first.
func chain(total int64, categories ...analysis.Category) *analysis.Node {
	var n *analysis.Node
	for i := len(categories) - 1; i >= 0; i-- {
		p := &analysis.Node{Name: string(categories[i]), Category: categories[i], Total: total, Self: total}
		if n != nil {
			p.Self, p.Children = 0, []*analysis.Node{n}
		}
		n = p
	}
	return n
}

func rooted(kids ...*analysis.Node) *analysis.Tree {
	root := &analysis.Node{Name: "all", Children: kids}
	for _, k := range kids {
		root.Total += k.Total
	}
	return &analysis.Tree{Root: root, Unit: "samples"}
}

// TestLegend wants every colour of the boxes named, also where no sample ends
// in it.
func TestLegend(t *testing.T) {
	tree := rooted(
		chain(997, analysis.CatStore, analysis.CatDecode),
		chain(3, analysis.CatCrypto),
	)
	p, err := newComposer(tree, Options{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	_, entries, _ := p.legendEntries()
	var got []string
	for _, e := range entries {
		got = append(got, e.text)
	}
	if d := cmp.Diff([]string{"decode 100%", "cache, database 0%", "crypto <1%"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestCollapseIsOfOneCategory keeps a box from standing in one colour for
// frames of another.
func TestCollapseIsOfOneCategory(t *testing.T) {
	lib, io := analysis.CatLibrary, analysis.CatIO
	tree := rooted(chain(10, lib, lib, lib, io, io, io, io, lib))
	var got []string
	for _, b := range layout(tree.Root, 1, newPainter(tree.Root))[1:] {
		got = append(got, strings.Repeat(string(b.node.Category)+" ", b.depth))
	}
	want := []string{strings.Repeat(string(lib)+" ", 3), strings.Repeat(string(io)+" ", 4), string(lib) + " "}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestOutline wants an outline around a highlighted box unless the box is so
// narrow that nothing else of it would be seen.
func TestOutline(t *testing.T) {
	for _, tc := range []struct {
		name    string
		total   int64 // of 1552 pixels
		outline bool
	}{{"wide", 400, true}, {"narrow", 4, false}} {
		t.Run(tc.name, func(t *testing.T) {
			hot := chain(tc.total, analysis.CatDecode)
			hot.Endpoint = "GET /hot"
			p, err := newComposer(rooted(hot, chain(1552-tc.total, analysis.CatApp)), Options{Highlight: []string{"GET /hot"}, MaxHeight: 920}, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			p.draw()
			img := p.raster()
			// The last rows of the picture are the foot; above it stands the box.
			at := image.Pt(margin, img.Rect.Max.Y-18-rowHeight/2)
			if ink := img.ColorIndexAt(at.X, at.Y) == paper*shades+shades-1; ink != tc.outline {
				t.Errorf("ink at %v: %t, want %t", at, ink, tc.outline)
			}
		})
	}
}

// TestHeaderWithoutSubtitle wants no empty strip where the subtitle would be.
func TestHeaderWithoutSubtitle(t *testing.T) {
	height := func(subtitle string) int {
		p, err := newComposer(rooted(chain(10, analysis.CatApp)), Options{Title: "A title", Subtitle: subtitle, MaxHeight: 920}, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		p.draw()
		return p.height
	}
	if with, without := height("live-api, 1 pod"), height(""); with-without < smallFont {
		t.Errorf("height %d with a subtitle, %d without", with, without)
	}
}

// TestWrap keeps a number and its % on one line.
func TestWrap(t *testing.T) {
	face, err := newFace(true, titleFont)
	if err != nil {
		t.Fatal(err)
	}
	defer face.Close()
	got, whole := wrap(face, "decodes cached JSON (50–60 %)", measure(face, "decodes cached JSON (50–60 "))
	if d := cmp.Diff([]string{"decodes cached JSON", "(50–60 %)"}, got); d != "" || !whole {
		t.Errorf("whole %t (-want +got):\n%s", whole, d)
	}
}
