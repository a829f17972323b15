package pipeline_test

import (
	"errors"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// A verification captures again, is compared with what it is about, and is not
// taken for the monitor's own.
func TestVerify(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, three(), onePod)
		w.requests = 90
		w.start()
		id := w.fire()
		w.untilFinal(t, id)

		w.requests = 180
		rec, err := w.p.Verify(t.Context(), id, "Rosa")
		if err != nil || rec.Action != incident.ActionCapture || rec.Incident == id {
			t.Fatalf("Verify = %+v, %v", rec, err)
		}
		again, err := w.p.Verify(t.Context(), id, "Rosa")
		if err != nil || !again.Repeated || again.Incident != rec.Incident {
			t.Errorf("asked twice: %+v, %v", again, err)
		}
		u := w.untilFinal(t, rec.Incident)
		a := u.Incident.Alert
		if a.Verifies != id || a.RequestedBy != "Rosa" || a.Key.Service != "live-api" {
			t.Errorf("alert = %+v", a)
		}
		// The pods are the same, and so is what they do.
		if u.Proof == nil || len(u.Proof.Endpoints) == 0 || u.Proof.Endpoints[0].Outcome != analysis.OutcomeSame || u.Proof.Proven() {
			t.Fatalf("proof = %+v", u.Proof)
		}
		if u.Proof.Before != 100 || u.Proof.After != 200 {
			t.Errorf("%.0f and %.0f requests per CPU-second, want 100 and 200", u.Proof.Before, u.Proof.After)
		}

		// Verifying the verification is verifying the incident.
		pass(2 * time.Minute)
		third, err := w.p.Verify(t.Context(), rec.Incident, "")
		if err != nil || third.Repeated || third.Incident == rec.Incident {
			t.Fatalf("Verify of the verification = %+v, %v", third, err)
		}
		if u := w.untilFinal(t, third.Incident); u.Incident.Alert.Verifies != id {
			t.Errorf("it verifies %q, want %q", u.Incident.Alert.Verifies, id)
		}

		// A recovery without a cycle means the monitor's incident.
		recovered := alert("e9", incident.TransitionRecovered)
		recovered.Cycle = ""
		if got, err := w.p.Accept(t.Context(), recovered); err != nil || got.Incident != id {
			t.Errorf("the recovery resolved %+v, %v", got, err)
		}
	})
}

func TestNothingToVerify(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{}, onePod)
		w.start()
		id := w.fire()
		w.untilFinal(t, id) // it failed: there are no pods
		if _, err := w.p.Verify(t.Context(), id, ""); !errors.Is(err, pipeline.ErrNothingToVerify) {
			t.Errorf("Verify of a failed incident = %v", err)
		}
		if _, err := w.p.Verify(t.Context(), "nosuch", ""); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("Verify of an unknown incident = %v", err)
		}
	})
}
