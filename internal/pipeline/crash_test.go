package pipeline_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// TestReportCrashes: what crashes the analysis is tried three times in all,
// also over restarts, and then told as failed.
func TestReportCrashes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var begun atomic.Int32
		w := newWorld(t, map[string]float64{"pod-0": 0.9}, func(o *pipeline.Options) {
			o.Policy.Service = func(string, string) ([]string, map[string]string) { // called by every analysis
				begun.Add(1)
				panic("poison")
			}
		})
		w.start()
		id := w.fire()
		w.board.until(t, id, "all is captured", func(u pipeline.Update) bool { return u.Incident.Status == incident.StatusReporting })
		pass(0)
		if begun.Load() == 0 {
			t.Fatal("the report was not begun")
		}
		w.close()
		w.open()
		w.start()
		u := w.untilFinal(t, id)
		if u.Incident.Status != incident.StatusFailed || !strings.Contains(u.Incident.Failure, "begun 3 times") {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
		pass(time.Minute)
		w.stop()
		if n := begun.Load(); n != 3 {
			t.Errorf("the report was begun %d times, want 3", n)
		}
		if log := w.log.String(); !strings.Contains(log, "panic=poison") || !strings.Contains(log, "crash_test.go") {
			t.Error("the log has no stack of the panic")
		}
	})
}

// TestReportKilled: processes that died of the report, which no code of theirs
// could see, count as well.
func TestReportKilled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		id := w.fire()
		for range 3 { // each is what a process leaves behind
			if _, err := w.st.CountReport(t.Context(), id, 1); err != nil {
				t.Fatal(err)
			}
		}
		w.close()
		w.open()
		w.start()
		if u := w.untilFinal(t, id); u.Incident.Status != incident.StatusFailed || !strings.Contains(u.Incident.Failure, "begun 3 times") {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
	})
}

// TestReportNotStored: a disk that takes nothing for a while is no fault of
// the profiles, however often it is tried.
func TestReportNotStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		if _, err := w.st.DB().ExecContext(t.Context(), `CREATE TRIGGER full BEFORE INSERT ON report BEGIN SELECT raise(ABORT, 'disk is full'); END`); err != nil {
			t.Fatal(err)
		}
		w.start()
		id := w.fire()
		pass(20 * time.Second) // tried at least four times
		if inc, _, err := w.st.Incident(t.Context(), id); err != nil || inc.Status != incident.StatusReporting || inc.Reports != 0 {
			t.Errorf("incident = %+v, %v", inc, err)
		}
		if _, err := w.st.DB().ExecContext(t.Context(), `DROP TRIGGER full`); err != nil {
			t.Fatal(err)
		}
		if u := w.untilFinal(t, id); u.Incident.Status != incident.StatusDone {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
		if _, err := w.st.CountReport(t.Context(), "nosuch", 1); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("CountReport of an unknown incident = %v", err)
		}
	})
}
