package analysis

// Stacks that the runtime cut off. A CPU profile keeps 64 physical frames
// (runtime.maxCPUProfStack); with inlined calls a cut stack shows 64 lines or
// more, but never fewer.
const (
	cutDepth = 64
	// overlap is how many frames a complete stack must share with the top of
	// a cut one to be believed its continuation.
	overlap = 16
	// agreement is the share of the samples with those frames that must have
	// the same frames above them.
	agreement = 0.9
)

// window is a run of overlap frames.
type window [overlap]frame

// beginning is what is known of a window with which cut stacks begin.
type beginning struct {
	ways map[uint64]*prefix
	last int // the last stack that was looked at, plus 1
}

// prefix is a way to a window, by its functions: lines may differ.
type prefix struct {
	votes int64
	node  uint32 // where the heaviest stack of them has it
	most  int64  // its samples
}

// repair marks stacks whose root is missing, and gives back the missing frames
// where the complete stacks that pass through the same frames agree on what
// leads to them.
func repair(t *paths, stacks []stack) {
	roots := map[*fn]bool{}
	var buf []frame
	deep := false
	for i := range stacks {
		if buf = t.path(stacks[i].node, buf); len(buf) < cutDepth {
			roots[buf[0].fn] = true
		} else {
			deep = true
		}
	}
	if !deep {
		return
	}
	// The first frames of cut stacks, and the prefixes seen above them.
	tops := map[window]*beginning{}
	first := map[frame]bool{}
	cut := map[int]window{}
	for i := range stacks {
		s := &stacks[i]
		if buf = t.path(s.node, buf); len(buf) >= cutDepth && !roots[buf[0].fn] && !served(buf) {
			s.truncated = true
			w := window(buf[:overlap])
			cut[i], tops[w], first[w[0]] = w, &beginning{ways: map[uint64]*prefix{}}, true
		}
	}
	var nodes []uint32
	for i := range stacks {
		s := &stacks[i]
		if s.truncated || len(tops) == 0 {
			continue
		}
		buf, nodes = t.path(s.node, buf), t.ancestors(s.node, nodes)
		for k := 1; k+overlap <= len(buf); k++ {
			if !first[buf[k]] {
				continue
			}
			w, ok := tops[window(buf[k:k+overlap])]
			if !ok || w.last == i+1 { // deeper in a recursion the same frames say less
				continue
			}
			w.last = i + 1
			key := functionsOf(buf[:k])
			if w.ways[key] == nil {
				w.ways[key] = &prefix{}
			}
			p := w.ways[key]
			if p.votes += s.value; s.value > p.most {
				p.node, p.most = nodes[k-1], s.value
			}
		}
	}
	for i, w := range cut {
		var sum int64
		var best prefix
		for _, p := range tops[w].ways {
			if sum += p.votes; p.votes > best.votes {
				best = *p
			}
		}
		if best.votes == 0 || float64(best.votes) < agreement*float64(sum) {
			continue
		}
		s := &stacks[i]
		buf = t.path(s.node, buf)
		if n, ok := t.join(best.node, buf); ok {
			s.node, s.truncated = n, false
		}
	}
}

// ancestors appends the nodes of a path to buf[:0], root first.
func (t *paths) ancestors(n uint32, buf []uint32) []uint32 {
	buf = buf[:0]
	for ; n != 0; n = t.nodes[n].parent {
		buf = append(buf, n)
	}
	for i, j := 0, len(buf)-1; i < j; i, j = i+1, j-1 {
		buf[i], buf[j] = buf[j], buf[i]
	}
	return buf
}

// functionsOf hashes the functions of a path (FNV-1a).
func functionsOf(fs []frame) uint64 {
	h := uint64(14695981039346656037)
	for _, f := range fs {
		h = (h ^ uint64(f.fn.id)) * 1099511628211
	}
	return h
}

// join finds or makes the path of frames below a node; false when the tree is full.
func (t *paths) join(n uint32, runs ...[]frame) (uint32, bool) {
	for _, run := range runs {
		for _, f := range run {
			var err error
			if n, err = t.child(n, t.frame(f)); err != nil {
				return 0, false
			}
		}
	}
	return n, true
}

// served reports whether a path begins with a server's mark.
func served(fs []frame) bool {
	for _, f := range fs[:min(serverMarkDepth, len(fs))] {
		if f.fn.has(isServerRoot) {
			return true
		}
	}
	return false
}
