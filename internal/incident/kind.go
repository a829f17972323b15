package incident

import (
	"slices"
	"strings"
	"time"
)

// Kind is one profile of one pod. Snapshots from before and after the CPU
// profile are subtracted by the analysis: cheaper for the target than the
// server-side delta. A kind's name is that of the pprof endpoint, with
// "-before" or "-after" behind it where there are two.
type Kind string

// The kinds.
const (
	KindCPU          Kind = "cpu"
	KindAllocsBefore Kind = "allocs-before"
	KindAllocsAfter  Kind = "allocs-after"
	KindGoroutine    Kind = "goroutine"
	KindHeapBefore   Kind = "heap-before"
	KindHeap         Kind = "heap" // after the CPU profile, or alone
	KindMutexBefore  Kind = "mutex-before"
	KindMutex        Kind = "mutex"
	KindBlockBefore  Kind = "block-before"
	KindBlock        Kind = "block"
)

// CPUPlan is the order in which one pod's profiles are pulled for a CPU alert.
var CPUPlan = []Kind{KindAllocsBefore, KindCPU, KindAllocsAfter, KindGoroutine}

// MemoryPlan is the same for an alert about memory. The runtime writes one
// record for heap and allocs, and their profiles differ in the column that is
// shown first. So a heap profile gives both, and a pod that is short of memory
// writes two of them and not four.
var MemoryPlan = []Kind{KindHeapBefore, KindCPU, KindHeap, KindGoroutine}

// WaitPlan are the profiles of waiting. Most processes do not record any, and
// an empty profile costs next to nothing: the one after is only asked for
// where the one before has something in it, since what a process waited since
// it began says little about a spike.
var WaitPlan = []Kind{KindMutexBefore, KindBlockBefore, KindMutex, KindBlock}

// Plan is what is pulled from one pod, in this order, without the kinds that
// its owner has switched off. Pods to compare with are spared the profiles of
// waiting.
func Plan(m Measure, role Role, refuses []Kind) []Kind {
	plan := CPUPlan
	if m == MeasureMemory {
		plan = MemoryPlan
	}
	var out []Kind
	for i, k := range plan {
		out = append(out, k)
		switch {
		case role != RoleHot:
		case i == 0:
			out = append(out, KindMutexBefore, KindBlockBefore)
		case k == KindCPU:
			out = append(out, KindMutex, KindBlock)
		}
	}
	return slices.DeleteFunc(out, func(k Kind) bool { return k.RefusedBy(refuses) })
}

// Profile is the name of the pprof profile: "allocs" for both snapshots of it.
func (k Kind) Profile() string {
	return strings.TrimSuffix(strings.TrimSuffix(string(k), "-before"), "-after")
}

// RefusedBy reports whether k is among the kinds that an owner has switched
// off, or another snapshot of one of them.
func (k Kind) RefusedBy(refuses []Kind) bool {
	return slices.ContainsFunc(refuses, func(r Kind) bool { return r.Profile() == k.Profile() })
}

// Waiting reports whether k is a profile of waiting: one that is there only
// where a process records it, and missed by nobody where it does not.
func (k Kind) Waiting() bool { return slices.Contains(WaitPlan, k) }

// Before is the snapshot that k is subtracted from; "" for none.
func (k Kind) Before() Kind {
	switch k {
	case KindAllocsAfter:
		return KindAllocsBefore
	case KindHeap:
		return KindHeapBefore
	case KindMutex:
		return KindMutexBefore
	case KindBlock:
		return KindBlockBefore
	}
	return ""
}

// Cost is for how long pods were asked to sample their CPU, all together, with
// what came to nothing, and how many pods that were.
func Cost(captures []Capture) (asked time.Duration, pods int) {
	seen := map[string]bool{}
	for _, c := range captures {
		if c.Asked > 0 {
			asked += c.Asked
			seen[c.Pod] = true
		}
	}
	return asked, len(seen)
}
