package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

var errSilent = errors.New("the API server does not answer: connection refused")

// silence is how long nobody tells the pods, from now on.
func (c *cluster) silence(d time.Duration) {
	end := time.Now().Add(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = func() error {
		if time.Now().Before(end) {
			return errSilent
		}
		return nil
	}
}

// TestPodsNotKnownYet: a cluster that does not answer for a moment costs an
// incident nothing but that moment, and people are told at once.
func TestPodsNotKnownYet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		w.start()
		w.silence(2 * time.Minute)
		fired := time.Now()
		id := w.fire()
		u := w.board.until(t, id, "it says that it waits", func(u pipeline.Update) bool { return u.Incident.Waiting != nil })
		if told := time.Since(fired); told > 2*time.Second {
			t.Errorf("told after %s", told)
		}
		// The queue may have looked for work the moment before: it looks again soon.
		got := *u.Incident.Waiting
		if late := got.Since.Sub(fired); u.Incident.Status != incident.StatusAccepted || late < 0 || late > time.Second || got.Until.Sub(got.Since) != 150*time.Second || got.Why != errSilent.Error() {
			t.Errorf("%s, waits for %+v, fired at %s", u.Incident.Status, got, fired)
		}
		u = w.untilFinal(t, id)
		if u.Incident.Status != incident.StatusDone || u.Incident.Waiting != nil {
			t.Errorf("%s, %q, waits for %+v", u.Incident.Status, u.Incident.Failure, u.Incident.Waiting)
		}
		if took := u.Captures[0].Started.Sub(fired); took < 2*time.Minute || took > 150*time.Second {
			t.Errorf("the first profile was asked for after %s", took)
		}
		w.stop()
		if n := strings.Count(w.log.String(), "asking again"); n < 8 || n > 45 {
			t.Errorf("asked %d times in two minutes", n)
		}
	})
}

// TestPodsNeverKnown: in the end it says why, once, and asks nobody any more.
func TestPodsNeverKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		w.start()
		w.silence(time.Hour)
		fired := time.Now()
		id := w.fire()
		u := w.untilFinal(t, id)
		if took := time.Since(fired); took < 150*time.Second || took > 3*time.Minute {
			t.Errorf("given up after %s", took)
		}
		if u.Incident.Status != incident.StatusFailed || !strings.HasPrefix(u.Incident.Failure, "the pods of the service could not be found out for 2m3") || !strings.HasSuffix(u.Incident.Failure, "s: "+errSilent.Error()) {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
		n := w.finds
		pass(time.Minute)
		if w.finds != n || len(w.asked()) > 0 || len(w.untold()) > 0 {
			t.Errorf("asked again: %d, pulled %q, untold %v", w.finds-n, w.asked(), w.untold())
		}
	})
}

// TestPodsNotKnownAcrossRestarts: the time that it is waited for does not begin
// anew with a process.
func TestPodsNotKnownAcrossRestarts(t *testing.T) {
	for _, outage := range []time.Duration{2 * time.Minute, time.Hour} {
		t.Run(fmt.Sprint(outage), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9})
				w.start()
				w.silence(outage)
				fired := time.Now()
				id := w.fire()
				for range 2 {
					pass(30 * time.Second)
					w.close()
					w.open()
					w.start()
				}
				u := w.untilFinal(t, id)
				if took := time.Since(fired); outage > time.Minute*3 && (took > 3*time.Minute || u.Incident.Status != incident.StatusFailed) {
					t.Errorf("%s after %s", u.Incident.Status, took)
				}
				if outage < 3*time.Minute && u.Incident.Status != incident.StatusDone {
					t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
				}
			})
		})
	}
}

// TestUnknownServiceEndsAtOnce: who knows the pods has answered.
func TestUnknownServiceEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		id := w.fire()
		w.silent = func() error { return fmt.Errorf("%w: gone since the alert", incident.ErrUnknownService) }
		fired := time.Now()
		w.start()
		u := w.untilFinal(t, id)
		if took := time.Since(fired); took > 2*time.Second || u.Incident.Status != incident.StatusFailed || !strings.Contains(u.Incident.Failure, "gone since the alert") {
			t.Errorf("%s after %s: %q", u.Incident.Status, took, u.Incident.Failure)
		}
	})
}

// TestSilenceDuringPulls: a pod whose place nobody tells was not asked. The pull
// waits for a while, and what is missing in the end is not called the pod's fault.
func TestSilenceDuringPulls(t *testing.T) {
	for _, tc := range []struct {
		silence time.Duration
		want    incident.Status
	}{{10 * time.Second, incident.StatusDone}, {time.Hour, incident.StatusFailed}} {
		t.Run(fmt.Sprint(tc.silence), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": 0.9, "pod-1": 0.1}, onePod)
				w.meter = func(context.Context) error { w.silence(tc.silence); return nil }
				w.start()
				fired := time.Now()
				id := w.fire()
				u := w.untilFinal(t, id)
				if u.Incident.Status != tc.want {
					t.Fatalf("%s, %q", u.Incident.Status, u.Incident.Failure)
				}
				if took := time.Since(fired); took > 5*time.Minute {
					t.Errorf("took %s", took)
				}
				for _, c := range u.Captures {
					switch {
					case tc.want == incident.StatusDone && c.Status != incident.CaptureStored,
						tc.want == incident.StatusFailed && !c.Kind.Waiting() && (c.Outcome != incident.OutcomeDiscovery || !strings.Contains(c.Detail, errSilent.Error())):
						t.Errorf("%s of %s: %s %q", c.Kind, c.Pod, c.Outcome, c.Detail)
					}
				}
				if tc.want == incident.StatusFailed && len(w.asked()) > 0 {
					t.Errorf("asked %q", w.asked())
				}
			})
		})
	}
}

// TestServiceGoneDuringPulls: a service that is unknown by now has no pods.
func TestServiceGoneDuringPulls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9}, onePod)
		w.meter = func(context.Context) error {
			w.cluster.mu.Lock()
			defer w.cluster.mu.Unlock()
			w.silent = func() error { return incident.ErrUnknownService }
			return nil
		}
		w.start()
		u := w.untilFinal(t, w.fire())
		for _, c := range u.Captures {
			if c.Outcome != incident.OutcomeGone {
				t.Errorf("%s: %s", c.Kind, c.Outcome)
			}
		}
	})
}
