package collector

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/incident"
)

// pipes carries connections from a transport to a server without a network,
// so that both live in one synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// bubble runs f with a target behind the collector's own transport in a
// synctest bubble: time passes only when everybody waits, and a goroutine
// that outlives f fails the test. open counts the connections.
func bubble(t *testing.T, opt Options, f func(t *testing.T, c *Collector, target *pproftest.Server, open *atomic.Int32)) {
	target := pproftest.New()
	defer target.Close()
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		srv := &http.Server{Handler: target.Config.Handler, ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}}
		go srv.Serve(p) // ended by Close
		defer srv.Close()
		opt.dial = p.dial
		c, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		f(t, c, target, &open)
	})
}

var pod = incident.Target{Service: "live-api", Pod: "live-api-0", URL: "http://10.0.0.1:6060/debug/pprof"}

// TestNothingIsLeftBehind: however a pull ends, its connection and goroutines
// end with it.
func TestNothingIsLeftBehind(t *testing.T) {
	for _, mode := range []pproftest.Mode{
		pproftest.Real, pproftest.Busy, pproftest.NoPprof, pproftest.Page, pproftest.Redirect, pproftest.Hang, pproftest.Slow, pproftest.Cut,
		pproftest.Reset, pproftest.Bomb, pproftest.Raw, pproftest.Empty, pproftest.Broken, pproftest.Echo,
	} {
		t.Run(string(mode), func(t *testing.T) {
			bubble(t, Options{MaxRawBytes: 8 << 20}, func(t *testing.T, c *Collector, target *pproftest.Server, open *atomic.Int32) {
				target.SetMode(mode)
				_, err := c.Pull(t.Context(), pod, incident.KindAllocsBefore, 0)
				if (err == nil) != (mode == pproftest.Real || mode == pproftest.Raw) {
					t.Errorf("error %v", err)
				}
				synctest.Wait()
				if n := open.Load(); n != 0 {
					t.Errorf("%d connections are open", n)
				}
				if len(target.Requests()) != 1 {
					t.Errorf("requests %q", target.Requests())
				}
			})
		})
	}
}

// TestTooLongBodyEndsConnection: a body over the limit is not read to its end.
func TestTooLongBodyEndsConnection(t *testing.T) {
	bubble(t, Options{MaxBytes: 100}, func(t *testing.T, c *Collector, target *pproftest.Server, open *atomic.Int32) {
		_, err := c.Pull(t.Context(), pod, incident.KindAllocsBefore, 0)
		if e, ok := errors.AsType[*Error](err); !ok || e.What != incident.OutcomeTooLarge {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}

func TestTimeoutIsWindowAndSlack(t *testing.T) {
	for _, mode := range []pproftest.Mode{pproftest.Hang, pproftest.Slow} {
		bubble(t, Options{Slack: 5 * time.Second, Idle: time.Minute}, func(t *testing.T, c *Collector, target *pproftest.Server, _ *atomic.Int32) {
			target.SetMode(mode)
			kind, want := incident.KindCPU, 35*time.Second
			if mode == pproftest.Slow { // half a profile is made at once only when it samples no CPU
				kind, want = incident.KindGoroutine, 5*time.Second
			}
			start := time.Now()
			_, err := c.Pull(t.Context(), pod, kind, 30*time.Second)
			e, ok := errors.AsType[*Error](err)
			if took := time.Since(start); !ok || e.What != incident.OutcomeTimeout || took != want || !strings.Contains(e.Words, want.String()) {
				t.Errorf("%s: after %s error %v, want a timeout after %s", mode, took, err, want)
			}
		})
	}
}

// TestBudget: only as many pulls run at once as are allowed, others wait
// for a place or for the end of their context.
func TestBudget(t *testing.T) {
	bubble(t, Options{Simultaneous: 2}, func(t *testing.T, c *Collector, target *pproftest.Server, _ *atomic.Int32) {
		release := make(chan struct{})
		target.OnRequest(func(string) { <-release })
		results := make(chan error, 5)
		for range 4 {
			go func() {
				_, err := c.Pull(t.Context(), pod, incident.KindHeap, 0)
				results <- err
			}()
		}
		synctest.Wait()
		if n := len(target.Requests()); n != 2 {
			t.Errorf("%d pulls run at once, want 2", n)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("profbot is stopping"))
		_, err := c.Pull(ctx, pod, incident.KindHeap, 0)
		if e, ok := errors.AsType[*Error](err); !ok || e.What != incident.OutcomeCanceled || e.Words != "profbot is stopping" || e.Retryable() {
			t.Errorf("a canceled wait: %v", err)
		}
		close(release)
		for range 4 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if n := len(target.Requests()); n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
	})
}

// TestCPUProfilesWaitPerPod: a second CPU profile of one pod waits, and can be
// canceled; other pods and kinds do not wait for it.
func TestCPUProfilesWaitPerPod(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, c *Collector, target *pproftest.Server, _ *atomic.Int32) {
		target.SetMode(pproftest.Busy)
		release := make(chan struct{})
		target.OnRequest(func(string) { <-release })
		results := make(chan error, 4)
		pull := func(ctx context.Context, tgt incident.Target, k incident.Kind) {
			go func() {
				_, err := c.Pull(ctx, tgt, k, time.Second)
				results <- err
			}()
			synctest.Wait()
		}
		asked := func(want int, what string) {
			t.Helper()
			if n := len(target.Requests()); n != want {
				t.Errorf("%s: %d requests, want %d", what, n, want)
			}
		}
		other := pod
		other.Pod, other.URL = "live-api-1", "http://10.0.0.1:6060/other/debug/pprof" // a proxy may serve many pods on one host
		same := pod
		same.URL = "http://user:pa55@10.0.0.1:6060/debug/pprof/"
		pull(t.Context(), pod, incident.KindCPU)
		asked(1, "the first")
		ctx, cancel := context.WithCancelCause(t.Context())
		pull(ctx, same, incident.KindCPU)
		asked(1, "a second of the same pod")
		pull(t.Context(), other, incident.KindCPU)
		asked(2, "one of another pod")
		pull(t.Context(), pod, incident.KindGoroutine)
		asked(3, "another kind")
		cancel(errors.New("profbot is stopping"))
		if e, ok := errors.AsType[*Error](<-results); !ok || e.What != incident.OutcomeCanceled {
			t.Errorf("a canceled wait: %v", e)
		}
		close(release)
		for range 3 {
			if e, ok := errors.AsType[*Error](<-results); !ok || e.What != incident.OutcomeBusy {
				t.Errorf("outcome %v", e)
			}
		}
		if d := cmp.Diff(State{CPU: Load{Most: 4}, Other: Load{Most: 4}}, c.State()); d != "" {
			t.Errorf("state (-want +got):\n%s", d)
		}
	})
}
