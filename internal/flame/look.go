package flame

import (
	"math"

	"github.com/profbot/profbot/internal/analysis"
)

// look is how a kind of frame is shown.
type look struct {
	category analysis.Category // "" for looks that are not a category's
	label    string
	rgb      [3]uint8 // light enough for dark text on it
}

// catRouting is no category of the analysis: a frame above the handlers, be it
// a router's, the standard library's or the application's own middleware,
// is in the way of the request and says nothing.
const catRouting analysis.Category = "routing"

// looks is in the order of the legend; those of differences follow those of
// categories.
var looks = []look{
	{analysis.CatDecode, "decode", [3]uint8{0xf2, 0x6b, 0x5e}},
	{analysis.CatEncode, "encode", [3]uint8{0xf7, 0xa4, 0x4c}},
	{analysis.CatCompress, "compress", [3]uint8{0xc4, 0x9a, 0xe8}},
	{analysis.CatStore, "cache, database", [3]uint8{0x8c, 0xcf, 0x7e}},
	{analysis.CatLock, "lock, wait group", [3]uint8{0xf2, 0x8d, 0xb8}},
	{analysis.CatChannel, "channel, select", [3]uint8{0xb9, 0xa6, 0xf2}},
	{analysis.CatSleep, "sleep", [3]uint8{0xb5, 0xde, 0xdf}},
	{analysis.CatIO, "network, syscalls", [3]uint8{0x86, 0xb8, 0xf0}},
	{analysis.CatGC, "allocation, GC", [3]uint8{0xa3, 0xb1, 0xc4}},
	{analysis.CatCrypto, "crypto", [3]uint8{0x6f, 0xc9, 0xc0}},
	{analysis.CatApp, "application", [3]uint8{0xfb, 0xe0, 0x6a}},
	{catRouting, "routing, middleware", [3]uint8{0xe6, 0xe3, 0xf1}},
	{analysis.CatLibrary, "libraries", [3]uint8{0xec, 0xdf, 0xc8}},
	{analysis.CatRuntime, "runtime", [3]uint8{0xd2, 0xd2, 0xd2}},

	{"", "grew by 10 points or more", [3]uint8{0xf2, 0x74, 0x6a}},
	{"", "grew by 2 to 10 points", [3]uint8{0xf7, 0xa8, 0xa0}},
	{"", "grew by less than 2 points", [3]uint8{0xfb, 0xd3, 0xcf}},
	{"", "no significant change", [3]uint8{0xe4, 0xe4, 0xe4}},
	{"", "shrank by less than 2 points", [3]uint8{0xcf, 0xe0, 0xfa}},
	{"", "shrank by 2 to 10 points", [3]uint8{0xa0, 0xc4, 0xf6}},
	{"", "shrank by 10 points or more", [3]uint8{0x70, 0xa7, 0xee}},
}

// Indexes of looks.
const (
	lookRouting = 11
	lookLibrary = 12
	lookSame    = 17 // grew ones stand before it, shrank ones after it
	lookDiffs   = 14 // the first of them
)

func lookOf(c analysis.Category) int {
	for i, l := range looks[:lookDiffs] {
		if l.category == c {
			return i
		}
	}
	return lookLibrary
}

// lookOfDiff colours a change by its size where it is significant.
func lookOfDiff(d *analysis.NodeDiff) int {
	if !d.Significant() || d.Change == 0 {
		return lookSame
	}
	step := 1
	switch size := math.Abs(d.Change); {
	case size >= 0.10:
		step = 3
	case size >= 0.02:
		step = 2
	}
	if d.Change > 0 {
		return lookSame - step
	}
	return lookSame + step
}

// painter tells the look of every node of one tree.
type painter struct{ routing map[*analysis.Node]bool }

func (p painter) of(n *analysis.Node) int {
	if n.Diff != nil {
		return lookOfDiff(n.Diff)
	}
	return p.meaning(n)
}

// meaning is the look by what a frame works for, in a difference too.
func (p painter) meaning(n *analysis.Node) int {
	if p.routing[n] {
		return lookRouting
	}
	return lookOf(n.Category)
}

// newPainter finds the frames that stand above handlers: those outside
// endpoints at least half of whose samples are an endpoint's.
func newPainter(root *analysis.Node) painter {
	// Callers stand before callees, so that one pass from the end adds up.
	type entry struct {
		n      *analysis.Node
		parent int
		ends   int64 // samples of endpoints below
	}
	order := []entry{{n: root, parent: -1}}
	for i := 0; i < len(order); i++ {
		if order[i].n.Endpoint != "" {
			continue // everything below is the endpoint's
		}
		for _, c := range order[i].n.Children {
			order = append(order, entry{n: c, parent: i})
		}
	}
	p := painter{routing: map[*analysis.Node]bool{}}
	for i := len(order) - 1; i > 0; i-- {
		e := order[i]
		if e.n.Endpoint != "" {
			e.ends = max(0, e.n.Total)
		} else if e.ends > 0 && e.ends >= e.n.Total-e.ends {
			switch e.n.Category {
			case analysis.CatLibrary, analysis.CatApp, analysis.CatIO, analysis.CatRuntime, analysis.CatCompress, analysis.CatCrypto:
				p.routing[e.n] = true
			}
		}
		order[e.parent].ends = min(order[e.parent].ends+e.ends, math.MaxInt64/4)
	}
	return p
}
