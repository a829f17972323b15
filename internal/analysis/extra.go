package analysis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/profile"
)

// extras are the stacks of the profiles beside CPU, of the pods that are not
// controls.
type extras struct {
	t          *paths
	kinds      map[Kind]bool
	goroutines []stack
	dumped     int     // pods with a goroutine profile
	allocs     []stack // of pods without a CPU profile: the others' come by attribution
	allocRate  int64   // bytes that one sampled allocation stands for
	mutex      waits
	block      waits
	heap       heaps
}

// waits are the delays of a mutex or block profile, and how often they came.
type waits struct {
	delay, delayBefore []stack // nanoseconds
	count, countBefore []stack
	pods               int
	// window is for how long, all pods with a window together.
	window time.Duration
	// life is of pods of which one snapshot alone is there: of all the time
	// since their process began, which no profile tells.
	life struct{ delay, count []stack }
}

// settle takes what pods waited in all their life where no pod has a window:
// beside windows of seconds it would be nonsense.
func (w *waits) settle() {
	if w.window == 0 {
		w.delay, w.count = w.life.delay, w.life.count
	}
}

// heaps are live heaps, in bytes.
type heaps struct {
	before, after         []stack // after alone is one snapshot
	madeBefore, made      []stack // bytes allocated since the process began
	podsBefore, podsAfter int
	rate                  int64         // bytes that one sampled object stands for
	window                time.Duration // between the snapshots, all pods together
}

// read takes over what a pod has beside its CPU profile. Profiles of the wrong kind are as good as none, since
// their sample types are not found.
func (x *extras) read(p PodProfiles) error {
	if p.Control {
		return nil
	}
	if x.kinds == nil {
		x.kinds = map[Kind]bool{}
	}
	if p.CPU != nil {
		x.kinds[KindCPU] = true
	}
	g, err := x.t.values(p.Goroutine, "goroutine", "goroutineleak")
	if err != nil {
		return err
	}
	if g != nil {
		x.goroutines = append(x.goroutines, g...)
		x.dumped++
		x.kinds[KindGoroutine] = true
	}
	if a := cmp.Or(p.AllocsAfter, p.AllocsBefore); a != nil && a.TypeIndex("alloc_space") >= 0 {
		x.kinds[KindAllocs] = true
		x.allocRate = samplingRate(a)
		if p.CPU == nil {
			more, err := allocSamples(x.t, p.AllocsBefore, p.AllocsAfter)
			if err != nil {
				return err
			}
			x.allocs = append(x.allocs, stacksOf(more)...)
		}
	}
	for _, w := range []struct {
		kind          Kind
		waits         *waits
		before, after *profile.Profile
	}{{KindMutex, &x.mutex, p.MutexBefore, p.Mutex}, {KindBlock, &x.block, p.BlockBefore, p.Block}} {
		ok, err := w.waits.read(x.t, w.before, w.after)
		if err != nil {
			return err
		}
		if ok {
			x.kinds[w.kind] = true
		}
	}
	ok, err := x.heap.read(x.t, p.HeapBefore, p.HeapAfter)
	if ok {
		x.kinds[KindHeap] = true
	}
	return err
}

// samplingRate is how many bytes one sampled allocation stands for.
func samplingRate(p *profile.Profile) int64 {
	if p.Period > 0 && p.PeriodType.Unit == "bytes" {
		return p.Period
	}
	return 512 << 10 // the runtime's own
}

func (w *waits) read(t *paths, before, after *profile.Profile) (bool, error) {
	if after == nil {
		before, after = nil, before
	}
	if after == nil || after.TypeIndex("delay") < 0 {
		return false, nil
	}
	w.pods++
	window := after.Duration // of a difference that the process made
	if before != nil {
		window = between(before, after)
	}
	if window <= 0 {
		return true, t.readAll([]values{{&w.life.delay, after, "delay"}, {&w.life.count, after, "contentions"}})
	}
	w.window += window
	return true, t.readAll([]values{
		{&w.delay, after, "delay"},
		{&w.count, after, "contentions"},
		{&w.delayBefore, before, "delay"},
		{&w.countBefore, before, "contentions"},
	})
}

// between is the time from one snapshot to another; 0 when they do not tell.
func between(before, after *profile.Profile) time.Duration {
	if before.Time.IsZero() || !after.Time.After(before.Time) {
		return 0
	}
	return after.Time.Sub(before.Time)
}

func (h *heaps) read(t *paths, before, after *profile.Profile) (bool, error) {
	if after == nil {
		before, after = nil, before
	}
	if after == nil || after.TypeIndex("inuse_space") < 0 {
		return false, nil
	}
	h.podsAfter++
	h.rate = samplingRate(after)
	if before != nil && before.TypeIndex("inuse_space") >= 0 {
		h.podsBefore++
		h.window += between(before, after)
	}
	return true, t.readAll([]values{
		{&h.after, after, "inuse_space"},
		{&h.before, before, "inuse_space"},
		{&h.made, after, "alloc_space"},
		{&h.madeBefore, before, "alloc_space"},
	})
}

// any reports whether there is anything to judge.
func (x *extras) any() bool { return len(x.kinds) > 0 }

// weighing are the stacks that tell the application's packages: those of CPU
// profiles, and where there are none, all others.
func (x *extras) weighing(cpu, control []stack) [][]stack {
	x.mutex.settle()
	x.block.settle()
	if len(cpu)+len(control) > 0 {
		return [][]stack{cpu, control}
	}
	return [][]stack{x.goroutines, x.allocs, x.mutex.delay, x.block.delay, x.heap.after}
}

// finish adds to a counted report what goes beyond the endpoints' shares:
// expected gains, findings, pods that differ, and what would decide what is
// open. perPod are the CPU stacks by the place of their pod in rep.Pods.
func (x *extras) finish(rep *Report, opt Options, cpu, allocs []stack, perPod [][]stack) {
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
	rep.Findings = append(rep.Findings, hotPaths(rep, x.t, cpu, th)...)
	allocs = slices.Concat(allocs, x.allocs)
	rep.Findings = append(rep.Findings, garbage(rep, x.t, cpu, allocs, max(x.allocRate, 1), th, partial)...)
	rep.Findings = append(rep.Findings, x.locks(th, partial)...)
	rep.Findings = append(rep.Findings, x.pileUps(th, partial)...)
	rep.Findings = append(rep.Findings, x.growth(rep, th, partial)...)
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
