package flame

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/analysis"
)

type legendEntry struct {
	look   int // -1 for none
	text   string
	x, row int
}

// legend writes what colours mean below y, and returns where it ends.
func (c *composer) legend(y int) int {
	lead, entries, rows := c.legendEntries()
	c.write(margin, y+23, faceLegend, lead, paper)
	for _, e := range entries {
		x, y := margin+e.x, y+e.row*legendRow
		if e.look >= 0 {
			c.rect(float64(x), float64(y+5), float64(x+22), float64(y+27), e.look*shades)
			x += 30
		}
		c.write(x, y+23, faceLegend, e.text, paper)
	}
	return y + rows*legendRow + 8
}

// legendLead says what the legend's shares are of: those of the title and the
// boxes include what a frame calls.
func (c *composer) legendLead() string {
	switch c.t.Kind {
	case "goroutine":
		return "waiting in:"
	case "mutex", "block":
		return "own delay:"
	case "heap", "allocs":
		return "allocated in:"
	}
	return "own time:"
}

// legendEntries lists the looks of the boxes, and those that samples end in,
// with the share that ends in each, in the fixed order, wrapped into rows.
func (c *composer) legendEntries() (lead string, out []legendEntry, rows int) {
	if c.root.Diff != nil {
		return c.diffLegend()
	}
	self, drawn := map[int]int64{}, map[int]bool{}
	walk(c.root, func(n *analysis.Node) { self[c.paint.of(n)] += max(0, n.Self) })
	for _, b := range c.boxes {
		if b.row > 0 { // the root has a colour of its own
			drawn[b.look] = true
		}
	}
	for i, l := range looks[:lookDiffs] {
		own := self[i]
		if own == 0 && !drawn[i] {
			continue
		}
		share := fmt.Sprintf("%.0f%%", 100*float64(own)/float64(c.root.Total))
		if share == "0%" && own > 0 {
			share = "<1%"
		}
		out = append(out, legendEntry{look: i, text: l.label + " " + share})
	}
	lead = c.legendLead()
	return lead, out, c.flow(out, lead)
}

// flow gives entries their places, row by row, and returns how many rows there are.
func (c *composer) flow(entries []legendEntry, lead string) int {
	left := c.measure(faceLegend, lead) + 18
	x, rows := left, 1
	for i := range entries {
		need := c.measure(faceLegend, entries[i].text) + 24
		if entries[i].look >= 0 {
			need += 30
		}
		if x+need-24 > c.inner() && x > left {
			x, rows = left, rows+1
		}
		entries[i].x, entries[i].row = x, rows-1
		x += need
	}
	return rows
}

// diffLegend explains the scale of a difference in one row, and in another
// says which kinds of work took more or less of the whole.
func (c *composer) diffLegend() (lead string, out []legendEntry, rows int) {
	lead = "share of CPU:"
	if c.t.Kind != "cpu" {
		lead = "share of all:"
	}
	out = []legendEntry{
		{look: lookSame - 3, text: ""},
		{look: lookSame - 2, text: ""},
		{look: lookSame - 1, text: "grew ≥10, 2–10, <2 points"},
		{look: lookSame + 3, text: ""},
		{look: lookSame + 2, text: ""},
		{look: lookSame + 1, text: "shrank"},
		{look: lookSame, text: "no significant change"},
	}
	left := c.measure(faceLegend, lead) + 18
	x := left
	for i := range out {
		out[i].x = x
		x += 24
		if out[i].text != "" {
			x += 6 + c.measure(faceLegend, out[i].text) + 24
		}
	}
	rows = 1
	if changes := c.changes(left); len(changes) > 0 {
		out, rows = append(out, changes...), 2
	}
	return lead, out, rows
}

// changes lists the categories whose own share changed most, as many as fit.
func (c *composer) changes(left int) (out []legendEntry) {
	type sum struct{ base, cur float64 }
	by := map[analysis.Category]sum{}
	walk(c.root, func(n *analysis.Node) {
		if n.Diff != nil {
			s := by[n.Category]
			by[n.Category] = sum{s.base + float64(n.Diff.BaseSelf), s.cur + float64(n.Diff.CurSelf)}
		}
	})
	of := c.t.Root.Diff
	type change struct {
		label     string
		base, cur float64
	}
	var all []change
	for _, l := range looks[:lookDiffs] {
		if s, ok := by[l.category]; ok {
			all = append(all, change{l.label, 100 * s.base / float64(max(1, of.Base)), 100 * s.cur / float64(max(1, of.Cur))})
		}
	}
	slices.SortStableFunc(all, func(a, b change) int {
		return cmp.Compare(math.Abs(b.cur-b.base), math.Abs(a.cur-a.base))
	})
	x := left
	for _, ch := range all {
		if math.Abs(ch.cur-ch.base) < 1 {
			break
		}
		text := fmt.Sprintf("%s %.0f → %.0f%%", ch.label, ch.base, ch.cur)
		if len(out) > 0 {
			text = "·  " + text
		}
		need := c.measure(faceLegend, text)
		if x+need > c.inner() {
			break
		}
		out = append(out, legendEntry{look: -1, text: text, x: x, row: 1})
		x += need + 14
	}
	return out
}

// strip draws the whole process as one bar, with the endpoint that is zoomed
// to marked in it and opening into what follows; then what was cut.
func (c *composer) strip(y int) int {
	scale := float64(c.inner()) / float64(c.t.Root.Total)
	x := float64(margin)
	var mark shape
	for _, part := range c.parts() {
		x1 := x + float64(part.total)*scale
		s := shape{x0: x, y0: float64(y), x1: max(x, x1-1), y1: float64(y + stripHeight), color: part.look * shades, tip: clean(part.name)}
		if part.name == c.root.Name && part.endpoint {
			mark = s
		}
		share := percent(float64(part.total), float64(c.t.Root.Total))
		if c.root.Diff != nil {
			share = ""
			if part.diff != nil && part.diff.Significant() {
				share = points(part.diff.Change)
			}
		}
		face := faceRow
		if part.endpoint && part.name == c.root.Name {
			face = faceBold
		}
		if room := int(s.x1) - int(s.x0) - 12; room > 24 {
			line := strings.TrimRight(clean(part.name)+"  "+share, " ")
			if c.measure(face, line) > room {
				line = c.fit(face, clean(part.name), room)
			}
			if line != "" {
				s.texts = []text{{int(s.x0) + 6, y + 29, face, line, part.look}}
			}
		}
		c.shapes = append(c.shapes, s)
		x = x1
	}
	c.shapes = append(c.shapes, shape{
		x0: mark.x0, x1: mark.x1, y0: float64(y + stripHeight + 2), low0: margin, low1: float64(c.width - margin),
		y1: float64(y + stripHeight + funnel), color: band * shades,
	})
	c.outlined(mark)
	y += stripHeight + funnel
	crumbs := c.breadcrumb()
	if crumbs == "" {
		return y
	}
	s := shape{x0: margin, x1: float64(c.width - margin), y0: float64(y), y1: float64(y + rowHeight), color: band * shades}
	s.texts = []text{{margin + 6, y + 24, faceLegend, c.fit(faceLegend, crumbs, c.inner()-12), band}}
	c.shapes = append(c.shapes, s)
	return y + rowHeight + 1
}

// breadcrumb says what was cut off above a zoom.
func (c *composer) breadcrumb() string {
	above := c.zoom.above
	if len(above) > 0 {
		above = above[1:] // "all"
	}
	var parts []string
	if len(above) > 0 {
		names := make([]string, 0, 3)
		for i, name := range above {
			if i == 0 || i >= len(above)-2 {
				names = append(names, clean(name))
			} else if i == 1 {
				names = append(names, "…")
			}
		}
		noun := "frames"
		if len(above) == 1 {
			noun = "frame"
		}
		parts = append(parts, fmt.Sprintf("%d %s above: %s", len(above), noun, strings.Join(names, " › ")))
	}
	if c.zoom.places > 1 {
		parts = append(parts, fmt.Sprintf("merged from %d places", c.zoom.places))
	}
	return strings.Join(parts, "; ")
}

type part struct {
	name     string
	total    int64
	look     int
	endpoint bool
	diff     *analysis.NodeDiff // of endpoints in a difference; nil elsewhere
}

// parts divides the process: endpoints by weight, then what belongs to none.
func (c *composer) parts() []part {
	ends := map[string]*part{}
	rest := map[bool]int64{}
	var visit func(n *analysis.Node, above string)
	visit = func(n *analysis.Node, above string) {
		if n.Endpoint == "" {
			rest[n.Category == analysis.CatGC] += max(0, n.Self)
		} else {
			p := ends[n.Endpoint]
			if p == nil {
				p = &part{name: n.Endpoint, look: lookOf(analysis.CatApp), endpoint: true}
				ends[n.Endpoint] = p
			}
			p.total += max(0, n.Self)
			if n.Diff != nil && n.Endpoint != above {
				if p.diff == nil {
					p.diff = &analysis.NodeDiff{}
				}
				add(p.diff, n.Diff)
				p.look = lookOfDiff(p.diff)
			}
		}
		for _, child := range n.Children {
			visit(child, n.Endpoint)
		}
	}
	visit(c.t.Root, "")
	var out []part
	for _, p := range ends {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b part) int { return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(a.name, b.name)) })
	server, gc := lookOf(analysis.CatRuntime), lookOf(analysis.CatGC)
	if c.root.Diff != nil {
		server, gc = lookSame, lookSame
	}
	return append(out, part{name: "server, runtime", total: rest[false], look: server}, part{name: "allocation, GC", total: rest[true], look: gc})
}

func walk(root *analysis.Node, f func(*analysis.Node)) {
	todo := []*analysis.Node{root}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.Children...)
		f(n)
	}
}
