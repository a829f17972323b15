package sfcache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// during starts a Get whose load takes 100 ms, runs write in the middle of it,
// and returns what the Get got.
func during(t *testing.T, c *sfcache.Cache[string], write func()) string {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		v, err := c.Get(t.Context(), "k")
		if err != nil {
			t.Error(err)
		}
		got <- v
	}()
	time.Sleep(50 * ms)
	write()
	return <-got
}

// stored is what the tiers have of k.
func stored(c *sfcache.Cache[string], cfg sfcache.Config[string], m *memory) (where []string) {
	if v, ok := c.Peek("k"); ok {
		where = append(where, "hold "+v)
	}
	if cfg.Local.Bytes > 0 {
		if b, ok := c.InLocal("k"); ok {
			where = append(where, fmt.Sprintf("local %q", b))
		}
	}
	if b, ok := m.value("t:k"); ok {
		where = append(where, fmt.Sprintf("remote %q", b))
	}
	return where
}

func TestDeleteDuringLoad(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		src := newSource(100*ms, "k", "old")
		cfg.Load = src.load
		c := open(t, cfg)
		synctest.Wait()
		got := during(t, c, func() {
			src.set("k", "new")
			if err := c.Delete(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		})
		if got != "old" {
			t.Errorf("the waiter got %q, want what its load read", got)
		}
		time.Sleep(10 * ms)
		if where := stored(c, cfg, m); where != nil {
			t.Errorf("the load was stored: %q", where)
		}
		if n := c.Stats().Refused; n != 1 {
			t.Errorf("Refused is %d", n)
		}
		want(t, c, "k", "new")
		wantLoads(t, src, 2)
	})
}

// The same when another process deletes, and its message is lost.
func TestDeleteElsewhereDuringLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		src := newSource(100*ms, "k", "old")
		cfg := all(m)["every"]
		cfg.Load = src.load
		a, b := open(t, cfg), open(t, cfg)
		synctest.Wait()
		got := during(t, a, func() {
			src.set("k", "new")
			m.set(func() { m.watchers = nil })
			if err := b.Delete(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // until Remote has refused it
		if where := stored(a, cfg, m); got != "old" || where != nil {
			t.Errorf("got %q, stored %q", got, where)
		}
		want(t, a, "k", "new")
		want(t, b, "k", "new")
	})
}

func TestSetDuringLoad(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		src := newSource(100*ms, "k", "old")
		cfg.Load = src.load
		c := open(t, cfg)
		synctest.Wait()
		got := during(t, c, func() {
			src.set("k", "new")
			if err := c.Set(t.Context(), "k", "new"); err != nil {
				t.Error(err)
			}
			want(t, c, "k", "new")
		})
		if got != "old" {
			t.Errorf("the waiter got %q, want what its load read", got)
		}
		want(t, c, "k", "new")
		wantLoads(t, src, 1)
		if where := stored(c, cfg, m); slices.ContainsFunc(where, func(s string) bool { return strings.Contains(strings.TrimPrefix(s, "hold"), "old") }) {
			t.Errorf("the tiers have %q", where)
		}
	})
}

func TestDeleteDuringDecode(t *testing.T) {
	for name, hold := range map[string]sfcache.Hold[string]{"hold": {}, "off": off} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(0, "k", "old")
				codec, slow := slowCodec()
				c := open(t, sfcache.Config[string]{TTL: time.Minute, Hold: hold, Local: local, Codec: codec, Load: src.load})
				want(t, c, "k", "old")
				synctest.Wait() // until Local has it
				c.Unhold("k")
				slow.Store(int64(100 * ms))
				got := during(t, c, func() {
					slow.Store(0)
					src.set("k", "new")
					if err := c.Delete(t.Context(), "k"); err != nil {
						t.Error(err)
					}
					want(t, c, "k", "new") // joins no decode of what was deleted
				})
				if got != "old" {
					t.Errorf("the decode gave %q", got)
				}
				want(t, c, "k", "new")
			})
		})
	}
}

// Forgetting everything ends decodes that are under way too.
func TestMissedDuringDecode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		src := newSource(0, "k", "old")
		codec, slow := slowCodec()
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Name: "t", Remote: m, Hold: off, Local: local, Codec: codec, Load: src.load})
		synctest.Wait()
		want(t, c, "k", "old")
		slow.Store(int64(time.Second))
		got := during(t, c, func() {
			slow.Store(0)
			src.set("k", "new")
			m.set(func() { delete(m.values, "t:k") }) // by another process, while nobody listened
			m.breakOff()
			time.Sleep(200 * ms)
			want(t, c, "k", "new")
		})
		if got != "old" {
			t.Errorf("the decode gave %q", got)
		}
	})
}

func TestSetAndDeleteReachEveryTier(t *testing.T) {
	inAll(t, func(t *testing.T, cfg sfcache.Config[string], m *memory) {
		src := newSource(0, "k", "source")
		cfg.Load = src.load
		c := open(t, cfg)
		synctest.Wait()
		for _, v := range []string{"one", "two"} {
			if err := c.Set(t.Context(), "k", v); err != nil {
				t.Fatal(err)
			}
			want(t, c, "k", v)
			c.Unhold("k")
			if cfg.Local.Bytes > 0 || cfg.Remote != nil {
				want(t, c, "k", v)
			}
		}
		if err := c.Delete(t.Context(), "k", "k", "other"); err != nil {
			t.Fatal(err)
		}
		if where := stored(c, cfg, m); where != nil {
			t.Errorf("after Delete: %q", where)
		}
		want(t, c, "k", "source")
		wantLoads(t, src, 1)
		if err := c.Delete(t.Context()); err != nil {
			t.Errorf("Delete of nothing: %v", err)
		}
	})
}

// What a Set cannot encode must not leave its predecessor anywhere.
func TestSetOfWhatCannotBeEncoded(t *testing.T) {
	for name, fail := range map[string]func(){"error": nil, "panic": func() { panic("no such field") }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				codec := sfcache.JSON[string]()
				encode := codec.Encode
				codec.Encode = func(v string) ([]byte, error) {
					if v == "bad" && fail != nil {
						fail()
					}
					if v == "bad" {
						return nil, errors.New("not a list")
					}
					return encode(v)
				}
				src := newSource(0, "k", "bad")
				cfg := all(m)["every"]
				cfg.Codec, cfg.Load = codec, src.load
				c := open(t, cfg)
				synctest.Wait()
				if err := c.Set(t.Context(), "k", "old"); err != nil {
					t.Fatal(err)
				}
				if err := c.Set(t.Context(), "k", "bad"); err == nil {
					t.Error("Set of what cannot be encoded: no error")
				}
				if where := stored(c, cfg, m); where != nil {
					t.Errorf("the tiers have %q", where)
				}
				want(t, c, "k", "bad") // the loader's value reaches callers and the hold
				want(t, c, "k", "bad")
				wantLoads(t, src, 1)
				synctest.Wait()
				if n := c.Stats().EncodeErrors; n != 2 {
					t.Errorf("EncodeErrors is %d, want 2", n)
				}
			})
		})
	}
}

// Another process writes after us, and its message comes before our answer:
// ours must not put the older value over it.
func TestSetOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		cfg := all(m)["every"]
		cfg.Load = newSource(0).load
		a, b := open(t, cfg), open(t, cfg)
		synctest.Wait()
		first := true
		m.after = func(op string, _ []string) {
			if op == "set" && first {
				first = false
				if err := b.Set(t.Context(), "k", "newer"); err != nil {
					t.Error(err)
				}
			}
		}
		if err := a.Set(t.Context(), "k", "older"); err != nil {
			t.Error(err)
		}
		want(t, a, "k", "newer")
		want(t, b, "k", "newer")
	})
}

// Who waits for its turn to write leaves on time, and forgets the value.
func TestWriterLeavesInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		cfg := all(m)["every"]
		cfg.Load, cfg.RemoteTimeout = newSource(0).load, time.Second
		c := open(t, cfg)
		synctest.Wait()
		m.set(func() { m.answers = 500 * ms })
		go func() { _ = c.Set(t.Context(), "k", "slow") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 30*ms)
		defer cancel()
		for name, write := range map[string]func() error{
			"set":    func() error { return c.Set(ctx, "k", "late") },
			"delete": func() error { return c.Delete(ctx, "j", "k") },
		} {
			var err error
			if d := took(func() { err = write() }); !errors.Is(err, context.DeadlineExceeded) || d > 30*ms {
				t.Errorf("%s waited %s and returned %v", name, d, err)
			}
		}
		time.Sleep(time.Second)
	})
}

func TestSetTellsWhenRemoteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		src := newSource(0, "k", "source")
		cfg := all(m)["every"]
		cfg.Load = src.load
		c := open(t, cfg)
		synctest.Wait()
		want(t, c, "k", "source")
		down := errors.New("connection refused")
		m.set(func() { m.err = down })
		if err := c.Set(t.Context(), "k", "v"); !errors.Is(err, down) {
			t.Errorf("Set: %v", err)
		}
		if _, ok := c.Peek("k"); ok {
			t.Error("the hold has a value although the write failed")
		}
		if err := c.Delete(t.Context(), "k"); !errors.Is(err, down) {
			t.Errorf("Delete: %v", err)
		}
	})
}
