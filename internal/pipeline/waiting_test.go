package pipeline_test

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// contended is a mutex profile with something in it.
func contended(t *testing.T) []byte {
	t.Helper()
	if _, err := profiles(); err != nil { // whose own are read while nothing is recorded
		t.Fatal(err)
	}
	before := runtime.SetMutexProfileFraction(1)
	defer runtime.SetMutexProfileFraction(before)
	for range 1000 {
		var mu sync.Mutex
		done := make(chan struct{})
		mu.Lock()
		go func() { mu.Lock(); mu.Unlock(); close(done) }() //nolint:staticcheck // to wait is all it does
		for range 100 {
			runtime.Gosched() // so that it comes to wait
		}
		mu.Unlock()
		<-done
		if pprof.Lookup("mutex").Count() > 0 {
			var b bytes.Buffer
			if err := pprof.Lookup("mutex").WriteTo(&b, 0); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
	}
	t.Fatal("nothing ever waited for a lock")
	return nil
}

// recording answers with a profile for both snapshots of the mutex.
type recording struct {
	pipeline.Puller
	mutex []byte
}

func (r recording) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (pipeline.Pulled, error) {
	got, err := r.Puller.Pull(ctx, t, k, window)
	if k.Profile() == "mutex" {
		got.Data = r.mutex
	}
	return got, err
}

// TestProfilesOfWaiting: what a process records of waiting is pulled before and
// after, and analysed; what it does not record is asked for once.
func TestProfilesOfWaiting(t *testing.T) {
	mutex := contended(t)
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9}, func(o *pipeline.Options) { o.Puller = recording{o.Puller, mutex} })
		w.start()
		id := w.fire()
		u := w.untilFinal(t, id)
		want := []string{"pod-0 allocs-before", "pod-0 mutex-before", "pod-0 block-before", "pod-0 cpu", "pod-0 mutex", "pod-0 allocs-after", "pod-0 goroutine"}
		if d := cmp.Diff(want, w.asked()); d != "" {
			t.Errorf("asked (-want +got):\n%s", d)
		}
		if u.Report == nil || !slices.Contains(u.Report.Kinds, analysis.KindMutex) || slices.Contains(u.Report.Kinds, analysis.KindBlock) {
			t.Fatalf("%s, %q: %+v", u.Incident.Status, u.Incident.Failure, u.Report)
		}
		for _, what := range []string{"pod-0 mutex-before", "pod-0 mutex"} {
			if c := w.captures(id)[what]; c.Outcome != incident.OutcomeStored || c.Bytes != int64(len(mutex)) {
				t.Errorf("%s: %+v", what, c)
			}
		}
	})
}

// TestNoProfilesOfWaiting: a pod without them is no worse for it.
func TestNoProfilesOfWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9})
		for _, k := range []string{"mutex-before", "block-before"} {
			w.cluster.fails["pod-0 "+k] = []error{refusal{incident.OutcomeNoPprof, "404 page not found", false, 0}}
		}
		w.start()
		u := w.untilFinal(t, w.fire())
		if u.Incident.Status != incident.StatusDone || slices.ContainsFunc(u.Report.Notes, func(n string) bool { return strings.Contains(n, "mutex") }) {
			t.Errorf("%s, notes %q", u.Incident.Status, u.Report.Notes)
		}
	})
}
