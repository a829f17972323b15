package collector

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/incident"
)

// processes are what this test's program does when it is started again.
var processes = map[string]func(){
	// A target: it says its address, and then the path of every request.
	"target": func() {
		s := pproftest.New()
		s.OnRequest(func(path string) { fmt.Println(path) })
		fmt.Println(s.PprofURL())
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		s.CloseClientConnections()
		s.Close()
	},
	// A profbot that samples a target for a long time.
	"profbot": func() {
		c, err := New(Options{})
		if err == nil {
			_, err = c.Pull(context.Background(), incident.Target{Pod: "live-api-0", URL: os.Getenv("COLLECTOR_TEST_TARGET")}, incident.KindCPU, time.Minute)
		}
		fmt.Println("the pull ended:", err)
	},
}

// start runs this test's program as another process until the test ends.
func start(t *testing.T, what string, env ...string) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), "COLLECTOR_TEST_PROCESS="+what), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends the target
		_ = cmd.Wait() // it may have been killed
	})
	return cmd, bufio.NewScanner(out)
}

func startTarget(t *testing.T) (tgt incident.Target, lines *bufio.Scanner) {
	t.Helper()
	_, lines = start(t, "target")
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "http://127.0.0.1:") {
		t.Fatalf("the target says %q", lines.Text())
	}
	return incident.Target{Pod: "live-api-0", URL: lines.Text()}, lines
}

// asked waits until a process is asked for a CPU profile.
func asked(t *testing.T, lines *bufio.Scanner) {
	t.Helper()
	if !lines.Scan() || lines.Text() != "/debug/pprof/profile" {
		t.Fatalf("the target says %q", lines.Text())
	}
}

// profilerIsFree fails unless the target can be asked for another CPU profile
// within a second.
func profilerIsFree(t *testing.T, tgt incident.Target) {
	t.Helper()
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for tries := 1; ; tries++ {
		at := time.Now()
		_, err := c.Pull(t.Context(), tgt, incident.KindCPU, time.Second)
		if err == nil {
			t.Logf("free after %s, at try %d", at.Sub(began).Round(time.Millisecond), tries)
			return
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.What != incident.OutcomeBusy {
			t.Fatal(err)
		}
		if time.Since(began) > time.Second {
			t.Fatalf("still busy after %s", time.Since(began))
		}
	}
}

// TestCancelStopsTheProfiler: a pull that is canceled frees the CPU profiler
// of another process.
func TestCancelStopsTheProfiler(t *testing.T) {
	tgt, lines := startTarget(t)
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	type result struct {
		p   Profile
		err error
	}
	ended := make(chan result, 1)
	go func() { // ended by cancel
		p, err := c.Pull(ctx, tgt, incident.KindCPU, 30*time.Second)
		ended <- result{p, err}
	}()
	asked(t, lines)
	cancel(errors.New("enough"))
	r := <-ended
	if e, ok := errors.AsType[*Error](r.err); !ok || e.What != incident.OutcomeCanceled {
		t.Errorf("error %v", r.err)
	}
	if r.p.Asked >= 10*time.Second {
		t.Errorf("asked %s", r.p.Asked)
	}
	profilerIsFree(t, tgt)
}

// TestDeathStopsTheProfiler: so does a profbot that is killed.
func TestDeathStopsTheProfiler(t *testing.T) {
	tgt, lines := startTarget(t)
	profbot, _ := start(t, "profbot", "COLLECTOR_TEST_TARGET="+tgt.URL)
	asked(t, lines)
	if err := profbot.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	profilerIsFree(t, tgt)
}

// TestTimeoutStopsTheProfiler: so does a pull whose time is over.
func TestTimeoutStopsTheProfiler(t *testing.T) {
	tgt, lines := startTarget(t)
	// A window of a second is sampled in more than that, so this is always late.
	c, err := New(Options{Slack: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Pull(t.Context(), tgt, incident.KindCPU, time.Second)
	if e, ok := errors.AsType[*Error](err); !ok || e.What != incident.OutcomeTimeout || p.Asked <= 0 || p.Asked > time.Second {
		t.Errorf("asked %s, error %v", p.Asked, err)
	}
	asked(t, lines)
	profilerIsFree(t, tgt)
}
