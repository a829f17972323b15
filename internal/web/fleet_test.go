package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// TestReportOfAFleet: the report page shows the monitor, what became of its
// event, and what the profiles cost.
func TestReportOfAFleet(t *testing.T) {
	s := newSite(t)
	id := s.accept(t, incident.Alert{ID: "a1", Key: incident.Key{Service: "live-api", Monitor: "1"}})
	critical := 1.5
	captures := []incident.Capture{
		{Incident: id, Pod: "pod-0", Kind: incident.KindCPU, Role: incident.RoleHot, Status: incident.CaptureFailed, Outcome: incident.OutcomeBusy, Asked: 31 * time.Second},
		{Incident: id, Pod: "pod-1", Kind: incident.KindCPU, Role: incident.RoleHot, Status: incident.CaptureStored, Asked: 30 * time.Second},
		{Incident: id, Pod: "pod-1", Kind: incident.KindMutexBefore, Role: incident.RoleHot, Status: incident.CaptureStored, Outcome: incident.OutcomeEmpty},
	}
	choice := incident.Choice{Says: "chose pod-0", Monitor: &incident.Monitor{Name: "<b>CPU", Query: "avg(last_5m):avg:cpu{*} > 1.5", Critical: &critical}}
	if err := s.st.Plan(t.Context(), id, choice, captures, enqueue); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		effect incident.Effect
		says   string
	}{
		{incident.Effect{}, ""},
		{incident.Effect{State: incident.EffectBegun, Ref: "2"}, "timeline: tried 2 times so far."},
		{incident.Effect{State: incident.EffectDone, Ref: "given up after 5 tries: 503"}, "timeline: given up after 5 tries: 503."},
	} {
		if tc.effect.State != "" {
			if err := s.st.SaveEffect(t.Context(), id, "event", tc.effect); err != nil {
				t.Fatal(err)
			}
		}
		body := s.get(t, s.path(id)).Body.String()
		if (tc.says == "") == strings.Contains(body, "timeline") || !strings.Contains(body, tc.says) {
			t.Errorf("%+v: want %q in\n%s", tc.effect, tc.says, body)
		}
		for _, want := range []string{"Monitor: &lt;b&gt;CPU", "&gt; 1.5</code>, critical 1.5", "profbot asked 61 s of CPU profiling of 2 pods", "stored: empty"} {
			if !strings.Contains(body, want) {
				t.Errorf("want %q in\n%s", want, body)
			}
		}
	}
}
