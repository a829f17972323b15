package sfcache_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// A Remote that is down costs no caller an error, rests after three failures,
// and is found again by a probe.
func TestRemoteDownAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src, seen := newMemory(), newSource(0, "k", "v"), &events{}
		c := open(t, sfcache.Config[string]{Name: "t", TTL: time.Minute, Hold: off, Remote: m, Load: src.load, Observe: seen.note})
		synctest.Wait()
		m.set(func() { m.err = errors.New("connection refused") })
		for range 20 {
			want(t, c, "k", "v")
		}
		s := c.Stats()
		if m.count("fetch") != 3 || s.RemoteErrors != 3 || s.RemoteRests != 17 || seen.of(sfcache.EventRemote) != 3 {
			t.Errorf("%d fetches, stats %+v, %d events", m.count("fetch"), s, seen.of(sfcache.EventRemote))
		}
		for range 600 { // for a minute: probes at growing distances, at most 5 s
			time.Sleep(100 * ms)
			want(t, c, "k", "v")
		}
		if n := m.count("fetch"); n < 12 || n > 25 {
			t.Errorf("%d fetches in a minute of a Remote that is down", n)
		}
		m.set(func() { m.err = nil })
		time.Sleep(5 * time.Second)
		want(t, c, "k", "v") // the probe, which also fills
		loads := src.loads.Load()
		for range 10 {
			want(t, c, "k", "v")
		}
		if src.loads.Load() != loads {
			t.Error("Remote is back and not used")
		}
	})
}

// A Remote that hangs costs RemoteTimeout three times, also when callers leave
// earlier than that.
func TestRemoteHangs(t *testing.T) {
	for name, patience := range map[string]time.Duration{"patient": time.Minute, "impatient": 50 * ms} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, src := newMemory(), newSource(0, "k", "v")
				c := open(t, sfcache.Config[string]{Name: "t", TTL: time.Minute, Hold: off, Remote: m, RemoteTimeout: 100 * ms, Load: src.load})
				synctest.Wait()
				m.set(func() { m.answers = time.Hour })
				var slow []time.Duration
				for range 10 {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					d := took(func() {
						v, err := c.Get(ctx, "k")
						if v != "v" && !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("%q, %v", v, err)
						}
					})
					cancel()
					if d > 0 {
						slow = append(slow, d)
					}
				}
				// Who is impatient calls twice before the first call has failed.
				if len(slow) < 3 || len(slow) > 5 || slow[0] != min(patience, 100*ms) {
					t.Errorf("callers waited %v, want about three times %s", slow, min(patience, 100*ms))
				}
				if s := c.Stats(); s.RemoteErrors < 3 || s.RemoteErrors > 5 || s.RemoteRests < 5 {
					t.Errorf("stats %+v", s)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// Failures at the same moment are one reason to rest, not many for a long one.
func TestFailuresTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0)
		c := open(t, sfcache.Config[string]{Name: "t", TTL: time.Minute, Hold: off, Remote: m, RemoteTimeout: 100 * ms, Load: src.load})
		synctest.Wait()
		m.set(func() { m.answers = time.Hour })
		var wg sync.WaitGroup
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
			wg.Go(func() { _, _ = c.Get(t.Context(), key) })
		}
		wg.Wait()
		m.set(func() { m.answers = 0 })
		time.Sleep(300 * ms)
		src.set("k", "v")
		want(t, c, "k", "v")
		if _, ok := m.value("t:k"); !ok {
			t.Error("still resting 300ms after the first failures")
		}
	})
}

// With a lease, processes on one Remote load a cold key once.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(300*ms, "k", "v")
		cfg := sfcache.Config[string]{Name: "t", TTL: time.Minute, Remote: m, Lease: time.Second, Load: src.load}
		var wg sync.WaitGroup
		var caches []*sfcache.Cache[string]
		for range 4 {
			caches = append(caches, open(t, cfg))
		}
		synctest.Wait()
		d := took(func() {
			for _, c := range caches {
				for range 16 {
					wg.Go(func() { want(t, c, "k", "v") })
				}
			}
			wg.Wait()
		})
		wantLoads(t, src, 1)
		synctest.Wait()
		var leases, waits int64
		for _, c := range caches {
			s := c.Stats()
			leases, waits = leases+s.Leases, waits+s.LeaseWaits
		}
		if leases != 1 || waits != 3 || d > 400*ms || m.published != 0 {
			t.Errorf("%d leases, %d waits, %s, %d messages", leases, waits, d, m.published)
		}
		if n := m.tokensOut(); n != 0 {
			t.Errorf("%d leases are still taken", n)
		}
	})
}

// A lease ends with its load, however that ends; the next process loads at once.
func TestLeaseIsGivenBack(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":  func() error { return errors.New("boom") },
		"panic":  func() error { panic("boom") },
		"goexit": func() error { runtime.Goexit(); return nil },
		"leaves": func() error { time.Sleep(time.Second); return context.Canceled },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, src := newMemory(), newSource(0, "k", "v")
				cfg := sfcache.Config[string]{Name: "t", TTL: time.Minute, Remote: m, Lease: 9 * time.Second, Load: src.load}
				a, b := open(t, cfg), open(t, cfg)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
				defer cancel()
				if v, err := a.GetWith(ctx, "k", func(context.Context, string) (string, error) { return "", fail() }); err == nil {
					t.Errorf("got %q, want an error", v)
				}
				if d := took(func() { want(t, b, "k", "v") }); d > 600*ms {
					t.Errorf("the other process waited %s", d)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// A process that dies with a lease is waited for until the lease ends, no longer.
func TestLeaseOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0, "k", "v")
		c := open(t, sfcache.Config[string]{Name: "t", TTL: time.Minute, Remote: m, Lease: time.Second, Load: src.load})
		synctest.Wait()
		if _, err := m.Fetch(t.Context(), []string{"t:k"}, sfcache.AskMissing, time.Second); err != nil {
			t.Fatal(err)
		}
		if d := took(func() { want(t, c, "k", "v") }); d < 900*ms || d > 1100*ms {
			t.Errorf("waited %s, want about the lease", d)
		}
	})
}

// Messages drop what other processes wrote, from every local tier; a read-fill
// sends none.
func TestInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0, "k", "v", "j", "w")
		cfg := all(m)["every"]
		cfg.Load = src.load
		a, b := open(t, cfg), open(t, cfg)
		other := cfg
		other.Name = "u"
		third := open(t, other)
		synctest.Wait()
		for _, c := range []*sfcache.Cache[string]{a, b, third} {
			want(t, c, "k", "v")
			want(t, c, "j", "w")
		}
		if m.published != 0 {
			t.Errorf("reading sent %d messages", m.published)
		}
		src.set("k", "new")
		if err := a.Set(t.Context(), "k", "new"); err != nil {
			t.Fatal(err)
		}
		if where := stored(b, cfg, newMemory()); where != nil {
			t.Errorf("the other process still has %q", where)
		}
		want(t, a, "k", "new")
		want(t, b, "k", "new")
		want(t, third, "k", "v") // another cache's key
		if n := b.Stats().Invalidations; n != 1 || a.Stats().Invalidations != 0 || third.Stats().Invalidations != 0 {
			t.Errorf("invalidations: a %d, b %d, third %d", a.Stats().Invalidations, n, third.Stats().Invalidations)
		}
		if _, ok := b.Peek("j"); !ok {
			t.Error("another key was dropped too")
		}
	})
}

// When messages may have been lost, the local tiers are not trusted.
func TestMissedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src, seen := newMemory(), newSource(0, "k", "v"), &events{}
		cfg := all(m)["every"]
		cfg.Load, cfg.Observe = src.load, seen.note
		a, b := open(t, cfg), open(t, cfg)
		synctest.Wait()
		want(t, a, "k", "v")
		want(t, b, "k", "v")
		m.set(func() { m.deaf = true })
		m.breakOff()
		synctest.Wait()
		src.set("k", "new")
		if err := b.Set(t.Context(), "k", "new"); err != nil {
			t.Fatal(err)
		}
		m.set(func() { m.deaf = false })
		time.Sleep(6 * time.Second)
		want(t, a, "k", "new")
		if s := a.Stats(); s.Missed != 1 || seen.of(sfcache.EventMissed) < 1 {
			t.Errorf("Missed is %d", s.Missed)
		}
	})
}

// stores is a Remote that tells nothing.
type stores struct{ *memory }

func (stores) Watch(context.Context, func(string, []string), func()) error { return nil }

func TestRemoteWithoutMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0, "k", "v")
		c := open(t, sfcache.Config[string]{Name: "t", TTL: time.Minute, Remote: stores{m}, Load: src.load})
		synctest.Wait()
		want(t, c, "k", "v")
		time.Sleep(10 * time.Second)
		want(t, c, "k", "v")
		if s := c.Stats(); s.Missed != 0 || s.RemoteErrors != 0 || s.Loads != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A stale value in Remote is what the others get while one process loads.
func TestStaleInRemoteWithLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0, "k", "old")
		cfg := sfcache.Config[string]{Name: "t", TTL: time.Second, Jitter: -1, Stale: time.Minute, Hold: off, Remote: m, Lease: time.Second, Load: src.load}
		a, b := open(t, cfg), open(t, cfg)
		synctest.Wait()
		want(t, a, "k", "old")
		time.Sleep(1100 * ms)
		src.set("k", "new")
		slow := func(ctx context.Context, key string) (string, error) { time.Sleep(500 * ms); return src.load(ctx, key) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			if v, err := a.GetWith(t.Context(), "k", slow); v != "new" || err != nil {
				t.Errorf("the one that loads got %q, %v", v, err)
			}
		}()
		synctest.Wait()
		if d := took(func() { want(t, b, "k", "old") }); d > 10*ms {
			t.Errorf("the other waited %s", d)
		}
		<-done
		want(t, b, "k", "new")
		if n := b.Stats().StaleServed; n != 1 {
			t.Errorf("StaleServed is %d", n)
		}
	})
}
