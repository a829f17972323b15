package analysis

import (
	"strings"
	"testing"
	"time"
)

// TestFocusOnHeap: a report about memory leads with the heap, whatever else the
// profiles show, and says where it was a moment before.
func TestFocusOnHeap(t *testing.T) {
	cpu := made(map[string]int64{
		serve + "main.list#10@list.go;github.com/coocood/freecache.(*Cache).Get": 20,
		serve + "main.list#12@list.go;encoding/json.Unmarshal":                   600,
		serve + "main.list#14@list.go;main.sortRooms":                            100,
	})
	for _, tc := range []struct {
		name          string
		before, after int64
		headline      string
		lead          []Rule
	}{
		{"grows", 100 * mb, 270 * mb, "The live heap grows: 283.1 MB, 178.3 MB more than 30s before, most at keep (keep.go:7)", []Rule{RuleHeapGrowth, RuleHeap}},
		{"stays", 270 * mb, 270 * mb, "283.1 MB live in the heap, most allocated at keep (keep.go:7): 100 %", []Rule{RuleHeap}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := PodProfiles{
				Pod: "a", CPU: cpu,
				HeapBefore: heapOf(1000, map[string]int64{serve + "main.keep#7@keep.go": tc.before}),
				HeapAfter:  heapOf(1030, map[string]int64{serve + "main.keep#7@keep.go": tc.after}),
			}
			res, err := Analyze([]PodProfiles{pod}, Options{Service: "live-api", Focus: KindHeap})
			if err != nil {
				t.Fatal(err)
			}
			r := res.Report
			if r.Headline() != tc.headline {
				t.Errorf("headline = %q, want %q", r.Headline(), tc.headline)
			}
			var got []Rule
			for _, f := range r.Lead() {
				got = append(got, f.Rule)
				if f.Next == "" || len(f.Evidence) == 0 {
					t.Errorf("%s: %+v", f.Rule, f)
				}
			}
			if len(got) != len(tc.lead) || got[0] != tc.lead[0] {
				t.Errorf("lead = %v, want %v", got, tc.lead)
			}
			if r.Heap.Before != tc.before || r.Heap.Live != tc.after || r.Heap.Window != 30*time.Second || r.Heap.Pods != 1 {
				t.Errorf("heap = %+v", r.Heap)
			}
			if r.Pictured() != KindHeap || !strings.HasPrefix(r.AltText(), "Flame graph of the heap profile of live-api. ") || len(r.Flagged()) == 0 {
				t.Errorf("%q of %s", r.AltText(), r.Pictured())
			}
			// Without the focus it is a finding like any other, and what lives
			// is not said.
			res, err = Analyze([]PodProfiles{pod}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r := res.Report; len(r.Lead()) > 0 || r.Pictured() != KindCPU || strings.Contains(r.Headline(), "live") {
				t.Errorf("without the focus: %q, %+v", r.Headline(), r.Lead())
			}
			if _, ok := res.Report.finding(RuleHeap); ok {
				t.Error("without the focus: what lives is said")
			}
		})
	}
	// Asked for memory and given none, it is the report that it would be.
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: cpu}}, Options{Focus: KindHeap})
	if err != nil || res.Report.Pictured() != KindCPU || !strings.Contains(res.Report.Headline(), "list") {
		t.Errorf("without a heap: %+v, %v", res, err)
	}
}

// TestRateOf: a function may know the rates that no list names.
func TestRateOf(t *testing.T) {
	rate := func(endpoint string) (float64, bool) { return 600, endpoint == "list" }
	if g := flagged(t, Options{RateOf: rate}, 0); g.Rate != 600 {
		t.Errorf("rate by the function = %v", g.Rate)
	}
	if g := flagged(t, Options{RateOf: rate, Rates: map[string]float64{"list": 1200}}, 0); g.Rate != 1200 {
		t.Errorf("the list counts more: %v", g.Rate)
	}
}

// TestProfiling: what taking the profile took is told.
func TestProfiling(t *testing.T) {
	pod := PodProfiles{Pod: "a", CPU: made(map[string]int64{
		serve + "main.list#10@list.go": 97,
		"net/http.(*conn).serve;net/http/pprof.Profile;runtime/pprof.StopCPUProfile": 2,
		"runtime/pprof.profileWriter;runtime/pprof.(*profileBuilder).build":          1,
	})}
	res, err := Analyze([]PodProfiles{pod}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := res.Report.Profiling; p.Samples != 3 || p.Of != 100 || p.Part != 0.03 {
		t.Errorf("profiling = %+v", p)
	}
}
