package sfcache_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// local tiers in which a value can go stale.
func staleTiers() map[string]sfcache.Config[string] {
	return map[string]sfcache.Config[string]{
		"hold":  {TTL: time.Second, Stale: 10 * time.Second, Jitter: -1},
		"local": {TTL: time.Second, Stale: 10 * time.Second, Jitter: -1, Hold: off, Local: local},
		"both":  {TTL: time.Second, Stale: 10 * time.Second, Jitter: -1, Local: local},
	}
}

func TestStaleWhileRevalidate(t *testing.T) {
	for name, cfg := range staleTiers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(300*ms, "k", "old")
				cfg.Load = src.load
				c := open(t, cfg)
				want(t, c, "k", "old")
				src.set("k", "new")
				time.Sleep(1200 * ms)
				for range 20 {
					if d := took(func() { want(t, c, "k", "old") }); d != 0 {
						t.Errorf("a caller waited %s", d)
					}
				}
				synctest.Wait()
				wantLoads(t, src, 2)
				time.Sleep(301 * ms)
				want(t, c, "k", "new")
				wantLoads(t, src, 2)
				if s := c.Stats(); s.StaleServed != 20 || s.Refreshes != 1 {
					t.Errorf("stats %+v, want 20 stale and 1 refresh", s)
				}
				time.Sleep(11100 * ms) // and beyond Stale nothing is served
				src.set("k", "newest")
				want(t, c, "k", "newest")
			})
		})
	}
}

// While the loader fails, stale values are served, and the loader is not tried
// by each hit.
func TestStaleIfError(t *testing.T) {
	tiers := staleTiers()
	tiers["remote"] = sfcache.Config[string]{TTL: time.Second, Stale: 10 * time.Second, Jitter: -1, Hold: off, Remote: newMemory(), Name: "t"}
	tiers["lease"] = sfcache.Config[string]{TTL: time.Second, Stale: 10 * time.Second, Jitter: -1, Hold: off, Remote: newMemory(), Name: "l", Lease: time.Second}
	for name, cfg := range tiers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(0, "k", "v")
				cfg.Load = src.load
				c := open(t, cfg)
				synctest.Wait()
				want(t, c, "k", "v")
				src.fail(errors.New("no database"))
				time.Sleep(1100 * ms)
				for range 1000 { // for 5 s
					want(t, c, "k", "v")
					time.Sleep(5 * ms)
				}
				if n := src.loads.Load() - 1; n < 3 || n > 8 {
					t.Errorf("%d attempts to refresh in 5s of 1000 hits, want about one a second", n)
				}
				src.fail(nil)
				src.set("k", "back")
				time.Sleep(1100 * ms)
				_, _ = c.Get(t.Context(), "k") // starts the refresh, or is it
				time.Sleep(10 * ms)
				want(t, c, "k", "back")
			})
		})
	}
}

// A key whose refreshes fail must not outlive Stale.
func TestStaleEnds(t *testing.T) {
	for name, cfg := range staleTiers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(0, "k", "v")
				cfg.Load = src.load
				c := open(t, cfg)
				want(t, c, "k", "v")
				src.fail(errors.New("no database"))
				time.Sleep(10900 * ms)
				want(t, c, "k", "v")
				time.Sleep(200 * ms)
				if v, err := c.Get(t.Context(), "k"); err == nil || err.Error() != "no database" {
					t.Errorf("got %q, %v, want the loader's error", v, err)
				}
			})
		})
	}
}

// What turns out to be gone is not served stale any more, also when absence is
// not remembered.
func TestRefreshFindsNothing(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		src := newSource(0, "k", "v")
		cfg.Load, cfg.Stale = src.load, time.Minute
		c := open(t, cfg)
		synctest.Wait()
		want(t, c, "k", "v")
		src.remove("k")
		if v, err := c.Refresh(t.Context(), "k"); !errors.Is(err, sfcache.ErrNotFound) {
			t.Errorf("Refresh: %q, %v", v, err)
		}
		if v, err := c.Get(t.Context(), "k"); !errors.Is(err, sfcache.ErrNotFound) {
			t.Errorf("Get after it: %q, %v", v, err)
		}
		if b, ok := m.value("t:k"); ok {
			t.Errorf("Remote still has %q", b)
		}
	})
}

// With Early, somebody who comes often enough never waits for a load.
func TestEarlyRefresh(t *testing.T) {
	for name, cfg := range map[string]sfcache.Config[string]{
		"hold":  {TTL: 5 * time.Second, Early: 1},
		"short": {TTL: 5 * time.Second, Early: 1, Hold: sfcache.Hold[string]{TTL: 100 * ms}, Local: local},
		"local": {TTL: 5 * time.Second, Early: 1, Hold: off, Local: local},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(200*ms, "k", "v")
				cfg.Load = src.load
				c := open(t, cfg)
				want(t, c, "k", "v")
				for range 6000 { // for a minute
					if d := took(func() { want(t, c, "k", "v") }); d != 0 {
						t.Fatalf("a caller waited %s", d)
					}
					time.Sleep(10 * ms)
				}
				// A load for each TTL, less the margin: 200 ms and 200 ms more in the mean.
				if n := src.loads.Load(); n < 12 || n > 20 {
					t.Errorf("%d loads in a minute with a TTL of 5s", n)
				}
			})
		})
	}
}

// Without it, every TTL has a caller who waits: what the test above could not
// tell otherwise.
func TestWithoutEarlySomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(200*ms, "k", "v")
		c := open(t, sfcache.Config[string]{TTL: time.Second, Load: src.load})
		waited := 0
		for range 1000 {
			if took(func() { want(t, c, "k", "v") }) > 0 {
				waited++
			}
			time.Sleep(10 * ms)
		}
		if waited < 8 {
			t.Errorf("%d callers waited in 10s with a TTL of 1s", waited)
		}
	})
}

func TestRefreshDoesNotJoin(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], _ *memory) {
		src := newSource(100*ms, "k", "old")
		cfg.Load = src.load
		c := open(t, cfg)
		synctest.Wait()
		early := make(chan string, 1)
		go func() {
			v, _ := c.Get(t.Context(), "k")
			early <- v
		}()
		time.Sleep(50 * ms)
		src.set("k", "new")
		v, err := c.Refresh(t.Context(), "k")
		if v != "new" || err != nil {
			t.Errorf("Refresh: %q, %v", v, err)
		}
		if v := <-early; v != "old" {
			t.Errorf("who waited before got %q, want the load it had begun", v)
		}
		want(t, c, "k", "new")
		wantLoads(t, src, 2)
	})
}

// A refresh replaces what is fresh, in every tier.
func TestRefreshReplaces(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], _ *memory) {
		src := newSource(0, "k", "old")
		cfg.Load = src.load
		c := open(t, cfg)
		synctest.Wait()
		want(t, c, "k", "old")
		src.set("k", "new")
		if v, err := c.Refresh(t.Context(), "k"); v != "new" || err != nil {
			t.Errorf("Refresh: %q, %v", v, err)
		}
		want(t, c, "k", "new")
		if cfg.Local.Bytes > 0 || cfg.Remote != nil {
			c.Unhold("k")
			want(t, c, "k", "new")
		}
		wantLoads(t, src, 2)
	})
}

// An inline decode of old bytes that ends after a Refresh must not bring them
// back, and nobody may join it by then.
func TestDecodeOverlapsRefresh(t *testing.T) {
	for name, hold := range map[string]sfcache.Hold[string]{"hold": {}, "off": off} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(0, "k", "old")
				codec, slow := slowCodec()
				c := open(t, sfcache.Config[string]{TTL: time.Minute, Hold: hold, Local: local, Codec: codec, Load: src.load})
				want(t, c, "k", "old")
				c.Unhold("k")
				slow.Store(int64(100 * ms))
				go func() { want(t, c, "k", "old") }()
				time.Sleep(10 * ms)
				slow.Store(0)
				src.set("k", "new")
				if v, err := c.Refresh(t.Context(), "k"); v != "new" || err != nil {
					t.Errorf("Refresh: %q, %v", v, err)
				}
				want(t, c, "k", "new")
				time.Sleep(100 * ms)
				want(t, c, "k", "new")
			})
		})
	}
}

// slowCodec is JSON whose decoding takes as long as the number says.
func slowCodec() (sfcache.Codec[string], *atomic.Int64) {
	codec, slow := sfcache.JSON[string](), new(atomic.Int64)
	decode := codec.Decode
	codec.Decode = func(b []byte) (string, error) {
		if d := time.Duration(slow.Load()); d > 0 {
			time.Sleep(d)
		}
		return decode(b)
	}
	return codec, slow
}

func TestRefreshNeedsLoad(t *testing.T) {
	c := open(t, sfcache.Config[string]{TTL: time.Minute})
	if _, err := c.Refresh(t.Context(), "k"); err == nil {
		t.Error("Refresh without a loader: no error")
	}
	if _, err := c.Get(t.Context(), "k"); err == nil {
		t.Error("Get without a loader: no error")
	}
	v, err := c.GetWith(t.Context(), "k", func(_ context.Context, key string) (string, error) { return "of " + key, nil })
	if v != "of k" || err != nil {
		t.Errorf("GetWith: %q, %v", v, err)
	}
}
