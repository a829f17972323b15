package sfcache_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// A tier's own TTL is about other tiers: when it is over they are asked, and
// the value is not served stale as long as they may have it fresh.
func TestStaleBeginsWhereTheValueEnds(t *testing.T) {
	for name, cfg := range map[string]sfcache.Config[string]{
		"hold":           {Hold: sfcache.Hold[string]{TTL: 100 * ms}},
		"hold and local": {Hold: sfcache.Hold[string]{TTL: 100 * ms}, Local: sfcache.Local{Bytes: 1 << 20, TTL: time.Second}},
		"local":          {Hold: off, Local: sfcache.Local{Bytes: 1 << 20, TTL: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, m := newSource(0, "k", "old"), newMemory()
				cfg.Name, cfg.TTL, cfg.Stale, cfg.Jitter, cfg.Remote, cfg.Load = "t", time.Minute, 10*time.Second, -1, m, src.load
				mine, other := open(t, cfg), open(t, cfg)
				synctest.Wait() // both listen
				want(t, mine, "k", "old")
				synctest.Wait() // it is in Remote
				m.set(func() {  // another process writes, and its message is lost
					for id := range m.watchers {
						delete(m.watchers, id)
					}
				})
				src.set("k", "new")
				if err := other.Set(t.Context(), "k", "new"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(8 * time.Second) // beyond every tier's own TTL, within TTL and Stale
				want(t, mine, "k", "new")
				if s := mine.Stats(); s.StaleServed != 0 || s.RemoteHits != 1 || s.Loads != 1 {
					t.Errorf("%+v, want no stale value and one from Remote", s)
				}
				// Beyond TTL it is stale, and the hold serves it while a new one
				// is got. Local has it no longer than its own TTL.
				time.Sleep(61 * time.Second)
				want(t, mine, "k", "new")
				synctest.Wait()
				stale := int64(1)
				if name == "local" {
					stale = 0
				}
				if s := mine.Stats(); s.StaleServed != stale || s.Loads != 2 {
					t.Errorf("%+v, want %d stale values and a load", s, stale)
				}
			})
		})
	}
}

// What is still within its TTL will do when everything else fails.
func TestHeldValueWhenTheLoaderFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, m := newSource(0, "k", "v"), newMemory()
		c := open(t, sfcache.Config[string]{
			Name: "t", TTL: time.Minute, Jitter: -1, Hold: sfcache.Hold[string]{TTL: 100 * ms}, Remote: m, RemoteTimeout: ms, Load: src.load,
		})
		synctest.Wait()
		want(t, c, "k", "v")
		synctest.Wait()
		m.set(func() { m.err = errors.New("down") })
		src.fail(errors.New("down too"))
		time.Sleep(10 * time.Second)
		want(t, c, "k", "v")
		if s := c.Stats(); s.StaleServed != 0 || s.LoadErrors != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		if _, err := c.Get(t.Context(), "k"); err == nil {
			t.Error("a value beyond its TTL was served without Stale")
		}
	})
}
