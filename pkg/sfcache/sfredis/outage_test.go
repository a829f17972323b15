package sfredis_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
	"github.com/profbot/profbot/pkg/sfcache/sfredis/redistest"
)

// TestSubscriberKilled takes the subscriber's connection away while another
// process writes in silence: as if its message had been lost.
func TestSubscriberKilled(t *testing.T) {
	c := client(t, redistest.Start(t))
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{
		Local: sfcache.Local{Bytes: 1 << 20},
		Load:  func(context.Context, string) (item, error) { return item{1}, nil },
	})
	silent := open(t, sfredis.New(c, sfredis.Options{NoMessages: true}), sfcache.Config[item]{})
	for lost := 1; lost <= 3; lost++ {
		old := get(t, cache, "k")
		eventually(t, "it is in Redis", func() bool { return c.Exists(t.Context(), "items:k").Val() == 1 })
		if err := silent.Set(t.Context(), "k", item{old + 1}); err != nil {
			t.Fatal(err)
		}
		if n := get(t, cache, "k"); n != old {
			t.Fatalf("got %d from the hold, want %d: was there a message?", n, old)
		}
		if n := c.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Val(); n != 1 {
			t.Fatalf("%d connections were killed, want 1", n)
		}
		eventually(t, "the cache knows", func() bool { return cache.Stats().Missed == int64(lost) })
		if n := get(t, cache, "k"); n != old+1 {
			t.Errorf("got %d, want what was written meanwhile, %d", n, old+1)
		}
	}
}

// traffic calls Get until stop, which returns the longest call.
func traffic(t *testing.T, c *sfcache.Cache[item]) (stop func() time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var longest atomic.Int64
	for g := range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				n := g*1000 + i%7
				began := time.Now()
				v, err := c.Get(context.Background(), strconv.Itoa(n))
				took := time.Since(began)
				if err != nil || v.N != n {
					t.Errorf("Get(%d): %d, %v", n, v.N, err)
					return
				}
				longest.Store(max(longest.Load(), int64(took)))
			}
		})
	}
	return func() time.Duration {
		cancel()
		all.Wait()
		return time.Duration(longest.Load())
	}
}

// echo loads the number that a key is.
func echo(_ context.Context, key string) (item, error) {
	n, err := strconv.Atoi(key)
	return item{n}, err
}

// off turns the hold off, so that every Get asks Redis.
var off = sfcache.Hold[item]{MaxBytes: -1}

// TestOutage takes Redis away under load, by several means.
func TestOutage(t *testing.T) {
	for _, tc := range []struct {
		name      string
		ctx       bool // ContextTimeoutEnabled
		down, up  func(s *redistest.Server)
		forgetful bool
	}{
		{"killed", true, (*redistest.Server).Kill, (*redistest.Server).Restart, true},
		{"stopped", false, (*redistest.Server).Stop, (*redistest.Server).Restart, true},
		{"paused", true, (*redistest.Server).Pause, (*redistest.Server).Resume, false},
		{"paused, and the client heeds no context", false, (*redistest.Server).Pause, (*redistest.Server).Resume, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := redistest.Start(t)
			c := clientOf(t, &redis.Options{Addr: s.Addr, ContextTimeoutEnabled: tc.ctx, ReadTimeout: 15 * time.Second})
			const timeout = 500 * time.Millisecond
			cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Hold: off, RemoteTimeout: timeout, Load: echo})
			stop := traffic(t, cache)
			hits := func(what string) {
				t.Helper()
				before := cache.Stats().RemoteHits
				eventually(t, what, func() bool { return cache.Stats().RemoteHits > before+100 })
			}
			hits("Redis serves")
			tc.down(s)
			eventually(t, "errors are counted, and then Redis rests", func() bool {
				st := cache.Stats()
				return st.RemoteErrors >= 3 && st.RemoteRests > 100
			})
			before := cache.Stats().Loads
			eventually(t, "the loader serves", func() bool { return cache.Stats().Loads > before+100 })
			if err := cache.Delete(t.Context(), "1"); err == nil {
				t.Error("Delete said nothing of a Redis that could not be told")
			}
			tc.up(s)
			hits("Redis serves again, by itself")
			if tc.forgetful {
				eventually(t, "the local tiers were dropped", func() bool { return cache.Stats().Missed > 0 })
			}
			// A call is bounded by RemoteTimeout, not by the client's 15 s. The
			// rest is for a busy machine.
			if longest := stop(); longest > timeout+3*time.Second {
				t.Errorf("the longest Get took %s with a RemoteTimeout of %s", longest, timeout)
			}
		})
	}
}

// TestImpatientCallers all leave before RemoteTimeout: that Redis hangs is
// noticed all the same, and then they need not leave.
func TestImpatientCallers(t *testing.T) {
	s := redistest.Start(t)
	cache := open(t, sfredis.New(client(t, s), sfredis.Options{}), sfcache.Config[item]{Hold: off, RemoteTimeout: 100 * time.Millisecond, Load: echo})
	s.Pause()
	eventually(t, "a caller with 20 ms gets its value", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		v, err := cache.Get(ctx, "1")
		return err == nil && v.N == 1
	})
	if st := cache.Stats(); st.RemoteErrors < 3 {
		t.Errorf("%d errors counted, want 3 or more", st.RemoteErrors)
	}
}

// TestCloseOfHungRedis closes while the subscriber's connection is being made
// again, and Redis hangs.
func TestCloseOfHungRedis(t *testing.T) {
	s := redistest.Start(t)
	p := startProxy(t, s)
	c := clientOf(t, &redis.Options{Addr: p.addr, ReadTimeout: 10 * time.Second})
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Hold: off, RemoteTimeout: 100 * time.Millisecond, Load: echo})
	get(t, cache, "1")
	s.Pause()
	before := p.accepted.Load()
	p.closeAll()
	eventually(t, "it connects again", func() bool { return p.accepted.Load() > before })
	get(t, cache, "1")
	began := time.Now()
	cache.Close()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Close took %s", took)
	}
}

// TestSilence has a connection that is open and dead: the subscriber finds out.
func TestSilence(t *testing.T) {
	s := redistest.Start(t)
	c := clientOf(t, &redis.Options{Addr: s.Addr, ReadTimeout: time.Second})
	r := sfredis.New(c, sfredis.Options{})
	sfredis.SetQuiet(r, 50*time.Millisecond)
	cache := open(t, r, sfcache.Config[item]{Load: echo})
	pings := calls(t, c, "ping")
	eventually(t, "it has been tried, and was well", func() bool { return calls(t, c, "ping") > pings+5 })
	if st := cache.Stats(); st.RemoteErrors+st.Missed != 0 {
		t.Fatalf("an idle connection: %+v", st)
	}
	get(t, cache, "1")
	s.Pause()
	eventually(t, "the break is noticed", func() bool { return cache.Stats().RemoteErrors > 0 })
	s.Resume()
	eventually(t, "the local tiers were dropped", func() bool { return cache.Stats().Missed > 0 })
}

// TestCuts cuts connections anywhere, in the middle of answers too.
func TestCuts(t *testing.T) {
	s := redistest.Start(t)
	p := startProxy(t, s)
	c := clientOf(t, &redis.Options{Addr: p.addr, ContextTimeoutEnabled: true})
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Hold: off, RemoteTimeout: time.Second, Load: echo})
	stop := traffic(t, cache)
	p.cut(100, func() int { return rand.IntN(3000) })
	eventually(t, "many connections were cut", func() bool { return p.cuts.Load() > 50 })
	p.cut(-1, unlimited)
	before := cache.Stats().RemoteHits
	eventually(t, "Redis serves again", func() bool { return cache.Stats().RemoteHits > before+100 })
	stop()
	if n := cache.Stats().Undecodable; n != 0 {
		t.Errorf("%d values were half read", n)
	}
}

// TestLostAnswer loses the answer to the Fetch that took the lease. The client
// asks again, and the lease is its own.
func TestLostAnswer(t *testing.T) {
	s := redistest.Start(t)
	p := startProxy(t, s)
	r := remote{sfredis.New(clientOf(t, &redis.Options{Addr: p.addr}), sfredis.Options{}), t}
	r.token("other") // a connection is there, and the script is known
	p.cut(0, unlimited)
	token := r.token("k") // fails the test if it is not the owner
	if n := p.cuts.Load(); n != 1 {
		t.Fatalf("%d answers were lost, want 1", n)
	}
	r.fill(true, sfcache.Entry{Key: "k", Token: token, Value: []byte("v"), Life: time.Minute})
}

// TestNothingRuns looks at goroutines after Close; TestMain does once more,
// after all tests.
func TestNothingRuns(t *testing.T) {
	s := redistest.Start(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Local: sfcache.Local{Bytes: 1 << 20}, Load: echo})
	get(t, cache, "1")
	if _, err := cache.GetMany(t.Context(), []string{"1", "2"}); err != nil {
		t.Fatal(err)
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody listens", func() bool { return c.PubSubNumSub(t.Context(), "sfcache").Val()["sfcache"] == 0 })
	c.Close()
	s.Kill()
	if left := leftRunning(); left != "" {
		t.Errorf("still running:\n%s", left)
	}
}
