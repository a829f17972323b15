package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/store"
)

// fixture is an open store with a clock that tests move and a queue that only
// counts: the transaction it is called in is real.
type fixture struct {
	*store.Store
	dir string
	now time.Time
	// queued lists the units enqueued, in order.
	queued []incident.Unit
	// failQueue makes the queue refuse.
	failQueue error
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	f.reopen(t)
	return f
}

func (f *fixture) reopen(t *testing.T) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: f.dir, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	f.Store = s
	t.Cleanup(func() { s.Close() })
}

func (f *fixture) enqueue(_ context.Context, tx *sql.Tx, u incident.Unit) error {
	if tx == nil {
		return errors.New("enqueue outside a transaction")
	}
	if f.failQueue != nil {
		return f.failQueue
	}
	f.queued = append(f.queued, u)
	return nil
}

func (f *fixture) accept(t *testing.T, a incident.Alert) incident.Receipt {
	t.Helper()
	action, reason := incident.Decide(a)
	rec, err := f.Accept(t.Context(), a, action, reason, 30*time.Minute, f.enqueue)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func fired(id, cycle string) incident.Alert {
	return incident.Alert{
		Source: "datadog", ID: id, Cycle: cycle, Transition: incident.TransitionTriggered,
		Key: incident.Key{Service: "live-api", Env: "prod", Monitor: "1234"},
	}
}

func recovered(id, cycle string) incident.Alert {
	a := fired(id, cycle)
	a.Transition = incident.TransitionRecovered
	return a
}

func TestAcceptOpensOneIncident(t *testing.T) {
	f := open(t)
	first := f.accept(t, fired("1", "c1"))
	if first.Action != incident.ActionCapture || first.Incident == "" {
		t.Fatalf("first = %+v", first)
	}
	if d := cmp.Diff([]incident.Unit{{Incident: first.Incident}}, f.queued); d != "" {
		t.Errorf("queued (-want +got):\n%s", d)
	}

	again := f.accept(t, fired("1", "c1"))
	want := first
	want.Repeated = true
	if d := cmp.Diff(want, again); d != "" {
		t.Errorf("second delivery (-want +got):\n%s", d)
	}

	f.now = f.now.Add(29 * time.Minute)
	joined := f.accept(t, fired("2", "c1"))
	if joined.Action != incident.ActionRecord || joined.Incident != first.Incident || !strings.Contains(joined.Reason, "cool-down") {
		t.Errorf("inside the cool-down = %+v", joined)
	}
	if other := f.accept(t, fired("3", "c2")); other.Action != incident.ActionCapture || other.Incident == first.Incident {
		t.Errorf("another cycle = %+v", other)
	}
	f.now = f.now.Add(2 * time.Minute)
	if late := f.accept(t, fired("4", "c1")); late.Action != incident.ActionCapture || late.Incident == first.Incident {
		t.Errorf("after the cool-down = %+v", late)
	}

	alerts, err := f.Alerts(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, a := range alerts {
		ids = append(ids, a.Alert.ID)
		if a.Receipt.Reason == "" || a.At.IsZero() {
			t.Errorf("alert %s kept no reason or time: %+v", a.Alert.ID, a)
		}
	}
	if d := cmp.Diff([]string{"4", "3", "2", "1"}, ids); d != "" {
		t.Errorf("alerts (-want +got):\n%s", d)
	}
}

// An alert and its job are stored together or not at all: after a refusal the
// sender tries again, and the second try must not look like a repetition.
func TestAcceptIsAtomicWithTheQueue(t *testing.T) {
	f := open(t)
	f.failQueue = errors.New("disk full")
	if _, err := f.Accept(t.Context(), fired("1", "c1"), incident.ActionCapture, "fired", time.Minute, f.enqueue); !errors.Is(err, f.failQueue) {
		t.Fatalf("Accept = %v, want the queue's error", err)
	}
	if incs, _ := f.Incidents(t.Context(), 10); len(incs) != 0 {
		t.Fatalf("incidents after a refused job: %+v", incs)
	}
	f.failQueue = nil
	if rec := f.accept(t, fired("1", "c1")); rec.Repeated || rec.Action != incident.ActionCapture {
		t.Errorf("second try = %+v", rec)
	}
}

func TestRecoveryFindsItsIncident(t *testing.T) {
	for _, tc := range []struct {
		name      string
		fire, end incident.Alert
		found     bool
	}{
		{"same cycle", fired("1", "c1"), recovered("2", "c1"), true},
		{"another cycle", fired("1", "c1"), recovered("2", "c9"), false},
		{"default payload knows no cycle", fired("1", ""), recovered("2", ""), true},
		{"another monitor", fired("1", "c1"), func() incident.Alert { a := recovered("2", "c1"); a.Key.Monitor = "9"; return a }(), false},
		{"env left out of the recovery", fired("1", "c1"), func() incident.Alert { a := recovered("2", "c1"); a.Key.Env = ""; return a }(), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := open(t)
			opened := f.accept(t, tc.fire)
			rec := f.accept(t, tc.end)
			inc, rev, err := f.Incident(t.Context(), opened.Incident)
			if err != nil {
				t.Fatal(err)
			}
			if got := rec.Incident == opened.Incident && !inc.Recovered.IsZero() && rev == 2; got != tc.found {
				t.Errorf("receipt %+v, incident %+v at rev %d; want found %v", rec, inc, rev, tc.found)
			}
			if !tc.found && rec.Action != incident.ActionRecord {
				t.Errorf("action = %q, want record", rec.Action)
			}
		})
	}
}

// TestRecoveryEndsTheWholeCycle fires beyond the cool-down, so that one cycle
// has two incidents, and recovers once.
func TestRecoveryEndsTheWholeCycle(t *testing.T) {
	for _, tc := range []struct {
		cycle string
		// ended are the fired alerts whose incidents the recovery ends.
		ended []bool
	}{
		{"c1", []bool{true, true, false}},
		{"", []bool{false, true, false}}, // only the latest is sure to be meant
	} {
		f := open(t)
		first := f.accept(t, fired("1", tc.cycle)).Incident
		f.now = f.now.Add(time.Hour)
		second := f.accept(t, fired("2", tc.cycle)).Incident
		f.queued = nil
		rec := f.accept(t, recovered("3", tc.cycle))
		if rec.Incident != second {
			t.Errorf("cycle %q: the receipt names %q, want the latest, %q", tc.cycle, rec.Incident, second)
		}
		f.now = f.now.Add(time.Hour)
		third := f.accept(t, fired("4", tc.cycle)).Incident
		for i, id := range []string{first, second, third} {
			inc, _, err := f.Incident(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if got := !inc.Recovered.IsZero(); got != tc.ended[i] {
				t.Errorf("cycle %q: incident %d recovered = %v, want %v", tc.cycle, i+1, got, tc.ended[i])
			}
			if queued := slices.Contains(f.queued, incident.Unit{Incident: id}); queued != (tc.ended[i] || id == third) {
				t.Errorf("cycle %q: job of incident %d queued = %v", tc.cycle, i+1, queued)
			}
		}
	}
}

// TestRecoveryPrefersItsCycle has an incident without a cycle beside it.
func TestRecoveryPrefersItsCycle(t *testing.T) {
	f := open(t)
	mine := f.accept(t, fired("1", "c1")).Incident
	f.now = f.now.Add(time.Minute)
	f.accept(t, fired("2", ""))
	if rec := f.accept(t, recovered("3", "c1")); rec.Incident != mine {
		t.Errorf("receipt %+v, want incident %q", rec, mine)
	}
}

func plan(id string) []incident.Capture {
	var out []incident.Capture
	for _, pod := range []string{"a", "b"} {
		for _, k := range incident.CPUPlan {
			out = append(out, incident.Capture{Incident: id, Pod: pod, Kind: k, Status: incident.CaptureWaiting})
		}
	}
	return out
}

func TestPlanToFinish(t *testing.T) {
	f := open(t)
	id := f.accept(t, fired("1", "c1")).Incident
	f.queued = nil
	for range 2 { // a plan that runs twice is stored once
		if err := f.Plan(t.Context(), id, incident.Choice{Says: "because"}, plan(id), f.enqueue); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]incident.Unit{{Incident: id, Pod: "a"}, {Incident: id, Pod: "b"}}, f.queued); d != "" {
		t.Errorf("queued (-want +got):\n%s", d)
	}
	captures, err := f.Captures(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(plan(id), captures); d != "" {
		t.Fatalf("captures (-want +got):\n%s", d)
	}
	for i, c := range captures {
		if inc, _, _ := f.Incident(t.Context(), id); inc.Status != incident.StatusCapturing {
			t.Fatalf("status before capture %d = %q", i, inc.Status)
		}
		c.Status = incident.CaptureStored
		if i == 2 {
			c.Status = incident.CaptureFailed
		}
		if err := f.PutCapture(t.Context(), c, f.enqueue); err != nil {
			t.Fatal(err)
		}
	}
	if inc, _, _ := f.Incident(t.Context(), id); inc.Status != incident.StatusReporting || inc.Choice != "because" {
		t.Fatalf("after the last capture: %+v", inc)
	}
	rep := &analysis.Report{Version: analysis.ReportVersion, Service: "live-api", Samples: 42}
	if err := f.Finish(t.Context(), id, rep, ""); err != nil {
		t.Fatal(err)
	}
	got, err := f.Report(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(rep, got); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	if inc, _, _ := f.Incident(t.Context(), id); inc.Status != incident.StatusDone || inc.Finished.IsZero() {
		t.Errorf("finished: %+v", inc)
	}
}

// A recovery that arrives while a step works must not be undone by the step's
// own write.
func TestStepKeepsRecovery(t *testing.T) {
	f := open(t)
	id := f.accept(t, fired("1", "c1")).Incident
	f.accept(t, recovered("2", "c1"))
	if err := f.Plan(t.Context(), id, incident.Choice{Says: "because"}, plan(id), f.enqueue); err != nil {
		t.Fatal(err)
	}
	if inc, _, _ := f.Incident(t.Context(), id); inc.Recovered.IsZero() || inc.Status != incident.StatusCapturing {
		t.Errorf("incident = %+v, want capturing and recovered", inc)
	}
}

func TestLease(t *testing.T) {
	f := open(t)
	u := incident.Unit{Incident: f.accept(t, fired("1", "c1")).Incident}
	ctx := t.Context()
	l, err := f.Acquire(ctx, u, 10*time.Second)
	if err != nil || l == nil {
		t.Fatalf("Acquire = %v, %v", l, err)
	}
	if other, err := f.Acquire(ctx, u, 10*time.Second); err != nil || other != nil {
		t.Fatalf("second Acquire = %v, %v; want none", other, err)
	}
	f.now = f.now.Add(9 * time.Second)
	if err := f.Renew(ctx, l, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(9 * time.Second)
	if other, _ := f.Acquire(ctx, u, 10*time.Second); other != nil {
		t.Fatal("a renewed lease was given away")
	}
	f.now = f.now.Add(2 * time.Second)
	other, err := f.Acquire(ctx, u, 10*time.Second)
	if err != nil || other == nil {
		t.Fatalf("Acquire of a lease that ran out = %v, %v", other, err)
	}
	if err := f.Renew(ctx, l, time.Second); !errors.Is(err, incident.ErrLeaseLost) {
		t.Errorf("Renew of a lost lease = %v", err)
	}
	if err := f.Release(ctx, l); err != nil {
		t.Fatal(err)
	}
	if third, _ := f.Acquire(ctx, u, time.Second); third != nil {
		t.Error("releasing a lost lease freed the new holder's")
	}
}

// TestLeaseOfWhatIsGone: a job may outlive its incident.
func TestLeaseOfWhatIsGone(t *testing.T) {
	f := open(t)
	for _, u := range []incident.Unit{{Incident: "gone"}, {Incident: "gone", Pod: "a"}} {
		if l, err := f.Acquire(t.Context(), u, time.Second); l != nil || !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("Acquire(%v) = %v, %v; want ErrNotFound", u, l, err)
		}
	}
}

func TestToldMissesNoChange(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	id := f.accept(t, fired("1", "c1")).Incident
	u := incident.Unit{Incident: id}
	l, err := f.Acquire(ctx, u, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, rev, err := f.Incident(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	f.accept(t, recovered("2", "c1")) // while the holder was telling rev
	if done, err := f.Told(ctx, l, rev); err != nil || done {
		t.Fatalf("Told = %v, %v; want the holder to look again", done, err)
	}
	if other, _ := f.Acquire(ctx, u, time.Minute); other != nil {
		t.Fatal("Told gave up the lease although there is more to tell")
	}
	_, rev, _ = f.Incident(ctx, id)
	if done, err := f.Told(ctx, l, rev); err != nil || !done {
		t.Fatalf("Told of the newest = %v, %v", done, err)
	}
	if idle, err := f.Idle(ctx); err != nil || len(idle) != 0 {
		t.Errorf("Idle = %v, %v; want none", idle, err)
	}
}

// A document that is older than the revision read with it would let Told call
// the newer one told, and nobody would ever look at it.
func TestIncidentAndRevisionAreOfOneMoment(t *testing.T) {
	f := open(t)
	id := f.accept(t, fired("1", "c1")).Incident
	const changes = 300
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := range changes {
			if err := f.Finish(context.Background(), id, nil, strconv.Itoa(n+2)); err != nil { // the revision it makes
				t.Error(err)
				return
			}
		}
	})
	for rev := int64(0); rev <= changes && !t.Failed(); {
		inc, now, err := f.Incident(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if rev = now; rev > 1 && inc.Failure != strconv.FormatInt(rev, 10) {
			t.Fatalf("revision %d came with the document of revision %s", rev, inc.Failure)
		}
	}
	writer.Wait()
}

func TestIdle(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	id := f.accept(t, fired("1", "c1")).Incident
	if err := f.Plan(ctx, id, incident.Choice{}, plan(id), f.enqueue); err != nil {
		t.Fatal(err)
	}
	all := []incident.Unit{{Incident: id}, {Incident: id, Pod: "a"}, {Incident: id, Pod: "b"}}
	if idle, err := f.Idle(ctx); err != nil || cmp.Diff(all, idle) != "" {
		t.Fatalf("Idle: %v\n%s", err, cmp.Diff(all, idle))
	}
	if _, err := f.Acquire(ctx, incident.Unit{Incident: id, Pod: "a"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if idle, _ := f.Idle(ctx); len(idle) != 2 || idle[1].Pod != "b" {
		t.Errorf("Idle beside a held pod = %v", idle)
	}
	// A process that was killed holds its lease no longer than until the next
	// start.
	f.Close()
	f.reopen(t)
	if idle, _ := f.Idle(ctx); len(idle) != 3 {
		t.Errorf("Idle after a restart = %v, want all three", idle)
	}
}

func TestLedger(t *testing.T) {
	f := open(t)
	id := f.accept(t, fired("1", "c1")).Incident
	led := f.Ledger(id)
	if e, err := led.Load(t.Context(), "root"); err != nil || e != (incident.Effect{}) {
		t.Fatalf("Load of a step never begun = %+v, %v", e, err)
	}
	want := incident.Effect{State: incident.EffectDone, Ref: "1.2", Digest: "abc", At: f.now}
	for _, e := range []incident.Effect{{State: incident.EffectBegun, At: f.now}, want} {
		if err := led.Save(t.Context(), "root", e); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := led.Load(t.Context(), "root"); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("Load: %v\n%s", err, cmp.Diff(want, got))
	}
}

func TestBlobs(t *testing.T) {
	f := open(t)
	for _, name := range []string{"pod.cpu.pb.gz", "a/b", "a_b", "../../escape", "..", "", "ns:pod é"} {
		if err := f.PutBlob("inc", name, []byte("data of "+name)); err != nil {
			t.Errorf("PutBlob(%q): %v", name, err)
		}
	}
	for _, name := range []string{"pod.cpu.pb.gz", "a/b", "a_b", "../../escape", "..", "", "ns:pod é"} {
		if b, err := f.Blob("inc", name); err != nil || string(b) != "data of "+name {
			t.Errorf("Blob(%q) = %q, %v", name, b, err)
		}
	}
	if _, err := f.Blob("inc", "missing"); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("Blob(missing) = %v", err)
	}
}

func TestPrune(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	old := f.accept(t, fired("1", "c1")).Incident
	open := f.accept(t, fired("2", "c2")).Incident
	if err := f.Finish(ctx, old, &analysis.Report{}, ""); err != nil {
		t.Fatal(err)
	}
	if err := f.PutBlob(old, "x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Hour)
	if n, err := f.Prune(ctx, f.now, time.Time{}); err != nil || n != 0 {
		t.Fatalf("Prune of an incident not told yet = %d, %v", n, err)
	}
	l, err := f.Acquire(ctx, incident.Unit{Incident: old}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, rev, _ := f.Incident(ctx, old)
	if done, err := f.Told(ctx, l, rev); err != nil || !done {
		t.Fatal(done, err)
	}
	if n, err := f.Prune(ctx, f.now, time.Time{}); err != nil || n != 1 {
		t.Fatalf("Prune = %d, %v; want 1", n, err)
	}
	if _, _, err := f.Incident(ctx, old); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("pruned incident: %v", err)
	}
	if _, err := f.Blob(old, "x"); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("pruned blob: %v", err)
	}
	if _, _, err := f.Incident(ctx, open); err != nil {
		t.Errorf("an unfinished incident went with it: %v", err)
	}

	// What is twice as old goes in any state, with its work.
	if err := f.Plan(ctx, open, incident.Choice{}, plan(open), f.enqueue); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Hour)
	young := f.accept(t, fired("3", "c3")).Incident
	for _, id := range []string{open, young, "orphan"} { // a killed Prune leaves the last
		if err := f.PutBlob(id, "x", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := f.Prune(ctx, f.now.Add(-time.Minute), f.now.Add(-time.Minute)); err != nil || n != 1 {
		t.Fatalf("Prune of what cannot be told = %d, %v; want 1", n, err)
	}
	for _, id := range []string{open, "orphan"} {
		if _, err := f.Blob(id, "x"); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("blob of %q: %v", id, err)
		}
	}
	if _, err := f.Blob(young, "x"); err != nil {
		t.Errorf("blob of a young incident: %v", err)
	}
	if idle, err := f.Idle(ctx); err != nil || cmp.Diff([]incident.Unit{{Incident: young}}, idle) != "" {
		t.Errorf("Idle = %v, %v", idle, err)
	}
}

// TestFolderOfAnyName: the name goes into the database's address.
func TestFolderOfAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "100% of a?b=c#d e")
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "profbot.db")); err != nil {
		t.Error(err)
	}
}

// TestOwnersAlone opens a folder that everybody may enter, with a database that
// everybody may read.
func TestOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes mean something else there")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "profbot.db"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.PutBlob("a", "b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 4 { // with the write-ahead log
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %s", e.Name(), info.Mode())
		}
	}
}

func TestOpenRefusesSecondProcess(t *testing.T) {
	f := open(t)
	_, err := store.Open(t.Context(), store.Options{Dir: f.dir})
	if inUse, ok := errors.AsType[*store.InUseError](err); !ok || inUse.Dir != f.dir {
		t.Errorf("second Open = %v, want InUseError", err)
	}
}

// Several writers at once: every one gets through, none sees SQLITE_BUSY.
func TestConcurrentAccept(t *testing.T) {
	f := open(t)
	var jobs atomic.Int64
	enqueue := func(context.Context, *sql.Tx, incident.Unit) error { jobs.Add(1); return nil }
	errs := make(chan error)
	const n = 50
	for i := range n {
		go func() {
			_, err := f.Accept(t.Context(), fired(strings.Repeat("x", i%25+1), "c1"), incident.ActionCapture, "fired", time.Hour, enqueue)
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	incs, err := f.Incidents(t.Context(), 10)
	if err != nil || len(incs) != 1 || jobs.Load() != 1 {
		t.Errorf("%d incidents, %d jobs, %v; want one of each", len(incs), jobs.Load(), err)
	}
}
