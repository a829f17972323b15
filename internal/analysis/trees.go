package analysis

// otherTrees builds the call trees of the profiles beside the CPU's, with the
// endpoints and categories that the analysis found for them.
func (x *extras) otherTrees(allocs []stack) []*Tree {
	var out []*Tree
	add := func(kind Kind, unit string, perSample float64, stacks []stack) {
		if len(stacks) == 0 {
			return
		}
		work(x.t, stacks)
		t := buildTree(x.t, stacks, &Report{})
		t.Kind, t.Unit, t.PerSample = string(kind), unit, min(perSample, float64(t.Root.Total))
		if kind == KindGoroutine || kind == KindMutex || kind == KindBlock {
			waiting(t.Root, "")
		}
		out = append(out, t)
	}
	if len(allocs) == 0 {
		allocs = x.allocs
	}
	add(KindAllocs, "bytes", float64(x.allocRate), allocs)
	add(KindHeap, "bytes", float64(x.heap.rate), x.heap.after)
	add(KindGoroutine, "goroutines", 0, x.goroutines)
	for _, w := range []struct {
		kind Kind
		*waits
	}{{KindMutex, &x.mutex}, {KindBlock, &x.block}} {
		grown := subtract(samplesOf(w.delay), samplesOf(w.delayBefore))
		var sum, events int64
		for _, s := range grown {
			sum += s.value
		}
		for _, s := range subtract(samplesOf(w.count), samplesOf(w.countBefore)) {
			events += s.value
		}
		add(w.kind, "nanoseconds", float64(sum)/float64(max(events, 1)), stacksOf(grown))
	}
	return out
}

// samplesOf are the samples of stacks, as they were read.
func samplesOf(stacks []stack) []sample {
	out := make([]sample, len(stacks))
	for i := range stacks {
		out[i] = stacks[i].sample
	}
	return out
}
