package flame_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
)

// grown is small with a user endpoint that costs four times as much, and
// without its live list's encoding.
func grown(t *testing.T) *analysis.Tree {
	t.Helper()
	after := small()
	mux := after.Root.Children[0].Children[0].Children[0].Children[0]
	live, user := mux.Children[0], mux.Children[2]
	live.Children = live.Children[:2]
	user.Self, user.Children[0].Self = 4*user.Self, 4*user.Children[0].Self
	fix(after.Root)
	d, err := analysis.DiffTree(small(), after)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// parked is a goroutine tree with every kind of waiting.
func parked() *analysis.Tree {
	live := "GET /live/list"
	return &analysis.Tree{Kind: "goroutine", Unit: "goroutines", Root: node("all", analysis.CatLibrary, "", 0,
		node("http.(*conn).serve", analysis.CatLibrary, "", 0,
			node("(*liveAPI).LiveList", analysis.CatApp, live, 0,
				node("sync.(*Mutex).Lock", analysis.CatLock, live, 0, node("runtime.gopark", analysis.CatLock, live, 400)),
				node("runtime.chanrecv1", analysis.CatChannel, live, 120),
				node("net.(*conn).Read", analysis.CatIO, live, 80))),
		node("main.poll", analysis.CatApp, "", 0, node("time.Sleep", analysis.CatSleep, "", 60)))}
}

// zoomed are the options for a picture of one endpoint.
func zoomed(endpoint string) flame.Options {
	opt := options
	opt.Zoom, opt.MaxHeight = endpoint, 0
	return opt
}

// spread is small with a goroutine that the live list started.
func spread() *analysis.Tree {
	tree := small()
	live := "GET /live/list"
	tree.Root.Children = append(tree.Root.Children, node("errgroup.(*Group).Go.func1", analysis.CatLibrary, "", 0,
		node("(*liveAPI).LiveList.func2", analysis.CatApp, live, 5, node("json.Unmarshal", analysis.CatDecode, live, 95))))
	fix(tree.Root)
	return tree
}

func TestGolden(t *testing.T) {
	png := func(w io.Writer, tree *analysis.Tree, opt flame.Options) error { return flame.PNG(w, tree, opt) }
	svg := func(w io.Writer, tree *analysis.Tree, opt flame.Options) error { return flame.SVG(w, tree, opt) }
	html := func(w io.Writer, tree *analysis.Tree, opt flame.Options) error { return flame.HTML(w, tree, opt) }
	for _, tc := range []struct {
		file string
		draw func(io.Writer, *analysis.Tree, flame.Options) error
		tree *analysis.Tree
		opt  flame.Options
	}{
		{"small.png", png, small(), options},
		{"deep.png", png, deep(60), flame.Options{Title: "A title", Width: 800, MaxHeight: 400}},
		{"zoom.png", png, spread(), zoomed("GET /live/list")},
		{"diff.png", png, grown(t), flame.Options{Title: "GET /user/{id} takes 40 % of the CPU, not 15 %"}},
		{"diffzoom.png", png, grown(t), zoomed("GET /user/{id}")},
		{"goroutine.png", png, parked(), flame.Options{Title: "61 % of the goroutines wait for one lock"}},
		{"small.svg", svg, small(), options},
		{"zoom.svg", svg, spread(), zoomed("GET /live/list")},
		{"diff.svg", svg, grown(t), flame.Options{Title: "GET /user/{id} takes 40 % of the CPU, not 15 %"}},
		{"small.html", html, small(), options},
		{"diff.html", html, grown(t), flame.Options{Title: "What changed"}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			var b, again bytes.Buffer
			if err := tc.draw(&b, tc.tree, tc.opt); err != nil {
				t.Fatal(err)
			}
			if err := tc.draw(&again, tc.tree, tc.opt); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
				t.Fatalf("drawn twice it differs (%v)", err)
			}
			file := filepath.Join("testdata", tc.file)
			got := b.Bytes()
			if filepath.Ext(file) == ".html" {
				got = dataOf(t, got)
				file = strings.TrimSuffix(file, ".html") + ".json"
			}
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			same := bytes.Equal(got, want)
			if filepath.Ext(file) == ".png" { // the pixels count, not how they are packed
				now, was := decode(t, got), decode(t, want)
				same = now.Rect == was.Rect && bytes.Equal(now.Pix, was.Pix)
			}
			if !same {
				t.Errorf("it differs from %s: look at both, then run with -update", file)
			}
		})
	}
}

// dataOf cuts the data out of a page: the rest are files of their own.
func dataOf(t *testing.T, page []byte) []byte {
	t.Helper()
	_, rest, ok := bytes.Cut(page, []byte("<script>const data = "))
	data, _, end := bytes.Cut(rest, []byte(";</script>"))
	if !ok || !end {
		t.Fatal("the page has no data")
	}
	return data
}

// wellFormed reads an SVG as a parser of XML does, and wants nothing in it that
// could run or load.
func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "svg", "title", "style", "rect", "path", "text", "g":
		default:
			t.Fatalf("there is an element %s", e.Name.Local)
		}
		for _, a := range e.Attr {
			if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Name.Local, "href") {
				t.Fatalf("there is an attribute %s", a.Name.Local)
			}
		}
	}
}
