package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

// TestStandIn: a failure and the pod in its place are one write.
func TestStandIn(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	id := f.accept(t, fired("1", "c1")).Incident
	if err := f.Plan(ctx, id, incident.Choice{Says: "chose a, b"}, plan(id), f.enqueue); err != nil {
		t.Fatal(err)
	}
	f.queued = nil
	_, before, err := f.Incident(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	failed := plan(id)[1]
	failed.Status, failed.Outcome = incident.CaptureFailed, incident.OutcomeBusy
	more := []incident.Capture{
		{Incident: id, Pod: "c", Kind: incident.KindAllocsBefore, For: "a", Status: incident.CaptureWaiting},
		{Incident: id, Pod: "c", Kind: incident.KindCPU, For: "a", Status: incident.CaptureWaiting},
	}

	// A disk that takes nothing leaves all as it was.
	full := errors.New("disk is full")
	f.failQueue = full
	if done, err := f.StandIn(ctx, failed, more, "a is busy, so c", f.enqueue); done || !errors.Is(err, full) {
		t.Errorf("StandIn on a full disk = %t, %v", done, err)
	}
	f.failQueue = nil
	if got, err := f.Captures(ctx, id); err != nil || !cmp.Equal(got, plan(id)) {
		t.Errorf("after it: %+v, %v", got, err)
	}

	for i, want := range []bool{true, false} { // the second time c is there
		done, err := f.StandIn(ctx, failed, more, "a is busy, so c", f.enqueue)
		if err != nil || done != want {
			t.Errorf("StandIn, time %d = %t, %v", i, done, err)
		}
	}
	want := append(plan(id), more...)
	want[1] = failed
	got, err := f.Captures(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("captures (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]incident.Unit{{Incident: id, Pod: "c"}, {Incident: id}}, f.queued); d != "" {
		t.Errorf("queued (-want +got):\n%s", d)
	}
	inc, rev, err := f.Incident(ctx, id)
	if err != nil || inc.Choice != "chose a, b; a is busy, so c" || inc.Status != incident.StatusCapturing || rev <= before {
		t.Errorf("incident = %+v, rev %d, %v", inc, rev, err)
	}
	// The captures that were added have to end as well before the report.
	for i, c := range got {
		c.Status = incident.CaptureStored
		if err := f.PutCapture(ctx, c, f.enqueue); err != nil {
			t.Fatal(err)
		}
		if inc, _, err := f.Incident(ctx, id); err != nil || (inc.Status == incident.StatusReporting) != (i == len(got)-1) {
			t.Errorf("after capture %d: %s, %v", i, inc.Status, err)
		}
	}
}

// TestSetRates: the first that are kept stay, and are no news.
func TestSetRates(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	id := f.accept(t, fired("1", "c1")).Incident
	_, rev, err := f.Incident(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	first := incident.Rates{PerSecond: map[string]float64{"get_/live/list": 12.5}, Part: 0.4, Basis: "by pods"}
	for _, r := range []incident.Rates{first, {Failure: "403"}} {
		got, err := f.SetRates(ctx, id, r)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(first, got); d != "" {
			t.Errorf("kept (-want +got):\n%s", d)
		}
	}
	inc, again, err := f.Incident(ctx, id)
	if err != nil || again != rev || inc.Rates == nil || !cmp.Equal(*inc.Rates, first) {
		t.Errorf("incident = %+v, rev %d and %d, %v", inc.Rates, rev, again, err)
	}
	if _, err := f.SetRates(ctx, "nosuch", first); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("SetRates of an unknown incident = %v", err)
	}
}
