package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

func TestPullFailures(t *testing.T) {
	var (
		reset  = refusal{incident.OutcomeUnreachable, "connection reset", true, 0}
		denied = refusal{incident.OutcomeDenied, "HTTP 403", false, 0}
		plain  = errors.New("something else")
	)
	for _, tc := range []struct {
		name  string
		what  string
		fails []error
		asked int // how many times
		want  incident.Outcome
		words string
	}{
		{"once, and it may pass", "pod-0 cpu", []error{reset}, 2, incident.OutcomeStored, ""},
		{"twice, and it may pass", "pod-0 allocs-after", []error{reset, reset}, 2, incident.OutcomeUnreachable, "connection reset"},
		{"for good", "pod-0 allocs-before", []error{denied}, 1, incident.OutcomeDenied, "HTTP 403"},
		{"for good after one that may pass", "pod-0 goroutine", []error{reset, denied}, 2, incident.OutcomeDenied, "HTTP 403"},
		{"with an error of another kind", "pod-0 goroutine", []error{plain}, 1, incident.OutcomeTargetError, "something else"},
		{"the only hot CPU profile", "pod-0 cpu", []error{denied}, 1, incident.OutcomeDenied, "HTTP 403"}, // told from the others
		{"the control's CPU profile", "pod-1 cpu", []error{denied}, 1, incident.OutcomeDenied, "HTTP 403"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9, "pod-1": 0.1}, onePod)
				w.cluster.fails[tc.what] = tc.fails
				w.start()
				id := w.fire()
				u := w.untilFinal(t, id)
				c := w.captures(id)[tc.what]
				if c.Outcome != tc.want || c.Detail != tc.words || c.Finished.IsZero() || (c.Status == incident.CaptureStored) != (tc.want == incident.OutcomeStored) {
					t.Errorf("capture = %+v", c)
				}
				n := 0
				for _, p := range w.asked() {
					if p == tc.what {
						n++
					}
				}
				if want := len(asked(incident.RoleHot)) + len(asked(incident.RoleControl)) - 1 + tc.asked; n != tc.asked || len(w.asked()) != want {
					t.Errorf("asked %d times, want %d, of %d pulls, want %d", n, tc.asked, len(w.asked()), want)
				}
				if u.Incident.Failure != "" || u.Incident.Status != incident.StatusDone {
					t.Errorf("incident = %s, %q", u.Incident.Status, u.Incident.Failure)
				}
				if tc.want != incident.OutcomeStored && !strings.Contains(strings.Join(u.Report.Notes, "\n"), tc.words) {
					t.Errorf("notes = %q, want %q in them", u.Report.Notes, tc.words)
				}
			})
		})
	}
}

func TestEveryPullFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9, "pod-1": 0.1}, onePod)
		for _, pod := range []string{"pod-0", "pod-1"} {
			for _, k := range incident.Plan(incident.MeasureCPU, incident.RoleHot, nil) {
				w.cluster.fails[pod+" "+string(k)] = []error{refusal{incident.OutcomeNoPprof, "HTTP 404", false, 0}}
			}
		}
		w.start()
		u := w.untilFinal(t, w.fire())
		if u.Incident.Status != incident.StatusFailed || len(u.Captures) != len(incident.Plan("", incident.RoleHot, nil))+len(incident.Plan("", incident.RoleControl, nil)) {
			t.Errorf("%+v", u.Incident)
		}
		for _, c := range u.Captures {
			if c.Kind.Waiting() {
				continue // nobody misses them
			}
			if want := string(c.Kind) + " of " + c.Pod + ": no pprof (HTTP 404)"; !strings.Contains(u.Incident.Failure, want) {
				t.Errorf("failure = %q, want %q in it", u.Incident.Failure, want)
			}
		}
	})
}

// TestUselessBytes: what was stored is no CPU profile.
func TestUselessBytes(t *testing.T) {
	all, err := profiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cpu    []byte
		status incident.Status
		want   string // in the failure, or the notes
	}{
		"no profile":     {[]byte("<!doctype html>"), incident.StatusDone, "cpu of pod-0: not a pprof profile"},
		"cut":            {all[incident.KindCPU][:1000], incident.StatusDone, "There is no CPU profile"},
		"another's kind": {all[incident.KindGoroutine], incident.StatusFailed, "could not be analysed"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9}, func(o *pipeline.Options) { o.Puller = swapped{o.Puller, tc.cpu} })
				w.start()
				u := w.untilFinal(t, w.fire())
				said := u.Incident.Failure
				if u.Report != nil {
					said = strings.Join(u.Report.Notes, "\n")
				}
				if u.Incident.Status != tc.status || !strings.Contains(said, tc.want) {
					t.Errorf("%s: %q, want %q in it", u.Incident.Status, said, tc.want)
				}
			})
		})
	}
}

// swapped answers with other bytes for the CPU.
type swapped struct {
	pipeline.Puller
	cpu []byte
}

func (s swapped) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (pipeline.Pulled, error) {
	got, err := s.Puller.Pull(ctx, t, k, window)
	if k == incident.KindCPU {
		got.Data = s.cpu
	}
	return got, err
}

// TestParsesWhatIsUsed: of a control pod only the CPU profile is parsed.
func TestParsesWhatIsUsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9, "pod-1": 0.1}, onePod, func(o *pipeline.Options) { o.Puller = spoiled{o.Puller} })
		w.start()
		u := w.untilFinal(t, w.fire())
		if u.Incident.Status != incident.StatusDone {
			t.Fatalf("%s: %q", u.Incident.Status, u.Incident.Failure)
		}
		notes := strings.Join(u.Report.Notes, "\n")
		for _, k := range []incident.Kind{incident.KindAllocsBefore, incident.KindAllocsAfter, incident.KindGoroutine} {
			if !strings.Contains(notes, string(k)+" of pod-0: not a pprof profile") || strings.Contains(notes, string(k)+" of pod-1") {
				t.Errorf("%s: notes = %q", k, notes)
			}
		}
	})
}

// spoiled answers with no profile for everything but the CPU.
type spoiled struct{ pipeline.Puller }

func (s spoiled) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (pipeline.Pulled, error) {
	got, err := s.Puller.Pull(ctx, t, k, window)
	if k != incident.KindCPU {
		got.Data = []byte("<!doctype html>")
	}
	return got, err
}

// TestPodGone: a pod that was chosen and is not listed any more is not dialled.
func TestPodGone(t *testing.T) {
	for name, tc := range map[string]struct {
		meter bool   // it goes while pods are chosen
		pull  string // or after this pull was asked for
		asked []string
		gone  int // captures: those of waiting are not asked for after an empty one
		want  incident.Status
	}{
		"before its first pull": {meter: true, gone: 8, want: incident.StatusFailed},
		"after its CPU profile": {pull: "pod-0 cpu", asked: []string{"pod-0 allocs-before", "pod-0 mutex-before", "pod-0 block-before", "pod-0 cpu"}, gone: 2, want: incident.StatusDone},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9}, onePod)
				if tc.meter {
					w.meter = func(context.Context) error { w.remove("pod-0"); return nil }
				}
				w.onPull = func(_ context.Context, what string) {
					if what == tc.pull {
						w.remove("pod-0")
					}
				}
				w.start()
				id := w.fire()
				u := w.untilFinal(t, id)
				if u.Incident.Status != tc.want {
					t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
				}
				if d := cmp.Diff(tc.asked, w.asked()); d != "" {
					t.Errorf("asked (-want +got):\n%s", d)
				}
				gone := 0
				for _, c := range u.Captures {
					if c.Outcome == incident.OutcomeGone && c.Status == incident.CaptureFailed && c.Detail != "" {
						gone++
					}
				}
				if gone != tc.gone {
					t.Errorf("%d captures are gone, want %d: %+v", gone, tc.gone, u.Captures)
				}
			})
		})
	}
}
