package analysis

// Stacks that the runtime cut off. A CPU profile keeps 64 physical frames
// (runtime.maxCPUProfStack); with inlined calls a cut stack shows 64 lines or
// more, but never fewer.
const (
	cutDepth = 64
	// overlap is how many frames a complete stack must share with the top of
	// a cut one to be believed its continuation.
	overlap = 16
)

// repair marks stacks whose root is missing, and gives back the missing frames
// where complete stacks agree on what they are.
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
	wanted := map[[2]frame][]int{}
	heads := map[int][]frame{} // the first frames of a cut stack
	for i := range stacks {
		s := &stacks[i]
		if buf = t.path(s.node, buf); len(buf) >= cutDepth && !roots[buf[0].fn] && !served(buf) {
			s.truncated = true
			key := [2]frame{buf[0], buf[1]}
			wanted[key] = append(wanted[key], i)
			heads[i] = append([]frame(nil), buf[:overlap]...)
		}
	}
	type guess struct {
		prefix []frame
		votes  int64
	}
	best := map[int]guess{}
	for i := range stacks {
		s := &stacks[i]
		if s.truncated || len(wanted) == 0 {
			continue
		}
		buf = t.path(s.node, buf)
		for k := 1; k+overlap <= len(buf); k++ {
			for _, cut := range wanted[[2]frame{buf[k], buf[k+1]}] {
				if s.value > best[cut].votes && sameFrames(buf[k:k+overlap], heads[cut]) {
					best[cut] = guess{append([]frame(nil), buf[:k]...), s.value}
				}
			}
		}
	}
	for i := range stacks {
		g, ok := best[i]
		if !ok {
			continue
		}
		s := &stacks[i]
		buf = t.path(s.node, buf)
		if n, ok := t.join(g.prefix, buf); ok {
			s.node, s.truncated = n, false
		}
	}
}

// join finds or makes the path of two runs of frames; false when the tree is full.
func (t *paths) join(runs ...[]frame) (uint32, bool) {
	n := uint32(0)
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

func sameFrames(a, b []frame) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
