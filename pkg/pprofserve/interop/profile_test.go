package interop_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	_ "net/http/pprof" // what deltas are compared with
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// Of so many bytes, a sample for every 512 KB misses nothing.

//go:noinline
func keptBefore() [][]byte { return [][]byte{make([]byte, 64<<20)} }

//go:noinline
func keptMeanwhile() []byte { return make([]byte, 64<<20) }

// byFunction sums a profile's values by those functions of this file whose
// names begin with prefix.
func byFunction(p *profile.Profile, prefix string) map[string][]int64 {
	sums := map[string][]int64{}
	for _, s := range p.Sample {
		for _, l := range s.Location {
			for _, line := range l.Line {
				name := line.Function.Name[strings.LastIndexByte(line.Function.Name, '.')+1:]
				if !strings.HasPrefix(name, prefix) {
					continue
				}
				if sums[name] == nil {
					sums[name] = make([]int64, len(s.Value))
				}
				for i, v := range s.Value {
					sums[name][i] += v
				}
			}
		}
	}
	return sums
}

func parkedBefore(c chan struct{})    { <-c }
func parkedMeanwhile(c chan struct{}) { <-c }

// TestDelta takes deltas by pprofserve and by net/http/pprof at the same time,
// and reads both with google/pprof: they say the same of what was done meanwhile.
func TestDelta(t *testing.T) {
	theirs := httptest.NewServer(http.DefaultServeMux)
	defer theirs.Close()
	ours := serve(t, pprofserve.Options{})
	before, c := keptBefore(), make(chan struct{})
	runtime.GC() // twice, so that every profile knows of it
	runtime.GC()
	var goroutines sync.WaitGroup
	goroutines.Go(func() { parkedBefore(c) })
	defer goroutines.Wait()
	defer close(c)

	kinds := []string{"heap", "allocs", "goroutine"}
	got, want := make([]*profile.Profile, len(kinds)), make([]*profile.Profile, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		path := "/debug/pprof/" + kind + "?seconds=2"
		wg.Go(func() { got[i] = get(t, ours+path).profile })
		wg.Go(func() { want[i] = get(t, theirs.URL+path).profile })
	}
	inDelta := func() int {
		var b strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&b, 2)
		return strings.Count(b.String(), ".(*handler).delta(") + strings.Count(b.String(), ".serveDeltaProfile(")
	}
	for inDelta() < 2*len(kinds) {
		runtime.Gosched()
	}
	tick := time.NewTimer(300 * time.Millisecond) // for the first snapshots
	<-tick.C
	meanwhile := keptMeanwhile()
	goroutines.Go(func() { parkedMeanwhile(c) })
	runtime.GC()
	runtime.GC()
	wg.Wait()
	runtime.KeepAlive(before)
	runtime.KeepAlive(meanwhile)
	for i, kind := range kinds {
		prefix := "kept"
		if kind == "goroutine" {
			prefix = "parked"
		}
		g, w := byFunction(got[i], prefix), byFunction(want[i], prefix)
		if d := cmp.Diff(w, g); d != "" {
			t.Errorf("%s (-net/http/pprof +pprofserve):\n%s", kind, d)
		}
		if kind == "goroutine" && g["parkedMeanwhile"][0] != 1 || kind == "allocs" && g["keptMeanwhile"][1] < 64<<20 {
			t.Errorf("%s: %v", kind, g)
		}
		if _, ok := g[prefix+"Before"]; ok {
			t.Errorf("%s has what was there before: %v", kind, g)
		}
		if d := time.Duration(got[i].DurationNanos); d < 2*time.Second || d > 10*time.Second {
			t.Errorf("%s: the delta is of %s", kind, d)
		}
		if d := cmp.Diff(types(want[i]), types(got[i])); d != "" {
			t.Errorf("%s: types (-net/http/pprof +pprofserve):\n%s", kind, d)
		}
	}
}

// types is what a profile says of its values. (net/http/pprof's deltas lose
// which of them a tool should show first.)
func types(p *profile.Profile) (out []string) {
	for _, t := range append(slices.Clone(p.SampleType), p.PeriodType) {
		out = append(out, t.Type+"/"+t.Unit)
	}
	return append(out, fmt.Sprint(p.Period), fmt.Sprint(len(p.Mapping) > 0))
}

// TestTogether pulls several CPU profiles at overlapping times, while one that
// was begun in the process runs: each is whole, and readable.
func TestTogether(t *testing.T) {
	burn(t)
	base := serve(t, pprofserve.Options{})
	var own strings.Builder
	if err := pprofserve.StartCPUProfile(&own); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for seconds := 1; seconds <= 3; seconds++ {
		wg.Go(func() {
			p := get(t, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", base, seconds))
			want := time.Duration(seconds) * time.Second
			if p.status != http.StatusOK || p.covers() < want*7/10 || p.covers() > want+time.Second {
				t.Errorf("%d seconds: %d %s, covers %v", seconds, p.status, p.text, p.profile)
				return
			}
			if busy := busyShare(p.profile); busy < 0.25 {
				t.Errorf("%d seconds: the only function that is always busy has %.0f %% of the profile", seconds, 100*busy)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if err := pprofserve.StopCPUProfile(); err != nil {
		t.Fatal(err)
	}
	p, err := profile.ParseData([]byte(own.String()))
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Duration(p.DurationNanos); d < took*7/10 {
		t.Errorf("the process's own covers %s of %s", d, took)
	}
	if err := p.CheckValid(); err != nil {
		t.Error(err)
	}
}
