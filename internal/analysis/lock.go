package analysis

import (
	"fmt"
	"time"
)

// lockWaits matches where goroutines wait for a lock, in a block profile.
func isLockWait(f *fn) bool {
	return (f.pkg == "sync" || f.pkg == "internal/sync") && (f.last == "Lock" || f.last == "RLock" || f.last == "lockSlow")
}

// waitSites sums delays by place. Of a mutex profile the place is the one that
// held the lock: the runtime records a wait where the lock is given back. Of a
// block profile it is the one that waits. only may leave stacks out.
func waitSites(t *paths, stacks []stack, only func([]frame) bool) tally {
	out := tally{}
	for s, fs := range t.each(stacks) {
		if only != nil && !only(fs) {
			continue
		}
		i := len(fs) - 1
		// The lock itself: above it stands who holds it.
		for i > 0 && (fs[i].fn.pkg == "sync" || fs[i].fn.pkg == "internal/sync" || fs[i].fn.pkg == "runtime" || fs[i].fn.pkg == "") {
			i--
		}
		out[site{at: siteOf(s, fs, i)}] += s.value
	}
	return out
}

// waited are a profile's delays and counts by place.
func (w *waits) waited(t *paths, only func([]frame) bool) (delay, count tally) {
	return waitSites(t, w.delay, only).minus(waitSites(t, w.delayBefore, only)), waitSites(t, w.count, only).minus(waitSites(t, w.countBefore, only))
}

// locks finds goroutines that wait for locks: from a mutex profile, with who
// holds the lock, and from a block profile, with who waits.
func (x *extras) locks(th Thresholds, partial bool) []Finding {
	var out []Finding
	waiting, _ := x.block.waited(x.t, func(fs []frame) bool {
		for _, f := range fs {
			if isLockWait(f.fn) {
				return true
			}
		}
		return false
	})
	held, counts := x.mutex.waited(x.t, nil)
	if f, ok := lockFinding(held, counts, waiting, x.mutex, th); ok {
		out = append(out, f)
	} else if partial && held.sum() > 0 {
		out = append(out, waitingInfo(held, counts, "holds the lock", "locks were waited for"))
	} else if f, ok := lockFinding(nil, nil, waiting, x.block, th); ok && held.sum() == 0 {
		out = append(out, f)
	}
	if partial && len(out) == 0 {
		if delay, counts := x.block.waited(x.t, nil); delay.sum() > 0 {
			out = append(out, waitingInfo(delay, counts, "waits", "goroutines waited, for each other, for locks or for work"))
		}
	}
	return out
}

// lockFinding judges seconds waited for each second of a pod. held may be nil:
// then only the waiting side is known.
func lockFinding(held, counts, waiting tally, w waits, th Thresholds) (Finding, bool) {
	by := held
	if by == nil {
		by = waiting
	}
	total := by.sum()
	if total == 0 || w.window <= 0 {
		return Finding{}, false
	}
	events := max(counts.sum(), 1)
	// Waits are counted, and their sum is as sure as their number: Poisson,
	// with the longest counting most, so this is a lower bound of the doubt.
	rate := time.Duration(total).Seconds() / w.window.Seconds()
	low := rate * lowerPoisson(events)
	if low < th.LockWait {
		return Finding{}, false
	}
	f := Finding{
		Rule: RuleLock, Severity: SeverityMedium, Title: "goroutines wait for locks",
		Why: fmt.Sprintf("Goroutines waited %.2g s for locks in each second of a pod (at least %.2g s; %s waits in %s; the rule asks for a lower bound of %.2g).",
			rate, low, thousands(events), w.window.Round(100*time.Millisecond), th.LockWait),
	}
	if low >= 10*th.LockWait {
		f.Severity = SeverityHigh
	}
	ofTotal := func(w weighed) Share { return sampledShare(w.value, total, events) }
	if held != nil {
		f.Evidence = held.evidence(3, "holds the lock", "nanoseconds", ofTotal)
		f.Next = fmt.Sprintf("At %s, hold the lock for less: %s of the waiting is for whoever holds it there. Take work, I/O and logging out of it, or split the lock.", f.Evidence[0].Place(), percent(f.Evidence[0].Share.Part))
		if all := waiting.sum(); all > 0 {
			f.Evidence = append(f.Evidence, waiting.evidence(2, "waits for a lock", "nanoseconds", func(w weighed) Share { return sampledShare(w.value, all, events) })...)
		}
		return f, true
	}
	f.Evidence = waiting.evidence(3, "waits for a lock", "nanoseconds", ofTotal)
	f.Next = fmt.Sprintf("%s waits most. Set runtime.SetMutexProfileFraction(100) and profile again: the mutex profile names who holds the lock.", f.Evidence[0].Place())
	return f, true
}

func waitingInfo(by, counts tally, what, title string) Finding {
	total := by.sum()
	events := max(counts.sum(), 1)
	f := Finding{
		Rule: RuleWaiting, Severity: SeverityInfo, Title: title,
		Why:      fmt.Sprintf("%s were waited in all, over %s waits.", time.Duration(total).Round(time.Millisecond), thousands(events)),
		Evidence: by.evidence(5, what, "nanoseconds", func(w weighed) Share { return sampledShare(w.value, total, events) }),
	}
	f.Next = "Give a second profile from some time later: then the time waited has a time to compare with."
	return f
}
