package flame

import (
	"cmp"
	"slices"

	"github.com/profbot/profbot/internal/analysis"
)

// zoomed is an endpoint's part of a tree.
type zoomed struct {
	root   *analysis.Node // the endpoint, over the functions that start it
	above  []string       // frames cut above the heaviest place, root first
	places int            // where the endpoint occurs
}

// zoom cuts an endpoint out of a tree and merges the places where it occurs.
// ok is false when it does not.
func zoom(root *analysis.Node, endpoint string) (z zoomed, ok bool) {
	var tops []*analysis.Node
	var best int64
	type job struct {
		n     *analysis.Node
		depth int
	}
	var path []string
	todo := []job{{n: root}}
	for len(todo) > 0 {
		j := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		path = append(path[:j.depth], j.n.Name)
		if j.n.Endpoint == endpoint {
			tops = append(tops, j.n)
			if j.n.Total > best {
				best, z.above = j.n.Total, slices.Clone(path[:j.depth])
			}
			continue
		}
		for _, c := range j.n.Children {
			todo = append(todo, job{c, j.depth + 1})
		}
	}
	if best <= 0 {
		return z, false
	}
	z.places = len(tops)
	top := &analysis.Node{Name: endpoint, Func: endpoint, Endpoint: endpoint, Category: analysis.CatApp, Children: tops}
	z.root = merge([]*analysis.Node{top})
	z.root.Total = 0
	if root.Diff != nil {
		z.root.Diff = &analysis.NodeDiff{}
	}
	for _, c := range z.root.Children {
		z.root.Total += c.Total
		if d := z.root.Diff; d != nil && c.Diff != nil {
			add(d, c.Diff)
			d.BaseSelf, d.CurSelf = 0, 0
		}
	}
	return z, z.root.Total > 0
}

// merge adds up nodes of one function. A node on its own is shared, not copied.
func merge(nodes []*analysis.Node) *analysis.Node {
	if len(nodes) == 1 && sorted(nodes[0].Children) && !twins(nodes[0].Children) {
		return nodes[0]
	}
	out := *nodes[0]
	out.Total, out.Self, out.Children = 0, 0, nil
	if out.Diff != nil {
		out.Diff = &analysis.NodeDiff{}
	}
	type key struct {
		fn  string
		cat analysis.Category
	}
	groups := map[key][]*analysis.Node{}
	var order []key
	for _, n := range nodes {
		out.Total, out.Self = out.Total+max(0, n.Total), out.Self+max(0, n.Self)
		if d := out.Diff; d != nil && n.Diff != nil {
			add(d, n.Diff)
		}
		for _, c := range n.Children {
			k := key{c.Func, c.Category}
			if groups[k] == nil {
				order = append(order, k)
			}
			groups[k] = append(groups[k], c)
		}
	}
	for _, k := range order {
		out.Children = append(out.Children, merge(groups[k]))
	}
	slices.SortStableFunc(out.Children, func(a, b *analysis.Node) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Func, b.Func))
	})
	return &out
}

// add adds the change of one place to that of others. Of their statistics the
// clearest stands.
func add(d, more *analysis.NodeDiff) {
	d.Base, d.Cur, d.BaseSelf, d.CurSelf = d.Base+more.Base, d.Cur+more.Cur, d.BaseSelf+more.BaseSelf, d.CurSelf+more.CurSelf
	d.Change += more.Change
	if d.Z*d.Z < more.Z*more.Z {
		d.Z = more.Z
	}
}

func sorted(nodes []*analysis.Node) bool {
	return slices.IsSortedFunc(nodes, func(a, b *analysis.Node) int { return cmp.Compare(b.Total, a.Total) })
}

// twins reports whether two siblings are of one function and category.
func twins(nodes []*analysis.Node) bool {
	for i, n := range nodes {
		for _, m := range nodes[:min(i, 64)] { // siblings are few, and those that matter come first
			if n.Func == m.Func && n.Category == m.Category {
				return true
			}
		}
	}
	return false
}
