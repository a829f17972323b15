package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

// fleet is every pod of a storm: it counts what runs in it at once.
type fleet struct {
	t      *testing.T
	strict bool       // the allocs profile comes right before the CPU profile
	mu     sync.Mutex // protects the fields below

	now, most map[string]int       // CPU profiles in all, by service and by node
	done      map[string]int       // CPU profiles of a service
	spread    int                  // how much further one service was than another, at most
	before    map[string]time.Time // when a pod's first allocs profile was taken
}

// ServeHTTP answers for a pod, which the path names as /service/node/pod.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, pod := r.PathValue("kind"), r.PathValue("service")+"/"+r.PathValue("pod")
	names := []string{"all", "service " + r.PathValue("service"), "node " + r.PathValue("node"), "pod " + pod}
	typ := map[string]string{"profile": "cpu", "allocs": "alloc_space", "goroutine": "goroutine"}[kind]
	switch kind {
	case "profile":
		f.count(names, 1)
		f.mu.Lock()
		if wait := time.Since(f.before[pod]); f.strict && wait > 2*time.Second {
			f.t.Errorf("%s: the allocs profile before is %s old", pod, wait)
		}
		f.done[r.PathValue("service")]++
		least, last := 1<<30, 0
		for _, n := range f.done {
			least, last = min(least, n), max(last, n)
		}
		if least < 10 { // those who have had all their profiles are behind for good
			f.spread = max(f.spread, last-least)
		}
		f.mu.Unlock()
		seconds, _ := strconv.Atoi(r.URL.Query().Get("seconds"))
		<-time.After(time.Duration(seconds) * time.Second)
		f.count(names, -1)
	case "allocs":
		f.mu.Lock()
		if _, ok := f.before[pod]; !ok {
			f.before[pod] = time.Now()
		}
		f.mu.Unlock()
	}
	_, _ = io.WriteString(w, "\x0a\x02\x08\x01\x32\x00\x32"+string(rune(len(typ)))+typ)
}

func (f *fleet) count(names []string, by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range names {
		f.now[n] += by
		kind := n[:min(4, len(n))] // the worst of its kind is enough
		f.most[kind] = max(f.most[kind], f.now[n])
	}
}

// TestStorm is an alert storm: 50 services of 10 pods, on 25 nodes, each pod
// profiled as an incident does it, all at once.
func TestStorm(t *testing.T) {
	const services, pods, nodes = 50, 10, 25
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t, strict: true, now: map[string]int{}, most: map[string]int{}, done: map[string]int{}, before: map[string]time.Time{}}
		for s := range services {
			f.done[fmt.Sprint(s)] = 0
		}
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		mux := http.NewServeMux()
		mux.Handle("/{service}/{node}/{pod}/debug/pprof/{kind}", f)
		srv := &http.Server{Handler: mux}
		go srv.Serve(p) // ended by Close
		defer srv.Close()
		var mu sync.Mutex // protects seen
		seen := map[incident.Outcome]int{}
		c, err := New(Options{Simultaneous: 8, PerService: 2, PerNode: 1, Jitter: time.Second, dial: p.dial, Observe: func(o Observation) {
			mu.Lock()
			defer mu.Unlock()
			seen[o.Outcome]++
		}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for s := range services {
			for n := range pods {
				node := (s + n) % nodes
				tgt := incident.Target{
					Service: fmt.Sprint(s), Pod: fmt.Sprintf("%d-%d", s, n), UID: fmt.Sprintf("uid-%d-%d", s, n), Node: fmt.Sprint(node),
					URL: fmt.Sprintf("http://10.%d.0.%d:6060/%d/%d/%d/debug/pprof", s, n, s, node, n),
				}
				wg.Go(func() {
					for _, k := range incident.CPUPlan {
						if _, err := c.Pull(t.Context(), tgt, k, 30*time.Second); err != nil {
							t.Errorf("%s of %s: %v", k, tgt.Pod, err)
						}
					}
				})
			}
		}
		wg.Wait()
		took := time.Since(start)
		if f.most["all"] != 8 || f.most["serv"] > 2 || f.most["node"] != 1 || f.most["pod "] != 1 {
			t.Errorf("at once: %v", f.most)
		}
		if f.spread > 3 {
			t.Errorf("one service was %d profiles ahead of another", f.spread)
		}
		if seen[incident.OutcomeStored] != services*pods*len(incident.CPUPlan) {
			t.Errorf("outcomes %v", seen)
		}
		// 500 profiles, 8 at a time; a node that is needed by many at the end
		// may leave places empty.
		if ideal := services * pods / 8 * 30 * time.Second; took > ideal*5/4 {
			t.Errorf("it took %s, at best %s", took, ideal)
		}
		t.Logf("%s, at once %v, %d ahead at most", took, f.most, f.spread)
	})
}

// TestTurnGoesOn: the CPU profile goes on with the turn of the allocs profile
// before it, and the jitter is waited for once; without a CPU profile the turn
// ends by itself.
func TestTurnGoesOn(t *testing.T) {
	jitters := 0
	opt := Options{Simultaneous: 1, Jitter: time.Minute, Random: func(n time.Duration) time.Duration {
		jitters++
		return n / 2
	}}
	played(t, opt, func(t *testing.T, c *Collector) {
		other := pod
		other.Pod, other.URL = "live-api-1", "http://10.0.0.2:6060/live-api/1/1/debug/pprof"
		pull := func(tgt incident.Target, k incident.Kind, want time.Duration) {
			t.Helper()
			start := time.Now()
			if _, err := c.Pull(t.Context(), tgt, k, 30*time.Second); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("%s took %s, want %s", k, took, want)
			}
		}
		mine := pod
		mine.URL = "http://10.0.0.1:6060/live-api/0/0/debug/pprof"
		pull(mine, incident.KindAllocsBefore, 30*time.Second)
		<-time.After(keepTurn - time.Second)
		pull(mine, incident.KindCPU, 30*time.Second)
		pull(mine, incident.KindAllocsAfter, 0)
		pull(mine, incident.KindGoroutine, 0)
		if jitters != 1 {
			t.Errorf("%d jitters", jitters)
		}
		pull(mine, incident.KindAllocsBefore, 30*time.Second)
		pull(other, incident.KindAllocsBefore, keepTurn+30*time.Second) // nobody goes on
		pull(mine, incident.KindCPU, keepTurn+60*time.Second)
		if jitters != 4 || c.Running() != 0 {
			t.Errorf("%d jitters, %d run", jitters, c.Running())
		}
	})
}

// TestVia: a target that is reached in another way is asked through it, after
// it was confirmed, and its connections are closed.
func TestVia(t *testing.T) {
	var steps []string
	way := &countedTransport{steps: &steps}
	opt := Options{
		Confirm: func(_ context.Context, t incident.Target) error {
			steps = append(steps, "confirm "+t.Pod)
			return nil
		},
		Via: map[incident.Via]func(incident.Target) (http.RoundTripper, error){incident.ViaProxy: func(t incident.Target) (http.RoundTripper, error) {
			steps = append(steps, "open "+t.Pod)
			return way, nil
		}},
		Networks: []netip.Prefix{},
	}
	played(t, opt, func(t *testing.T, c *Collector) {
		way.dial = c.opt.dial
		mine := pod
		mine.Via, mine.URL = incident.ViaProxy, "http://localhost:6060/live-api/0/0/debug/pprof"
		if _, err := c.Pull(t.Context(), mine, incident.KindGoroutine, 0); err != nil {
			t.Error(err)
		}
	})
	if d := cmp.Diff([]string{"confirm live-api-0", "open live-api-0", "GET http://localhost:6060/live-api/0/0/debug/pprof/goroutine", "close"}, steps); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}

// countedTransport is a way that keeps its connections.
type countedTransport struct {
	http.Transport
	steps *[]string
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

func (c *countedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	*c.steps = append(*c.steps, r.Method+" "+r.URL.String())
	c.DialContext = c.dial
	return c.Transport.RoundTrip(r)
}

func (c *countedTransport) CloseIdleConnections() {
	*c.steps = append(*c.steps, "close")
	synctest.Wait() // until the connection is idle
	c.Transport.CloseIdleConnections()
}

// played runs f with a fleet in a bubble.
func played(t *testing.T, opt Options, f func(*testing.T, *Collector)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		mux := http.NewServeMux()
		mux.Handle("/{service}/{node}/{pod}/debug/pprof/{kind}", &fleet{t: t, now: map[string]int{}, most: map[string]int{}, done: map[string]int{}, before: map[string]time.Time{}})
		srv := &http.Server{Handler: mux}
		go srv.Serve(p) // ended by Close
		defer srv.Close()
		opt.dial = p.dial
		c, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		f(t, c)
	})
}

func TestNewRefuses(t *testing.T) {
	for _, opt := range []Options{
		{MaxBytes: -1},
		{MaxRawBytes: -1},
		{MaxSamples: -1},
		{Simultaneous: -1},
		{PerService: -1},
		{PerNode: -1},
		{Failures: -1},
		{Jitter: -1},
		{CoolOff: -1},
		{Slack: -1},
		{Idle: -1},
		{TLS: map[string]*tls.Config{"x": nil}},
	} {
		if _, err := New(opt); err == nil {
			t.Errorf("%+v is taken", opt)
		}
	}
}

// roundTripper is a way that is one function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestViaEndsWhileDialling: a pull that ends while its way is being opened ends
// at once, and with it the dialling: nothing outlives it (the bubble would say
// so), and its place is free.
func TestViaEndsWhileDialling(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	for name, way := range map[string]func() http.RoundTripper{
		"asks the API server": func() http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				_, err := hang(r.Context(), "", "")
				return nil, err
			})
		},
		"dials by its request": func() http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				return (&http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
					return hang(r.Context(), network, address)
				}}).RoundTrip(r)
			})
		},
		"dials as a transport does": func() http.RoundTripper { return &http.Transport{DialContext: hang} },
	} {
		for end, want := range map[string]incident.Outcome{"canceled": incident.OutcomeCanceled, "late": incident.OutcomeTimeout} {
			t.Run(name+", "+end, func(t *testing.T) {
				opt := Options{Via: map[incident.Via]func(incident.Target) (http.RoundTripper, error){
					incident.ViaPortForward: func(incident.Target) (http.RoundTripper, error) { return way(), nil },
				}}
				played(t, opt, func(t *testing.T, c *Collector) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					after := 45 * time.Second // the window and the slack
					if end == "canceled" {
						after = 7 * time.Second
						time.AfterFunc(after, func() { cancel(errors.New("profbot is stopping")) })
					}
					mine := pod
					mine.Via = incident.ViaPortForward
					began := time.Now()
					p, err := c.Pull(ctx, mine, incident.KindCPU, 30*time.Second)
					if e, ok := errors.AsType[*Error](err); !ok || e.What != want || p.Asked != 0 {
						t.Errorf("%v, asked %s", err, p.Asked)
					}
					if took := time.Since(began); took != after {
						t.Errorf("ended after %s, want %s", took, after)
					}
					synctest.Wait()
					if c.Running() != 0 {
						t.Error("its place is taken")
					}
				})
			})
		}
	}
}
