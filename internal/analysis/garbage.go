package analysis

import "fmt"

// garbage finds a process that is busy with its own garbage: the background
// collector, assists and allocation together. The places come from the allocs
// profiles, by bytes; without them from the CPU samples that allocate.
func garbage(rep *Report, t *paths, cpu, allocs []stack, rate int64, th Thresholds, partial bool) []Finding {
	sites, total := allocSites(t, allocs)
	perSite := func(w weighed) Share { return sampledShare(w.value, total, total/rate) }
	if partial {
		if total == 0 {
			return nil
		}
		f := Finding{
			Rule: RuleAllocation, Severity: SeverityInfo, Title: "where memory is allocated",
			Why:      fmt.Sprintf("%s were allocated at %d places; without a CPU profile nothing says what that costs.", bytesText(total), len(sites)),
			Evidence: sites.evidence(5, "allocates", "bytes", perSite),
		}
		f.Next = fmt.Sprintf("Take a CPU profile beside it. The first place to look at is %s.", f.Evidence[0].Place())
		return []Finding{f}
	}
	var background, allocating int64
	mallocs := tally{}
	for s, fs := range t.each(cpu) {
		switch {
		case s.end == nil && isGC(fs):
			background += s.value
		case s.work.alloc || isGC(fs):
			allocating += s.value
			mallocs[site{at: siteOf(s, fs, len(fs)-1)}] += s.value
		}
	}
	sh := share(background+allocating, rep.Samples)
	rep.GC = sh
	if rep.Samples < th.MinSamples || sh.Low < th.GC {
		return nil
	}
	f := Finding{
		Rule: RuleGC, Severity: SeverityMedium, Impact: sh.Part, Title: "the process is busy with its own garbage",
		Why: fmt.Sprintf("%s of the process's CPU is allocation and the collector (%d of %d samples, %s of it in the background; the rule asks for a lower bound of %s).",
			sh, sh.Samples, sh.Of, percent(float64(background)/float64(sh.Samples)), percent(th.GC)),
	}
	if sh.Low >= 2*th.GC {
		f.Severity = SeverityHigh
	}
	if total > 0 {
		f.Evidence = sites.evidence(5, "allocates", "bytes", perSite)
		top := f.Evidence[0]
		f.Next = fmt.Sprintf("At %s, allocate less: %s of the bytes come from there. Reuse buffers, size slices and maps once, decode into fewer objects.", top.Place(), percent(top.Share.Part))
		return []Finding{f}
	}
	f.Evidence = mallocs.evidence(5, "allocates", "", func(w weighed) Share { return share(w.value, rep.Samples) })
	// Also where the pod was asked for them and has none, or allocated too little.
	f.Next = "Allocs profiles from before and after the CPU profile would name the places by bytes."
	if len(f.Evidence) > 0 {
		f.Next = fmt.Sprintf("Allocate less at %s, which leads by CPU. %s", f.Evidence[0].Place(), f.Next)
	}
	return []Finding{f}
}

// allocSites sums allocated bytes by the place that answers for them. The
// profiler's own allocations are none of the program's.
func allocSites(t *paths, stacks []stack) (tally, int64) {
	sites := tally{}
	for s, fs := range t.each(stacks) {
		if underProfiler(fs) {
			continue
		}
		at := site{at: siteOf(s, fs, len(fs)-1)}
		// The library that was called from there says what it is for.
		for i := range fs[:len(fs)-1] {
			if fs[i] == at.at && fs[i+1].fn.origin != originApp {
				at.via = fs[i+1].fn
			}
		}
		if at.via != nil && at.via.pkg == "runtime" {
			at.via = nil
		}
		sites[at] += s.value
	}
	return sites, sites.sum()
}

// underProfiler reports whether a stack is of taking a profile.
func underProfiler(fs []frame) bool {
	for _, f := range fs {
		if f.fn.pkg == "runtime/pprof" || f.fn.pkg == "net/http/pprof" {
			return true
		}
	}
	return false
}

// bytesText writes an amount of memory: "3.2 MB".
func bytesText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}
