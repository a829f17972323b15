package flame

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/profbot/profbot/internal/analysis"
)

var (
	//go:embed flame.tmpl.html
	pageText string
	//go:embed flame.css
	styleText string
	//go:embed tree.js
	treesText string
	//go:embed flame.js
	scriptText string

	page = template.Must(template.New("flame").Parse(pageText))
)

const (
	// prune is the share of all samples below which a frame is left out of the
	// page: a large profile's 18,000 stacks become about 1,200 frames.
	prune = 0.0005
	// deepest is how many rows a page has: Go's profiles hold 128 frames, with
	// inlined ones some more.
	deepest = 512
)

// Tab is one tree of a page.
type Tab struct {
	Name string // "CPU", "goroutines"; "" means the tree's kind
	Tree *analysis.Tree
}

// HTML writes the tree as one page that needs nothing else. See [Page].
func HTML(w io.Writer, t *analysis.Tree, opt Options) error {
	return Page(w, []Tab{{Tree: t}}, opt)
}

// Page writes trees as one page with a tab for each: zoom, search by regular
// expression, callers and callees, by pointer, by finger and by keys ("?" lists
// them). It asks for nothing from outside and works under the policy
// default-src 'none' with inline style and script. Frames below 0.05 % of a
// tree are left out, which the page says. Empty trees are left out; it fails
// when none is left.
func Page(w io.Writer, tabs []Tab, opt Options) error {
	data := pageData{Zoom: clean(opt.Zoom), Routing: lookRouting, Diffs: lookDiffs, Same: lookSame, Tabs: []*jsonTree{}}
	for _, l := range looks {
		data.Looks = append(data.Looks, jsonLook{l.label, fmt.Sprintf("#%02x%02x%02x", l.rgb[0], l.rgb[1], l.rgb[2])})
	}
	for _, end := range opt.Highlight {
		data.Highlight = append(data.Highlight, clean(end))
	}
	for _, tab := range tabs {
		if check(tab.Tree) == nil {
			data.Tabs = append(data.Tabs, newJSONTree(tab))
		}
	}
	if len(data.Tabs) == 0 {
		return errEmpty
	}
	// json.Marshal escapes <, > and &, so the data cannot close the script
	// element, whatever the functions are called.
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode flame graph: %w", err)
	}
	err = page.Execute(w, map[string]any{
		"Title": clean(opt.Title), "Subtitle": clean(opt.Subtitle),
		"Style": template.CSS(styleText), "Script": template.JS(treesText + scriptText), "Data": template.JS(text),
	})
	if err != nil {
		return fmt.Errorf("write flame graph: %w", err)
	}
	return nil
}

// pageData is what the script reads.
type pageData struct {
	Tabs      []*jsonTree `json:"tabs"`
	Looks     []jsonLook  `json:"looks"`
	Routing   int         `json:"routing"` // index of the look of frames above handlers
	Diffs     int         `json:"diffs"`   // index of the first look of differences
	Same      int         `json:"same"`    // index of the look of what did not change
	Highlight []string    `json:"highlight"`
	Zoom      string      `json:"zoom"`
}

type jsonLook struct {
	Label string `json:"label"`
	RGB   string `json:"rgb"`
}

// jsonTree holds a tree in columns, callers before callees: flat data has no
// depth to run out of, and takes a third of nested objects.
type jsonTree struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Unit      string   `json:"unit"`
	PerSecond float64  `json:"perSecond"`
	PerSample float64  `json:"perSample"`
	Diff      bool     `json:"diff"`
	Funcs     [][4]any `json:"funcs"` // short name, full name, file, line
	Ends      []string `json:"ends"`
	Parent    []int    `json:"p"` // -1 for the root
	Func      []int    `json:"f"`
	Look      []int    `json:"c"`
	End       []int    `json:"e"` // -1 for none
	Total     []int64  `json:"t"`
	Self      []int64  `json:"s"`
	Base      []int64  `json:"b,omitempty"` // of differences
	Cur       []int64  `json:"u,omitempty"`
	BaseSelf  []int64  `json:"bs,omitempty"`
	CurSelf   []int64  `json:"us,omitempty"`
	// Own is what ends in each look by endpoint ("" for none), of the whole
	// tree: what was left out is in it.
	Own     map[string]map[int]int64 `json:"own"`
	Dropped int                      `json:"dropped"` // frames that were left out, without what they call
	Lost    int64                    `json:"lost"`    // their totals
}

func newJSONTree(tab Tab) *jsonTree {
	t := tab.Tree
	out := &jsonTree{
		Name: tab.Name, Kind: t.Kind, Unit: t.Unit, PerSecond: t.PerSecond, PerSample: t.PerSample, Diff: t.Root.Diff != nil,
		Ends: []string{}, Own: map[string]map[int]int64{},
	}
	if out.Name == "" {
		out.Name = t.Kind
	}
	paint := newPainter(t.Root)
	walk(t.Root, func(n *analysis.Node) {
		if n.Self <= 0 {
			return
		}
		end := clean(n.Endpoint)
		if out.Own[end] == nil {
			out.Own[end] = map[int]int64{}
		}
		out.Own[end][paint.meaning(n)] += n.Self
	})
	least := max(1, int64(prune*float64(t.Root.Total)))
	type fn struct {
		name, full, file string
		line             int64
	}
	funcs, ends := map[fn]int{}, map[string]int{"": -1}
	type job struct {
		n             *analysis.Node
		parent, depth int
	}
	todo := []job{{t.Root, -1, 0}}
	for len(todo) > 0 {
		j := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n := j.n
		f := fn{clean(n.Name), clean(n.Func), clean(n.File), n.Line}
		at, ok := funcs[f]
		if !ok {
			at = len(out.Funcs)
			funcs[f] = at
			out.Funcs = append(out.Funcs, [4]any{f.name, f.full, f.file, f.line})
		}
		name := clean(n.Endpoint)
		end, ok := ends[name]
		if !ok {
			end = len(out.Ends)
			ends[name] = end
			out.Ends = append(out.Ends, name)
		}
		me := len(out.Parent)
		out.Parent, out.Func, out.Look, out.End = append(out.Parent, j.parent), append(out.Func, at), append(out.Look, paint.meaning(n)), append(out.End, end)
		out.Total, out.Self = append(out.Total, n.Total), append(out.Self, max(0, n.Self))
		if out.Diff {
			d := n.Diff
			if d == nil {
				d = &analysis.NodeDiff{}
			}
			out.Base, out.Cur = append(out.Base, d.Base), append(out.Cur, d.Cur)
			out.BaseSelf, out.CurSelf = append(out.BaseSelf, d.BaseSelf), append(out.CurSelf, d.CurSelf)
		}
		for _, c := range slices.Backward(n.Children) { // the stack turns them around again
			if c.Total < least || j.depth >= deepest {
				out.Dropped++
				out.Lost += max(0, c.Total)
				continue
			}
			todo = append(todo, job{c, me, j.depth + 1})
		}
	}
	return out
}
