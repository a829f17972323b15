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
func repair(stacks []*stack) {
	roots := map[*fn]bool{}
	for _, s := range stacks {
		if len(s.frames) < cutDepth {
			roots[s.frames[0].fn] = true
		}
	}
	wanted := map[[2]frame][]*stack{}
	for _, s := range stacks {
		if len(s.frames) >= cutDepth && !roots[s.frames[0].fn] && serverMark(s) < 0 {
			s.truncated = true
			key := [2]frame{s.frames[0], s.frames[1]}
			wanted[key] = append(wanted[key], s)
		}
	}
	if len(wanted) == 0 {
		return
	}
	type guess struct {
		prefix []frame
		votes  int64
	}
	best := map[*stack]guess{}
	for _, s := range stacks {
		if s.truncated {
			continue
		}
		for i := 1; i+overlap <= len(s.frames); i++ {
			for _, cut := range wanted[[2]frame{s.frames[i], s.frames[i+1]}] {
				if sameFrames(s.frames[i:i+overlap], cut.frames[:overlap]) && s.value > best[cut].votes {
					best[cut] = guess{s.frames[:i], s.value}
				}
			}
		}
	}
	for s, g := range best {
		s.frames = append(append(make([]frame, 0, len(g.prefix)+len(s.frames)), g.prefix...), s.frames...)
		s.truncated = false
	}
}

func sameFrames(a, b []frame) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
