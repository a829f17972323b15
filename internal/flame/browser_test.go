package flame_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
	"github.com/profbot/profbot/internal/flame/flametest"
)

// policy is what the report page is served under.
const policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"

// browse opens trees in a real browser, under the policy, and fails the test on
// anything that the page asks for besides itself.
func browse(t *testing.T, tabs []flame.Tab, opt flame.Options, width int) *flametest.Page {
	t.Helper()
	// Not t.Context: it ends before Cleanup, and would kill what Close ends in order.
	p, err := flametest.Open(context.Background(), width, 900)
	if errors.Is(err, flametest.ErrNoBrowser) {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	var page strings.Builder
	if err := flame.Page(&page, tabs, opt); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && r.URL.Path != "/favicon.ico" {
			t.Errorf("the page asks for %s", r.URL)
		}
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write([]byte(page.String()))
	}))
	t.Cleanup(s.Close)
	if err := p.Go(s.URL); err != nil {
		t.Fatal(err)
	}
	// What a box says depends on the machine's fonts; what it stands for does not.
	if err := p.Eval(`window.named = e => e.ariaLabel.split("\n")[0].replace("example.com/live/", "") + " " + e.box.n.t`, nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// eval wants a string of an expression.
func eval(t *testing.T, p *flametest.Page, expression string) string {
	t.Helper()
	var out any
	if err := p.Eval(expression, &out); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(out)
}

func press(t *testing.T, p *flametest.Page, keys ...string) {
	t.Helper()
	if err := p.Press(keys...); err != nil {
		t.Fatal(err)
	}
}

func click(t *testing.T, p *flametest.Page, selector string) {
	t.Helper()
	if err := p.Click(selector); err != nil {
		t.Fatal(err)
	}
}

// wants compares what the page shows with what it should, by expression.
func wants(t *testing.T, p *flametest.Page, want map[string]string) {
	t.Helper()
	for expression, w := range want {
		if got := eval(t, p, expression); got != w {
			t.Errorf("%s:\n got %q\nwant %q", expression, got, w)
		}
	}
}

const (
	frames  = `document.querySelectorAll('#graph [role=treeitem]').length`
	focused = `document.activeElement.getAttribute("aria-label").split("\n")[0]`
	crumbs  = `document.getElementById("crumbs").innerText.replace(/\s+/g, " ")`
	matched = `document.getElementById("matched").textContent`
)

func TestPageShowsTheTree(t *testing.T) {
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: small()}}, options, 1400)
	wants(t, p, map[string]string{
		frames: "16", // of 19, four of which are routing and folded into one
		`[...document.querySelectorAll("#graph .marked")].map(e => named(e)).join("; ")`: "(*liveAPI).LiveList 473; (*giftAPI).GiftList 220",
		`document.querySelector("#legend").innerText.split("\n")[0].trim()`:              "decode 52 %",
		`document.querySelectorAll("#tabs button").length`:                               "0",
		`getComputedStyle(document.querySelector("h1")).fontSize`:                        "21px", // the style was let in
	})
	click(t, p, "#fold")
	wants(t, p, map[string]string{frames: "19"})
}

func TestPageKeyboard(t *testing.T) {
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: small()}}, options, 1400)
	// Nothing has the focus at first: Tab alone must reach the graph.
	for range 30 {
		press(t, p, "Tab")
		if eval(t, p, `document.activeElement.getAttribute("role")`) == "treeitem" {
			break
		}
	}
	wants(t, p, map[string]string{focused: "all"})
	press(t, p, "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft")
	wants(t, p, map[string]string{focused: "example.com/live/(*giftAPI).GiftList"})
	// The focus must be seen.
	wants(t, p, map[string]string{`getComputedStyle(document.activeElement).outlineStyle`: "solid"})
	press(t, p, "Enter")
	wants(t, p, map[string]string{frames: "2", crumbs: "all › http.(*conn).serve › http.serverHandler.ServeHTTP › http.(*ServeMux).ServeHTTP › http.HandlerFunc.ServeHTTP › (*giftAPI).GiftList"})
	press(t, p, "ArrowUp") // the caller
	wants(t, p, map[string]string{focused: "example.com/live/http.HandlerFunc.ServeHTTP"})
	press(t, p, "Escape", "Escape")
	wants(t, p, map[string]string{frames: "16", crumbs: "", focused: "all"})
	press(t, p, "?")
	wants(t, p, map[string]string{`document.getElementById("help").open`: "true"})
	press(t, p, "Escape")
	wants(t, p, map[string]string{`document.getElementById("help").open`: "false", frames: "16"})
	press(t, p, "d")
	wants(t, p, map[string]string{`document.documentElement.dataset.theme`: "dark"})
	press(t, p, "i")
	wants(t, p, map[string]string{`document.getElementById("view").value`: "flame", focused: "all"})
	// The root stands at the bottom, its callee above it.
	wants(t, p, map[string]string{`(() => { const [a, b] = document.querySelectorAll("#graph [role=treeitem]"); return parseFloat(a.style.top) > parseFloat(b.style.top); })()`: "true"})
	press(t, p, "ArrowUp")
	wants(t, p, map[string]string{focused: "example.com/live/http.(*conn).serve"})
}

func TestPageSearch(t *testing.T) {
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: small()}}, options, 1400)
	press(t, p, "/")
	if err := p.Type(`json\.|sha256`); err != nil {
		t.Fatal(err)
	}
	// 90+240+60 + 31 + 200 + 90 of 1010, each once though matches nest.
	wants(t, p, map[string]string{
		matched: "70 % of all samples",
		`document.querySelectorAll("#graph .hit").length`: "5",
	})
	press(t, p, "Enter", "n", "n")
	wants(t, p, map[string]string{focused: "example.com/live/json.Marshal"})
	press(t, p, "N")
	wants(t, p, map[string]string{focused: "example.com/live/json.(*decodeState).object"})
	press(t, p, "/", "(")
	wants(t, p, map[string]string{matched: "not a regular expression", `document.getElementById("search").validity.valid`: "false", `document.querySelectorAll("#graph .hit").length`: "0"})
}

func TestPageCallers(t *testing.T) {
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: small()}}, options, 1400)
	press(t, p, "l")
	// json.(*decodeState).object has 240 samples of its own, Unmarshal 90 and 200.
	wants(t, p, map[string]string{
		`[...document.querySelectorAll('#graph [aria-level="2"]')].slice(0, 2).map(e => named(e)).join(" | ")`: "json.Unmarshal 290 | json.(*decodeState).object 240",
		`[...document.querySelectorAll('#graph [aria-level="3"]')].slice(0, 2).map(e => named(e)).join(" | ")`: "(*giftAPI).GiftList 200 | (*liveAPI).LiveList 90",
		`[...document.querySelectorAll('#graph [aria-level="2"]')].reduce((w, e) => w + e.box.n.t, 0)`:         "1010",
	})
	press(t, p, "l", "t")
	wants(t, p, map[string]string{
		`document.querySelector("#table tr").innerText.replace(/\s+/g, " ")`: "29 % 58 % example.com/live/json.Unmarshal",
	})
	click(t, p, "#table tr button")
	wants(t, p, map[string]string{
		`document.getElementById("sandwich").innerText.replace(/\s+/g, " ")`: "example.com/live/json.Unmarshal own 29 %, total 58 %; search for it " +
			"Called by 39 % example.com/live/(*liveAPI).LiveList 20 % example.com/live/(*giftAPI).GiftList Calls 30 % example.com/live/json.(*decodeState).object",
	})
}

// TestPageLegendIsOfTheWhole counts what is too small to be drawn.
func TestPageLegendIsOfTheWhole(t *testing.T) {
	tree := wide(4)
	small := node("main.small", analysis.CatApp, "", 0)
	for i := range 3000 {
		small.Children = append(small.Children, node(fmt.Sprintf("json.f%d", i), analysis.CatDecode, "", 1))
	}
	tree.Root.Children = append(tree.Root.Children, small)
	tree.Root.Children[0].Self = 3000
	fix(tree.Root)
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: tree}}, flame.Options{}, 1400)
	wants(t, p, map[string]string{
		`document.querySelector("#legend").innerText.split("\n")[0].trim()`: "decode 50 %",
		`document.getElementById("note").textContent`:                       "3,000 frames below 0.05 % of all, and what they call, are left out: 50 % together.",
	})
}

func TestPageEndpointAndLegend(t *testing.T) {
	opt := options
	opt.Zoom = "GET /gift/list"
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: small()}}, opt, 1400)
	wants(t, p, map[string]string{
		frames: "3", // the endpoint, its handler, the decoder
		`document.querySelector("#graph .root").textContent`: "GET /gift/list: 220 samples, 22 % of all",
		`location.hash`: "#endpoint=GET+%2Fgift%2Flist",
	})
	press(t, p, "0")
	click(t, p, "#reset")
	wants(t, p, map[string]string{frames: "16"})
	click(t, p, "#legend button") // decode
	wants(t, p, map[string]string{
		`document.querySelectorAll("#graph .dim").length`:                                                     "13",
		`document.querySelector("#legend button").getAttribute("aria-pressed")`:                               "true",
		`[...document.querySelectorAll("#graph :not(.dim)")].every(e => /json\./.test(e.box && e.ariaLabel))`: "true",
	})
	press(t, p, "p")
	wants(t, p, map[string]string{`document.getElementById("colour").value`: "package", `document.querySelectorAll("#graph .dim").length`: "0"})
}

func TestPageCopiesAStack(t *testing.T) {
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: small()}}, options, 1400)
	if err := p.Eval(`navigator.clipboard.writeText = s => { window.copied = s; return Promise.resolve(); }`, nil); err != nil {
		t.Fatal(err)
	}
	press(t, p, "0", "ArrowDown", "ArrowDown", "c")
	want := "473 samples (4.73 s), 47 % of all, 100 % of GET /live/list, 3.0 % in the function itself\n" +
		"example.com/live/http.(*conn).serve\n\t/src/http.(*conn).serve.go:7\n" +
		"example.com/live/http.serverHandler.ServeHTTP\n\t/src/http.serverHandler.ServeHTTP.go:7\n" +
		"example.com/live/http.(*ServeMux).ServeHTTP\n\t/src/http.(*ServeMux).ServeHTTP.go:7\n" +
		"example.com/live/http.HandlerFunc.ServeHTTP\n\t/src/http.HandlerFunc.ServeHTTP.go:7\n" +
		"example.com/live/(*liveAPI).LiveList\n\t/src/(*liveAPI).LiveList.go:7\n"
	if d := cmp.Diff(want, eval(t, p, `window.copied`)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestPageDiffAndTabs(t *testing.T) {
	after := small()
	after.Root.Children[0].Children[0].Children[0].Children[0].Children = after.Root.Children[0].Children[0].Children[0].Children[0].Children[1:] // the live list is gone
	fix(after.Root)
	diff, err := analysis.DiffTree(small(), after)
	if err != nil {
		t.Fatal(err)
	}
	heap := &analysis.Tree{Kind: "heap", Unit: "bytes", Root: node("all", analysis.CatLibrary, "", 0, node("main.cache", analysis.CatApp, "", 3<<20))}
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: small()}, {Name: "change", Tree: diff}, {Name: "heap", Tree: heap}}, options, 1400)
	press(t, p, "]")
	wants(t, p, map[string]string{
		`document.querySelector("#tabs [aria-selected=true]").textContent`:                                                                           "change",
		`[...document.querySelectorAll("#graph .first")].map(e => e.textContent.split("  ")[0] + " " + e.textContent.split("  ").pop()).join(" | ")`: "GET /gift/list +19 points | GET /live/list −47 points | GET /user/{id} +13 points",
		`[...document.querySelectorAll("#graph .first")].map(e => e.style.background).join(" | ")`:                                                   "rgb(242, 116, 106) | rgb(112, 167, 238) | rgb(242, 116, 106)",
		`document.querySelectorAll("#graph .first")[1].ariaLabel.split("\n")[1]`:                                                                     "47 % → 0 % of all (−47 points, z = -19.0, significant); 473 samples → 0 samples",
		`document.getElementById("legend").innerText.includes("no significant change")`:                                                              "true",
	})
	press(t, p, "]")
	wants(t, p, map[string]string{`document.querySelector("#graph .root").textContent`: "all: 3.0 MiB"})
}

func fix(n *analysis.Node) {
	n.Total = n.Self
	for _, c := range n.Children {
		fix(c)
		n.Total += c.Total
	}
}

// TestSVGInBrowser opens a picture as a browser does a file.
func TestSVGInBrowser(t *testing.T) {
	p, err := flametest.Open(context.Background(), 1600, 900)
	if errors.Is(err, flametest.ErrNoBrowser) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	file := filepath.Join(t.TempDir(), "flame.svg")
	var b bytes.Buffer
	if err := flame.SVG(&b, spread(), zoomed("GET /live/list")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Go("file://" + file); err != nil {
		t.Fatal(err)
	}
	wants(t, p, map[string]string{
		`document.documentElement.getBoundingClientRect().width`: "1600",
		`[...document.querySelectorAll("g > title")].find(e => e.textContent.includes("LiveList\n")).textContent`: "example.com/live/(*liveAPI).LiveList\n/src/(*liveAPI).LiveList.go:7\n" +
			"endpoint GET /live/list\n473 samples (4.73 s), 43% of all, 83% of the endpoint, 2.7% in the function itself",
		// The browser's font is not the one that was measured: clipped, not overflowing.
		`[...document.querySelectorAll("g > svg")].every(e => getComputedStyle(e).overflow === "hidden")`: "true",
	})
}

// TestPageOnAPhone wants nothing wider than the screen and no box on another.
func TestPageOnAPhone(t *testing.T) {
	p := browse(t, []flame.Tab{{Name: "CPU", Tree: wide(600)}, {Name: "heap", Tree: small()}}, options, 360)
	wants(t, p, map[string]string{
		`document.documentElement.scrollWidth`: "360",
		overlaps:                               "0",
		`[...document.querySelectorAll(".bar button, .bar select, .bar input[type=search]")].every(e => e.getBoundingClientRect().right <= 360)`: "true",
	})
	if n := eval(t, p, frames); n == "1" {
		t.Error("no frame was drawn")
	}
}

// overlaps counts boxes that lie on another of their row.
const overlaps = `(() => {
	const by = new Map();
	for (const e of document.querySelectorAll("#graph [role=treeitem]")) {
		const r = e.getBoundingClientRect();
		by.set(r.top, [...(by.get(r.top) || []), r]);
	}
	let n = 0;
	for (const row of by.values()) row.sort((a, b) => a.left - b.left).forEach((r, i) => { if (i && r.left < row[i - 1].right - 0.01) n++; });
	return n;
})()`

// wide is a root with many callees of falling weight.
func wide(n int) *analysis.Tree {
	kids := make([]*analysis.Node, n)
	for i := range kids {
		kids[i] = node(fmt.Sprintf("main.f%d", i), analysis.CatApp, "", int64(3*(n-i)))
	}
	return &analysis.Tree{Root: node("all", analysis.CatLibrary, "", 0, kids...), Kind: "cpu", Unit: "samples"}
}
