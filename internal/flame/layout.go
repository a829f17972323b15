package flame

import (
	"fmt"

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
	first bool // the topmost box of its endpoint
	depth int  // frames that the box stands for: more than one when collapsed
}

// layout places every box that is at least minTotal samples wide, rows
// downwards from the root.
func layout(root *analysis.Node, minTotal int64) []box {
	minTotal = max(minTotal, 1)
	var out []box
	type job struct {
		n     *analysis.Node
		above string
		at    int64
		row   int
		width int64
	}
	// A stack of its own: trees may be as deep as profiles allow.
	todo := []job{{n: root, width: root.Total}}
	for len(todo) > 0 {
		j := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		last, depth := collapse(j.n, j.row)
		b := box{node: j.n, label: j.n.Name, at: j.at, total: j.width, row: j.row, depth: depth, first: j.n.Endpoint != "" && j.n.Endpoint != j.above}
		if depth > 1 {
			b.label = fmt.Sprintf("%s … %s (%d frames)", j.n.Name, last.Name, depth)
		}
		out = append(out, b)
		at, end := j.at, j.at+j.width
		for _, c := range last.Children {
			// A tree from a file may not add up: children stay within their parent.
			width := min(c.Total, end-at)
			if width <= 0 {
				break
			}
			if width >= minTotal {
				todo = append(todo, job{c, j.n.Endpoint, at, j.row + 1, width})
			}
			at += width
		}
	}
	return out
}

// collapse follows a run of library frames that hand nearly everything on: the
// router's dispatch and the middleware of a framework, which take half the
// rows of a picture and say nothing. A run is of one category, because a box
// has one colour. Runs of fewer than three stay as they are.
func collapse(n *analysis.Node, row int) (last *analysis.Node, depth int) {
	last, depth = n, 1
	if row == 0 || !boilerplate(n) {
		return last, depth
	}
	for len(last.Children) > 0 {
		c := last.Children[0]
		if c.Category != n.Category || c.Endpoint != n.Endpoint || c.Total*100 < last.Total*98 || c.Total > last.Total {
			break
		}
		last, depth = c, depth+1
	}
	if depth < 3 {
		return n, 1
	}
	return last, depth
}

func boilerplate(n *analysis.Node) bool {
	return n.Category == analysis.CatLibrary || n.Category == analysis.CatIO || n.Category == analysis.CatRuntime
}
