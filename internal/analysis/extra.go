package analysis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// extras are the stacks of the profiles beside CPU, of the pods that are not
// controls.
type extras struct {
	kinds      map[Kind]bool
	goroutines []*stack
	dumped     int      // pods with a goroutine profile
	allocs     []*stack // of pods without a CPU profile: the others' come by attribution
	allocRate  int64    // bytes that one sampled allocation stands for
	mutex      waits
	block      waits
	heap       heaps
}

// waits are the delays of a mutex or block profile, and how often they came.
type waits struct {
	delay, delayBefore []*stack // nanoseconds
	count, countBefore []*stack
	pods               int
	// window is for how long, all pods together; 0 when a snapshot is of all
	// the time since its process began, which no profile tells.
	window time.Duration
}

// heaps are live heaps, in bytes.
type heaps struct {
	before, after         []*stack // after alone is one snapshot
	podsBefore, podsAfter int
	rate                  int64         // bytes that one sampled object stands for
	window                time.Duration // between the snapshots, all pods together
}

// read takes over what a pod has beside its CPU profile. Profiles of the wrong kind are as good as none, since
// their sample types are not found.
func (x *extras) read(t *funcs, p PodProfiles) {
	if p.Control {
		return
	}
	if x.kinds == nil {
		x.kinds = map[Kind]bool{}
	}
	if p.CPU != nil {
		x.kinds[KindCPU] = true
	}
	if g := valuesOf(t, p.Goroutine, "goroutine", "goroutineleak"); g != nil {
		x.goroutines = append(x.goroutines, g...)
		x.dumped++
		x.kinds[KindGoroutine] = true
	}
	if a := cmp.Or(p.AllocsAfter, p.AllocsBefore); a != nil && sampleIndex(a, "alloc_space") >= 0 {
		x.kinds[KindAllocs] = true
		x.allocRate = samplingRate(a)
		if p.CPU == nil {
			x.allocs = append(x.allocs, allocStacks(t, p.AllocsBefore, p.AllocsAfter)...)
		}
	}
	if x.mutex.read(t, p.MutexBefore, p.Mutex) {
		x.kinds[KindMutex] = true
	}
	if x.block.read(t, p.BlockBefore, p.Block) {
		x.kinds[KindBlock] = true
	}
	if x.heap.read(t, p.HeapBefore, p.HeapAfter) {
		x.kinds[KindHeap] = true
	}
}

// samplingRate is how many bytes one sampled allocation stands for.
func samplingRate(p *profile.Profile) int64 {
	if p.Period > 0 && p.PeriodType != nil && p.PeriodType.Unit == "bytes" {
		return p.Period
	}
	return 512 << 10 // the runtime's own
}

func (w *waits) read(t *funcs, before, after *profile.Profile) bool {
	if after == nil {
		before, after = nil, before
	}
	if after == nil || sampleIndex(after, "delay") < 0 {
		return false
	}
	w.pods++
	w.delay = append(w.delay, valuesOf(t, after, "delay")...)
	w.count = append(w.count, valuesOf(t, after, "contentions")...)
	switch {
	case before != nil:
		w.delayBefore = append(w.delayBefore, valuesOf(t, before, "delay")...)
		w.countBefore = append(w.countBefore, valuesOf(t, before, "contentions")...)
		w.window += between(before, after)
	case after.DurationNanos > 0: // a difference that the process made
		w.window += time.Duration(after.DurationNanos)
	}
	return true
}

// between is the time from one snapshot to another; 0 when they do not tell.
func between(before, after *profile.Profile) time.Duration {
	if before.TimeNanos <= 0 || after.TimeNanos <= before.TimeNanos {
		return 0
	}
	return time.Duration(after.TimeNanos - before.TimeNanos)
}

func (h *heaps) read(t *funcs, before, after *profile.Profile) bool {
	if after == nil {
		before, after = nil, before
	}
	if after == nil || sampleIndex(after, "inuse_space") < 0 {
		return false
	}
	h.podsAfter++
	h.rate = samplingRate(after)
	h.after = append(h.after, valuesOf(t, after, "inuse_space")...)
	if before != nil && sampleIndex(before, "inuse_space") >= 0 {
		h.podsBefore++
		h.before = append(h.before, valuesOf(t, before, "inuse_space")...)
		h.window += between(before, after)
	}
	return true
}

// any reports whether there is anything to judge.
func (x *extras) any() bool { return len(x.kinds) > 0 }

// weighing are the stacks that tell the application's packages: those of CPU
// profiles, and where there are none, all others.
func (x *extras) weighing(cpu []*stack) []*stack {
	if len(cpu) > 0 {
		return cpu
	}
	return slices.Concat(x.goroutines, x.allocs, x.mutex.delay, x.block.delay, x.heap.after)
}

// finish adds to a counted report what goes beyond the endpoints' shares:
// expected gains, findings, pods that differ, and what would decide what is
// open. perPod are the CPU stacks by the place of their pod in rep.Pods.
func (x *extras) finish(rep *Report, opt Options, cpu, allocs []*stack, perPod map[int][]*stack) {
	th := opt.Thresholds
	for _, k := range []Kind{KindCPU, KindAllocs, KindGoroutine, KindHeap, KindMutex, KindBlock} {
		if x.kinds[k] {
			rep.Kinds = append(rep.Kinds, k)
		}
	}
	opt.rates(rep)
	gains(rep, opt)
	outliers(rep, perPod)
	partial := !x.kinds[KindCPU]
	rep.Findings = append(rep.Findings, hotPaths(rep, cpu, th)...)
	allocs = slices.Concat(allocs, x.allocs)
	rep.Findings = append(rep.Findings, garbage(rep, cpu, allocs, max(x.allocRate, 1), th, partial)...)
	rep.Findings = append(rep.Findings, x.locks(th, partial)...)
	rep.Findings = append(rep.Findings, x.pileUps(th, partial)...)
	rep.Findings = append(rep.Findings, x.growth(th, partial)...)
	sortFindings(rep.Findings)
	advise(rep, th)
	if partial {
		rep.Notes = slices.DeleteFunc(rep.Notes, func(n string) bool { return strings.HasSuffix(n, ": no CPU profile") }) // said once, for all
		rep.Notes = append(rep.Notes, fmt.Sprintf("There is no CPU profile: this is what %s shows alone. Endpoints and their shares need one.", kindList(rep.Kinds)))
	}
}

// kindList names profiles in a sentence: "the heap profile", "the heap and
// mutex profiles".
func kindList(kinds []Kind) string {
	out := "the "
	for i, k := range kinds {
		switch {
		case i > 0 && i == len(kinds)-1:
			out += " and "
		case i > 0:
			out += ", "
		}
		out += string(k)
	}
	if len(kinds) == 1 {
		return out + " profile"
	}
	return out + " profiles"
}
