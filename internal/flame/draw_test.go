package flame_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
)

var update = flag.Bool("update", false, "rewrite golden files")

func node(name string, c analysis.Category, endpoint string, self int64, kids ...*analysis.Node) *analysis.Node {
	n := &analysis.Node{Name: name, Func: "example.com/live/" + name, File: "/src/" + name + ".go", Line: 7, Category: c, Endpoint: endpoint, Self: self, Total: self, Children: kids}
	for _, k := range kids {
		n.Total += k.Total
	}
	return n
}

// small is a tree like that of a small service.
func small() *analysis.Tree {
	live, gift := "GET /live/list", "GET /gift/list"
	lib, app, dec := analysis.CatLibrary, analysis.CatApp, analysis.CatDecode
	root := node("all", lib, "", 0,
		node("http.(*conn).serve", lib, "", 8,
			node("http.serverHandler.ServeHTTP", lib, "", 0,
				node("http.(*ServeMux).ServeHTTP", lib, "", 2,
					node("http.HandlerFunc.ServeHTTP", lib, "", 0,
						node("(*liveAPI).LiveList", app, live, 30,
							node("json.Unmarshal", dec, live, 90,
								node("json.(*decodeState).object", dec, live, 240, node("runtime.mallocgc", analysis.CatGC, live, 60))),
							node("freecache.(*Cache).Get", analysis.CatStore, live, 22),
							node("json.Marshal", analysis.CatEncode, live, 31)),
						node("(*giftAPI).GiftList", app, gift, 20, node("json.Unmarshal", dec, gift, 200)),
						node("(*userAPI).User", app, "GET /user/{id}", 60, node("sha256.block", analysis.CatCrypto, "GET /user/{id}", 90)))))),
		node("runtime.gcBgMarkWorker", analysis.CatGC, "", 75),
		node("runtime.mcall", analysis.CatRuntime, "", 40),
		node("gzip.Write", analysis.CatCompress, "", 25, node("syscall.write", analysis.CatIO, "", 17)))
	return &analysis.Tree{Root: root, Kind: "cpu", Unit: "samples", PerSecond: 100}
}

var options = flame.Options{
	Title:     "GET /live/list and GET /gift/list: 82 % and 91 % of their CPU goes to decoding cached JSON",
	Subtitle:  "live-api, 2 pods, 30s of CPU profile, 1010 samples",
	Highlight: []string{"GET /live/list", "GET /gift/list"},
}

func decode(t *testing.T, data []byte) *image.Paletted {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	p, ok := img.(*image.Paletted)
	if !ok {
		t.Fatalf("the picture is %T, want a paletted one", img)
	}
	return p
}

func deep(n int) *analysis.Tree {
	leaf := node("leaf", analysis.CatApp, "", 100)
	for i := range n {
		leaf = node(fmt.Sprintf("f%d", i), analysis.CatApp, "", 1, leaf)
	}
	return &analysis.Tree{Root: node("all", analysis.CatLibrary, "", 0, leaf), Unit: "samples"}
}

func TestPNGStaysInItsLimits(t *testing.T) {
	var b bytes.Buffer
	if err := flame.PNG(&b, deep(500), flame.Options{Title: strings.Repeat("long words ", 200)}); err != nil {
		t.Fatal(err)
	}
	if r := decode(t, b.Bytes()).Rect; r.Dx() != 1600 || r.Dy() > 920 {
		t.Errorf("picture is %v", r)
	}
}

func TestRefuses(t *testing.T) {
	for name, tree := range map[string]*analysis.Tree{
		"nil": nil, "no root": {}, "empty": {Root: &analysis.Node{Name: "all"}},
	} {
		if err := flame.PNG(&bytes.Buffer{}, tree, flame.Options{}); err == nil {
			t.Errorf("%s: PNG gave no error", name)
		}
		if err := flame.SVG(&bytes.Buffer{}, tree, flame.Options{}); err == nil {
			t.Errorf("%s: SVG gave no error", name)
		}
		if err := flame.HTML(&bytes.Buffer{}, tree, flame.Options{}); err == nil {
			t.Errorf("%s: HTML gave no error", name)
		}
	}
	if err := flame.PNG(&bytes.Buffer{}, small(), flame.Options{Width: 10}); err == nil {
		t.Error("a picture 10 pixels wide gave no error")
	}
}

func TestHTMLCannotBeBrokenOutOf(t *testing.T) {
	evil := `</script><script>alert("evil")</script><!--`
	tree := small()
	tree.Root.Children[0].Name, tree.Root.Children[0].Func, tree.Root.Children[0].Endpoint = evil, evil, evil
	var b bytes.Buffer
	if err := flame.HTML(&b, tree, flame.Options{Title: evil, Subtitle: evil, Highlight: []string{evil}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script>alert") || strings.Count(b.String(), "</script>") != 2 {
		t.Error("a function's name broke out of the data")
	}
}
