package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

var busy = refusal{incident.OutcomeBusy, "Could not enable CPU profiling: cpu profiling already in use", true, 0}

// cpuAsked counts the CPU profiles that each pod was asked for.
func (w *world) cpuAsked() map[string]int {
	out := map[string]int{}
	for _, what := range w.asked() {
		if pod, ok := strings.CutSuffix(what, " cpu"); ok {
			out[pod]++
		}
	}
	return out
}

// TestLadder: a hot pod whose CPU cannot be profiled is stood in for by the
// next hottest, then asked again, and then told without.
func TestLadder(t *testing.T) {
	gone := refusal{incident.OutcomeGone, "it is gone", false, 0}
	reset := refusal{incident.OutcomeUnreachable, "connection refused", true, 0}
	for _, tc := range []struct {
		name  string
		pods  map[string]float64
		fails map[string][]error
		asked map[string]int // CPU profiles
		says  []string       // in the choice
		cpu   bool           // the report has a CPU profile
		atest time.Duration  // and the verdict is told within
	}{
		{
			name: "another pod, the next hottest", pods: map[string]float64{"a": 2.9, "b": 0.2, "c": 1.5, "d": 1.8},
			fails: map[string][]error{"a cpu": {busy}}, asked: map[string]int{"a": 1, "d": 1, "b": 1},
			says: []string{"chose a (hot: 2.90 cores", "; a's CPU profiler is taken by another profiler, so d was profiled in its place"}, cpu: true, atest: time.Minute,
		},
		{
			name: "a stand-in of the stand-in", pods: map[string]float64{"a": 2.9, "b": 0.2, "c": 1.5, "d": 1.8},
			fails: map[string][]error{"a cpu": {busy}, "d cpu": {gone}}, asked: map[string]int{"a": 1, "d": 1, "c": 1, "b": 1},
			says: []string{"so d was profiled in its place; d is not listed any more, so c was profiled in its place"}, cpu: true, atest: time.Minute,
		},
		{
			name: "not reached", pods: map[string]float64{"a": 2.9, "b": 0.2, "c": 1.5},
			fails: map[string][]error{"a cpu": {reset, reset}}, asked: map[string]int{"a": 2, "b": 1, "c": 1},
			says: []string{"a could not be reached, so c was profiled in its place"}, cpu: true, atest: time.Minute,
		},
		{
			name: "none left: asked again later", pods: map[string]float64{"a": 2.9, "b": 0.2},
			fails: map[string][]error{"a cpu": {busy, busy}}, asked: map[string]int{"a": 3, "b": 1}, cpu: true, atest: 2 * time.Minute,
		},
		{
			name: "none left, and busy for good", pods: map[string]float64{"a": 2.9, "b": 0.2},
			fails: map[string][]error{"a cpu": slices.Repeat([]error{busy}, 9)}, asked: map[string]int{"a": 3, "b": 1}, atest: 3 * time.Minute,
		},
		{
			name: "gone is gone", pods: map[string]float64{"a": 2.9, "b": 0.2},
			fails: map[string][]error{"a cpu": {gone}}, asked: map[string]int{"a": 1, "b": 1}, atest: time.Minute,
		},
		{
			name: "every pod is held: the search ends", pods: map[string]float64{"a": 9, "b": 8, "c": 7, "d": 6, "e": 5, "f": 4, "g": 0.1},
			fails: map[string][]error{
				"a cpu": {busy}, "b cpu": {busy}, "c cpu": {busy}, "d cpu": {busy, busy, busy, busy}, "e cpu": {busy},
			}, asked: map[string]int{"a": 1, "b": 1, "c": 1, "d": 3, "g": 1}, atest: 3 * time.Minute,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, tc.pods, onePod)
				w.cluster.fails = tc.fails
				fired := time.Now()
				w.start()
				id := w.fire()
				u := w.untilFinal(t, id)
				if d := cmp.Diff(tc.asked, w.cpuAsked()); d != "" {
					t.Errorf("CPU profiles asked for (-want +got):\n%s", d)
				}
				for _, s := range tc.says {
					if !strings.Contains(u.Incident.Choice, s) {
						t.Errorf("choice = %q, want %q in it", u.Incident.Choice, s)
					}
				}
				if took := time.Since(fired); took > tc.atest {
					t.Errorf("told after %s, want within %s", took, tc.atest)
				}
				if tc.cpu {
					if u.Report == nil || u.Report.Samples == 0 {
						t.Fatalf("%s, %q", u.Incident.Status, u.Incident.Failure)
					}
					return
				}
				// What else there is tells something, and claims no shares of CPU.
				if u.Incident.Status != incident.StatusDone || u.Report.Samples != 0 || len(u.Report.Endpoints) > 0 || u.Report.Pictured() == analysis.KindCPU || len(u.Picture) == 0 {
					t.Fatalf("%s, %q: %+v", u.Incident.Status, u.Incident.Failure, u.Report)
				}
				if notes := strings.Join(u.Report.Notes, "\n"); !strings.Contains(notes, "There is no CPU profile") || !strings.Contains(notes, "cpu of a: ") {
					t.Errorf("notes = %q", notes)
				}
			})
		})
	}
}

// TestDeltaNeedsAWindow: without a CPU profile between them, the two allocs
// profiles are as far apart as with one.
func TestDeltaNeedsAWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"a": 2.9}, onePod)
		w.cluster.fails["a cpu"] = slices.Repeat([]error{busy}, 9)
		w.start()
		id := w.fire()
		w.untilFinal(t, id)
		c := w.captures(id)
		if d := c["a allocs-after"].Started.Sub(c["a allocs-before"].Finished); d < 30*time.Second || d > 2*time.Minute {
			t.Errorf("%s between them", d)
		}
		if c["a cpu"].Tries != 2 || c["a cpu"].Outcome != incident.OutcomeBusy {
			t.Errorf("the CPU profile: %+v", c["a cpu"])
		}
	})
}

// TestLadderStoppedAndStartedAnew: a stop at any step of the ladder neither
// loses the stand-in nor makes two of them.
func TestLadderStoppedAndStartedAnew(t *testing.T) {
	for _, at := range []string{"a cpu", "c allocs-before", "c cpu", "c goroutine", "a goroutine"} {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"a": 2.9, "b": 0.2, "c": 1.5, "d": 1.1}, onePod)
				w.cluster.fails["a cpu"] = []error{busy, busy}
				reached := make(chan struct{})
				w.onPull = func(ctx context.Context, what string) {
					if what != at {
						return
					}
					select {
					case <-reached:
					default:
						close(reached)
						<-ctx.Done()
					}
				}
				w.start()
				id := w.fire()
				<-reached
				w.close()
				w.open()
				w.start()
				u := w.untilFinal(t, id)
				if n := strings.Count(u.Incident.Choice, "in its place"); n != 1 || u.Incident.Status != incident.StatusDone || u.Report.Samples == 0 {
					t.Errorf("%d stand-ins, %s, %q: %q", n, u.Incident.Status, u.Incident.Failure, u.Incident.Choice)
				}
				pods := map[string]int{}
				for _, c := range u.Captures {
					pods[c.Pod]++
					if c.For != "" && (c.For != "a" || c.Pod != "c") {
						t.Errorf("%s stands in for %s", c.Pod, c.For)
					}
				}
				if d := cmp.Diff(map[string]int{"a": 8, "b": 4, "c": 8}, pods); d != "" {
					t.Errorf("captures (-want +got):\n%s", d)
				}
			})
		})
	}
}

// TestTwoStandIns: two pods that fail at once get two pods, not the same.
func TestTwoStandIns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"a": 2.9, "b": 2.8, "c": 1.5, "d": 1.1}, func(o *pipeline.Options) { o.Policy.NoControl = true })
		w.cluster.fails["a cpu"], w.cluster.fails["b cpu"] = []error{busy}, []error{busy}
		w.start()
		u := w.untilFinal(t, w.fire())
		if d := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}, w.cpuAsked()); d != "" || strings.Count(u.Incident.Choice, "in its place") != 2 {
			t.Errorf("%q, asked (-want +got):\n%s", u.Incident.Choice, d)
		}
	})
}

// TestPodMoved: the name of a chosen pod that belongs to another pod by now is
// not dialled.
func TestPodMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"a": 2.9, "b": 1.5, "c": 0.1}, onePod)
		w.uids = map[string]string{"a": "uid-1", "b": "uid-2", "c": "uid-3"}
		w.onPull = func(_ context.Context, what string) {
			if what == "a block-before" {
				w.cluster.mu.Lock()
				w.uids["a"] = "uid-9"
				w.cluster.mu.Unlock()
			}
		}
		w.start()
		id := w.fire()
		u := w.untilFinal(t, id)
		if d := cmp.Diff(map[string]int{"b": 1, "c": 1}, w.cpuAsked()); d != "" {
			t.Errorf("CPU profiles asked for (-want +got):\n%s", d)
		}
		c := w.captures(id)
		if c["a cpu"].UID != "uid-1" || c["b cpu"].UID != "uid-2" || c["a cpu"].Outcome != incident.OutcomeMoved || c["a goroutine"].Outcome != incident.OutcomeMoved {
			t.Errorf("a: %+v, b: %+v", c["a cpu"], c["b cpu"])
		}
		if want := "a was replaced since it was chosen, so b was profiled in its place"; !strings.Contains(u.Incident.Choice, want) {
			t.Errorf("choice = %q", u.Incident.Choice)
		}
	})
}

// TestRefused: what a pod's owner has switched off is not asked for, and that
// is said.
func TestRefused(t *testing.T) {
	all := []incident.Kind{incident.KindCPU, incident.KindAllocsAfter, incident.KindHeap, incident.KindGoroutine, incident.KindMutex, incident.KindBlock}
	for _, tc := range []struct {
		name    string
		refuses map[string][]incident.Kind
		want    []string // of pod a, asked for
		says    string   // in the choice or the failure
		status  incident.Status
	}{
		{"allocs", map[string][]incident.Kind{"a": {incident.KindAllocsAfter}}, []string{"mutex-before", "block-before", "cpu", "goroutine"}, "the owner of a has switched off its allocs profiles", ""},
		{"CPU of the hottest", map[string][]incident.Kind{"a": {incident.KindCPU}}, nil, "chose b (hot: 0.20 cores, hottest of 1 by CPU); 1 of its 2 pods left alone, since their owner has switched off CPU profiles", ""},
		{
			"CPU",
			map[string][]incident.Kind{"a": {incident.KindCPU, incident.KindMutex, incident.KindBlock}, "b": {incident.KindCPU}},
			[]string{"allocs-before", "allocs-after", "goroutine"},
			"the owner of a has switched off its CPU, mutex, block profiles", "",
		},
		{"everything of the hottest", map[string][]incident.Kind{"a": all}, nil, "1 of its 2 pods left alone", ""},
		{"everything", map[string][]incident.Kind{"a": all, "b": all}, nil, "has switched off every profile", incident.StatusFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"a": 2.9, "b": 0.2}, onePod)
				w.refuses = tc.refuses
				w.start()
				u := w.untilFinal(t, w.fire())
				var got []string
				for _, what := range w.asked() {
					if kind, ok := strings.CutPrefix(what, "a "); ok {
						got = append(got, kind)
					}
				}
				if d := cmp.Diff(tc.want, got); d != "" {
					t.Errorf("asked of a (-want +got):\n%s", d)
				}
				if !strings.Contains(u.Incident.Choice+u.Incident.Failure, tc.says) || (u.Incident.Status == incident.StatusFailed) != (tc.status != "") {
					t.Errorf("%s, %q, %q", u.Incident.Status, u.Incident.Choice, u.Incident.Failure)
				}
			})
		})
	}
}
