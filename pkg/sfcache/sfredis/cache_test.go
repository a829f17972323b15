package sfredis_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
	"github.com/profbot/profbot/pkg/sfcache/sfredis/redistest"
)

// calls is how often the server has run a command.
func calls(t *testing.T, c *redis.Client, command string) int {
	t.Helper()
	info, err := c.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`cmdstat_` + command + `:calls=(\d+)`).FindStringSubmatch(info)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGetManyIsOneRoundTrip(t *testing.T) {
	c := client(t, redistest.Start(t))
	r := sfredis.New(c, sfredis.Options{})
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	loadMany := func(_ context.Context, keys []string) (map[string]item, error) {
		got := map[string]item{}
		for _, k := range keys {
			got[k] = item{len(k)}
		}
		return got, nil
	}
	cold := open(t, r, sfcache.Config[item]{LoadMany: loadMany})
	if _, err := cold.GetMany(t.Context(), []string{"other"}); err != nil { // the server learns the scripts
		t.Fatal(err)
	}
	warm := open(t, r, sfcache.Config[item]{})
	for _, tc := range []struct {
		name  string
		cache *sfcache.Cache[item]
		want  int
	}{
		{"cold: look, store", cold, 2},
		{"held", cold, 0},
		{"in Redis: look", warm, 1},
	} {
		before := calls(t, c, "evalsha")
		got, err := tc.cache.GetMany(t.Context(), keys)
		if len(got) != len(keys) || err != nil {
			t.Errorf("%s: %d values, %v", tc.name, len(got), err)
		}
		if n := calls(t, c, "evalsha") - before; n != tc.want {
			t.Errorf("%s: %d calls of Redis, want %d", tc.name, n, tc.want)
		}
	}
	if n := calls(t, c, "eval"); n != 2 {
		t.Errorf("a script's text was sent %d times, want once for each", n)
	}
}

// TestWriteDuringLoad writes a key, in the loading process and in another,
// while its load is under way: who waits gets what was loaded, nobody else.
func TestWriteDuringLoad(t *testing.T) {
	for _, lease := range []time.Duration{0, 20 * time.Second} {
		for name, write := range map[string]func(c *sfcache.Cache[item]) error{
			"Set":    func(c *sfcache.Cache[item]) error { return c.Set(context.Background(), "k", item{2}) },
			"Delete": func(c *sfcache.Cache[item]) error { return c.Delete(context.Background(), "k") },
		} {
			for _, where := range []string{"here", "elsewhere", "elsewhere, in silence"} {
				t.Run(fmt.Sprint(name, " ", where, ", lease ", lease), func(t *testing.T) {
					c := client(t, redistest.Start(t))
					loading, finish := make(chan bool, 2), make(chan bool)
					var source atomic.Int64
					source.Store(1)
					cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Lease: lease, Load: func(context.Context, string) (item, error) {
						v := item{int(source.Load())}
						loading <- true
						<-finish
						return v, nil
					}})
					writer := cache
					if where != "here" {
						writer = open(t, sfredis.New(c, sfredis.Options{NoMessages: where != "elsewhere"}), sfcache.Config[item]{})
					}
					got := make(chan int)
					go func() { v, _ := cache.Get(context.Background(), "k"); got <- v.N }()
					<-loading
					source.Store(2)
					if err := write(writer); err != nil {
						t.Fatal(err)
					}
					finish <- true
					if n := <-got; n != 1 {
						t.Errorf("who waited got %d, want what was loaded", n)
					}
					eventually(t, "the load is refused", func() bool { return cache.Stats().Refused > 0 })
					if v, ok := cache.Peek("k"); ok && v.N == 1 {
						t.Error("the cache holds what was loaded before the write")
					}
					if n := cache.Stats().Refused; n != 1 {
						t.Errorf("%d loads refused, want 1", n)
					}
					close(finish)
					if n := get(t, cache, "k"); n != 2 {
						t.Errorf("the next Get got %d, want 2", n)
					}
					eventually(t, "it is in Redis", func() bool { return c.Exists(t.Context(), "items:k").Val() == 1 })
					if n := get(t, open(t, sfredis.New(c, sfredis.Options{NoMessages: true}), sfcache.Config[item]{}), "k"); n != 2 {
						t.Errorf("another process got %d from Redis, want 2", n)
					}
				})
			}
		}
	}
}

// TestInvalidation changes a value that another cache holds and has in Local.
func TestInvalidation(t *testing.T) {
	for _, kind := range []string{"one server", "cluster"} {
		t.Run(kind, func(t *testing.T) {
			var c redis.UniversalClient
			if kind == "cluster" {
				c = clusterClient(t, redistest.StartCluster(t))
			} else {
				c = client(t, redistest.Start(t))
			}
			var source atomic.Int64
			source.Store(1)
			cfg := sfcache.Config[item]{Local: sfcache.Local{Bytes: 1 << 20}, Load: func(context.Context, string) (item, error) {
				return item{int(source.Load())}, nil
			}}
			a, b := open(t, sfredis.New(c, sfredis.Options{}), cfg), open(t, sfredis.New(c, sfredis.Options{}), cfg)
			if x, y := get(t, a, "k"), get(t, b, "k"); x != 1 || y != 1 {
				t.Fatalf("%d and %d, want 1", x, y)
			}
			source.Store(2)
			if err := a.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the other cache has the new value", func() bool { return get(t, b, "k") == 2 })
			if n := get(t, a, "k"); n != 2 {
				t.Errorf("who deleted it has %d, want 2", n)
			}
			if err := b.Set(t.Context(), "k", item{3}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "and so it is the other way round", func() bool { return get(t, a, "k") == 3 })
			if n := get(t, b, "k"); n != 3 {
				t.Errorf("who set it has %d, want 3", n)
			}
			x, y := a.Stats(), b.Stats()
			if x.Invalidations != 1 || y.Invalidations != 1 || x.Missed+y.Missed != 0 {
				t.Errorf("%d and %d invalidations, %d missed; want 1 each, their own not counted", x.Invalidations, y.Invalidations, x.Missed+y.Missed)
			}
		})
	}
}

// TestReadFillPublishesNothing listens while values are read, loaded, refreshed
// and stored.
func TestReadFillPublishesNothing(t *testing.T) {
	c := client(t, redistest.Start(t))
	sub := c.Subscribe(t.Context(), "sfcache")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, lease := range []time.Duration{0, time.Second} {
		for range 2 {
			cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Lease: lease, Load: func(context.Context, string) (item, error) { return item{1}, nil }})
			get(t, cache, "a")
			if _, err := cache.GetMany(t.Context(), []string{"a", "b", "c"}); err != nil {
				t.Fatal(err)
			}
			if _, err := cache.Refresh(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Publish(t.Context(), "sfcache", "the end").Err(); err != nil {
		t.Fatal(err)
	}
	m, err := sub.ReceiveMessage(t.Context())
	if err != nil || m.Payload != "the end" {
		t.Errorf("reading published %q, %v", m.Payload, err)
	}
}

// TestPanicGivesLeaseBack has a loader panic while it holds the lease.
func TestPanicGivesLeaseBack(t *testing.T) {
	c := client(t, redistest.Start(t))
	first := true
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Lease: 10 * time.Second, Load: func(context.Context, string) (item, error) {
		if first {
			first = false
			panic("first")
		}
		return item{1}, nil
	}})
	var p *sfcache.PanicError
	if _, err := cache.Get(t.Context(), "k"); !errors.As(err, &p) {
		t.Fatalf("got %v, want a panic", err)
	}
	get(t, cache, "k")
	if st := cache.Stats(); st.LeaseWaits != 0 || st.Leases != 2 {
		t.Errorf("%d waits for %d leases, want 0 for 2", st.LeaseWaits, st.Leases)
	}
}

// TestRaw shares keys with programs that know nothing of this package.
func TestRaw(t *testing.T) {
	c := client(t, redistest.Start(t))
	ctx := t.Context()
	for key, text := range map[string]string{"user:1": `{"n":1}`, "user:{3}": `{"n":3}`, "junk": "no JSON"} {
		if err := c.Set(ctx, key, text, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Set(ctx, "user:2", `{"n":2}`, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.HSet(ctx, "hash", "n", "4").Err(); err != nil {
		t.Fatal(err)
	}
	var loaded []string
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Raw: true, Lease: time.Second, Load: func(_ context.Context, key string) (item, error) {
		loaded = append(loaded, key)
		return item{100}, nil
	}})
	for key, want := range map[string]int{"user:1": 1, "user:2": 2, "user:{3}": 3, "hash": 100, "junk": 100, "new": 100} {
		if n := get(t, cache, key); n != want {
			t.Errorf("%s: %d, want %d", key, n, want)
		}
	}
	eventually(t, "what was loaded is in Redis", func() bool { return c.Get(ctx, "junk").Val() == `{"n":100}` && c.Exists(ctx, "new").Val() == 1 })
	slices.Sort(loaded)
	if !slices.Equal(loaded, []string{"hash", "junk", "new"}) {
		t.Errorf("loaded %q", loaded)
	}
	if err := cache.Set(ctx, "user:1", item{11}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"user:1": `{"n":11}`, "user:2": `{"n":2}`, "user:{3}": `{"n":3}`, "junk": `{"n":100}`, "new": `{"n":100}`}
	got := map[string]string{}
	for key := range want {
		got[key] = c.Get(ctx, key).Val()
	}
	if !maps.Equal(got, want) {
		t.Errorf("other programs read %q, want %q", got, want)
	}
	if kind := c.Type(ctx, "hash").Val(); kind != "hash" {
		t.Errorf("the hash became a %s", kind)
	}
	if st := cache.Stats(); st.RemoteErrors != 0 || st.Undecodable != 1 {
		t.Errorf("%d remote errors, %d undecodable; want 0 and 1", st.RemoteErrors, st.Undecodable)
	}
}
