package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// later is an error that says when to come back.
type later struct{ after time.Duration }

func (l later) Error() string             { return "too many requests" }
func (l later) RetryAfter() time.Duration { return l.after }

// TestTellerFails: telling is tried until it works, and no profile is pulled
// twice or waits for it.
func TestTellerFails(t *testing.T) {
	down := errors.New("connection refused")
	for name, tc := range map[string]struct {
		fails  []error
		within time.Duration // from the alert to the told verdict
	}{
		"once":                    {[]error{down}, time.Minute},
		"several times":           {slices.Repeat([]error{down}, 8), 5 * time.Minute},
		"and says when to return": {[]error{down, later{90 * time.Second}, later{90 * time.Second}, down}, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9})
				w.board.fails = tc.fails
				fired := time.Now()
				w.onPull = func(_ context.Context, what string) {
					if waited := time.Since(fired); waited > 10*time.Second {
						t.Errorf("%s waited %s for the telling", what, waited)
					}
				}
				w.start()
				id := w.fire()
				u := w.untilFinal(t, id)
				if took := time.Since(fired); took > tc.within {
					t.Errorf("told after %s, want within %s", took, tc.within)
				}
				if u.Incident.Status != incident.StatusDone || len(w.asked()) != len(asked(incident.RoleHot)) {
					t.Errorf("%s, %q, %d pulls", u.Incident.Status, u.Incident.Failure, len(w.asked()))
				}
				pass(time.Second)
				if len(w.board.fails) > 0 {
					t.Errorf("%d failures were not met", len(w.board.fails))
				}
				if u := w.untold(); len(u) > 0 {
					t.Errorf("untold: %v", u)
				}
			})
		})
	}
}

// TestRetryAfterIsKept: an error that says when to come back is not tried
// again before.
func TestRetryAfterIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var calls []time.Time
		w.onPublish = func(_ context.Context, u pipeline.Update) {
			if u.Incident.Status.Final() {
				calls = append(calls, time.Now())
			}
		}
		w.board.fails = []error{nil, later{60 * time.Second}, later{30 * time.Second}}
		w.start()
		pass(time.Second) // the look at start doubles what waits in the queue
		w.untilFinal(t, w.fire())
		const early = 5 * time.Second // see bubble
		if len(calls) != 3 || calls[1].Sub(calls[0]) < 60*time.Second-early || calls[2].Sub(calls[1]) < 30*time.Second-early || calls[2].Sub(calls[0]) > 110*time.Second {
			t.Errorf("told at %v", calls)
		}
	})
}

// TestRetryAfterHoldsForAll: what happens meanwhile queues more jobs, and none
// of them tells before the time.
func TestRetryAfterHoldsForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		w.board.fails = []error{later{60 * time.Second}}
		w.start()
		fired := time.Now()
		id := w.fire()
		pass(20 * time.Second)
		if _, err := w.p.Accept(t.Context(), alert("e2", incident.TransitionRecovered)); err != nil {
			t.Fatal(err)
		}
		pass(20 * time.Second)
		if n := w.made(); n != 1 || len(w.asked()) != len(asked(incident.RoleHot)) {
			t.Errorf("%d tellings within the time, want the first alone; %d pulls", n, len(w.asked()))
		}
		u := w.untilFinal(t, id)
		if took := time.Since(fired); took < 60*time.Second || took > 90*time.Second || u.Incident.Recovered.IsZero() {
			t.Errorf("told after %s, recovered %v", took, u.Incident.Recovered)
		}
	})
}

// TestTellerDown: while nothing can be told, one job an incident waits for it,
// however much happens, and the log does not say again and again that there is
// work.
func TestTellerDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9, "pod-1": 0.1})
		w.board.fails = slices.Repeat([]error{errors.New("connection refused")}, 10_000)
		w.onPull = func(ctx context.Context, _ string) { // each end is an event of its own
			select {
			case <-time.After(6 * time.Second):
			case <-ctx.Done():
			}
		}
		w.start()
		id := w.fire()
		pass(40 * time.Second)
		if _, err := w.p.Accept(t.Context(), alert("e2", incident.TransitionRecovered)); err != nil {
			t.Fatal(err)
		}
		pass(40 * time.Second)
		var waiting int
		if err := w.st.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled', 'discarded')`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting != 1 {
			t.Errorf("%d jobs wait, want 1", waiting)
		}
		w.board.mu.Lock()
		w.board.fails = nil
		w.board.mu.Unlock()
		u := w.untilFinal(t, id)
		if u.Incident.Status != incident.StatusDone || u.Incident.Recovered.IsZero() {
			t.Errorf("incident = %+v", u.Incident)
		}
		pass(time.Second)
		w.stop()
		// The start may have come after the alert, and then has queued it.
		if n := strings.Count(w.log.String(), "queued again"); n > 1 {
			t.Errorf("the log says %d times that work was queued again", n)
		}
	})
}

// TestSlowTellerDoesNotDelayCaptures: the first telling never answers, and the
// spike is profiled nevertheless.
func TestSlowTellerDoesNotDelayCaptures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		w.onPublish = func(ctx context.Context, u pipeline.Update) {
			if u.Incident.Status == incident.StatusAccepted {
				<-ctx.Done()
			}
		}
		w.start()
		fired := time.Now()
		id := w.fire()
		w.cluster.await(t, "the first profile is asked for", func() bool { return len(w.pulled) > 0 })
		if took := time.Since(fired); took > 10*time.Second {
			t.Errorf("the first profile was asked for after %s", took)
		}
		if u := w.untilFinal(t, id); u.Incident.Status != incident.StatusDone {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
	})
}

// TestRecovered: the monitor may recover at any time, and its thread says so
// at once and in the end.
func TestRecovered(t *testing.T) {
	for name, during := range map[string]bool{"while profiles are pulled": true, "afterwards": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9})
				release, pulling := make(chan struct{}), make(chan struct{})
				w.onPull = func(ctx context.Context, what string) {
					if during && what == "pod-0 cpu" {
						close(pulling)
						select {
						case <-release:
						case <-ctx.Done():
						}
					}
				}
				w.start()
				id := w.fire()
				if during {
					<-pulling
				} else if u := w.untilFinal(t, id); !u.Incident.Recovered.IsZero() {
					t.Error("recovered before the monitor did")
				}
				rec, err := w.p.Accept(t.Context(), alert("e2", incident.TransitionRecovered))
				if err != nil || rec.Action != incident.ActionResolve || rec.Incident != id {
					t.Fatalf("Accept = %+v, %v", rec, err)
				}
				u := w.board.until(t, id, "the recovery is told", func(u pipeline.Update) bool { return !u.Incident.Recovered.IsZero() })
				if during && u.Incident.Status != incident.StatusCapturing {
					t.Errorf("the recovery was told when the incident was %s", u.Incident.Status)
				}
				close(release)
				u = w.untilFinal(t, id)
				if u.Incident.Status != incident.StatusDone || u.Incident.Recovered.IsZero() || u.Report == nil || len(w.asked()) != len(asked(incident.RoleHot)) {
					t.Errorf("%+v, %d pulls", u.Incident, len(w.asked()))
				}
			})
		})
	}
}

// TestOneTellsAtATime: while one telling takes longer than a lease lasts,
// everything that asks for another is queued, and none begins; and what they
// had to say is told in the end.
func TestOneTellsAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9, "pod-1": 0.1})
		release, telling := make(chan struct{}), make(chan struct{})
		w.onPublish = func(ctx context.Context, u pipeline.Update) {
			if u.Incident.Status != incident.StatusCapturing {
				return
			}
			select {
			case <-telling:
			default:
				close(telling)
			}
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		w.start()
		id := w.fire()
		<-telling
		before := w.made()
		if _, err := w.p.Accept(t.Context(), alert("e2", incident.TransitionRecovered)); err != nil {
			t.Fatal(err)
		}
		pass(40 * time.Second) // each capture and the recovery is a job, and there are many looks for idle work
		if n, want := len(w.asked()), len(asked(incident.RoleHot))*2; n != want {
			t.Errorf("%d pulls, want %d", n, want)
		}
		if n := w.made(); n != before {
			t.Errorf("%d tellings began beside the one under way", n-before)
		}
		close(release)
		u := w.untilFinal(t, id)
		pass(time.Minute)
		if w.most != 1 || u.Incident.Recovered.IsZero() || len(w.untold()) > 0 {
			t.Errorf("%d at once, recovered %v, untold %v", w.most, u.Incident.Recovered, w.untold())
		}
	})
}

// TestLeaseLost: who loses the lease stops telling, and the work is done by
// whoever can hold it next.
func TestLeaseLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		causes := make(chan error, 1)
		w.onPublish = func(ctx context.Context, u pipeline.Update) {
			if !u.Incident.Status.Final() || len(causes) > 0 {
				return
			}
			// Somebody else takes the lease, and is never heard of again.
			if _, err := w.st.DB().ExecContext(ctx, `UPDATE lease SET token = 'other', until = ?`, time.Now().Add(time.Minute).UnixMilli()); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
		}
		w.start()
		fired := time.Now()
		id := w.fire()
		w.untilFinal(t, id)
		if err := <-causes; !errors.Is(err, incident.ErrLeaseLost) {
			t.Errorf("the holder was stopped by %v", err)
		}
		if took := time.Since(fired); took < time.Minute || took > 2*time.Minute {
			t.Errorf("told after %s, want when the other's lease has run out", took)
		}
		pass(time.Second)
		if w.most != 1 || len(w.untold()) > 0 {
			t.Errorf("%d at once, untold %v", w.most, w.untold())
		}
	})
}

// TestTellerPanics: what breaks while progress is told beside the capture
// neither ends the process nor the capture.
func TestTellerPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		w.onPublish = func(_ context.Context, u pipeline.Update) {
			if u.Incident.Status == incident.StatusAccepted {
				panic("no such block")
			}
		}
		w.start()
		id := w.fire()
		if u := w.untilFinal(t, id); u.Incident.Status != incident.StatusDone {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
		w.stop()
		if !strings.Contains(w.log.String(), "panic: no such block") {
			t.Error("the log does not say what broke")
		}
	})
}
