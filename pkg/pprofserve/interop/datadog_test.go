package interop_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/DataDog/dd-trace-go/v2/profiler"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// datadog starts dd-trace-go's profiler with its own defaults but for the
// period, and returns once it has its second period under way.
func datadog(t *testing.T, opts ...profiler.Option) *intake {
	t.Helper()
	t.Setenv("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
	t.Setenv("DD_TRACE_STARTUP_LOGS", "false")
	in := newIntake(t)
	begin := time.Now()
	err := profiler.Start(append([]profiler.Option{
		profiler.WithAgentAddr(strings.TrimPrefix(in.URL, "http://")), profiler.WithService("interop"),
		profiler.WithPeriod(*period), profiler.CPUDuration(*period),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(profiler.Stop)
	if first := in.since(begin, 1); first[0].cpu == nil {
		t.Fatal("the first upload has no CPU profile")
	}
	return in
}

// goesOn waits for what is uploaded of the time after a pull, and tells how
// much of it the CPU profiles cover.
func (in *intake) goesOn(from, until time.Time) {
	in.t.Helper()
	after := in.since(until, 2)
	for _, u := range after {
		if u.cpu == nil {
			in.t.Error("an upload after the pull has no CPU profile")
			continue
		}
		if d := time.Duration(u.cpu.DurationNanos); d < *period*8/10 {
			in.t.Errorf("a CPU profile after the pull covers %s of %s", d, *period)
		}
	}
	during := in.since(from.Add(-*period), 2)
	covered, span := cover(during[:len(during)-len(after)])
	in.t.Logf("  the profiler's own: CPU profiles cover %s of the %s in whose periods the pull was, and all of the two periods after", covered.Round(time.Millisecond), span.Round(time.Millisecond))
}

// TestDatadogRefuse is how it is without help: dd-trace-go profiles all the
// time, and every pull fails.
func TestDatadogRefuse(t *testing.T) {
	burn(t)
	datadog(t)
	p := pullCPU(t, serve(t, pprofserve.Options{Busy: pprofserve.Refuse}))
	t.Logf("Refuse: %d %q after %s", p.status, p.text, p.took.Round(time.Millisecond))
	if p.status != http.StatusInternalServerError || p.text != "Could not enable CPU profiling: cpu profiling already in use" {
		t.Errorf("%d %q", p.status, p.text)
	}
}

func TestDatadogInterrupt(t *testing.T) {
	burn(t)
	in := datadog(t)
	base := serve(t, pprofserve.Options{})
	for range *pulls {
		from := time.Now()
		p := pullCPU(t, base)
		p.sound(t, 0.85)
		if p.took > *pull+time.Second {
			t.Errorf("it took %s", p.took)
		}
		t.Logf("Interrupt: a pull of %s took %s, its profile covers %s", *pull, p.took.Round(time.Millisecond), p.covers().Round(time.Millisecond))
		in.goesOn(from, time.Now())
	}
}

func TestDatadogWait(t *testing.T) {
	burn(t)
	in := datadog(t)
	from := time.Now()
	p := pullCPU(t, serve(t, pprofserve.Options{Busy: pprofserve.Wait, WaitLimit: 3 * *period}))
	if p.status != http.StatusOK {
		// The moment between two of its profiles is short; it was not met.
		t.Logf("Wait: %d %q after %s", p.status, p.text, p.took.Round(time.Millisecond))
	} else {
		p.sound(t, 0.85)
		t.Logf("Wait: a pull of %s took %s, its profile covers %s", *pull, p.took.Round(time.Millisecond), p.covers().Round(time.Millisecond))
	}
	in.goesOn(from, time.Now())
}

// TestDatadogPauses: with CPUDuration below its period, dd-trace-go leaves time
// in which a pull costs it nothing.
func TestDatadogPauses(t *testing.T) {
	burn(t)
	in := datadog(t, profiler.WithPeriod(2**period), profiler.CPUDuration(*period/2))
	from := time.Now()
	p := pullCPU(t, serve(t, pprofserve.Options{Busy: pprofserve.Wait}))
	p.sound(t, 0.85)
	until := time.Now()
	t.Logf("Wait with pauses: a pull of %s took %s, its profile covers %s", *pull, p.took.Round(time.Millisecond), p.covers().Round(time.Millisecond))
	for _, u := range in.since(from.Add(-2**period), 2) {
		if u.cpu == nil {
			t.Error("an upload has no CPU profile")
		} else if d := time.Duration(u.cpu.DurationNanos); d < *period/2*8/10 {
			t.Errorf("a CPU profile covers %s of %s", d, *period/2)
		}
	}
	in.since(until, 1)
}
