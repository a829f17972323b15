package sfcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// events collects what Observe is told.
type events struct {
	mu  sync.Mutex // protects all
	all []sfcache.Event
}

func (e *events) note(ev sfcache.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) of(kind sfcache.EventKind) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == kind {
			n++
		}
	}
	return n
}

// Bytes that cannot be decoded are a miss, once: counted, told, and replaced by
// what the loader returns.
func TestUndecodable(t *testing.T) {
	fresh := sfcache.Header{Fresh: time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)} // a bubble's clock starts the day before
	for name, b := range map[string][]byte{
		"not ours":   []byte("something else"),
		"cut":        sfcache.Wrap(fresh, []byte(`"v"`))[:22],
		"not JSON":   sfcache.Wrap(fresh, []byte(`{"v`)),
		"panics":     sfcache.Wrap(fresh, []byte(`"panic"`)),
		"empty":      {},
		"no payload": sfcache.Wrap(fresh, nil),
	} {
		for _, tier := range []string{"local", "remote", "many"} {
			t.Run(name+" in "+tier, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, src, seen := newMemory(), newSource(0, "k", "v"), &events{}
					codec := sfcache.JSON[string]()
					decode := codec.Decode
					codec.Decode = func(b []byte) (string, error) {
						v, err := decode(b)
						if v == "panic" {
							panic("unknown version")
						}
						return v, err
					}
					cfg := sfcache.Config[string]{TTL: time.Minute, Hold: off, Local: local, Codec: codec, Load: src.load, Observe: seen.note}
					if tier != "local" {
						cfg.Local, cfg.Remote, cfg.Name = sfcache.Local{}, m, "t"
					}
					c := open(t, cfg)
					synctest.Wait()
					if tier == "local" {
						if err := c.SetLocal("k", b); err != nil {
							t.Fatal(err)
						}
					} else {
						m.put("t:k", b, time.Hour)
					}
					if tier == "many" {
						got, err := c.GetMany(t.Context(), []string{"k"})
						if got["k"] != "v" || err != nil {
							t.Errorf("GetMany: %v, %v", got, err)
						}
					}
					for range 3 {
						want(t, c, "k", "v")
					}
					if n := c.Stats().Undecodable; n != 1 || seen.of(sfcache.EventUndecodable) != 1 {
						t.Errorf("counted %d times, told %d times, want once", n, seen.of(sfcache.EventUndecodable))
					}
					wantLoads(t, src, 1)
				})
			})
		}
	}
}

// A value that Local refuses is served, counted, and logged once; what was
// there before goes.
func TestOversizeLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		big := strings.Repeat("x", 2000) // a freecache of 1 MiB takes entries up to 1000 bytes
		src, seen := newSource(0, "k", "small"), &events{}
		c := open(t, sfcache.Config[string]{
			Name: "lists", TTL: time.Minute, Hold: off, Local: local, Load: src.load,
			Observe: seen.note, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		want(t, c, "k", "small")
		src.set("k", big)
		if _, err := c.Refresh(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if b, ok := c.InLocal("k"); ok {
			t.Errorf("Local has %d bytes of the older value", len(b))
		}
		for range 4 {
			want(t, c, "k", big)
		}
		s := c.Stats()
		if s.Oversize != 5 || seen.of(sfcache.EventOversize) != 5 || s.Loads != 6 {
			t.Errorf("oversize %d, told %d, loads %d; want 5, 5 and 6", s.Oversize, seen.of(sfcache.EventOversize), s.Loads)
		}
		if n := strings.Count(log.String(), "too large for Local"); n != 1 || !strings.Contains(log.String(), "want_local_bytes=2097152") && !strings.Contains(log.String(), "want_local_bytes=") {
			t.Errorf("logged %d times, want once with what to do:\n%s", n, log.String())
		}
	})
}

// The size that the log and New ask for is enough.
func TestLocalBytesAskedForAreEnough(t *testing.T) {
	for _, n := range []int{100, 2000, 10_000, 600_000} {
		value := strings.Repeat("x", n)
		cfg := sfcache.Config[string]{TTL: time.Minute, Hold: off, Local: sfcache.Local{Bytes: 512 << 10, MaxValue: n + 3}}
		_, err := sfcache.New(cfg)
		if n > 500 {
			if err == nil {
				t.Fatalf("%d: New does not refuse what it can see", n)
			}
			var is, least, got, most int
			msg := err.Error()[strings.Index(err.Error(), "Local.MaxValue"):]
			if _, err := fmt.Sscanf(msg, "Local.MaxValue is %d, and a freecache of %d bytes refuses entries over %d: set Local.Bytes to at least %d", &is, &got, &most, &least); err != nil {
				t.Fatalf("%s: %v", msg, err)
			}
			cfg.Local.Bytes = least
		}
		if n == 600_000 && testing.Short() {
			continue
		}
		c := open(t, cfg)
		if err := c.Set(t.Context(), "k", value); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.InLocal("k"); !ok || c.Stats().Oversize != 0 {
			t.Errorf("%d bytes are refused by a Local of %d", n, cfg.Local.Bytes)
		}
	}
}

func TestTooLargeForHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, seen := newSource(0, "k", "small"), &events{}
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Hold: sfcache.Hold[string]{MaxBytes: 1000}, Load: src.load, Observe: seen.note})
		want(t, c, "k", "small")
		src.set("k", strings.Repeat("x", 2000))
		if _, err := c.Refresh(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if v, ok := c.Peek("k"); ok {
			t.Errorf("the hold still has %q", v)
		}
		if s := c.Stats(); s.TooLarge != 1 || s.HeldBytes != 0 || s.HeldValues != 0 || seen.of(sfcache.EventOversize) != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestClone(t *testing.T) {
	inBytes := sfcache.Config[[]int]{
		TTL: time.Minute, SharedCheck: true, Local: local,
		Clone: func(v []int) []int { return append([]int(nil), v...) },
		Load:  func(_ context.Context, _ string) ([]int, error) { return []int{1, 2, 3}, nil },
	}
	c := open(t, inBytes)
	spoil := func(v []int, err error) {
		if err != nil || len(v) != 3 || v[0] != 1 {
			t.Errorf("got %v, %v, want an untouched copy", v, err)
			return
		}
		v[0] = 99
	}
	for range 2 {
		spoil(c.Get(t.Context(), "k"))
		spoil(c.GetWith(t.Context(), "k", inBytes.Load))
		many, err := c.GetMany(t.Context(), []string{"k"})
		spoil(many["k"], err)
		spoil(c.Refresh(t.Context(), "k"))
		v, _ := c.Peek("k")
		spoil(v, nil)
	}
	mine := []int{1, 2, 3}
	if err := c.Set(t.Context(), "k", mine); err != nil {
		t.Fatal(err)
	}
	mine[0] = 99
	spoil(c.Get(t.Context(), "k"))
	if err := c.CheckShared(); err != nil {
		t.Error(err)
	}
}

func TestCheckSharedFindsMutation(t *testing.T) {
	type list struct{ Names []string }
	c := open(t, sfcache.Config[*list]{
		TTL: time.Minute, SharedCheck: true,
		Load: func(_ context.Context, key string) (*list, error) { return &list{[]string{key}}, nil },
	})
	for _, key := range []string{"a", "b", "c"} {
		if _, err := c.Get(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.CheckShared(); err != nil {
		t.Errorf("nobody changed anything: %v", err)
	}
	v, _ := c.Get(t.Context(), "b")
	v.Names[0] = "changed"
	var k *sfcache.KeyError
	if err := c.CheckShared(); !errors.As(err, &k) || k.Key != "b" || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("got %v, want a KeyError of b alone", err)
	}
	plain := open(t, sfcache.Config[int]{TTL: time.Minute})
	if err := plain.CheckShared(); err == nil {
		t.Error("CheckShared without SharedCheck says nothing")
	}
}

// Raw mode shares keys with programs that know nothing of sfcache.
func TestRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0, "k", "loaded")
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Jitter: -1, NegativeTTL: time.Minute, Stale: time.Minute, Hold: off, Remote: m, Raw: true, Load: src.load})
		synctest.Wait()
		m.put("theirs", []byte(`"from elsewhere"`), time.Hour)
		want(t, c, "theirs", "from elsewhere")
		want(t, c, "k", "loaded")
		if b, _ := m.value("k"); string(b) != `"loaded"` {
			t.Errorf("stored %q, want the codec's bytes alone", b)
		}
		if _, err := c.Get(t.Context(), "none"); !errors.Is(err, sfcache.ErrNotFound) {
			t.Error(err)
		}
		if b, ok := m.value("none"); ok {
			t.Errorf("absence is stored as %q", b)
		}
		time.Sleep(time.Minute + ms)
		src.set("k", "again")
		want(t, c, "k", "again")
	})
}

// A raw key's expiry is the end of its freshness in the local tiers too, and
// TTL is the most.
func TestRawExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, src := newMemory(), newSource(0, "short", "new", "long", "new")
		c := open(t, sfcache.Config[string]{TTL: time.Minute, Jitter: -1, Local: local, Remote: m, Raw: true, Load: src.load})
		synctest.Wait()
		m.put("short", []byte(`"old"`), time.Second)
		m.put("long", []byte(`"old"`), time.Hour)
		want(t, c, "short", "old")
		want(t, c, "long", "old")
		m.put("long", []byte(`"changed"`), time.Hour)
		time.Sleep(time.Second + 200*ms)
		want(t, c, "short", "new")
		want(t, c, "long", "old")
		time.Sleep(time.Minute)
		want(t, c, "long", "changed")
	})
}

// What a process with a longer TTL stored is kept here for this one's.
func TestOthersTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		c := open(t, sfcache.Config[string]{Name: "t", TTL: time.Minute, Jitter: -1, Local: local, Remote: m, Load: newSource(0).load})
		synctest.Wait()
		theirs := sfcache.Header{Fresh: time.Now().Add(time.Hour)}
		m.put("t:k", sfcache.Wrap(theirs, []byte(`"old"`)), time.Hour)
		want(t, c, "k", "old")
		m.put("t:k", sfcache.Wrap(theirs, []byte(`"new"`)), time.Hour)
		time.Sleep(59 * time.Second)
		want(t, c, "k", "old")
		time.Sleep(2 * time.Second)
		want(t, c, "k", "new")
	})
}
