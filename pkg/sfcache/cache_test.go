package sfcache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// all are the tiers that a value can be in, one configuration for each, and all
// of them together.
func all(m *memory) map[string]sfcache.Config[string] {
	return map[string]sfcache.Config[string]{
		"hold":   {TTL: time.Minute},
		"local":  {TTL: time.Minute, Hold: off, Local: local},
		"remote": {TTL: time.Minute, Hold: off, Remote: m, Name: "t"},
		"every":  {TTL: time.Minute, Local: local, Remote: m, Name: "t"},
	}
}

// inAll runs a test in a bubble for each.
func inAll(t *testing.T, f func(t *testing.T, cfg sfcache.Config[string], m *memory)) {
	for name := range all(nil) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				f(t, all(m)[name], m)
			})
		})
	}
}

func TestColdStampede(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		src := newSource(20*ms, "k", "v")
		cfg.Load = src.load
		c := open(t, cfg)
		synctest.Wait() // until it watches
		d := took(func() {
			var wg sync.WaitGroup
			for range 256 {
				wg.Go(func() { want(t, c, "k", "v") })
			}
			wg.Wait()
		})
		synctest.Wait() // until Remote has it
		s := c.Stats()
		if src.loads.Load() != 1 || s.Loads != 1 || s.Decodes != 0 || s.SharedCallers != 255 || d != 20*ms {
			t.Errorf("256 callers: %d loads, stats %+v, %s", src.loads.Load(), s, d)
		}
		if cfg.Remote != nil && (m.count("fetch") != 1 || m.count("fill") != 1) {
			t.Errorf("%d fetches and %d fills, want 1 of each", m.count("fetch"), m.count("fill"))
		}
		want(t, c, "k", "v")
		wantLoads(t, src, 1)
	})
}

func TestNotFoundStorm(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], _ *memory) {
		src := newSource(0)
		cfg.Load, cfg.NegativeTTL, cfg.Jitter = src.load, 500*ms, -1
		c := open(t, cfg)
		synctest.Wait()
		for i := range 10 {
			if _, err := c.Get(t.Context(), "none"); !errors.Is(err, sfcache.ErrNotFound) {
				t.Errorf("Get %d: %v", i, err)
			}
		}
		wantLoads(t, src, 1)
		time.Sleep(510 * ms)
		src.set("none", "there now")
		want(t, c, "none", "there now")
		if s := c.Stats(); s.NotFound != 1 || s.LoadErrors != 0 || s.Loads != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestNotFoundIsNotKeptByDefault(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], _ *memory) {
		src := newSource(0)
		cfg.Load = src.load
		c := open(t, cfg)
		for range 3 {
			_, _ = c.Get(t.Context(), "none")
		}
		wantLoads(t, src, 3)
	})
}

// An error of the service's own means "there is none", wrapped or not.
func TestOwnNotFoundError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("no rows")
		loads := 0
		c := open(t, sfcache.Config[string]{
			TTL: time.Minute, NotFound: gone, NegativeTTL: time.Second,
			Load: func(context.Context, string) (string, error) { loads++; return "", fmt.Errorf("query: %w", gone) },
		})
		for range 10 {
			if _, err := c.Get(t.Context(), "k"); !errors.Is(err, gone) {
				t.Fatal(err)
			}
		}
		if loads != 1 {
			t.Errorf("%d loads, want 1", loads)
		}
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		src := newSource(0, "k", "v")
		src.fail(errors.New("no database"))
		cfg.Load, cfg.NegativeTTL = src.load, time.Minute
		c := open(t, cfg)
		if _, err := c.Get(t.Context(), "k"); err == nil || err.Error() != "no database" {
			t.Errorf("got %v", err)
		}
		src.fail(nil)
		want(t, c, "k", "v")
		if s := c.Stats(); s.LoadErrors != 1 || s.Loads != 2 {
			t.Errorf("stats %+v", s)
		}
		_ = m
	})
}

// Freshness is to the millisecond in every tier, also where the tier itself
// counts in seconds.
func TestSubSecondTTL(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  sfcache.Config[string]
		ttl  time.Duration
		tick time.Duration
	}{
		"hold":      {sfcache.Config[string]{TTL: 200 * ms}, 200 * ms, 10 * ms},
		"local":     {sfcache.Config[string]{TTL: 200 * ms, Hold: off, Local: local}, 200 * ms, 0},
		"local.ttl": {sfcache.Config[string]{TTL: time.Hour, Hold: off, Local: sfcache.Local{Bytes: 1 << 20, TTL: 200 * ms}}, 200 * ms, 0},
		"remote":    {sfcache.Config[string]{TTL: 200 * ms, Hold: off, Remote: newMemory(), Name: "t"}, 200 * ms, 0},
		"every":     {sfcache.Config[string]{TTL: 200 * ms, Local: local, Remote: newMemory(), Name: "t"}, 200 * ms, 10 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(0, "k", "old")
				tt.cfg.Load, tt.cfg.Jitter = src.load, -1
				c := open(t, tt.cfg)
				synctest.Wait()
				want(t, c, "k", "old")
				src.set("k", "new")
				time.Sleep(tt.ttl - 5*ms)
				want(t, c, "k", "old")
				wantLoads(t, src, 1)
				time.Sleep(5*ms + tt.tick + ms)
				want(t, c, "k", "new")
				wantLoads(t, src, 2)
			})
		})
	}
}

// The TTL counts from the load, not from when a tier got the value from
// another: TTLs of tiers do not add up.
func TestTTLsDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		cfg := all(m)["every"]
		cfg.TTL, cfg.Jitter = time.Second, -1
		began := time.Now()
		cfg.Load = func(context.Context, string) (string, error) { return time.Now().Format(time.RFC3339Nano), nil }
		a, b := open(t, cfg), open(t, cfg)
		synctest.Wait()
		_, _ = a.Get(t.Context(), "k")
		time.Sleep(900 * ms)
		for time.Since(began) < 4*time.Second {
			for _, c := range []*sfcache.Cache[string]{a, b} {
				v, err := c.Get(t.Context(), "k")
				loaded, perr := time.Parse(time.RFC3339Nano, v)
				if err != nil || perr != nil || time.Since(loaded) > time.Second+51*ms { // and a tick
					t.Fatalf("%q, %v, %s after it was loaded", v, err, time.Since(loaded))
				}
			}
			time.Sleep(7 * ms)
		}
	})
}

func TestHoldTTLIsShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(0, "k", "v")
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Jitter: -1, Hold: sfcache.Hold[string]{TTL: 100 * ms}, Local: local, Load: src.load})
		for range 10 {
			want(t, c, "k", "v")
			time.Sleep(110 * ms)
		}
		if s := c.Stats(); s.Loads != 1 || s.Decodes != 9 || s.LocalHits != 9 {
			t.Errorf("ten gets 110ms apart: %+v, want 1 load and 9 decodes", s)
		}
	})
}

func TestJitterRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		src := newSource(0)
		for i := range 400 {
			src.set(fmt.Sprint(i), "v")
		}
		c := open(t, sfcache.Config[string]{Name: "t", TTL: 10 * time.Second, Jitter: 0.2, Hold: off, Remote: m, Load: src.load})
		least, most := time.Hour, time.Duration(0)
		for i := range 400 {
			want(t, c, fmt.Sprint(i), "v")
			b, _ := m.value(fmt.Sprintf("t:%d", i))
			h, _, err := sfcache.Open(b)
			if err != nil {
				t.Fatal(err)
			}
			least, most = min(least, time.Until(h.Fresh)), max(most, time.Until(h.Fresh))
		}
		if least < 8*time.Second-ms || least > 8500*ms || most > 12*time.Second || most < 11500*ms {
			t.Errorf("TTLs of 10s with jitter 0.2 lie between %s and %s", least, most)
		}
	})
}
