package interop_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/grafana/pyroscope-go"
	cooperating "github.com/grafana/pyroscope-go/http/pprof"

	"github.com/profbot/profbot/pkg/pprofserve"
)

func pyroscopeStart(t *testing.T) *intake {
	t.Helper()
	in := newIntake(t)
	begin := time.Now()
	p, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "interop", ServerAddress: in.URL, UploadRate: *period,
		ProfileTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	in.since(begin, 1)
	return in
}

func TestPyroscopeRefuse(t *testing.T) {
	burn(t)
	pyroscopeStart(t)
	p := pullCPU(t, serve(t, pprofserve.Options{Busy: pprofserve.Refuse}))
	t.Logf("Refuse: %d %q after %s", p.status, p.text, p.took.Round(time.Millisecond))
	if p.status != http.StatusInternalServerError {
		t.Errorf("%d %q", p.status, p.text)
	}
}

func TestPyroscopeInterrupt(t *testing.T) {
	burn(t)
	in := pyroscopeStart(t)
	from := time.Now()
	p := pullCPU(t, serve(t, pprofserve.Options{}))
	p.sound(t, 0.85)
	t.Logf("Interrupt: a pull of %s took %s, its profile covers %s", *pull, p.took.Round(time.Millisecond), p.covers().Round(time.Millisecond))
	in.goesOn(from, time.Now())
}

// TestPyroscopeHandler uses pyroscope-go's own handler, which hands what it
// samples to both.
func TestPyroscopeHandler(t *testing.T) {
	burn(t)
	in := pyroscopeStart(t)
	from := time.Now()
	p := pullCPU(t, serve(t, pprofserve.Options{CPU: http.HandlerFunc(cooperating.Profile)}))
	p.sound(t, 0.85)
	t.Logf("Options.CPU: a pull of %s took %s, its profile covers %s", *pull, p.took.Round(time.Millisecond), p.covers().Round(time.Millisecond))
	until := time.Now()
	in.goesOn(from, until)
	all := in.since(from, 2)
	for i := 1; i < len(all); i++ {
		if gap := all[i].from.Sub(all[i-1].until); gap > 500*time.Millisecond {
			t.Errorf("a gap of %s between its profiles", gap)
		}
	}
}
