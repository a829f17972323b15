package analysis

import (
	"fmt"
	"regexp"
)

// minPileShare is the part of the goroutines that are not idle which has to
// wait at one place.
const minPileShare = 0.5

var (
	parked    = regexp.MustCompile(`^(gopark|goparkunlock|park_m|mcall|goexit|semacquire1?|selectgo|block|notetsleepg?|netpollblock|timeSleep|rt0_go)$`)
	lockNames = regexp.MustCompile(`^\(\*(RW)?Mutex\)\.(R?Lock|lockSlow|rLockSlow)|^\(\*rlocker\)\.Lock`)
	waitNames = regexp.MustCompile(`^\(\*(WaitGroup|Cond)\)\.Wait`)
	chanRecvs = regexp.MustCompile(`^(chanrecv[12]?|recv)$`)
	chanSends = regexp.MustCompile(`^(chansend1?|send)$`)
	netWaits  = regexp.MustCompile(`^(internal/poll\.runtime_pollWait|internal/poll\.\(\*pollDesc\)\.wait)`)
	poolNames = regexp.MustCompile(`(?i)pool|\(\*DB\)\.conn|acquire|getConn|Weighted`)
)

// waitOf says what a goroutine waits for; "" when it does not wait or only for
// its next request.
func waitOf(fs []frame) string {
	for i := len(fs) - 1; i >= 0; i-- {
		f := fs[i].fn
		switch {
		case netWaits.MatchString(f.name):
			return "the network"
		case (f.pkg == "sync" || f.pkg == "internal/sync") && lockNames.MatchString(f.sym):
			return "a lock"
		case f.pkg == "sync" && waitNames.MatchString(f.sym):
			return "other goroutines"
		case f.pkg == "runtime" && chanSends.MatchString(f.sym):
			return "a place in a channel"
		case f.pkg == "runtime" && chanRecvs.MatchString(f.sym):
			return "a channel"
		case f.pkg == "runtime" && f.sym == "selectgo":
			return "a channel, in a select"
		case f.pkg == "time" && f.sym == "Sleep":
			return "the clock"
		case f.pkg == "runtime" && parked.MatchString(f.sym), f.pkg == "", f.pkg == "internal/poll", f.pkg == "sync", f.pkg == "internal/sync":
			continue
		}
		return ""
	}
	return ""
}

// pile is one place with what is waited for there.
type pile struct {
	site
	wait string
}

// pileUps finds many goroutines of a pod that wait at one place in the
// application's code.
func (x *extras) pileUps(th Thresholds, partial bool) []Finding {
	piles := map[pile]int64{}
	byPlace := tally{}
	var busy, all int64
	for s, fs := range x.t.each(x.goroutines) {
		all += s.value
		if underProfiler(fs) {
			continue
		}
		i := len(fs) - 1
		for i >= 0 && fs[i].fn.origin != originApp {
			i--
		}
		if i < 0 {
			continue // waits for its next request, or is the runtime's
		}
		busy += s.value
		p := pile{site: site{at: fs[i]}, wait: waitOf(fs)}
		if i+1 < len(fs) && fs[i+1].fn.pkg != "runtime" {
			p.via = fs[i+1].fn
		}
		piles[p] += s.value
		byPlace[p.site] += s.value
	}
	if busy == 0 {
		return nil
	}
	var worst pile
	var n int64
	for p, k := range piles {
		if p.wait == "" || k < n {
			continue
		}
		if k > n || p.at.fn.name+p.wait+p.viaName() < worst.at.fn.name+worst.wait+worst.viaName() {
			worst, n = p, k
		}
	}
	ofBusy := func(w weighed) Share { return share(w.value, busy) }
	sh := share(n, busy)
	if n < th.PileUp*int64(max(x.dumped, 1)) || sh.Low < minPileShare {
		if !partial {
			return nil
		}
		f := Finding{
			Rule: RuleGoroutines, Severity: SeverityInfo, Title: "what the goroutines do",
			Why:      fmt.Sprintf("%s goroutines, %s of them in the application's code; no place holds most of them and %d or more a pod.", thousands(all), thousands(busy), th.PileUp),
			Evidence: byPlace.evidence(5, "is there", "goroutines", ofBusy),
			Next:     "Take a CPU profile beside it to see what they cost.",
		}
		return []Finding{f}
	}
	f := Finding{
		Rule: RulePileUp, Severity: SeverityMedium, Title: "goroutines pile up at one place",
		Why: fmt.Sprintf("%s goroutines, %s of those in the application's code, waited for %s at one place at one moment (the rule asks for %d a pod and a lower bound of %s).",
			thousands(n), sh, worst.wait, th.PileUp, percent(minPileShare)),
		Evidence: tally{worst.site: n}.evidence(1, "waits for "+worst.wait, "goroutines", ofBusy),
	}
	if sh.Low >= 0.8 && n >= 10*th.PileUp {
		f.Severity = SeverityHigh
	}
	place := f.Evidence[0].Place()
	switch pool := worst.via != nil && poolNames.MatchString(worst.via.sym); {
	case pool:
		f.Next = fmt.Sprintf("At %s, they want a place in a pool (%s): give places back sooner, or make the pool as large as what stands behind it can bear.", place, worst.viaName())
	case worst.wait == "a lock":
		f.Next = fmt.Sprintf("At %s, find who holds the lock: set runtime.SetMutexProfileFraction(100) and take a mutex profile.", place)
	case worst.wait == "the network":
		f.Next = fmt.Sprintf("At %s, they wait for another service: give the call a deadline and bound how many run at once; then look at that service.", place)
	case worst.wait == "a channel" || worst.wait == "a channel, in a select":
		f.Next = fmt.Sprintf("At %s, see who sends: a pool of idle workers looks the same and is fine, a channel that nobody serves is a leak.", place)
	default:
		f.Next = fmt.Sprintf("At %s, see what they wait for, and bound how many may wait: take a second goroutine profile to see whether they grow.", place)
	}
	return []Finding{f}
}
