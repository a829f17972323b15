package flame

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/profbot/profbot/internal/analysis"
)

// box is one frame with its place: x in samples from the left of the root,
// row from the top.
type box struct {
	node  *analysis.Node
	label string
	at    int64 // samples to the left
	total int64 // width in samples
	row   int
	look  int
	first bool // the topmost box of its endpoint
	depth int  // frames that the box stands for: more than one when collapsed
}

// layout places every box that is at least minTotal samples wide, rows
// downwards from the root.
func layout(root *analysis.Node, minTotal int64, paint painter) []box {
	minTotal = max(minTotal, 1)
	var out []box
	type job struct {
		n     *analysis.Node
		above *analysis.Node // nil at the root
		at    int64
		row   int
		width int64
	}
	// A stack of its own: trees may be as deep as profiles allow.
	todo := []job{{n: root, width: root.Total}}
	for len(todo) > 0 {
		j := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		r := run{last: j.n, depth: 1, children: j.n.Children}
		if j.above != nil {
			r = paint.collapse(j.n, j.above)
		}
		b := box{node: j.n, label: j.n.Name, at: j.at, total: j.width, row: j.row, look: paint.of(j.n), depth: r.depth}
		b.first = j.n.Endpoint != "" && (j.above == nil || j.n.Endpoint != j.above.Endpoint)
		if r.depth > 1 {
			b.label = fmt.Sprintf("%s … %s (%d frames)", j.n.Name, r.last.Name, r.depth)
		}
		out = append(out, b)
		at, end := j.at, j.at+j.width
		for _, c := range r.children {
			// A tree from a file may not add up: children stay within their parent.
			width := min(c.Total, end-at)
			if width <= 0 {
				break
			}
			if width >= minTotal {
				todo = append(todo, job{c, r.last, at, j.row + 1, width})
			}
			at += width
		}
	}
	return out
}

// run is a run of frames drawn as one box.
type run struct {
	last     *analysis.Node
	depth    int
	children []*analysis.Node // of all its frames, except those on the run
}

// collapse follows a run of frames that hand on what they are called for: the
// router's dispatch and middleware above a handler, a codec's or a library's
// own recursion. They take half of a picture's rows and say nothing. A run is
// of one look, because a box has one colour. What its frames call besides
// hangs below the box, so that no sample goes missing.
func (p painter) collapse(n, above *analysis.Node) run {
	r := run{last: n, depth: 1, children: n.Children}
	kind := p.of(n)
	least := 3
	switch {
	case p.routing[n]:
		least = 2
	case n.Diff != nil:
		return r // what changed is told frame by frame
	case n.Category == analysis.CatApp:
		return r
	case n.Category == above.Category && n.Endpoint == above.Endpoint, n.Category == analysis.CatLibrary, n.Category == analysis.CatIO, n.Category == analysis.CatRuntime:
		// Of a codec, the entry keeps a box of its own.
	default:
		return r
	}
	var aside []*analysis.Node
	for {
		next := p.handsOn(r.last, kind)
		if next == nil {
			break
		}
		for _, c := range r.last.Children {
			if c != next {
				aside = append(aside, c)
			}
		}
		r.last, r.depth = next, r.depth+1
	}
	if r.depth < least {
		return run{last: n, depth: 1, children: n.Children}
	}
	r.children = r.last.Children
	if len(aside) > 0 {
		r.children = append(slices.Clone(r.children), aside...)
		slices.SortStableFunc(r.children, func(a, b *analysis.Node) int { return cmp.Compare(b.Total, a.Total) })
	}
	return r
}

// handsOn is the child that a run goes on in; nil where it ends.
func (p painter) handsOn(n *analysis.Node, kind int) *analysis.Node {
	if !p.routing[n] {
		if len(n.Children) > 0 {
			if c := n.Children[0]; p.of(c) == kind && c.Endpoint == n.Endpoint && c.Total <= n.Total && float64(c.Total) >= 0.98*float64(n.Total) {
				return c
			}
		}
		return nil
	}
	var next *analysis.Node
	for _, c := range n.Children {
		if !p.routing[c] {
			continue
		}
		if next != nil {
			return nil // routes part here
		}
		next = c
	}
	if next == nil || p.of(next) != kind || next.Total > n.Total || float64(next.Total) < 0.5*float64(n.Total) {
		return nil
	}
	return next
}
