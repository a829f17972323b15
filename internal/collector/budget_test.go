package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

// crowd asks a budget for places and writes down who got one.
type crowd struct {
	t    *testing.T
	b    *budget
	mu   sync.Mutex // protects got
	got  []string
	ends map[string]func()
}

// ask asks without waiting for the place.
func (c *crowd) ask(name string, at place) {
	c.askUntil(c.t.Context(), name, at)
}

func (c *crowd) askUntil(ctx context.Context, name string, at place) {
	go func() { // ended by the end of ctx at the latest
		release, err := c.b.acquire(ctx, at)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			name += ": " + err.Error()
		}
		c.got = append(c.got, name)
		c.ends[name] = release
	}()
	synctest.Wait()
}

// end gives back the place of each.
func (c *crowd) end(names ...string) {
	for _, n := range names {
		c.mu.Lock()
		release := c.ends[n]
		c.mu.Unlock()
		if release == nil {
			c.t.Fatalf("%s has no place", n)
		}
		release()
		synctest.Wait()
	}
}

func (c *crowd) want(names ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(names) // those who get one at the same moment say so in any order
	slices.Sort(c.got)
	if d := cmp.Diff(names, c.got); d != "" {
		c.t.Errorf("got places (-want +got):\n%s", d)
	}
	c.got = nil
}

func gathered(t *testing.T, total, perService, perNode int, f func(c *crowd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{t: t, b: newBudget(total, perService, perNode), ends: map[string]func(){}}
		f(c)
		if len(c.b.queues) != 0 || len(c.b.pods) != 0 || len(c.b.nodes) != 0 || c.b.running != 0 {
			t.Errorf("something is left: %+v", c.b)
		}
	})
}

func of(name string) place { return place{service: service{name: name}} }

func TestBudgetServesServicesInTurn(t *testing.T) {
	gathered(t, 1, 0, 0, func(c *crowd) {
		for i := range 4 {
			c.ask(fmt.Sprintf("a%d", i), of("a"))
		}
		for i := range 2 {
			c.ask(fmt.Sprintf("b%d", i), of("b"))
		}
		c.ask("c0", of("c"))
		c.end("a0", "b0", "c0", "a1", "b1", "a2", "a3")
		c.want("a0", "b0", "c0", "a1", "b1", "a2", "a3")
	})
}

func TestBudgetPerServiceAndNode(t *testing.T) {
	gathered(t, 10, 2, 1, func(c *crowd) {
		on := func(p place, node string) place { p.node = node; return p }
		c.ask("a on 1", on(of("a"), "1"))
		c.ask("a on 1 too", on(of("a"), "1"))
		c.ask("a on 2", on(of("a"), "2")) // passes the one before
		c.ask("a on 3", on(of("a"), "3"))
		c.ask("b on 2", on(of("b"), "2"))
		c.ask("b anywhere", of("b"))
		c.want("a on 1", "a on 2", "b anywhere")
		c.end("a on 2")
		c.want("b on 2", "a on 3")
		c.end("a on 1")
		c.want("a on 1 too")
		c.end("a on 1 too", "a on 3", "b on 2", "b anywhere")
	})
}

func TestBudgetOnePullPerPod(t *testing.T) {
	gathered(t, 10, 0, 0, func(c *crowd) {
		known := func(names ...string) place { p := of("a"); p.pods = names; return p }
		c.ask("first", known("uid 1", "address 1"))
		c.ask("same pod", known("uid 1", "address 2"))
		c.ask("same address", known("uid 2", "address 1"))
		c.ask("another", known("uid 3", "address 3"))
		c.want("first", "another")
		c.end("first")
		c.want("same pod", "same address")
		c.end("same pod", "same address", "another")
	})
}

// TestBudgetPatience: one that waits for a node is not passed forever by
// others of its service.
func TestBudgetPatience(t *testing.T) {
	gathered(t, 10, 2, 1, func(c *crowd) {
		node := func(s, n string) place { p := of(s); p.node = n; return p }
		c.ask("x", node("x", "1"))
		c.ask("waits", node("a", "1"))
		var passed []string
		for i := range patience + 2 {
			name := fmt.Sprint("passes ", i)
			c.ask(name, node("a", fmt.Sprint("other ", i)))
			c.mu.Lock()
			got := slices.Contains(c.got, name)
			c.mu.Unlock()
			if got {
				passed = append(passed, name)
				c.end(name)
			}
		}
		if len(passed) != patience {
			t.Errorf("%d have passed it, want %d", len(passed), patience)
		}
		c.got = nil
		c.end("x")
		c.want("waits", "passes 8")
		c.end("waits")
		c.want("passes 9")
		c.end("passes 8", "passes 9")
	})
}

func TestBudgetCancel(t *testing.T) {
	gathered(t, 1, 0, 0, func(c *crowd) {
		c.ask("a", of("a"))
		ctx, cancel := context.WithCancelCause(c.t.Context())
		c.askUntil(ctx, "b", of("b"))
		c.ask("c", of("c"))
		cancel(errors.New("enough"))
		synctest.Wait()
		c.want("a", "b: enough")
		c.askUntil(ctx, "d", of("d"))
		c.want("d: enough")
		c.end("a")
		c.want("c")
		c.end("c")
	})
}

// TestBudgetStorm asks in many random ways and cancels a part: bounds hold at
// every moment, everybody ends, and nothing is left.
func TestBudgetStorm(t *testing.T) {
	const total, perService, perNode = 6, 3, 2
	gathered(t, total, perService, perNode, func(c *crowd) {
		var mu sync.Mutex // protects counts
		counts := map[string]int{}
		count := func(at place, by int) {
			mu.Lock()
			defer mu.Unlock()
			for name, most := range map[string]int{"": total, "service " + at.service.name: perService, "node " + at.node: perNode, at.pods[0]: 1} {
				if counts[name] += by; counts[name] > most {
					t.Errorf("%q: %d at once, want at most %d", name, counts[name], most)
				}
			}
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		var wg sync.WaitGroup
		for range 2000 {
			at := place{service{fmt.Sprint(rnd.IntN(20)), ""}, fmt.Sprint(rnd.IntN(8)), []string{fmt.Sprint("pod ", rnd.IntN(100))}}
			comes, stays, leaves := time.Duration(rnd.IntN(1000)), time.Duration(1+rnd.IntN(50)), time.Duration(1+rnd.IntN(20000))
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(c.t.Context(), leaves)
				defer cancel()
				<-time.After(comes)
				release, err := c.b.acquire(ctx, at)
				if err != nil {
					return
				}
				count(at, 1)
				<-time.After(stays)
				count(at, -1)
				release()
			})
		}
		wg.Wait()
	})
}

// TestPodNames: which targets are the same process.
func TestPodNames(t *testing.T) {
	base := incident.Target{Service: "live-api", Env: "prod", Pod: "live-api-0", URL: "http://10.0.0.1:6060/debug/pprof"}
	change := func(f func(*incident.Target)) incident.Target { t := base; f(&t); return t }
	uid := change(func(t *incident.Target) { t.UID = "u1" })
	local := change(func(t *incident.Target) {
		t.Via, t.URL, t.UID = incident.ViaPortForward, "http://localhost:6060/debug/pprof", "u1"
	})
	for _, tc := range []struct {
		name string
		a, b incident.Target
		same bool
	}{
		{"itself", base, base, true},
		{"another port of the pod", base, change(func(t *incident.Target) { t.URL = "http://10.0.0.1:6061/debug/pprof" }), true},
		{"another name of the address", base, change(func(t *incident.Target) { t.Pod = "other" }), true},
		{"the same with a slash and a user", base, change(func(t *incident.Target) { t.Pod, t.URL = "other", "http://u:p@10.0.0.1:6060/debug/pprof/" }), true},
		{"another pod", base, change(func(t *incident.Target) { t.Pod, t.URL = "live-api-1", "http://10.0.0.2:6060/debug/pprof" }), false},
		{"the name in another env", base, change(func(t *incident.Target) { t.Env, t.URL = "staging", "http://10.0.0.2:6060/debug/pprof" }), false},
		{"one UID at two addresses", uid, change(func(t *incident.Target) { t.UID, t.URL, t.Pod = "u1", "http://10.0.0.2:6060/debug/pprof", "x" }), true},
		{"found by name and by UID", base, uid, true},
		{"directly and through the API server", uid, local, true},
		{"two pods' own localhost", local, change(func(t *incident.Target) { *t = local; t.UID = "u2" }), false},
	} {
		q := func(tgt incident.Target) []string { return processNames(tgt, parsed(t, tgt.URL)) }
		a, b := q(tc.a), q(tc.b)
		if same := slices.ContainsFunc(a, func(n string) bool { return slices.Contains(b, n) }); same != tc.same {
			t.Errorf("%s: %v and %v", tc.name, a, b)
		}
		if strings.Contains(strings.Join(b, ""), "u:p") {
			t.Errorf("%s: %v", tc.name, b)
		}
	}
}
