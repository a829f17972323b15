package sfcache_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// Close leaves no goroutine: a bubble fails if one is left when its test ends,
// and here everything that has one is on.
func TestCloseLeavesNothing(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], _ *memory) {
		src := newSource(50*ms, "k", "v")
		cfg.Load, cfg.Stale, cfg.Early, cfg.LoadMany = src.load, time.Minute, 1, (&batches{src: src}).load
		c, err := sfcache.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		want(t, c, "k", "v")
		time.Sleep(2 * time.Minute)
		_, _ = c.Get(t.Context(), "k") // a refresh begins
		go func() { _, _ = c.GetMany(t.Context(), []string{"a", "b"}) }()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		buf := make([]byte, 1<<20)
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "pkg/sfcache.") && strings.Contains(g, "synctest bubble") {
				t.Errorf("after Close:\n%s", g)
			}
		}
	})
}

func TestCloseEndsFlights(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		cfg.Load = func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		c := open(t, cfg)
		synctest.Wait()
		errs := make(chan error, 3)
		go func() { _, err := c.Get(t.Context(), "a"); errs <- err }()
		go func() { _, err := c.GetMany(t.Context(), []string{"b", "c"}); errs <- err }()
		go func() { _, err := c.Refresh(t.Context(), "d"); errs <- err }()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, sfcache.ErrClosed) {
				t.Errorf("a flight ended with %v, want ErrClosed", err)
			}
		}
		_ = m
	})
}

// Close waits for loaders that do not heed their context, and what they return
// is stored nowhere in this process.
func TestCloseWaitsForLoaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(300*ms, "k", "v")
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Local: local, Load: src.load})
		go func() {
			if _, err := c.Get(t.Context(), "k"); !errors.Is(err, sfcache.ErrClosed) {
				t.Errorf("the caller got %v", err)
			}
		}()
		synctest.Wait()
		if d := took(func() { _ = c.Close() }); d != 300*ms {
			t.Errorf("Close took %s, want the 300ms of the loader", d)
		}
		if _, ok := c.InLocal("k"); ok || c.Stats().HeldValues != 0 {
			t.Error("a late load was stored")
		}
	})
}

func TestAfterClose(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], _ *memory) {
		src := newSource(0, "k", "v")
		cfg.Load, cfg.SharedCheck = src.load, cfg.Hold.MaxBytes >= 0
		c := open(t, cfg)
		synctest.Wait()
		want(t, c, "k", "v")
		for range 3 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		ctx := t.Context()
		_, get := c.Get(ctx, "k")
		_, with := c.GetWith(ctx, "k", src.load)
		_, many := c.GetMany(ctx, []string{"k"})
		_, none := c.GetMany(ctx, nil)
		_, refresh := c.Refresh(ctx, "k")
		for name, err := range map[string]error{
			"Get": get, "GetWith": with, "GetMany": many, "GetMany of nothing": none, "Refresh": refresh,
			"Set": c.Set(ctx, "k", "v"), "Delete": c.Delete(ctx, "k"), "Delete of nothing": c.Delete(ctx),
		} {
			if !errors.Is(err, sfcache.ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		if v, ok := c.Peek("k"); ok {
			t.Errorf("Peek after Close: %q", v)
		}
		if err := c.CheckShared(); cfg.SharedCheck && err != nil {
			t.Errorf("CheckShared after Close: %v", err)
		}
		if s := c.Stats(); s.Loads != 1 || s.HeldBytes != 0 {
			t.Errorf("stats after Close: %+v", s)
		}
	})
}

// Close while many come and go: nobody hangs, and nobody sees another error.
func TestCloseUnderLoad(t *testing.T) {
	for range 50 {
		c, err := sfcache.New(sfcache.Config[string]{
			TTL: time.Millisecond, Local: local,
			Load: func(_ context.Context, key string) (string, error) { runtime.Gosched(); return key, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		for i := range 4 {
			go func() {
				defer func() { done <- struct{}{} }()
				for {
					var err error
					if i%2 == 0 {
						_, err = c.Get(t.Context(), "k")
					} else {
						_, err = c.GetMany(t.Context(), []string{"k", "l", "m"})
					}
					if errors.Is(err, sfcache.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		for range 100 {
			runtime.Gosched()
		}
		_ = c.Close()
		for range 4 {
			<-done
		}
	}
}
