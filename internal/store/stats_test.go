package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/store"
)

// TestStats follows one incident from its opening to its telling.
func TestStats(t *testing.T) {
	f := open(t)
	check := func(when string, want store.Stats) {
		t.Helper()
		got, err := f.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.DatabaseBytes < 4096 || got.DatabaseBytes%4096 != 0 {
			t.Errorf("%s: the database has %d bytes", when, got.DatabaseBytes)
		}
		got.DatabaseBytes = 0
		if want.Unfinished == nil {
			want.Unfinished = map[incident.Status]int{}
		}
		if want.Captures == nil {
			want.Captures = map[incident.CaptureStatus]int{}
		}
		if !got.Oldest.Equal(want.Oldest) {
			t.Errorf("%s: the oldest is of %v, want %v", when, got.Oldest, want.Oldest)
		}
		got.Oldest, want.Oldest = time.Time{}, time.Time{}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", when, d)
		}
	}
	check("at first", store.Stats{})
	opened := f.now
	id := f.accept(t, fired("1", "c1")).Incident
	f.now = f.now.Add(time.Minute)
	f.accept(t, fired("2", "c2"))
	check("two opened", store.Stats{Unfinished: map[incident.Status]int{incident.StatusAccepted: 2}, Oldest: opened, Untold: 2})

	captures := []incident.Capture{
		{Incident: id, Pod: "a", Kind: incident.KindCPU, Status: incident.CaptureWaiting},
		{Incident: id, Pod: "a", Kind: incident.KindGoroutine, Status: incident.CaptureWaiting},
	}
	if err := f.Plan(t.Context(), id, incident.Choice{}, captures, f.enqueue); err != nil {
		t.Fatal(err)
	}
	captures[0].Status = incident.CapturePulling
	if err := f.PutCapture(t.Context(), captures[0], f.enqueue); err != nil {
		t.Fatal(err)
	}
	check("pulling", store.Stats{
		Unfinished: map[incident.Status]int{incident.StatusAccepted: 1, incident.StatusCapturing: 1}, Oldest: opened, Untold: 2,
		Captures: map[incident.CaptureStatus]int{incident.CaptureWaiting: 1, incident.CapturePulling: 1},
	})
	for i := range captures {
		captures[i].Status = incident.CaptureFailed
		if err := f.PutCapture(t.Context(), captures[i], f.enqueue); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Finish(t.Context(), id, nil, "no profile"); err != nil {
		t.Fatal(err)
	}
	check("one finished", store.Stats{Unfinished: map[incident.Status]int{incident.StatusAccepted: 1}, Oldest: opened.Add(time.Minute), Untold: 2})
}
