package analysis

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
)

// treeLeast is the share of a tree below which frames are left out: a fifth of
// a pixel in a picture. Their samples stay in their callers' totals.
const treeLeast = 0.0001

// buildTree merges stacks into the call tree that a flame graph draws. The
// same function under the same caller is one node, unless its samples belong
// to different endpoints.
func buildTree(t *paths, stacks []stack, rep *Report) *Tree {
	sub := make([]int64, len(t.nodes))
	for i := range stacks {
		sub[stacks[i].node] += stacks[i].value
	}
	for n := len(t.nodes) - 1; n > 0; n-- {
		sub[t.nodes[n].parent] += sub[n]
	}
	least := int64(treeLeast * float64(sub[0]))
	root := newBuilder("all", CatLibrary)
	var nodes []uint32
	var fs []frame
	for k := range stacks {
		s := &stacks[k]
		nodes, fs = nodes[:0], t.path(s.node, fs)
		for n := s.node; n != 0; n = t.nodes[n].parent {
			nodes = append(nodes, n)
		}
		slices.Reverse(nodes)
		n := root
		n.Total += s.value
		whole := true
		for i, f := range fs {
			if whole = sub[nodes[i]] >= least; !whole {
				break
			}
			end := ""
			if s.end != nil && i >= int(s.handler) {
				end = s.end.name
			}
			n = n.child(f.fn, end, nodeCategory(s, fs, i))
			n.Total += s.value
		}
		if whole {
			n.Self += s.value
		}
	}
	tree := &Tree{Root: root.finish(), Kind: "cpu", Unit: "samples"}
	if rep.CPU > 0 {
		tree.PerSecond = float64(rep.Samples) / rep.CPU.Seconds()
	}
	return tree
}

// nodeCategory colours a frame by what it is, and below a codec's entry by
// what it works for: reflect and strconv there are part of the decoding.
func nodeCategory(s *stack, fs []frame, i int) Category {
	for i > 0 && borrowed.MatchString(fs[i].fn.name) {
		i--
	}
	f := fs[i].fn
	w := s.work
	if w.entry >= 0 && i >= int(w.entry) && (f.category == CatLibrary || f.category == CatDecode || f.category == CatEncode || i == int(w.entry)) {
		switch w.dir {
		case decode:
			return CatDecode
		case encode:
			return CatEncode
		case compress, decompress:
			if f.codec == nil || i == int(w.entry) {
				return CatCompress
			}
		}
	}
	return f.category
}

// borrowed are leaves that do their caller's work: what the compiler calls for
// a copy or a comparison, and the frame on which a profiling signal finds a
// goroutine that is being preempted.
var borrowed = regexp.MustCompile(`^(runtime\.(asyncPreempt2?|memmove|memclrNoHeapPointers|memequal\w*|memhash\w*|strhash\w*|duff(copy|zero))|memeqbody|cmpbody|indexbody|indexbytebody|countbody|aeshashbody|internal/bytealg\.\w+)$`)

type builder struct {
	Node
	kids map[kid]*builder
}

type kid struct {
	fn  *fn
	end string
	cat Category
}

func newBuilder(name string, cat Category) *builder {
	return &builder{Node: Node{Name: name, Func: name, Category: cat}}
}

func (b *builder) child(f *fn, end string, cat Category) *builder {
	key := kid{f, end, cat}
	if c := b.kids[key]; c != nil {
		return c
	}
	c := newBuilder(short(f), cat)
	c.Func, c.File, c.Line, c.Endpoint = f.name, f.file, f.line, end
	if b.kids == nil {
		b.kids = map[kid]*builder{}
	}
	b.kids[key] = c
	return c
}

func (b *builder) finish() *Node {
	n := &b.Node
	for _, c := range b.kids {
		n.Children = append(n.Children, c.finish())
	}
	slices.SortFunc(n.Children, func(x, y *Node) int {
		return cmp.Or(cmp.Compare(y.Total, x.Total), cmp.Compare(x.Func, y.Func), cmp.Compare(x.Endpoint, y.Endpoint), cmp.Compare(x.Category, y.Category))
	})
	return n
}

// short is a frame's name for a box: the last element of the package path and
// the symbol.
func short(f *fn) string {
	if f.pkg == "" || f.pkg == "main" {
		return f.name
	}
	last := path.Base(f.pkg)
	if version.MatchString(last) { // "go-redis/v9": the version says nothing
		last = path.Base(path.Dir(f.pkg))
	}
	return last + strings.TrimPrefix(f.name, f.pkg)
}

var version = regexp.MustCompile(`^v\d+$`)
