package sfcache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// slowFill makes m take d for each fill, before it does anything, from now on.
type slowFill struct {
	*memory
	d atomic.Int64
}

func (s *slowFill) Fill(ctx context.Context, entries []sfcache.Entry) ([]bool, error) {
	if d := time.Duration(s.d.Load()); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.memory.Fill(ctx, entries)
}

// behind runs f in a bubble with a cache whose fills take 100 ms.
func behind(t *testing.T, change func(*sfcache.Config[string]), f func(t *testing.T, c *sfcache.Cache[string], cfg sfcache.Config[string], m *slowFill, src *source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, src := &slowFill{memory: newMemory()}, newSource(0, "k", "old")
		cfg := all(m.memory)["every"]
		cfg.Remote, cfg.Load = m, src.load
		m.d.Store(int64(100 * ms))
		if change != nil {
			change(&cfg)
		}
		c := open(t, cfg)
		synctest.Wait()
		f(t, c, cfg, m, src)
	})
}

// Callers wait for a fill where they would find nothing afterwards, and nowhere
// else.
func TestWhoWaitsForAFill(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*sfcache.Config[string])
		key    string
		waits  time.Duration
	}{
		"hold":      {nil, "k", 0},
		"absence":   {func(cfg *sfcache.Config[string]) { cfg.NegativeTTL = time.Minute }, "none", 0},
		"off":       {func(cfg *sfcache.Config[string]) { cfg.Hold = off }, "k", 100 * ms},
		"too large": {func(cfg *sfcache.Config[string]) { cfg.Hold.MaxBytes = 1 }, "k", 100 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			behind(t, tt.change, func(t *testing.T, c *sfcache.Cache[string], _ sfcache.Config[string], m *slowFill, src *source) {
				get := func() {
					if v, err := c.Get(t.Context(), tt.key); v != "old" && !errors.Is(err, sfcache.ErrNotFound) {
						t.Errorf("%q, %v", v, err)
					}
				}
				if d := took(get); d != tt.waits {
					t.Errorf("the caller waited %s, want %s", d, tt.waits)
				}
				get() // who comes next loads nothing
				wantLoads(t, src, 1)
				time.Sleep(101 * ms)
				if _, ok := m.value("t:" + tt.key); !ok {
					t.Error("Remote does not have it")
				}
				if _, ok := c.InLocal(tt.key); !ok {
					t.Error("Local does not have it")
				}
				if s := c.Stats(); s.Refused != 0 || s.Loads != 1 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// A value that the hold lost before the byte tiers had it is not loaded again.
func TestPushedOutBehind(t *testing.T) {
	behind(t, func(cfg *sfcache.Config[string]) { cfg.Local = sfcache.Local{} }, func(t *testing.T, c *sfcache.Cache[string], _ sfcache.Config[string], _ *slowFill, src *source) {
		want(t, c, "k", "old")
		c.Unhold("k")
		want(t, c, "k", "old")
		if got, err := c.GetMany(t.Context(), []string{"k"}); got["k"] != "old" || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		wantLoads(t, src, 1)
		time.Sleep(101 * ms)
		want(t, c, "k", "old") // from Remote
		wantLoads(t, src, 1)
	})
}

// A write of this process ends what is behind, whatever it is at: the codec or
// the fill.
func TestWriteBehind(t *testing.T) {
	for name, set := range map[string]bool{"delete": false, "set": true} {
		for _, at := range []string{"encode", "fill"} {
			t.Run(name+" during "+at, func(t *testing.T) {
				slow := func(cfg *sfcache.Config[string]) {
					cfg.Codec = sfcache.JSON[string]()
					encode := cfg.Codec.Encode
					cfg.Codec.Encode = func(v string) ([]byte, error) {
						if v == "old" && at == "encode" {
							time.Sleep(100 * ms)
						}
						return encode(v)
					}
				}
				behind(t, slow, func(t *testing.T, c *sfcache.Cache[string], cfg sfcache.Config[string], m *slowFill, src *source) {
					if d := took(func() { want(t, c, "k", "old") }); d != 0 {
						t.Errorf("the caller waited %s", d)
					}
					time.Sleep(50 * ms)
					src.set("k", "new")
					var wants []string
					var err error
					if set {
						err = c.Set(t.Context(), "k", "new")
						wants = stored(c, cfg, m.memory)
						if len(wants) != 3 {
							t.Errorf("after Set the tiers have %q", wants)
						}
					} else {
						err = c.Delete(t.Context(), "k")
					}
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(500 * ms)
					if where := stored(c, cfg, m.memory); fmt.Sprint(where) != fmt.Sprint(wants) {
						t.Errorf("later the tiers have %q, want %q", where, wants)
					}
					if n := c.Stats().Refused; n != 1 {
						t.Errorf("Refused is %d", n)
					}
					want(t, c, "k", "new")
				})
			})
		}
	}
}

// Another process writes, and its message is lost: the refused fill tells.
func TestRefusedBehind(t *testing.T) {
	behind(t, nil, func(t *testing.T, c *sfcache.Cache[string], cfg sfcache.Config[string], m *slowFill, src *source) {
		want(t, c, "k", "old")
		time.Sleep(50 * ms)
		src.set("k", "new")
		if err := m.Delete(t.Context(), []string{"t:k"}, c.ID()); err != nil { // c takes the message for its own
			t.Fatal(err)
		}
		want(t, c, "k", "old")
		time.Sleep(51 * ms)
		if where := stored(c, cfg, m.memory); where != nil {
			t.Errorf("after the refusal the tiers have %q", where)
		}
		if n := c.Stats().Refused; n != 1 {
			t.Errorf("Refused is %d", n)
		}
		want(t, c, "k", "new")
	})
}

// What a newer flight has stored stays, when the fill of the older one is
// refused after that, or its codec is slower.
func TestNewerFlightIsNotOverwritten(t *testing.T) {
	var encodes atomic.Int64
	slow := func(cfg *sfcache.Config[string]) {
		cfg.Codec = sfcache.JSON[string]()
		encode := cfg.Codec.Encode
		cfg.Codec.Encode = func(v string) ([]byte, error) {
			if v == "old" && encodes.Add(1) == 1 {
				time.Sleep(300 * ms)
			}
			return encode(v)
		}
	}
	for name, change := range map[string]func(*sfcache.Config[string]){"fill": nil, "codec": slow} {
		t.Run(name, func(t *testing.T) {
			behind(t, change, func(t *testing.T, c *sfcache.Cache[string], cfg sfcache.Config[string], m *slowFill, src *source) {
				want(t, c, "k", "old")
				synctest.Wait()
				m.d.Store(0)
				src.set("k", "new")
				if v, err := c.Refresh(t.Context(), "k"); v != "new" || err != nil {
					t.Errorf("Refresh: %q, %v", v, err)
				}
				now := stored(c, cfg, m.memory)
				time.Sleep(time.Second)
				if where := stored(c, cfg, m.memory); len(now) != 3 || fmt.Sprint(where) != fmt.Sprint(now) {
					t.Errorf("the tiers had %q and then %q", now, where)
				}
				want(t, c, "k", "new")
				wantLoads(t, src, 2)
			})
		})
	}
}

// Close waits for what is behind, which still gives its lease back.
func TestCloseWaitsForWhatIsBehind(t *testing.T) {
	behind(t, func(cfg *sfcache.Config[string]) { cfg.Lease = 9 * time.Second }, func(t *testing.T, c *sfcache.Cache[string], cfg sfcache.Config[string], m *slowFill, _ *source) {
		want(t, c, "k", "old")
		time.Sleep(30 * ms)
		if d := took(func() { _ = c.Close() }); d != 70*ms {
			t.Errorf("Close took %s, want the 70ms that were left", d)
		}
		if where := stored(c, cfg, m.memory); len(where) != 1 || m.tokensOut() != 0 {
			t.Errorf("%q is stored, want what is in Remote; %d leases are taken", where, m.tokensOut())
		}
	})
}

// The callers are gone when the value is stored, and it is stored all the same;
// a fill that hangs ends with RemoteTimeout.
func TestBehindOutlivesCallers(t *testing.T) {
	behind(t, func(cfg *sfcache.Config[string]) { cfg.LoadTimeout = 50 * ms }, func(t *testing.T, c *sfcache.Cache[string], _ sfcache.Config[string], m *slowFill, src *source) {
		ctx, cancel := context.WithCancel(t.Context())
		if v, err := c.Get(ctx, "k"); v != "old" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
		cancel()
		time.Sleep(101 * ms)
		if _, ok := m.value("t:k"); !ok || c.Stats().RemoteErrors != 0 {
			t.Errorf("nothing was stored: %+v", c.Stats())
		}
		m.d.Store(int64(time.Hour))
		src.set("hangs", "v")
		if d := took(func() { want(t, c, "hangs", "v") }); d != 0 {
			t.Errorf("a caller waited %s for a fill that hangs", d)
		}
		time.Sleep(251 * ms)
		if n := c.Stats().RemoteErrors; n != 1 {
			t.Errorf("%d errors after RemoteTimeout, want 1", n)
		}
	})
}

// However what is behind ends, the lease is given back and the caller has its
// value.
func TestLeaseIsGivenBackBehind(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":  func() error { return errors.New("not a list") },
		"panic":  func() error { panic("no such field") },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			bad := func(cfg *sfcache.Config[string]) {
				cfg.Lease = 9 * time.Second
				cfg.Codec = sfcache.JSON[string]()
				cfg.Codec.Encode = func(string) ([]byte, error) { return nil, fail() }
			}
			behind(t, bad, func(t *testing.T, c *sfcache.Cache[string], _ sfcache.Config[string], m *slowFill, src *source) {
				want(t, c, "k", "old")
				if n := m.tokensOut(); n != 1 {
					t.Errorf("%d leases are taken, want 1", n)
				}
				time.Sleep(101 * ms)
				if n := m.tokensOut(); n != 0 {
					t.Errorf("%d leases are still taken", n)
				}
				want(t, c, "k", "old")
				wantLoads(t, src, 1)
			})
		})
	}
}

// A panic of Observe, behind, ends no process and is logged.
func TestPanicBehind(t *testing.T) {
	change := func(cfg *sfcache.Config[string]) {
		cfg.Lease = 9 * time.Second
		cfg.Codec = sfcache.JSON[string]()
		cfg.Codec.Encode = func(string) ([]byte, error) { return nil, errors.New("not a list") }
		cfg.Observe = func(e sfcache.Event) {
			if e.Kind == sfcache.EventEncode {
				panic("observer")
			}
		}
	}
	behind(t, change, func(t *testing.T, c *sfcache.Cache[string], _ sfcache.Config[string], m *slowFill, _ *source) {
		want(t, c, "k", "old")
		time.Sleep(101 * ms)
		if n := m.tokensOut(); n != 0 {
			t.Errorf("%d leases are still taken", n)
		}
		want(t, c, "k", "old")
	})
}

// When messages may be lost, what is behind is trusted no more than what is
// stored. Its lease is given back.
func TestMissedBehind(t *testing.T) {
	change := func(cfg *sfcache.Config[string]) {
		cfg.Lease = 9 * time.Second
		cfg.Codec = sfcache.JSON[string]()
		encode := cfg.Codec.Encode
		cfg.Codec.Encode = func(v string) ([]byte, error) { time.Sleep(500 * ms); return encode(v) }
	}
	behind(t, change, func(t *testing.T, c *sfcache.Cache[string], cfg sfcache.Config[string], m *slowFill, src *source) {
		want(t, c, "k", "old")
		src.set("k", "new")
		m.breakOff()
		time.Sleep(400 * ms) // it listens again
		if n := c.Stats().Missed; n != 1 {
			t.Errorf("%d missed, want 1", n)
		}
		time.Sleep(300 * ms)
		if where := stored(c, cfg, m.memory); where != nil || m.tokensOut() != 0 {
			t.Errorf("the tiers have %q; %d leases are taken", where, m.tokensOut())
		}
		want(t, c, "k", "new")
	})
}

// Local and Remote have a lifetime each, and what is stored raw has no header.
func TestHeadersBehind(t *testing.T) {
	for name, raw := range map[string]bool{"ours": false, "raw": true} {
		t.Run(name, func(t *testing.T) {
			change := func(cfg *sfcache.Config[string]) {
				cfg.Local.TTL, cfg.Jitter, cfg.Raw = 10*time.Second, -1, raw
			}
			behind(t, change, func(t *testing.T, c *sfcache.Cache[string], cfg sfcache.Config[string], m *slowFill, _ *source) {
				began := time.Now()
				want(t, c, "k", "old")
				time.Sleep(101 * ms)
				check := func(where string, b []byte, life time.Duration) {
					h, payload, err := sfcache.Open(b)
					if err != nil || string(payload) != `"old"` || !h.Fresh.Equal(began.Add(life)) {
						t.Errorf("%s: %q, fresh for %s, %v; want %s", where, payload, h.Fresh.Sub(began), err, life)
					}
				}
				b, _ := c.InLocal("k")
				check("Local", b, cfg.Local.TTL)
				if !raw {
					b, _ = m.value("t:k")
					check("Remote", b, cfg.TTL)
				} else if b, _ = m.value("k"); string(b) != `"old"` {
					t.Errorf("Remote has %q, want the codec's bytes alone", b)
				}
			})
		})
	}
}
