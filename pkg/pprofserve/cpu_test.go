package pprofserve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// profiler stands in for the one of the runtime: one at a time, and what it
// writes at its end is a profile of what went by meanwhile.
type profiler struct {
	mu    sync.Mutex // protects what follows
	w     io.Writer
	since time.Time
	owner string
	log   []string // who had it, for how long
}

func (p *profiler) startAs(owner string, w io.Writer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil {
		return errInUse
	}
	p.w, p.since, p.owner = w, time.Now(), owner
	return nil
}

func (p *profiler) start(w io.Writer) error { return p.startAs("pprofserve", w) }

func (p *profiler) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w == nil {
		return
	}
	d := time.Since(p.since)
	p.log = append(p.log, p.owner+" "+d.String())
	_, _ = p.w.Write(profileOf(d, sampled{"work", int64(d / (10 * time.Millisecond))}))
	p.w = nil
}

func (p *profiler) history() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// continuously profiles as dd-trace-go and pyroscope-go do, until ctx ends:
// start, wait, stop whatever runs by then. It counts its profiles and failures.
func (p *profiler) continuously(ctx context.Context, period time.Duration) (profiles, failures int) {
	for ctx.Err() == nil {
		err := p.startAs("other", io.Discard)
		select {
		case <-time.After(period):
		case <-ctx.Done():
		}
		if err != nil {
			failures++
			continue
		}
		p.stop()
		profiles++
	}
	return profiles, failures
}

func newSampler(p *profiler, restarts bool) *sampler {
	return &sampler{start: p.start, stop: p.stop, restarts: func() bool { return restarts }}
}

// duration is the time that a profile says it covers, after its samples were
// found to say the same.
func duration(t *testing.T, profile []byte) time.Duration {
	t.Helper()
	m := newMerger()
	if err := m.add(profile, 1); err != nil {
		t.Fatal(err)
	}
	var samples int64
	for _, v := range m.values {
		samples += v[0]
	}
	d := time.Duration(m.duration)
	if want := int64(d / (10 * time.Millisecond)); samples > want || samples < want-20 {
		t.Errorf("%d samples in a profile of %s", samples, d)
	}
	return d
}

func TestRecordAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &profiler{}
		profile, err := newSampler(p, false).record(t.Context(), nil, 30*time.Second, Interrupt, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := duration(t, profile); d != 30*time.Second {
			t.Errorf("the profile is of %s", d)
		}
		if got := p.history(); !slices.Equal(got, []string{"pprofserve 30s"}) {
			t.Errorf("the profiler was used in pieces: %q", got)
		}
	})
}

// TestRecordTogether: each of several gets the profile of its time, whole.
func TestRecordTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &profiler{}
		s := newSampler(p, false)
		var wg sync.WaitGroup
		for i, span := range [][2]time.Duration{{0, 30 * time.Second}, {10 * time.Second, 30 * time.Second}, {15 * time.Second, 5 * time.Second}, {39 * time.Second, 2 * time.Second}} {
			wg.Go(func() {
				time.Sleep(span[0])
				begin := time.Now()
				profile, err := s.record(t.Context(), nil, span[1], Refuse, 0)
				if err != nil {
					t.Error(err)
					return
				}
				if took := time.Since(begin); took != span[1] {
					t.Errorf("recording %d took %s", i, took)
				}
				if d := duration(t, profile); d != span[1] {
					t.Errorf("recording %d of %s has a profile of %s", i, span[1], d)
				}
			})
		}
		wg.Wait()
		if err := p.start(io.Discard); err != nil {
			t.Errorf("the profiler is not free afterwards: %v", err)
		}
	})
}

func TestRecordTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampler(&profiler{}, false)
		var rs []*recording
		for range maxRecordings {
			r, err := s.begin(Interrupt)
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		if _, err := s.record(t.Context(), nil, time.Second, Interrupt, 0); !errors.Is(err, errInUse) {
			t.Errorf("one too many: %v", err)
		}
		for _, r := range rs {
			time.Sleep(time.Second)
			if _, err := s.end(r); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRecordLong: a recording that runs while many others come and go keeps
// its time, and few segments.
func TestRecordLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampler(&profiler{}, false)
		long, err := s.begin(Refuse)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			time.Sleep(time.Second)
			if _, err := s.record(t.Context(), nil, time.Second, Refuse, 0); err != nil {
				t.Fatal(err)
			}
			if n := len(long.segments); n >= compactAt {
				t.Fatalf("%d segments", n)
			}
		}
		profile, err := s.end(long)
		if err != nil {
			t.Fatal(err)
		}
		if d := duration(t, profile); d != 200*time.Second {
			t.Errorf("the profile is of %s", d)
		}
	})
}

// TestInterrupt runs beside a continuous profiler whose periods begin and end
// in the middle of it, and cut it: the profile misses a moment of each cut.
func TestInterrupt(t *testing.T) {
	for _, period := range []time.Duration{10 * time.Second, time.Minute} {
		for _, late := range []time.Duration{time.Second, 35 * time.Second, 59 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				p := &profiler{}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				var profiles, failures int
				wg.Go(func() { profiles, failures = p.continuously(ctx, period) })
				time.Sleep(late)
				begin := time.Now()
				profile, err := newSampler(p, true).record(t.Context(), nil, 30*time.Second, Interrupt, 0)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took != 30*time.Second {
					t.Errorf("it took %s", took)
				}
				cuts := int64(30*time.Second/period) + 1
				missing := time.Duration(cuts) * watchEvery
				if d := duration(t, profile); d > 30*time.Second || d < 30*time.Second-missing {
					t.Errorf("period %s, at %s: the profile is of %s", period, late, d)
				}
				time.Sleep(3*time.Minute + time.Second)
				cancel()
				wg.Wait()
				if want := int((late + 30*time.Second + 3*time.Minute + time.Second) / period); failures != 0 || profiles < want {
					t.Errorf("period %s, at %s: the other made %d profiles and failed %d times, want %d", period, late, profiles, failures, want)
				}
				if last := p.history(); last[len(last)-2] != "other "+period.String() {
					t.Errorf("the other does not go on as before: %q", last)
				}
			})
		}
	}
}

// TestNotInterrupted: one of which nobody knows that it starts over is left
// alone, and so is every one without Interrupt.
func TestNotInterrupted(t *testing.T) {
	for _, tc := range []struct {
		busy     Busy
		restarts bool
	}{{Interrupt, false}, {Refuse, true}, {Wait, true}} {
		synctest.Test(t, func(t *testing.T) {
			p := &profiler{}
			if err := p.startAs("other", io.Discard); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			_, err := newSampler(p, tc.restarts).record(t.Context(), nil, time.Second, tc.busy, 5*time.Second)
			if !errors.Is(err, errInUse) || len(p.history()) != 0 {
				t.Errorf("%+v: %v, %q", tc, err, p.history())
			}
			want := time.Duration(0)
			if tc.busy == Wait {
				want = 5 * time.Second
			}
			if took := time.Since(begin); took != want {
				t.Errorf("%+v: refused after %s, want %s", tc, took, want)
			}
		})
	}
}

// TestWait takes the moment at which the other has stopped and not yet started.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &profiler{}
		if err := p.startAs("other", io.Discard); err != nil {
			t.Fatal(err)
		}
		go func() { // ends by itself
			time.Sleep(40 * time.Second)
			p.stop()
			time.Sleep(time.Millisecond)
			if err := p.startAs("other", io.Discard); !errors.Is(err, errInUse) {
				t.Errorf("the moment was not taken: %v", err)
			}
		}()
		begin := time.Now()
		profile, err := newSampler(p, true).record(t.Context(), nil, 10*time.Second, Wait, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin).Round(time.Second); took != 50*time.Second || duration(t, profile) != 10*time.Second {
			t.Errorf("it took %s, and the profile is of %s", took, duration(t, profile))
		}
	})
}

// TestCutByUnknown: the profiler is taken away for good by one that may not be
// interrupted. What there was until then is the profile.
func TestCutByUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &profiler{}
		go func() { // ends by itself
			time.Sleep(4 * time.Second)
			p.stop()
			if err := p.startAs("other", io.Discard); err != nil {
				t.Error(err)
			}
		}()
		profile, err := newSampler(p, false).record(t.Context(), nil, 10*time.Second, Interrupt, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := duration(t, profile); d != 4*time.Second {
			t.Errorf("the profile is of %s", d)
		}
		if p.owner != "other" || p.w == nil {
			t.Error("the other's profile was ended")
		}
	})
}

func TestRecordEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &profiler{}
		s := newSampler(p, false)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("client went away"))
		defer cancel()
		if _, err := s.record(ctx, nil, time.Minute, Interrupt, 0); err == nil || err.Error() != "client went away" {
			t.Errorf("error %v", err)
		}
		if p.w != nil {
			t.Error("the profiler runs on")
		}
		stop := make(chan struct{})
		time.AfterFunc(2*time.Second, func() { close(stop) })
		profile, err := s.record(t.Context(), stop, time.Minute, Interrupt, 0)
		if err != nil || duration(t, profile) != 2*time.Second {
			t.Errorf("stopped: %v", err)
		}
		_ = p.startAs("other", io.Discard)
		ctx, cancel = context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("client went away"))
		defer cancel()
		if _, err := s.record(ctx, nil, time.Second, Wait, time.Minute); err == nil || err.Error() != "client went away" {
			t.Errorf("while it waits: %v", err)
		}
		if _, err := s.record(t.Context(), stop, time.Second, Wait, time.Minute); !errors.Is(err, errInUse) {
			t.Errorf("stopped while it waits: %v", err)
		}
	})
}

// TestStartCPUProfile shares the runtime's profiler with pulls.
func TestStartCPUProfile(t *testing.T) {
	var whole bytes.Buffer
	begin := time.Now()
	if err := StartCPUProfile(&whole); err != nil {
		t.Fatal(err)
	}
	if err := StartCPUProfile(io.Discard); !errors.Is(err, errInUse) {
		t.Errorf("a second one: %v", err)
	}
	if err := pprof.StartCPUProfile(io.Discard); err == nil {
		t.Error("the runtime's profiler is free")
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			profile, err := cpu.record(t.Context(), nil, 300*time.Millisecond, Interrupt, 0)
			if err != nil {
				t.Error(err)
				return
			}
			m := newMerger()
			if err := m.add(profile, 1); err != nil {
				t.Error(err)
			} else if d := time.Duration(m.duration); d < 150*time.Millisecond {
				t.Errorf("the pull's profile is of %s", d)
			}
		})
	}
	wg.Wait()
	if err := StopCPUProfile(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	m := newMerger()
	if err := m.add(whole.Bytes(), 1); err != nil {
		t.Fatal(err)
	}
	if d := time.Duration(m.duration); d < 150*time.Millisecond || d > took {
		t.Errorf("the profile is of %s, it took %s", d, took)
	}
	if err := StopCPUProfile(); err != nil {
		t.Errorf("stopping again: %v", err)
	}
	if err := StartCPUProfile(broken{}); err != nil {
		t.Fatal(err)
	}
	if err := StopCPUProfile(); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("a writer's error: %v", err)
	}
}

// broken is a writer that cannot.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestRestarts: no continuous profiler runs here; module interop has real ones.
func TestRestarts(t *testing.T) {
	if restarts() {
		t.Error("a continuous profiler was found in a test without one")
	}
	for f, want := range map[string]bool{
		"github.com/DataDog/dd-trace-go/v2/profiler.(*profiler).interruptibleSleep": true,
		"github.com/grafana/pyroscope-go.(*cpuProfileCollector).Start":              true,
		"github.com/grafana/pyroscope-go.(*Session).Start":                          false,
		"main.main": false,
	} {
		if isContinuous(f) != want {
			t.Errorf("%s: %v", f, !want)
		}
	}
}
