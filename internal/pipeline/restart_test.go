package pipeline_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// TestStoppedAndStartedAnew stops profbot while it pulls each of the profiles
// and while it tells each of the states, opens the folder again, and sees the
// work done to its end with nothing stored pulled a second time.
func TestStoppedAndStartedAnew(t *testing.T) {
	var plan []string // of the profiles of waiting those from before: they are empty
	for _, k := range asked(incident.RoleHot) {
		plan = append(plan, "pod-0 "+k)
	}
	for _, at := range append(slices.Clone(plan), string(incident.StatusAccepted), string(incident.StatusCapturing), string(incident.StatusReporting), string(incident.StatusDone)) {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9})
				reached := make(chan struct{})
				block := func(ctx context.Context, what string) {
					if what != at {
						return
					}
					select {
					case <-reached: // it was reached before, by the first process
					default:
						close(reached)
						<-ctx.Done()
					}
				}
				w.onPull = block
				w.onPublish = func(ctx context.Context, u pipeline.Update) {
					block(ctx, string(u.Incident.Status))
				}
				w.start()
				id := w.fire()
				<-reached
				w.close()
				first := w.asked()
				if slices.ContainsFunc(w.all(id), func(u pipeline.Update) bool { return u.Incident.Status.Final() }) {
					t.Fatal("it was told to its end before it was stopped")
				}

				w.open()
				for what, c := range w.captures(id) {
					if c.Status == incident.CaptureFailed {
						t.Errorf("%s failed because profbot stopped: %s", what, c.Detail)
					}
				}
				w.start()
				u := w.untilFinal(t, id)
				if u.Incident.Status != incident.StatusDone {
					t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
				}
				// Each was pulled once, and the one under way twice.
				want := slices.Clone(plan)
				if i := slices.Index(plan, at); i >= 0 {
					want = slices.Insert(want, i, at)
				}
				if d := cmp.Diff(want, w.asked()); d != "" {
					t.Errorf("asked, %d of them before the stop (-want +got):\n%s", len(first), d)
				}
				pass(time.Second)
				if u := w.untold(); len(u) > 0 {
					t.Errorf("untold: %v", u)
				}
			})
		})
	}
}

// TestStoredButNotRecorded: the bytes were safe when profbot was killed, and
// only the row was not: the target is not asked again.
func TestStoredButNotRecorded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		reached := make(chan struct{})
		w.onPull = func(ctx context.Context, what string) {
			if what == "pod-0 cpu" {
				close(reached)
				<-ctx.Done()
			}
		}
		w.start()
		id := w.fire()
		<-reached
		w.stop()
		c := w.captures(id)["pod-0 cpu"]
		if c.Status != incident.CapturePulling {
			t.Fatalf("capture = %+v", c)
		}
		all, err := profiles()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.st.PutBlob(id, pipeline.BlobName(c), all[incident.KindCPU]); err != nil {
			t.Fatal(err)
		}
		w.close()
		w.onPull = nil
		w.open()
		w.start()
		u := w.untilFinal(t, id)
		if n := strings.Count(strings.Join(w.asked(), "\n"), "pod-0 cpu"); n != 1 || u.Incident.Status != incident.StatusDone {
			t.Errorf("the CPU profile was asked for %d times, %s", n, u.Incident.Status)
		}
		if c := w.captures(id)["pod-0 cpu"]; c.Status != incident.CaptureStored || c.Bytes != int64(len(all[incident.KindCPU])) {
			t.Errorf("capture = %+v", c)
		}
	})
}

// TestResumedKeepsItsWindow: a target gave a shorter window than was asked for,
// and profbot was stopped between its bytes and their row.
func TestResumedKeepsItsWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9}, func(o *pipeline.Options) { o.Puller = shorter{o.Puller} })
		ctx := t.Context()
		if _, err := w.st.DB().ExecContext(ctx, `CREATE TRIGGER killed BEFORE UPDATE ON capture WHEN NEW.status = 'stored' AND NEW.kind = 'cpu' BEGIN SELECT raise(ABORT, 'killed'); END`); err != nil {
			t.Fatal(err)
		}
		w.start()
		id := w.fire()
		w.cluster.await(t, "the CPU profile is asked for", func() bool { return len(w.pulled) == 4 })
		pass(0)
		w.stop()
		if _, err := w.st.Blob(id, "pod-0.cpu.pb.gz"); err != nil || w.captures(id)["pod-0 cpu"].Status != incident.CapturePulling {
			t.Fatalf("%+v, %v", w.captures(id)["pod-0 cpu"], err)
		}
		if _, err := w.st.DB().ExecContext(ctx, `DROP TRIGGER killed`); err != nil {
			t.Fatal(err)
		}
		w.close()
		pass(time.Hour)
		w.open()
		w.start()
		w.untilFinal(t, id)
		c := w.captures(id)["pod-0 cpu"]
		if c.Window != 15*time.Second || !c.Started.Equal(shortStart) || strings.Count(strings.Join(w.asked(), "\n"), "pod-0 cpu") != 1 {
			t.Errorf("capture = %+v, asked %v", c, w.asked())
		}
	})
}

var shortStart = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// shorter answers with half the window that it is asked for.
type shorter struct{ pipeline.Puller }

func (s shorter) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (pipeline.Pulled, error) {
	got, err := s.Puller.Pull(ctx, t, k, window)
	got.Window, got.Started = got.Window/2, shortStart
	return got, err
}

// TestAcceptedBeforeItRuns: an alert may come before the workers, and survives
// a process that never had any.
func TestAcceptedBeforeItRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		id := w.fire()
		w.close()
		w.open()
		w.start()
		if u := w.untilFinal(t, id); u.Incident.Status != incident.StatusDone {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
	})
}

// TestRetention: what is old goes with its profiles, at start and while
// profbot runs; what is not told yet stays.
func TestRetention(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ahead atomic.Int64 // of the pipeline's clock, in ns
		w := newWorld(t, map[string]float64{"pod-0": 0.9}, func(o *pipeline.Options) {
			o.Policy.Retention = 10 * time.Minute
			o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		})
		w.start()
		id := w.fire()
		w.untilFinal(t, id)
		pass(5 * time.Second)
		w.stop()

		// One that Slack does not hear of for long.
		w.board.fails = slices.Repeat([]error{errors.New("Slack is down")}, 1000)
		a := alert("e2", incident.TransitionTriggered)
		a.Cycle = "c2"
		rec, err := w.p.Accept(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		w.close()
		has := func(id string) bool {
			t.Helper()
			_, _, err := w.st.Incident(t.Context(), id)
			if err != nil && !errors.Is(err, incident.ErrNotFound) {
				t.Fatal(err)
			}
			return err == nil
		}

		pass(5 * time.Minute)
		w.open()
		w.start()
		pass(5 * time.Second)
		if !has(id) {
			t.Fatal("pruned before its time")
		}
		w.close()

		pass(10 * time.Minute)
		w.open()
		w.start()
		pass(5 * time.Second)
		if _, err := w.st.Blob(id, "pod-0.cpu.pb.gz"); !errors.Is(err, incident.ErrNotFound) || has(id) {
			t.Errorf("after its time: incident stored %t, blob %v", has(id), err)
		}
		if !has(rec.Incident) || !w.untold()[rec.Incident] {
			t.Errorf("an incident that was not told: stored %t, untold %v", has(rec.Incident), w.untold())
		}
		w.board.mu.Lock()
		w.board.fails = nil
		w.board.mu.Unlock()
		w.untilFinal(t, rec.Incident)
		pass(time.Second)
		if !has(rec.Incident) || w.untold()[rec.Incident] {
			t.Errorf("told late: stored %t, untold %v", has(rec.Incident), w.untold())
		}
		ahead.Store(int64(time.Hour))
		pass(10 * time.Second)
		if has(rec.Incident) {
			t.Error("once told it is not pruned while profbot runs")
		}
	})
}

// TestNeverTold: what cannot be told is given up after twice the retention.
func TestNeverTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ahead atomic.Int64 // of the pipeline's clock, in ns
		w := newWorld(t, map[string]float64{"pod-0": 0.9}, func(o *pipeline.Options) {
			o.Policy.Retention = 24 * time.Hour
			o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		})
		w.board.fails = slices.Repeat([]error{errors.New("token_revoked")}, 10_000)
		w.start()
		id := w.fire()
		for days, want := range []int{1, 1, 0} {
			ahead.Store(int64(time.Duration(days)*24*time.Hour) + int64(time.Hour))
			pass(10 * time.Second)
			incs, err := w.st.Incidents(t.Context(), 10)
			if err != nil || len(incs) != want {
				t.Fatalf("%d incidents after %d days, %v; want %d", len(incs), days, err, want)
			}
		}
		if _, err := w.st.Blob(id, "pod-0.cpu.pb.gz"); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("its profile: %v", err)
		}
		before := w.made()
		pass(30 * time.Second) // the jobs of the first tries come again
		if n := w.made(); n != before || len(w.untold()) > 0 {
			t.Errorf("%d tellings of what is gone, untold %v", n-before, w.untold())
		}
	})
}

// TestPrunedWhileQueued: a job may outlive its incident (a restart doubles
// jobs that wait). It has nothing to do then, and nothing to complain about.
func TestPrunedWhileQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		id := w.fire() // its job waits: nothing runs yet
		ctx := t.Context()
		captures := []incident.Capture{{Incident: id, Pod: "pod-0", Kind: incident.KindCPU, Role: incident.RoleHot, Status: incident.CaptureWaiting}}
		if err := w.st.Plan(ctx, id, incident.Choice{Says: "chosen"}, captures, func(ctx context.Context, tx *sql.Tx, u incident.Unit) error {
			return pipeline.Enqueue(w.p, ctx, tx, u)
		}); err != nil {
			t.Fatal(err)
		}
		if err := w.st.Finish(ctx, id, nil, "no pods"); err != nil {
			t.Fatal(err)
		}
		_, rev, err := w.st.Incident(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		l, err := w.st.Acquire(ctx, incident.Unit{Incident: id}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := w.st.Told(ctx, l, rev); err != nil || !done {
			t.Fatal(done, err)
		}
		if n, err := w.st.Prune(ctx, time.Now().Add(time.Hour), time.Time{}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		w.start()
		pass(10 * time.Second)
		w.stop()
		var jobs, done int
		if err := w.st.DB().QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE state = 'completed') FROM river_job`).Scan(&jobs, &done); err != nil {
			t.Fatal(err)
		}
		if jobs != 2 || done != jobs || len(w.asked()) > 0 || w.made() > 0 {
			t.Errorf("%d of %d jobs have ended, %d pulls, %d tellings", done, jobs, len(w.asked()), w.made())
		}
		if bytes.Contains(w.log.Bytes(), []byte("level=ERROR")) {
			t.Errorf("it complained:\n%s", w.log.String())
		}
	})
}

// TestRunSaysWhatDoesNotStop: Run ends in bounded time when a job does not,
// and says so.
func TestRunSaysWhatDoesNotStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		release, pulling := make(chan struct{}), make(chan struct{})
		w.onPull = func(context.Context, string) {
			close(pulling)
			<-release // whatever its context says
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.p.Run(ctx) }() // ended by cancel
		id := w.fire()
		<-pulling
		cancel()
		stopping := time.Now()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "jobs did not stop within 10s") {
			t.Errorf("Run = %v", err)
		}
		if took := time.Since(stopping); took > 11*time.Second {
			t.Errorf("stopping took %s", took)
		}
		close(release)
		pass(10 * time.Second)
		if c := w.captures(id)["pod-0 allocs-before"]; c.Status != incident.CapturePulling {
			t.Errorf("capture = %+v", c)
		}
	})
}
