package analysis

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/profile"
)

// paths is the tree of all call paths of one analysis, of every pod and kind
// of profile: twenty pods run the same code, so that each further one adds few
// nodes. Node 0 is the root and has no frame. A node's parent has a smaller
// number, so that one loop upwards hands facts from callers to callees and one
// loop downwards adds callees up into callers.
type paths struct {
	funcs
	frames  []frame
	frameID map[frame]uint32
	nodes   []node
	table   []uint32 // open addressing: nodes by parent and frame; nil when settled
	// limit on nodes: a few bytes of a profile can name a path of thousands of
	// frames, over and over.
	limit  int
	labels labelSets
	// program is the name of the profiled program's file; "" when not known.
	program string
	spare   []int64 // see perNode
}

// node is the last frame of a path.
type node struct {
	parent uint32
	frame  uint32 // index in paths.frames
}

// frame is one line of a function on a path. Inlined calls are frames too.
type frame struct {
	fn   *fn
	line int64
}

// sample is the samples of one path with the same labels in one profile.
type sample struct {
	node   uint32
	labels uint32 // in paths.labels; 0 for none
	value  int64  // samples, bytes or goroutines
}

// stack is a sample with what is found out of it. Only when all is read do
// samples become stacks: they are a third of the size.
type stack struct {
	sample

	// Set by attribution. end is the endpoint, nil outside endpoints; other
	// names the remainder then. handler is the index of the handler's frame
	// from the root, or of the first frame that is the endpoint's when the
	// stack has no handler; the path's length when nothing is.
	end     *endpoint
	other   remainder
	handler int32
	// truncated: the runtime cut the root off, and no complete stack told it.
	truncated bool

	work gist
}

const (
	// maxDepth is more frames than any Go profile has: 64 for CPU, 128 for the
	// others or what GODEBUG=profstackdepth says (at most 1024), before calls
	// are unfolded that were inlined.
	maxDepth = 8192
	// A profile may add a node for every so many raw bytes, and this many nodes
	// however small it is. Real ones add one for every seven bytes or more.
	nodeBytes = 3
	minNodes  = 1 << 17
	// A profile's paths may have this many frames together for each raw byte,
	// and some more: rules walk along all of them. Real ones have one.
	framesTimes = 16
	minFrames   = 1 << 22
)

var errUnfolds = errors.New("its stacks unfold to more frames than any program has")

func newPaths() *paths {
	return &paths{
		funcs: funcs{byKey: map[[2]string]*fn{}}, frameID: map[frame]uint32{},
		nodes: []node{{}}, table: make([]uint32, 1<<10), limit: minNodes, labels: newLabelSets(),
	}
}

// child finds or makes the node of a frame below a node.
func (t *paths) child(parent, frame uint32) (uint32, error) {
	if t.table == nil {
		t.index(4 * len(t.nodes) / 3)
	}
	mask := uint32(len(t.table) - 1)
	h := slot(parent, frame) & mask
	for ; t.table[h] != 0; h = (h + 1) & mask {
		if n := t.nodes[t.table[h]]; n.parent == parent && n.frame == frame {
			return t.table[h], nil
		}
	}
	if len(t.nodes) >= t.limit {
		return 0, errUnfolds
	}
	id := uint32(len(t.nodes))
	t.nodes = append(t.nodes, node{parent, frame})
	t.table[h] = id
	if len(t.nodes)*4 > len(t.table)*3 {
		t.index(len(t.table))
	}
	return id, nil
}

func slot(parent, frame uint32) uint32 {
	h := (uint64(parent)<<32 | uint64(frame)) * 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// index makes a table of more than n slots.
func (t *paths) index(n int) {
	t.table = make([]uint32, 1<<bits.Len(uint(n)))
	mask := uint32(len(t.table) - 1)
	for id := 1; id < len(t.nodes); id++ {
		h := slot(t.nodes[id].parent, t.nodes[id].frame) & mask
		for t.table[h] != 0 {
			h = (h + 1) & mask
		}
		t.table[h] = uint32(id)
	}
}

// manyNodes is where a phase's garbage is worth a collection.
const manyNodes = 1 << 17

// settle ends a phase. What it read and the tables that it needed are several
// times of what the next needs, and the collector would let them lie until as
// much again was made.
func (t *paths) settle() {
	if len(t.nodes) > manyNodes {
		t.table, t.spare = nil, nil
		runtime.GC()
	}
}

// room makes room for more nodes.
func (t *paths) room(more int) {
	more = max(0, min(more, t.limit-len(t.nodes)))
	t.nodes = slices.Grow(t.nodes, more)
	if n := (len(t.nodes) + more) * 4 / 3; n >= len(t.table) {
		t.index(n)
	}
}

// at is the frame of a node.
func (t *paths) at(n uint32) frame { return t.frames[t.nodes[n].frame] }

// perNode is a zero for each node. It is used again by the next call.
func (t *paths) perNode() []int64 {
	if len(t.spare) != len(t.nodes) {
		t.spare = make([]int64, len(t.nodes))
	}
	clear(t.spare)
	return t.spare
}

// sums adds up the values of stacks at and below each node, in [paths.perNode].
func (t *paths) sums(lists ...[]stack) []int64 {
	sub := t.perNode()
	for s := range each(lists) {
		sub[s.node] += s.value
	}
	for n := len(t.nodes) - 1; n > 0; n-- {
		sub[t.nodes[n].parent] += sub[n]
	}
	return sub
}

// path appends the frames of a node's path to buf[:0], root first.
func (t *paths) path(n uint32, buf []frame) []frame {
	buf = buf[:0]
	for ; n != 0; n = t.nodes[n].parent {
		buf = append(buf, t.at(n))
	}
	for i, j := 0, len(buf)-1; i < j; i, j = i+1, j-1 {
		buf[i], buf[j] = buf[j], buf[i]
	}
	return buf
}

func (t *paths) frame(f frame) uint32 {
	id, ok := t.frameID[f]
	if !ok {
		id = uint32(len(t.frames))
		t.frames = append(t.frames, f)
		t.frameID[f] = id
	}
	return id
}

// read adds the samples of a profile, of which value picks the value. Samples
// whose value is 0 are left out. No profile has no stacks.
func (t *paths) read(p *profile.Profile, value func(*profile.Sample) (int64, error)) ([]sample, error) {
	if p == nil {
		return nil, nil
	}
	t.limit = min(max(t.limit, len(t.nodes)+max(minNodes, p.RawSize()/nodeBytes)), math.MaxInt32)
	if t.program == "" {
		t.program = path.Base(p.Program)
	}
	byFunc := make([]*fn, len(p.Functions))
	for i, f := range p.Functions {
		byFunc[i] = t.intern(f.Name, f.File, f.Line)
	}
	var unknown *fn
	// The frames of every location, outermost first, found when first asked for.
	type run struct{ first, n uint32 }
	runs := make([]run, p.NumLocations())
	var ids []uint32
	locate := func(loc uint32) []uint32 {
		if r := runs[loc]; r.n > 0 {
			return ids[r.first : r.first+r.n]
		}
		first := len(ids)
		lines := p.Lines(loc)
		for j := len(lines) - 1; j >= 0; j-- {
			if lines[j].Function >= 0 {
				ids = append(ids, t.frame(frame{byFunc[lines[j].Function], int64(lines[j].Number)}))
			}
		}
		if len(ids) == first {
			if unknown == nil {
				unknown = t.intern(noSymbol, "", 0)
			}
			ids = append(ids, t.frame(frame{fn: unknown}))
		}
		runs[loc] = run{uint32(first), uint32(len(ids) - first)}
		return ids[first:]
	}
	frames := minFrames + framesTimes*p.RawSize()
	out := samples{table: make([]uint32, 1<<10)}
	var trail []step // of the sample before: many begin alike
	done := 0
	for s := range p.Samples(namesEndpoint) {
		done++
		v, err := value(s)
		if err != nil {
			return nil, err
		}
		if v == 0 || len(s.Locations) == 0 {
			continue
		}
		same := 0
		for last := len(s.Locations) - 1; same < len(trail) && same <= last && trail[same].loc == s.Locations[last-same]; same++ {
		}
		trail = trail[:same]
		var at step
		if same > 0 {
			at = trail[same-1]
		}
		for i := len(s.Locations) - 1 - same; i >= 0; i-- {
			at.loc = s.Locations[i]
			fs := locate(at.loc)
			if at.depth += len(fs); at.depth > maxDepth {
				return nil, fmt.Errorf("%w: one has more than %d", errUnfolds, maxDepth)
			}
			for _, f := range fs {
				if at.node, err = t.child(at.node, f); err != nil {
					return nil, err
				}
			}
			trail = append(trail, at)
		}
		if frames -= at.depth; frames < 0 {
			return nil, errUnfolds
		}
		out.add(sample{at.node, t.labels.add(s.Labels), v})
		if cap(t.nodes)-len(t.nodes) < 2*cutDepth { // what a sample may add
			t.room(expect(len(t.nodes), done, p.NumSamples()))
		}
		if len(out.list) == cap(out.list) {
			out.room(expect(len(out.list), done, p.NumSamples()))
		}
	}
	return out.list, nil
}

// step is a location on a sample's path, with the node of its innermost frame
// and how deep that is.
type step struct {
	loc, node uint32
	depth     int
}

// expect guesses how much longer a list will grow that has n after done of all
// samples: growing by a fixed factor would copy it over and over.
func expect(n, done, all int) int {
	more := float64(n) * float64(all-done) / float64(done) * 1.05
	return int(min(max(more, float64(n)/8), 7*float64(n))) + 64
}

// stacksOf makes stacks of samples.
func stacksOf(list []sample) []stack {
	out := make([]stack, len(list))
	for i, s := range list {
		out[i] = stack{sample: s, handler: math.MaxInt32}
	}
	return out
}

// samples is a list in which each path and set of labels is once.
type samples struct {
	list  []sample
	table []uint32 // open addressing: places in the list, plus 1
}

func (l *samples) add(s sample) {
	mask := uint32(len(l.table) - 1)
	h := slot(s.node, s.labels) & mask
	for ; l.table[h] != 0; h = (h + 1) & mask {
		if x := &l.list[l.table[h]-1]; x.node == s.node && x.labels == s.labels {
			x.value += s.value
			return
		}
	}
	l.list = append(l.list, s)
	l.table[h] = uint32(len(l.list))
	if len(l.list)*4 > len(l.table)*3 {
		l.index(len(l.table))
	}
}

// room makes room for more samples.
func (l *samples) room(more int) {
	l.list = slices.Grow(l.list, more)
	if n := (len(l.list) + more) * 4 / 3; n >= len(l.table) {
		l.index(n)
	}
}

// index makes a table of more than n slots.
func (l *samples) index(n int) {
	l.table = make([]uint32, 1<<bits.Len(uint(n)))
	mask := uint32(len(l.table) - 1)
	for i, s := range l.list {
		h := slot(s.node, s.labels) & mask
		for l.table[h] != 0 {
			h = (h + 1) & mask
		}
		l.table[h] = uint32(i + 1)
	}
}

// labelSets interns the labels that name endpoints. Set 0 has none.
type labelSets struct {
	sets []map[string]string
	byID map[string]uint32
}

func newLabelSets() labelSets {
	return labelSets{sets: []map[string]string{nil}, byID: map[string]uint32{}}
}

func (l *labelSets) add(labels []profile.Label) uint32 {
	if len(labels) == 0 {
		return 0
	}
	var b strings.Builder
	for _, x := range labels {
		fmt.Fprintf(&b, "%q=%q,", x.Key, x.Value)
	}
	id, ok := l.byID[b.String()]
	if !ok {
		set := make(map[string]string, len(labels))
		for _, x := range labels {
			set[x.Key] = printable(x.Value)
		}
		id = uint32(len(l.sets))
		l.sets = append(l.sets, set)
		l.byID[b.String()] = id
	}
	return id
}
