package sfcache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/pkg/sfcache"
)

// batches is a LoadMany over a source that notes what it is asked for.
type batches struct {
	src   *source
	asked [][]string
}

func (b *batches) load(_ context.Context, keys []string) (map[string]string, error) {
	b.src.mu.Lock()
	b.asked = append(b.asked, slices.Clone(keys))
	took, err := b.src.took, b.src.err
	got := map[string]string{}
	for _, k := range keys {
		if v, ok := b.src.vals[k]; ok {
			got[k] = v
		}
	}
	b.src.mu.Unlock()
	time.Sleep(took)
	return got, err
}

func TestGetMany(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		src := newSource(10*ms, "a", "1", "b", "2", "c", "3")
		many := &batches{src: src}
		cfg.Load, cfg.LoadMany, cfg.NegativeTTL = src.load, many.load, time.Minute
		c := open(t, cfg)
		synctest.Wait()
		for i := range 2 {
			got, err := c.GetMany(t.Context(), []string{"a", "b", "none", "a", "c", "b"})
			if diff := cmp.Diff(map[string]string{"a": "1", "b": "2", "c": "3"}, got); diff != "" || err != nil {
				t.Errorf("GetMany %d: %v\n%s", i, err, diff)
			}
		}
		if diff := cmp.Diff([][]string{{"a", "b", "none", "c"}}, many.asked); diff != "" {
			t.Errorf("LoadMany was asked for:\n%s", diff)
		}
		if cfg.Remote != nil && m.count("fill") != 1 {
			t.Errorf("%d fills, want 1", m.count("fill"))
		}
		want(t, c, "b", "2")
		wantLoads(t, src, 0)
	})
}

func TestGetManyFetchesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0, "a", "1", "b", "2", "c", "3")
		cfg := all(m)["remote"]
		many := &batches{src: src}
		cfg.Load, cfg.LoadMany = src.load, many.load
		c := open(t, cfg)
		synctest.Wait()
		want(t, c, "a", "1")
		before := m.count("fetch")
		got, err := c.GetMany(t.Context(), []string{"a", "b", "c"})
		if len(got) != 3 || err != nil || m.count("fetch")-before != 1 {
			t.Errorf("%v, %v, %d fetches", got, err, m.count("fetch")-before)
		}
		if diff := cmp.Diff([][]string{{"b", "c"}}, many.asked); diff != "" {
			t.Error(diff)
		}
	})
}

// A GetMany joins the loads that are under way, and others join its.
func TestGetManyJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(100*ms, "a", "1", "b", "2")
		many := &batches{src: src}
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Load: src.load, LoadMany: many.load})
		go func() { want(t, c, "a", "1") }()
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got, err := c.GetMany(t.Context(), []string{"a", "b"}); got["a"] != "1" || got["b"] != "2" || err != nil {
				t.Errorf("%v, %v", got, err)
			}
		}()
		synctest.Wait()
		want(t, c, "b", "2")
		<-done
		if diff := cmp.Diff([][]string{{"b"}}, many.asked); diff != "" || src.loads.Load() != 1 {
			t.Errorf("%d loads; LoadMany was asked for:\n%s", src.loads.Load(), diff)
		}
	})
}

// Without LoadMany every key is loaded by itself, eight at a time, and one that
// fails does not keep the others.
func TestGetManyWithLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Load: func(_ context.Context, key string) (string, error) {
			time.Sleep(10 * ms)
			switch key {
			case "3":
				return "", boom
			case "5":
				panic("five")
			case "6":
				runtime.Goexit()
			case "7":
				return "", sfcache.ErrNotFound
			}
			return "v" + key, nil
		}})
		var keys []string
		for i := range 20 {
			keys = append(keys, fmt.Sprint(i))
		}
		var got map[string]string
		var err error
		d := took(func() { got, err = c.GetMany(t.Context(), keys) })
		if len(got) != 16 || got["19"] != "v19" || d != 30*ms {
			t.Errorf("%d values in %s: %v", len(got), d, got)
		}
		failed := map[string]error{}
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			t.Fatalf("error is %v", err)
		}
		for _, e := range joined.Unwrap() {
			var k *sfcache.KeyError
			if errors.As(e, &k) {
				failed[k.Key] = k.Err
			}
		}
		var p *sfcache.PanicError
		if len(failed) != 3 || !errors.Is(failed["3"], boom) || !errors.As(failed["5"], &p) || !errors.Is(failed["6"], sfcache.ErrGoexit) {
			t.Errorf("failed: %v", failed)
		}
	})
}

func TestGetManyLoadManyFails(t *testing.T) {
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		load func(context.Context, []string) (map[string]string, error)
		is   error
	}{
		"error":  {func(context.Context, []string) (map[string]string, error) { return nil, boom }, boom},
		"panic":  {func(context.Context, []string) (map[string]string, error) { panic(boom) }, boom},
		"goexit": {func(context.Context, []string) (map[string]string, error) { runtime.Goexit(); return nil, nil }, sfcache.ErrGoexit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, src := newMemory(), newSource(0, "a", "1", "b", "2")
				c := open(t, sfcache.Config[string]{
					Name: "t", TTL: time.Minute, Remote: m, Lease: time.Second, LoadMany: tt.load, Load: src.load,
				})
				synctest.Wait()
				got, err := c.GetMany(t.Context(), []string{"a", "b"})
				var k *sfcache.KeyError
				if len(got) != 0 || !errors.Is(err, tt.is) || !errors.As(err, &k) {
					t.Errorf("%v, %v", got, err)
				}
				if n := m.tokensOut(); n != 0 {
					t.Errorf("%d leases are still taken", n)
				}
				want(t, c, "a", "1") // usable at once
				if s := c.Stats(); s.LoadErrors != 2 || s.Loads != 3 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// A nil map without an error means that no key has a value.
func TestGetManyLoadManyNil(t *testing.T) {
	c := open(t, sfcache.Config[string]{
		TTL: time.Minute, Load: newSource(0).load,
		LoadMany: func(context.Context, []string) (map[string]string, error) { return nil, nil },
	})
	if got, err := c.GetMany(t.Context(), []string{"a", "b"}); len(got) != 0 || got == nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestGetManyCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		c := open(t, sfcache.Config[string]{
			TTL: time.Minute, Load: newSource(0, "b", "2").load,
			LoadMany: func(ctx context.Context, _ []string) (map[string]string, error) {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return nil, ctx.Err()
			},
		})
		if err := c.Set(t.Context(), "held", "here"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*ms)
		defer cancel()
		var got map[string]string
		var err error
		d := took(func() { got, err = c.GetMany(ctx, []string{"a", "b", "held"}) })
		if d != 30*ms || !errors.Is(err, context.DeadlineExceeded) || got["held"] != "here" {
			t.Errorf("%v, %v after %s", got, err, d)
		}
		synctest.Wait()
		if cause == nil {
			t.Error("the batch goes on although nobody waits")
		}
		want(t, c, "b", "2")
	})
}

// One key that somebody still waits for keeps the batch.
func TestGetManyOneStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(100*ms, "a", "1", "b", "2")
		many := &batches{src: src}
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Load: src.load, LoadMany: many.load})
		ctx, cancel := context.WithTimeout(t.Context(), 30*ms)
		defer cancel()
		go func() { _, _ = c.GetMany(ctx, []string{"a", "b"}) }()
		synctest.Wait()
		want(t, c, "b", "2")
		if len(many.asked) != 1 || src.loads.Load() != 0 {
			t.Errorf("%v batches, %d loads", many.asked, src.loads.Load())
		}
	})
}

// What a batch holds the leases of is loaded before it has waited for those of
// others: they may be waiting for it.
func TestGetManyLoadsBeforeItWaits(t *testing.T) {
	for name, many := range map[string]bool{"Load": false, "LoadMany": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, src := newMemory(), newSource(20*ms, "a", "1", "b", "2")
				cfg := sfcache.Config[string]{Name: "t", TTL: time.Minute, Remote: m, Lease: 5 * time.Second, Load: src.load}
				if many {
					cfg.LoadMany = (&batches{src: src}).load
				}
				one, two := open(t, cfg), open(t, cfg)
				synctest.Wait()
				slow := func(context.Context, string) (string, error) { time.Sleep(time.Second); return "2", nil }
				go func() { _, _ = two.GetWith(t.Context(), "b", slow) }()
				synctest.Wait()
				go func() {
					time.Sleep(50 * ms)
					if _, ok := m.value("t:a"); !ok {
						t.Error("a is not there while b is waited for")
					}
				}()
				got, err := one.GetMany(t.Context(), []string{"a", "b"})
				if got["a"] != "1" || got["b"] != "2" || err != nil {
					t.Errorf("%v, %v", got, err)
				}
			})
		})
	}
}
