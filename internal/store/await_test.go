package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

// TestAwait: what an incident waits for is news once, and is over when its pods
// are chosen.
func TestAwait(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	id := f.accept(t, fired("1", "c1")).Incident
	at := time.Date(2026, 11, 30, 9, 26, 0, 0, time.UTC)
	first := incident.Waiting{Since: at, Until: at.Add(time.Minute), Why: "no answer"}
	state := func() (*incident.Waiting, int64) {
		t.Helper()
		inc, rev, err := f.Incident(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return inc.Waiting, rev
	}
	_, before := state()
	for _, w := range []incident.Waiting{first, {Since: at.Add(time.Second), Why: "another"}} {
		if err := f.Await(ctx, id, w); err != nil {
			t.Fatal(err)
		}
		got, rev := state()
		if d := cmp.Diff(&first, got); d != "" || rev != before+1 {
			t.Errorf("revision %d after %d (-want +got):\n%s", rev, before, d)
		}
	}
	if err := f.Plan(ctx, id, incident.Choice{Says: "chose a, b"}, plan(id), f.enqueue); err != nil {
		t.Fatal(err)
	}
	for range 2 { // nor does it begin to wait any more
		if got, _ := state(); got != nil {
			t.Errorf("planned, and waits for %+v", got)
		}
		if err := f.Await(ctx, id, first); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Await(ctx, "nobody", first); err == nil {
		t.Error("an incident that is not there waits")
	}
}
