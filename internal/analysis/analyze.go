package analysis

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/profbot/profbot/internal/profile"
)

// PodProfiles are the profiles of one pod. Any may be nil: without CPU the
// report has findings and no endpoints, and the others sharpen it. Of a
// control pod only CPU is read.
type PodProfiles struct {
	Pod     string
	Control bool // a cool pod to compare with: not part of the shares
	CPU     *profile.Profile
	// AllocsBefore and AllocsAfter are the cumulative allocs profiles from
	// before and after the CPU profile; they are subtracted here.
	AllocsBefore, AllocsAfter *profile.Profile
	Goroutine                 *profile.Profile
	// HeapBefore and HeapAfter are snapshots of the live heap; HeapAfter alone
	// shows what lives, both show what grows. Allocs profiles hold a heap too
	// and may stand here.
	HeapBefore, HeapAfter *profile.Profile
	// Mutex and Block are profiles of waiting. With MutexBefore or BlockBefore
	// they are cumulative and subtracted; alone they are taken for a
	// difference if they carry a duration, else for all since the process
	// began.
	MutexBefore, Mutex *profile.Profile
	BlockBefore, Block *profile.Profile
}

// Options tune an analysis. The zero value is right for most services.
type Options struct {
	Service    string
	Thresholds Thresholds
	// AppPrefixes are the package path prefixes of the application; empty
	// means that they are found from the profile.
	AppPrefixes []string
	// Routes names handlers: the end of a handler's full name, such as
	// "(*API).LiveList", to what people call it, such as "GET /live/list".
	Routes map[string]string
	// Rates are the requests a second of endpoints, by name, all pods that are
	// not controls together; Keys are how many keys they spread over. Both
	// narrow [Endpoint.Gain]; nil means that they are not known. The name "*"
	// in Keys stands for every endpoint.
	Rates map[string]float64
	Keys  map[string]int
	// RateOf is asked for the rate of an endpoint that Rates does not name;
	// nil knows none.
	RateOf func(endpoint string) (float64, bool)
	// Requests are those of all endpoints together, a second, all pods that
	// are not controls: they bound the rate of an endpoint that Rates does not
	// name. 0 means that they are not known.
	Requests float64
	// Hold is how long a shared value would be kept, for [Gain.Hold]. 0 means
	// 100 ms.
	Hold time.Duration
	// Focus is the kind of profile that the report is about first: [KindHeap]
	// for a question of memory; "" is CPU.
	Focus Kind
	// Trees asks for the trees of the other profiles too.
	Trees bool
	// Samples keeps what [Result.Samples] yields: about as much as the raw
	// profiles.
	Samples bool
}

// Result is a report with what a flame graph draws.
type Result struct {
	Report *Report
	Tree   *Tree // CPU of the hot pods; its root's Total is 0 without CPU samples
	// Others are the trees of the hot pods' other profiles, in the order
	// allocs, heap, goroutine, mutex, block; only with [Options.Trees].
	Others  []*Tree
	Control *Tree // CPU of the control pods; nil without one

	paths *paths // of cpu; nil unless [Options.Samples]
	cpu   []stack
}

// ErrNoCPU says that no hot pod has a CPU profile, nor any other that says
// something alone.
var ErrNoCPU = errors.New("no CPU profile to analyse")

// Analyze is [AnalyzeSeq] of a list.
func Analyze(pods []PodProfiles, opt Options) (*Result, error) {
	return AnalyzeSeq(slices.Values(pods), opt)
}

// AnalyzeSeq makes the report. A pod's profiles are not kept when the next is
// asked for: parsed profiles are large, and what is read from them is less.
//
// Pods whose CPU profile is missing or empty are
// left out with a note, and so are control pods whose CPU profile is none. It
// fails when there is no profile of a hot pod to say anything from
// ([ErrNoCPU]), or when what is given as a CPU profile is none.
func AnalyzeSeq(pods iter.Seq[PodProfiles], opt Options) (*Result, error) {
	opt.Thresholds = opt.Thresholds.WithDefaults()
	t := newPaths()
	rep := &Report{Version: ReportVersion, Service: opt.Service, Focus: opt.Focus}

	var read struct{ cpu, control, allocs []sample }
	x := extras{t: t}
	type run struct{ from, to int } // of a pod's stacks
	var runs []run
	for p := range pods {
		if err := x.read(p); err != nil {
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s: %v", p.Pod, err))
		}
		if p.CPU == nil {
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s: no CPU profile", p.Pod))
			continue
		}
		list, total, err := cpuSamples(t, p.CPU)
		if err != nil && p.Control { // only to compare with: the hot pods' report stands without it
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s: left out: %v", p.Pod, err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cmp.Or(p.Pod, "profile"), err)
		}
		pod := Pod{Name: p.Pod, Control: p.Control, CPU: total, Window: p.CPU.Duration}
		for _, s := range list {
			pod.Samples += s.value
		}
		if pod.Window > 0 {
			pod.Cores = pod.CPU.Seconds() / pod.Window.Seconds()
		}
		if pod.Samples == 0 {
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s: the CPU profile has no samples: the process was idle", p.Pod))
		}
		rep.Pods = append(rep.Pods, pod)
		if p.Control {
			runs = append(runs, run{len(read.control), len(read.control) + len(list)})
			read.control = concat(read.control, list)
			continue
		}
		runs = append(runs, run{len(read.cpu), len(read.cpu) + len(list)})
		read.cpu = concat(read.cpu, list)
		rep.Samples += pod.Samples
		rep.CPU += pod.CPU
		rep.Window = max(rep.Window, pod.Window)
		more, err := allocSamples(t, p.AllocsBefore, p.AllocsAfter)
		if err != nil {
			rep.Notes = append(rep.Notes, fmt.Sprintf("%s: %v", p.Pod, err))
		}
		read.allocs = concat(read.allocs, more)
	}
	if !slices.ContainsFunc(rep.Pods, func(p Pod) bool { return !p.Control }) && !x.any() {
		return nil, ErrNoCPU
	}
	t.settle()
	cpu, control, allocs := stacksOf(read.cpu), stacksOf(read.control), stacksOf(read.allocs)
	read.cpu, read.control, read.allocs = nil, nil, nil
	if note := strange(t, cpu); note != "" {
		rep.Notes = append(rep.Notes, note)
	}
	classifyAll(t, x.weighing(cpu, control), opt.AppPrefixes)
	t.settle()
	a := attribute(t, cpu, opt.Routes, allocs, x.allocs, x.goroutines, x.heap.after, x.mutex.delay, x.block.delay)
	if len(control) > 0 {
		attribute(t, control, opt.Routes)
	}
	t.settle()
	work(t, cpu, control, allocs)
	c := newCounts(rep, gather(t, cpu, allocs))
	var fs []frame
	var profiling int64
	for i := range cpu {
		fs = t.path(cpu[i].node, fs)
		c.add(&cpu[i], fs)
		if underProfiler(fs) {
			profiling += cpu[i].value
		}
	}
	rep.Profiling = share(profiling, rep.Samples)
	c.gc(allocs)
	c.inside(t, x.goroutines)
	c.finish(opt.Thresholds)
	perPod := make([][]stack, len(rep.Pods))
	for i := range rep.Pods {
		stacks := cpu
		if rep.Pods[i].Control {
			stacks = control
		}
		perPod[i] = stacks[runs[i].from:runs[i].to]
		var n int64
		for _, s := range perPod[i] {
			if s.work.dir == decode && !s.work.io {
				n += s.value
			}
		}
		rep.Pods[i].Decode = share(n, rep.Pods[i].Samples)
	}
	x.finish(rep, opt, cpu, allocs, perPod)
	if a.labels == "" && len(rep.Endpoints) > 0 {
		rep.Notes = append(rep.Notes, "Endpoints are told from stacks: profiler labels would name the routes.")
	}
	res := &Result{Report: rep, Tree: buildTree(t, cpu, rep)}
	if opt.Samples {
		res.paths, res.cpu = t, cpu
	}
	if opt.Trees {
		res.Others = x.otherTrees(allocs)
	}
	if len(control) > 0 {
		res.Control = buildTree(t, control, rep)
	}
	return res, nil
}

// concat appends a pod's samples; the first pod's are taken as they are.
func concat(all, more []sample) []sample {
	if len(all) == 0 {
		return more
	}
	return append(all, more...)
}

// maxSum is the limit on a CPU profile's samples and nanoseconds together: 104
// days of CPU, which leaves room for adding up pods.
const maxSum = 1 << 53

// cpuSamples reads a CPU profile: paths by samples, and the CPU time of all.
func cpuSamples(t *paths, p *profile.Profile) ([]sample, time.Duration, error) {
	nanos := p.TypeIndex("cpu")
	if nanos < 0 {
		return nil, 0, fmt.Errorf("not a CPU profile: it holds %s", p.Types())
	}
	count := p.TypeIndex("samples", "sample")
	period := p.Period
	if period <= 0 {
		period = 10_000_000 // Go's 100 Hz
	}
	// A sum that is negative or has wrapped around would make nonsense of every
	// share: a target's words are no reason to tell it.
	var sum, total int64
	list, err := t.read(p, func(s *profile.Sample) (int64, error) {
		for i, v := range s.Values {
			switch {
			case i != nanos && i != count:
			case v < 0:
				return 0, errors.New("it holds negative samples: a difference of two profiles cannot be judged")
			case v > maxSum-sum:
				return 0, errors.New("its samples add up to more than any process can run")
			default:
				sum += v
			}
		}
		total += s.Values[nanos]
		if count >= 0 {
			return s.Values[count], nil
		}
		return (s.Values[nanos] + period/2) / period, nil
	})
	return list, time.Duration(total), err
}

// allocSamples reads the bytes allocated between two cumulative profiles, or
// since the start of the process when there is only one.
func allocSamples(t *paths, before, after *profile.Profile) ([]sample, error) {
	if after == nil {
		after, before = before, nil
	}
	return t.delta(before, after, "alloc_space")
}

// delta reads what one value of a cumulative profile grew by from one snapshot
// to the next, or all of it without the first. Profiles that do not have the
// value have no stacks.
func (t *paths) delta(before, after *profile.Profile, value string) ([]sample, error) {
	read := func(p *profile.Profile) ([]sample, error) {
		if p == nil {
			return nil, nil
		}
		i := p.TypeIndex(value)
		if i < 0 {
			return nil, nil
		}
		return readSamples(t, p, i)
	}
	list, err := read(after)
	if err != nil || before == nil {
		return list, err
	}
	earlier, err := read(before)
	if err != nil {
		return nil, err
	}
	return subtract(list, earlier), nil
}

// subtract leaves of samples what was not there before.
func subtract(samples, before []sample) []sample {
	base := map[uint32]int64{}
	for _, s := range before {
		base[s.node] += s.value
	}
	out := samples[:0]
	for _, s := range samples {
		b := base[s.node]
		base[s.node] = max(0, b-s.value)
		if s.value -= b; s.value > 0 {
			out = append(out, s)
		}
	}
	return out
}

// classifyAll decides what every function is.
func classifyAll(t *paths, cpu [][]stack, prefixes []string) {
	sub := t.sums(cpu...)
	byID := make([]int64, len(t.all))
	for n := len(t.nodes) - 1; n > 0; n-- {
		byID[t.at(uint32(n)).fn.id] += sub[n]
	}
	weight := make(map[*fn]int64, len(t.all))
	for id, w := range byID {
		if w > 0 {
			weight[t.all[id]] = w
		}
	}
	a := findApps(t.all, weight, prefixes, t.program)
	for _, f := range t.all {
		a.classify(f)
	}
}
