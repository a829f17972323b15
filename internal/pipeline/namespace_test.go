package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// TestPodsOfOneName: two namespaces have pods of the same names, and each is
// chosen, pulled, stored and reported as itself.
func TestPodsOfOneName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"gift/api-0": 0.2, "live/api-0": 2.9, "live/api-1": 0.9, "other/api-9": 0.5}, onePod)
		w.uids = map[string]string{"gift/api-0": "g0", "live/api-0": "l0", "live/api-1": "l1"}
		w.start()
		id := w.fire()
		u := w.untilFinal(t, id)
		if u.Incident.Status != incident.StatusDone || !strings.HasPrefix(u.Incident.Choice, "chose live/api-0 (hot: 2.90 cores, hottest of 4 by CPU), gift/api-0 (control: 0.20 cores, the coolest of the others)") {
			t.Fatalf("%s, %q: %q", u.Incident.Status, u.Incident.Failure, u.Incident.Choice)
		}
		if d := cmp.Diff(map[string]int{"live/api-0": 1, "gift/api-0": 1}, w.cpuAsked()); d != "" {
			t.Errorf("CPU profiles asked for (-want +got):\n%s", d)
		}
		if len(u.Report.Pods) != 2 || u.Report.Pods[0].Name != "live/api-0" || u.Report.Pods[1].Name != "gift/api-0" {
			t.Errorf("pods of the report: %+v", u.Report.Pods)
		}
		for what, want := range map[string]string{"live/api-0 cpu": "live_api-0.cpu.pb.gz", "gift/api-0 cpu": "gift_api-0.cpu.pb.gz"} {
			if c := w.captures(id)[what]; c.Blob != want || c.Namespace != podID(c.Pod).Namespace || c.UID == "" {
				t.Errorf("%s: %+v", what, c)
			}
		}
		if n := len(u.Incident.Fleet.Next); n != 2 || u.Incident.Fleet.Next[0].Namespace != "live" || u.Incident.Fleet.Next[1].Pod != "api-9" {
			t.Errorf("next: %+v", u.Incident.Fleet.Next)
		}
	})
}

// TestAlertsNamespace: only pods of the namespace that the alert names are
// chosen, and stand in for others.
func TestAlertsNamespace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"gift/api-0": 9, "gift/api-1": 8, "live/api-0": 2, "live/api-1": 1, "live/api-2": 0.1}, onePod)
		w.cluster.fails["live/api-0 cpu"] = []error{busy}
		w.start()
		a := alert("e1", incident.TransitionTriggered)
		a.Namespace = "live"
		rec, err := w.p.Accept(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		u := w.untilFinal(t, rec.Incident)
		if d := cmp.Diff(map[string]int{"live/api-0": 1, "live/api-1": 1, "live/api-2": 1}, w.cpuAsked()); d != "" {
			t.Errorf("CPU profiles asked for (-want +got):\n%s", d)
		}
		for _, s := range []string{
			"2.00 cores, hottest of 3 by CPU", `only 3 of its 5 pods were looked at: those in namespace "live", which the alert names`,
			"live/api-0's CPU profiler is taken by another profiler, so live/api-1 was profiled in its place",
		} {
			if !strings.Contains(u.Incident.Choice, s) {
				t.Errorf("choice = %q, want %q in it", u.Incident.Choice, s)
			}
		}
		if u.Incident.Fleet.Pods != 5 {
			t.Errorf("%+v", u.Incident.Fleet)
		}
	})
}

// TestAnothersName: a pod of another namespace that comes to have the name of a
// chosen one is not taken for it.
func TestAnothersName(t *testing.T) {
	for _, tc := range []struct {
		name string
		come map[string]float64 // pods that there are while the CPU is profiled
		cpu  map[string]int
		want incident.Outcome // of what comes after
	}{
		{"beside it", map[string]float64{"gift/api-0": 9, "live/api-0": 2}, map[string]int{"live/api-0": 1}, incident.OutcomeStored},
		{"in its place", map[string]float64{"gift/api-0": 9}, map[string]int{"live/api-0": 1}, incident.OutcomeGone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"live/api-0": 2}, onePod)
				w.onPull = func(_ context.Context, what string) {
					if what == "live/api-0 cpu" {
						w.cluster.mu.Lock()
						w.pods = tc.come
						w.cluster.mu.Unlock()
					}
				}
				w.start()
				id := w.fire()
				w.untilFinal(t, id)
				if d := cmp.Diff(tc.cpu, w.cpuAsked()); d != "" {
					t.Errorf("CPU profiles asked for (-want +got):\n%s", d)
				}
				if c := w.captures(id)["api-0 goroutine"]; c.Outcome != tc.want || c.Namespace != "live" {
					t.Errorf("%+v", c)
				}
				if slices.ContainsFunc(w.asked(), func(s string) bool { return strings.HasPrefix(s, "gift/") }) {
					t.Errorf("asked %q", w.asked())
				}
			})
		})
	}
}

// TestStandInOfTheSameName: a stand-in is told from the pod in whose place it
// is, also when that one is not listed any more.
func TestStandInOfTheSameName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"live/api-0": 2}, onePod)
		w.cluster.fails["live/api-0 cpu"] = []error{refusal{incident.OutcomeGone, "it is gone", false, 0}}
		w.onPull = func(_ context.Context, what string) {
			if what == "live/api-0 cpu" {
				w.cluster.mu.Lock()
				w.pods = map[string]float64{"gift/api-0": 9}
				w.cluster.mu.Unlock()
			}
		}
		w.start()
		u := w.untilFinal(t, w.fire())
		if u.Incident.Status != incident.StatusDone || !strings.Contains(u.Incident.Choice, "api-0 is not listed any more, so gift/api-0 was profiled in its place") {
			t.Errorf("%s, %q: %q", u.Incident.Status, u.Incident.Failure, u.Incident.Choice)
		}
	})
}

// TestPodAsksToBeLeftAlone: a pod that says when to come back is asked then, or
// not at all when that is too late.
func TestPodAsksToBeLeftAlone(t *testing.T) {
	leave := func(d time.Duration) refusal { return refusal{incident.OutcomeTargetError, "HTTP 503: later", true, d} }
	for _, tc := range []struct {
		name  string
		what  string
		fail  refusal
		asked map[string]int // CPU profiles
		gap   time.Duration  // between the two tries; 0 for one try
		says  string         // in the choice
		want  incident.Outcome
	}{
		{"for a while", "a cpu", leave(40 * time.Second), map[string]int{"a": 2, "b": 1}, 40 * time.Second, "chose a", incident.OutcomeStored},
		{"for a moment", "a cpu", leave(time.Second), map[string]int{"a": 2, "b": 1}, 2 * time.Second, "chose a", incident.OutcomeStored},
		{"a snapshot", "a allocs-before", leave(20 * time.Second), map[string]int{"a": 1, "b": 1}, 20 * time.Second, "chose a", incident.OutcomeStored},
		{"for too long", "a cpu", leave(5 * time.Minute), map[string]int{"a": 1, "b": 1, "c": 1}, 0, "a asks to be left alone for 5m0s, so c was profiled in its place", incident.OutcomeTargetError},
		{"a snapshot for too long", "a goroutine", leave(5 * time.Minute), map[string]int{"a": 1, "b": 1}, 0, "chose a", incident.OutcomeTargetError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"a": 2.9, "b": 0.2, "c": 1.5}, onePod)
				w.cluster.fails[tc.what] = []error{tc.fail}
				var tries []time.Time
				w.onPull = func(_ context.Context, what string) {
					if what == tc.what {
						tries = append(tries, time.Now())
					}
				}
				w.start()
				id := w.fire()
				u := w.board.until(t, id, "it is told", func(u pipeline.Update) bool { return u.Incident.Status.Final() })
				if d := cmp.Diff(tc.asked, w.cpuAsked()); d != "" {
					t.Errorf("CPU profiles asked for (-want +got):\n%s", d)
				}
				if !strings.Contains(u.Incident.Choice, tc.says) {
					t.Errorf("choice = %q, want %q in it", u.Incident.Choice, tc.says)
				}
				if tc.gap > 0 && (len(tries) != 2 || tries[1].Sub(tries[0]) < tc.gap || tries[1].Sub(tries[0]) > tc.gap+time.Second) || tc.gap == 0 && len(tries) != 1 {
					t.Errorf("tries at %v", tries)
				}
				if c := w.captures(id)[tc.what]; c.Outcome != tc.want {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}
