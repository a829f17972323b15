package analysis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// NodeDiff is one frame of two profiles, in the units of the trees they came
// from. Shares are of the whole profile, so that the two may differ in length,
// pods and load.
type NodeDiff struct {
	Base     int64 `json:"base"` // Total before; 0 for a frame that is new
	Cur      int64 `json:"cur"`  // Total after; 0 for a frame that is gone
	BaseSelf int64 `json:"base_self,omitempty"`
	CurSelf  int64 `json:"cur_self,omitempty"`
	// Change is the share after less the share before: 0.12 is 12 points more.
	Change float64 `json:"change"`
	// Z is the statistic of the two-proportion test, above 0 for a frame that grew.
	Z float64 `json:"z"`
}

// minZ is where a change stops being what two profiles of one program differ by.
const minZ = 2

// Significant reports whether the change is more than sampling explains
// (|Z| >= 2, about one frame in twenty by chance).
func (d *NodeDiff) Significant() bool { return math.Abs(d.Z) >= minZ }

// DiffScale is the Total of the root of a tree that [DiffTree] made, rounding aside.
const DiffScale = 1_000_000_000

// DiffTree lays one tree over another. Every node has a [NodeDiff]; its Total
// is the mean of its shares before and after in parts of [DiffScale], so that
// what vanished keeps a width. Kind and Unit are those of the trees, which
// must be the same.
//
// Functions are matched by name under matched callers and by endpoint, without
// the numbers of function literals: those shift from build to build, and so do
// the lines that name an endpoint which is a literal.
func DiffTree(base, cur *Tree) (*Tree, error) {
	for _, t := range []*Tree{base, cur} {
		if t == nil || t.Root == nil || t.Root.Total <= 0 {
			return nil, fmt.Errorf("nothing to compare: a call tree is empty")
		}
	}
	if base.Kind != cur.Kind || base.Unit != cur.Unit {
		return nil, fmt.Errorf("cannot compare %s in %s with %s in %s", base.Kind, base.Unit, cur.Kind, cur.Unit)
	}
	d := differ{
		base: base.Root.Total, cur: cur.Root.Total,
		basePer: cmp.Or(base.PerSample, 1), curPer: cmp.Or(cur.PerSample, 1),
		names: map[string]string{},
	}
	return &Tree{Root: d.merge([]*Node{base.Root}, []*Node{cur.Root}), Kind: cur.Kind, Unit: cur.Unit, PerSecond: cur.PerSecond, PerSample: cur.PerSample}, nil
}

type differ struct {
	base, cur       int64   // of the roots
	basePer, curPer float64 // units of an observation
	names           map[string]string
}

// pair are the nodes of one function under one caller. There are several of a
// side where literals or categories told them apart.
type pair struct{ base, cur []*Node }

type diffKey struct{ fn, end string }

func (d *differ) merge(base, cur []*Node) *Node {
	is := heaviestNode(cur)
	if is == nil {
		is = heaviestNode(base)
	}
	n := &Node{Name: is.Name, Func: is.Func, File: is.File, Line: is.Line, Category: is.Category, Endpoint: is.Endpoint, Diff: &NodeDiff{}}
	pairs := map[diffKey]*pair{}
	var order []*pair
	of := func(c *Node) *pair {
		key := diffKey{d.nameOf(c.Func), d.endpointOf(c.Endpoint)}
		p := pairs[key]
		if p == nil {
			p = &pair{}
			pairs[key], order = p, append(order, p)
		}
		return p
	}
	for _, b := range base {
		n.Diff.Base, n.Diff.BaseSelf = n.Diff.Base+max(0, b.Total), n.Diff.BaseSelf+max(0, b.Self)
		for _, c := range b.Children {
			p := of(c)
			p.base = append(p.base, c)
		}
	}
	for _, b := range cur {
		n.Diff.Cur, n.Diff.CurSelf = n.Diff.Cur+max(0, b.Total), n.Diff.CurSelf+max(0, b.Self)
		for _, c := range b.Children {
			p := of(c)
			p.cur = append(p.cur, c)
		}
	}
	was := Share{Part: float64(n.Diff.Base) / float64(d.base), Samples: observations(n.Diff.Base, d.basePer), Of: observations(d.base, d.basePer)}
	now := Share{Part: float64(n.Diff.Cur) / float64(d.cur), Samples: observations(n.Diff.Cur, d.curPer), Of: observations(d.cur, d.curPer)}
	n.Diff.Change, n.Diff.Z = now.Part-was.Part, twoProportions(now, was)
	n.Self = int64(math.Round(DiffScale * (float64(n.Diff.BaseSelf)/float64(d.base) + float64(n.Diff.CurSelf)/float64(d.cur)) / 2))
	n.Total = n.Self
	for _, p := range order {
		c := d.merge(p.base, p.cur)
		n.Children = append(n.Children, c)
		n.Total += c.Total
	}
	sortNodes(n.Children)
	return n
}

func observations(units int64, per float64) int64 { return int64(math.Round(float64(units) / per)) }

// nameOf drops what shifts between builds from a function's name. Names repeat
// all over a tree, so each is taken apart once.
func (d *differ) nameOf(name string) string {
	base, ok := d.names[name]
	if !ok {
		base = newFn(name, "", 0).base
		d.names[name] = base
	}
	return base
}

// endpointOf drops the place from the name of an endpoint that is a function
// literal: "main.routes.func3 (main.go:41)".
func (d *differ) endpointOf(name string) string {
	if at := strings.LastIndex(name, " ("); at > 0 && strings.HasSuffix(name, ")") && strings.Contains(name[at:], ".go:") {
		return d.nameOf(name[:at])
	}
	return name
}

func heaviestNode(nodes []*Node) *Node {
	if len(nodes) == 0 {
		return nil
	}
	return slices.MaxFunc(nodes, func(x, y *Node) int {
		return cmp.Or(cmp.Compare(x.Total, y.Total), cmp.Compare(y.Func, x.Func))
	})
}

// sortNodes puts siblings into the order that [Node.Children] promises.
func sortNodes(nodes []*Node) {
	slices.SortStableFunc(nodes, func(x, y *Node) int {
		return cmp.Or(cmp.Compare(y.Total, x.Total), cmp.Compare(x.Func, y.Func), cmp.Compare(x.Endpoint, y.Endpoint), cmp.Compare(x.Category, y.Category))
	})
}
