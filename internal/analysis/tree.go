package analysis

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
)

// buildTree merges stacks into the call tree that a flame graph draws. The
// same function under the same caller is one node, unless its samples belong
// to different endpoints.
func buildTree(stacks []*stack, rep *Report) *Tree {
	root := newBuilder("all", CatLibrary)
	for _, s := range stacks {
		n := root
		n.Total += s.value
		for i, f := range s.frames {
			end := ""
			if s.end != nil && i >= s.handler {
				end = s.end.name
			}
			n = n.child(f.fn, end, nodeCategory(s, i))
			n.Total += s.value
		}
		n.Self += s.value
	}
	t := &Tree{Root: root.finish(), Kind: "cpu", Unit: "samples"}
	if rep.CPU > 0 {
		t.PerSecond = float64(rep.Samples) / rep.CPU.Seconds()
	}
	return t
}

// nodeCategory colours a frame by what it is, and below a codec's entry by
// what it works for: reflect and strconv there are part of the decoding.
func nodeCategory(s *stack, i int) Category {
	f := s.frames[i].fn
	w := s.work
	if w.entry >= 0 && i >= w.entry && (f.category == CatLibrary || f.category == CatDecode || f.category == CatEncode || i == w.entry) {
		switch w.dir {
		case Decode:
			return CatDecode
		case Encode:
			return CatEncode
		case Compress, Decompress:
			if f.codec == nil || i == w.entry {
				return CatCompress
			}
		}
	}
	return f.category
}

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
