package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/analysis"
)

// sample is one stack of a tree with its own samples.
type sample struct {
	path []*analysis.Node // root first, without the tree's root
	n    int64
	end  string // the endpoint's name; "" outside endpoints
}

// walk calls yield for every stack of a tree. The path is only valid then.
func walk(t *analysis.Tree, yield func(sample)) {
	var visit func(n *analysis.Node, path []*analysis.Node)
	visit = func(n *analysis.Node, path []*analysis.Node) {
		if n.Self > 0 && len(path) > 0 {
			yield(sample{path, n.Self, path[len(path)-1].Endpoint})
		}
		for _, c := range n.Children {
			visit(c, append(path, c))
		}
	}
	visit(t.Root, nil)
}

// below is the part of a stack from the endpoint's handler on.
func (s sample) below() []*analysis.Node {
	for i, n := range s.path {
		if n.Endpoint != "" {
			return s.path[i:]
		}
	}
	return nil
}

// kind is what a stack was spent on: the outermost codec's direction.
func (s sample) kind() analysis.Category {
	for _, n := range s.path {
		switch n.Category {
		case analysis.CatDecode, analysis.CatEncode, analysis.CatCompress:
			return n.Category
		}
	}
	return ""
}

// has reports whether a function on the stack matches.
func has(path []*analysis.Node, re *regexp.Regexp) bool {
	return slices.ContainsFunc(path, func(n *analysis.Node) bool { return re.MatchString(n.Func) })
}

// String renders a stack as people read it: from the first frame that is the
// endpoint's, or from the root.
func (s sample) String() string {
	path := s.below()
	if path == nil {
		path = s.path
	}
	var b strings.Builder
	for i, n := range path {
		if i == 30 && len(path) > 40 {
			fmt.Fprintf(&b, " > ... %d frames ... ", len(path)-38)
		}
		if i >= 30 && len(path) > 40 && i < len(path)-8 {
			continue
		}
		if i > 0 {
			b.WriteString(" > ")
		}
		b.WriteString(n.Func)
	}
	return b.String()
}

// rootString is the whole stack down to a few frames below the endpoint.
func (s sample) rootString() string {
	names := make([]string, 0, len(s.path))
	for _, n := range s.path {
		names = append(names, n.Func)
	}
	return strings.Join(names[:min(len(names), 24)], " > ")
}

// heaviest keys of a count, largest first.
func heaviest(m map[string]int64, n int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	return keys[:min(n, len(keys))]
}
