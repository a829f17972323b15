package analysis

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// minGrowth is the growth in bytes below which no heap is worth a word.
const minGrowth = 1 << 20

// growth finds a live heap that grows between two snapshots, by the places
// that allocated what stays. The runtime samples one object in every 512 kB,
// so the growth has to be more than the noise of so few: the difference of two
// Poisson counts, at 95 %. Where nothing else is said, or memory is what the
// report is about, it tells what lives too.
func (x *extras) growth(rep *Report, th Thresholds, partial bool) []Finding {
	h := &x.heap
	if h.podsAfter == 0 {
		return nil
	}
	after, total := allocSites(x.t, h.after)
	rep.Heap = &HeapSize{Pods: h.podsAfter, Live: total}
	var lives []Finding
	if total > 0 && (partial || rep.Focus == KindHeap) {
		lives = []Finding{liveHeap(after, total, h.rate)}
	}
	if h.podsBefore == 0 || h.podsBefore != h.podsAfter {
		return lives
	}
	before, had := allocSites(x.t, h.before)
	rep.Heap.Before, rep.Heap.Window = had, h.window/time.Duration(h.podsBefore)
	grown := after.minus(before)
	rose := total - had - h.passing(x.t, grown)
	n, m := float64(total)/float64(h.rate), float64(had)/float64(h.rate)
	low := float64(rose) - z95*math.Sqrt(n+m)*float64(h.rate)
	if had <= 0 || rose < minGrowth || low < th.HeapGrowth*float64(had) {
		return rep.Heap.judged(lives)
	}
	if rep.Focus != KindHeap {
		lives = nil
	}
	f := Finding{
		Rule: RuleHeapGrowth, Severity: SeverityMedium, Title: "the live heap grows",
		Why: fmt.Sprintf("From %s to %s, %s more (at least %s; the rule asks for a lower bound of %s)", bytesText(had), bytesText(total),
			percent(float64(rose)/float64(had)), percent(low/float64(had)), percent(th.HeapGrowth)),
	}
	if w := h.window / time.Duration(h.podsBefore); w > 0 {
		f.Why += fmt.Sprintf(" in %s: %s a minute", w.Round(time.Second), bytesText(int64(float64(rose)/w.Minutes())))
	}
	f.Why += "."
	if low >= float64(had) {
		f.Severity = SeverityHigh // it doubled
	}
	sum := grown.sum()
	f.Evidence = grown.evidence(5, "allocated what stays", "bytes", func(w weighed) Share { return sampledShare(w.value, sum, sum/h.rate) })
	f.Next = fmt.Sprintf("See who keeps what %s allocates: %s of the growth is from there. A cache that fills looks the same once; take a third snapshot later.", f.Evidence[0].Place(), percent(f.Evidence[0].Share.Part))
	return append([]Finding{f}, rep.Heap.judged(lives)...)
}

// judged is what lives, of which a second snapshot has told what becomes of it.
func (h *HeapSize) judged(lives []Finding) []Finding {
	for i := range lives {
		f := &lives[i]
		f.Why = fmt.Sprintf("%s; %s were live %s before.", strings.TrimSuffix(f.Why, "."), bytesText(h.Before), h.Window.Round(time.Second))
		f.Next = fmt.Sprintf("See who keeps what %s allocates, and whether all of it has to live: %s of the live heap is from there.", f.Evidence[0].Place(), percent(f.Evidence[0].Share.Part))
	}
	return lives
}

// leastKept is how much of what it allocated between two snapshots a place must
// have kept to be growth: buffers of requests that go on at the second one are
// a small part of all that went through the place.
const leastKept = 0.05

// passing takes out of what grew the places that kept next to nothing of what
// they allocated, and returns how much that was.
func (h *heaps) passing(t *paths, grown tally) (sum int64) {
	now, _ := allocSites(t, h.made)
	then, _ := allocSites(t, h.madeBefore)
	made := now.minus(then)
	for k, v := range grown {
		if float64(v) < leastKept*float64(made[k]) {
			sum += v
			delete(grown, k)
		}
	}
	return sum
}

func liveHeap(sites tally, total, rate int64) Finding {
	f := Finding{
		Rule: RuleHeap, Severity: SeverityInfo, Title: "what lives in the heap",
		Why:      fmt.Sprintf("%s live, allocated at %d places.", bytesText(total), len(sites)),
		Evidence: sites.evidence(5, "allocated what lives", "bytes", func(w weighed) Share { return sampledShare(w.value, total, total/rate) }),
	}
	f.Next = "Give a second heap profile from some minutes later to see what grows."
	return f
}
