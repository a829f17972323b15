package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/profbot/profbot/internal/analysis"
)

// zoomed is the part of a call tree below an endpoint's handler, with the
// endpoint as its root.
func zoomed(t *analysis.Tree, endpoint string) (*analysis.Tree, error) {
	root := &analysis.Node{Name: endpoint, Func: endpoint, Category: analysis.CatApp, Endpoint: endpoint}
	var walk func(n *analysis.Node)
	walk = func(n *analysis.Node) {
		for _, c := range n.Children {
			if c.Endpoint != endpoint {
				walk(c)
				continue
			}
			root.Children = merge(root.Children, c)
			root.Total += c.Total
		}
	}
	walk(t.Root)
	if root.Total == 0 {
		return nil, fmt.Errorf("--zoom: no samples of %q: name an endpoint as the report does", endpoint)
	}
	sortNodes(root)
	out := *t
	out.Root = root
	return &out, nil
}

// merge adds a node to a list, together with what is the same function there.
func merge(list []*analysis.Node, n *analysis.Node) []*analysis.Node {
	for _, m := range list {
		if m.Func == n.Func && m.Category == n.Category && m.Endpoint == n.Endpoint {
			m.Total += n.Total
			m.Self += n.Self
			for _, c := range n.Children {
				m.Children = merge(m.Children, c)
			}
			return list
		}
	}
	m := *n
	m.Children = nil
	for _, c := range n.Children {
		m.Children = merge(m.Children, c)
	}
	return append(list, &m)
}

func sortNodes(n *analysis.Node) {
	slices.SortStableFunc(n.Children, func(a, b *analysis.Node) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Func, b.Func))
	})
	for _, c := range n.Children {
		sortNodes(c)
	}
}
