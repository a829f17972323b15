package flame

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"

	"github.com/profbot/profbot/internal/analysis"
)

var (
	//go:embed flame.tmpl.html
	pageText string
	//go:embed flame.css
	styleText string
	//go:embed flame.js
	scriptText string

	page = template.Must(template.New("flame").Parse(pageText))
)

// prune is the share of all samples below which a frame is left out of the
// page: a large profile's 18,000 stacks become about 1,200 frames.
const prune = 0.0005

// jsonNode is a frame in the page's data; short keys keep the page small.
type jsonNode struct {
	Name     string      `json:"n"`
	Func     string      `json:"f,omitempty"`
	File     string      `json:"p,omitempty"`
	Line     int64       `json:"l,omitempty"`
	Look     int         `json:"c"`
	Endpoint string      `json:"e,omitempty"`
	Total    int64       `json:"t"`
	Self     int64       `json:"s,omitempty"`
	Children []*jsonNode `json:"k,omitempty"`
}

type jsonLook struct {
	Label string `json:"label"`
	RGB   string `json:"rgb"`
}

// HTML writes the tree as one page that needs nothing else: zoom by click or
// Enter, search by regular expression, details under the pointer. It works
// under the policy default-src 'none' with inline style and script.
func HTML(w io.Writer, t *analysis.Tree, opt Options) error {
	if err := check(t); err != nil {
		return err
	}
	data := struct {
		Tree      *jsonNode  `json:"tree"`
		Unit      string     `json:"unit"`
		PerSecond float64    `json:"perSecond"`
		Looks     []jsonLook `json:"looks"`
		Highlight []string   `json:"highlight"`
		Pruned    int        `json:"pruned"`
	}{Unit: t.Unit, PerSecond: t.PerSecond, Highlight: opt.Highlight}
	for _, l := range looks {
		data.Looks = append(data.Looks, jsonLook{l.label, fmt.Sprintf("#%02x%02x%02x", l.rgb[0], l.rgb[1], l.rgb[2])})
	}
	data.Tree = pruned(t.Root, max(1, int64(prune*float64(t.Root.Total))), &data.Pruned)
	// json.Marshal escapes <, > and &, so the data cannot close the script
	// element, whatever the functions are called.
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode flame graph: %w", err)
	}
	err = page.Execute(w, map[string]any{
		"Title": opt.Title, "Subtitle": opt.Subtitle,
		"Style": template.CSS(styleText), "Script": template.JS(scriptText), "Data": template.JS(text),
	})
	if err != nil {
		return fmt.Errorf("write flame graph: %w", err)
	}
	return nil
}

// pruned copies the tree without frames below least. Recursion is bounded by
// the depth of stacks, which the runtime bounds.
func pruned(n *analysis.Node, least int64, dropped *int) *jsonNode {
	out := &jsonNode{Name: n.Name, File: n.File, Line: n.Line, Look: lookOf(n.Category), Endpoint: n.Endpoint, Total: n.Total, Self: n.Self}
	if n.Func != n.Name {
		out.Func = n.Func
	}
	for _, c := range n.Children {
		if c.Total < least {
			*dropped++
			continue
		}
		out.Children = append(out.Children, pruned(c, least, dropped))
	}
	return out
}
