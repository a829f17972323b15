package analysis

import (
	"path"
	"regexp"
	"strings"
)

// treeLeast is the share of a tree below which frames are left out: a fifth of
// a pixel in a picture. Their samples stay in their callers' totals.
const treeLeast = 0.0001

// buildTree merges stacks into the call tree that a flame graph draws. The
// same function under the same caller is one node, unless its samples belong
// to different endpoints.
func buildTree(t *paths, stacks []stack, rep *Report) *Tree {
	sub := t.sums(stacks)
	least := int64(treeLeast * float64(sub[0]))
	b := builder{kids: map[kid]*Node{}, ends: map[*endpoint]int32{}, byName: map[string]int32{"": 0}, names: make([]string, len(t.all))}
	root := &Node{Name: "all", Func: "all", Category: CatLibrary}
	var fs []frame
	for _, l := range limbsOf(t, stacks, sub, least) {
		s := l.of
		fs = t.path(l.node, fs)
		n := root
		n.Total += l.total
		for i, f := range fs {
			var end *endpoint
			if i >= int(s.handler) {
				end = s.end
			}
			n = b.child(n, f.fn, end, worksFor(s, fs, i))
			n.Total += l.total
		}
		n.Self += l.self
	}
	sortTree(root)
	tree := &Tree{Root: root, Kind: "cpu", Unit: "samples"}
	if rep.CPU > 0 {
		tree.PerSecond = float64(rep.Samples) / rep.CPU.Seconds()
	}
	return tree
}

// limb is the part of some stacks' common path that is drawn: what lies below
// is too small.
type limb struct {
	node        uint32
	of          *stack // one of them: they look the same down to the node
	total, self int64
}

// limbsOf cuts stacks off at the last node with at least that many samples,
// and adds up those that are drawn alike: most of a large profile's stacks
// differ only in what is left out. sub is by node.
func limbsOf(t *paths, stacks []stack, sub []int64, least int64) []limb {
	type key struct {
		node           uint32
		end            *endpoint
		handler, entry int32
		dir            way
	}
	index := map[key]int{}
	var out []limb
	for i := range stacks {
		s := &stacks[i]
		n := s.node
		for n != 0 && sub[n] < least {
			n = t.nodes[n].parent
		}
		k := key{n, s.end, s.handler, s.work.entry, s.work.dir}
		at, ok := index[k]
		if !ok {
			at = len(out)
			index[k] = at
			out = append(out, limb{node: n, of: s})
		}
		out[at].total += s.value
		if n == s.node {
			out[at].self += s.value
		}
	}
	return out
}

// worksFor says what a frame below a codec's entry works for: reflect and
// strconv there are part of the decoding. Frames that keep their own category
// work for nothing.
func worksFor(s *stack, fs []frame, i int) way {
	f, w := fs[i].fn, s.work
	if w.entry < 0 || i < int(w.entry) || f.category != CatLibrary && f.category != CatDecode && f.category != CatEncode && i != int(w.entry) {
		return noWay
	}
	dir := w.dir
	if dir == decompress {
		dir = compress
	}
	if dir == compress && f.codec != nil && i != int(w.entry) {
		return noWay
	}
	if categories[dir] == f.category {
		return noWay
	}
	return dir
}

// categories are those of frames that work for something.
var categories = [...]Category{decode: CatDecode, encode: CatEncode, compress: CatCompress}

// builder makes the nodes of one tree.
type builder struct {
	kids map[kid]*Node
	// ends numbers endpoints by their names: two may have the same one.
	ends   map[*endpoint]int32
	byName map[string]int32
	names  []string // short names by function; "" for those not asked for
}

// kid tells the children of a node apart.
type kid struct {
	parent *Node
	fn     *fn
	end    int32 // number of the endpoint's name; 0 for none
	dir    int32 // the way that it works for
}

func (b *builder) child(parent *Node, f *fn, end *endpoint, dir way) *Node {
	key := kid{parent: parent, fn: f, dir: int32(dir)}
	if end != nil {
		id, ok := b.ends[end]
		if !ok {
			if id, ok = b.byName[end.name]; !ok {
				id = int32(len(b.byName))
				b.byName[end.name] = id
			}
			b.ends[end] = id
		}
		key.end = id
	}
	if c := b.kids[key]; c != nil {
		return c
	}
	if b.names[f.id] == "" {
		b.names[f.id] = short(f)
	}
	c := &Node{Name: b.names[f.id], Func: f.name, File: f.file, Line: f.line, Category: f.category}
	switch {
	case dir != noWay:
		c.Category = categories[dir]
	case f.has(isBorrowed):
		c.Category = parent.Category
	}
	if end != nil {
		c.Endpoint = end.name
	}
	parent.Children = append(parent.Children, c)
	b.kids[key] = c
	return c
}

// sortTree puts all children into the order that [Node.Children] promises.
// What ties is in the order of the stacks.
func sortTree(n *Node) {
	sortNodes(n.Children)
	for _, c := range n.Children {
		sortTree(c)
	}
}

// short is a frame's name for a box: the last element of the package path and
// the symbol.
func short(f *fn) string {
	if f.pkg == "" || f.pkg == "main" {
		return f.name
	}
	return lastOf(f.pkg) + strings.TrimPrefix(f.name, f.pkg)
}

// lastOf is the last element of a package's path that says something: not the
// version of "go-redis/v9".
func lastOf(pkg string) string {
	last := path.Base(pkg)
	if dir := path.Dir(pkg); version.MatchString(last) && dir != "." {
		last = path.Base(dir)
	}
	return last
}

var version = regexp.MustCompile(`^v\d+$`)
