package sfcache_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// A change is found although the value has left the hold, whichever way, and
// also after Close.
func TestCheckSharedAfterTheValueLeft(t *testing.T) {
	for name, leave := range map[string]func(c *sfcache.Cache[[]int]){
		"deleted":  func(c *sfcache.Cache[[]int]) { _ = c.Delete(context.Background(), "a") },
		"replaced": func(c *sfcache.Cache[[]int]) { _ = c.Set(context.Background(), "a", []int{9}) },
		"swept":    func(*sfcache.Cache[[]int]) { time.Sleep(5 * time.Minute) },
		"closed":   func(c *sfcache.Cache[[]int]) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, sfcache.Config[[]int]{
					TTL: time.Minute, SharedCheck: true,
					Load: func(context.Context, string) ([]int, error) { return []int{1, 2}, nil },
				})
				for _, key := range []string{"a", "b"} {
					v, err := c.Get(t.Context(), key)
					if err != nil {
						t.Fatal(err)
					}
					if key == "a" {
						v[0] = 7
					}
				}
				leave(c)
				err := c.CheckShared()
				if k, ok := errors.AsType[*sfcache.KeyError](err); !ok || k.Key != "a" || strings.Contains(err.Error(), `"b"`) {
					t.Errorf("CheckShared = %v", err)
				}
			})
		})
	}
}

func TestFlightsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(0, "a", "v", "b", "v")
		c := open(t, sfcache.Config[string]{TTL: time.Minute, NegativeTTL: time.Minute, Load: src.load})
		want(t, c, "a", "v")
		want(t, c, "a", "v")
		if _, err := c.GetMany(t.Context(), []string{"a", "b", "none"}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := c.Get(t.Context(), "none"); !errors.Is(err, sfcache.ErrNotFound) {
				t.Error(err)
			}
		}
		if _, err := c.Refresh(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if s := c.Stats(); s.Flights != 4 || s.DecodeTimeSaved != 0 {
			t.Errorf("%+v, want 4 flights", s)
		}
	})
}
