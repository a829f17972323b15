package sfredis_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
	"github.com/profbot/profbot/pkg/sfcache/sfredis/redistest"
)

// TestContract holds a Remote to what sfcache.Remote asks for, through every
// kind of client.
func TestContract(t *testing.T) {
	t.Run("one server", func(t *testing.T) {
		contract(t, client(t, redistest.Start(t)))
	})
	t.Run("RESP2, no deadlines of contexts", func(t *testing.T) {
		contract(t, clientOf(t, &redis.Options{Addr: redistest.Start(t).Addr, Protocol: 2}))
	})
	t.Run("cluster", func(t *testing.T) {
		contract(t, clusterClient(t, redistest.StartCluster(t)))
	})
	t.Run("a type that embeds a cluster client", func(t *testing.T) {
		contract(t, struct{ *redis.ClusterClient }{clusterClient(t, redistest.StartCluster(t))})
	})
}

func clusterClient(t *testing.T, s *redistest.Server) *redis.ClusterClient {
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { c.Close() })
	return c
}

// remote is a Remote in a test that stops at the first error.
type remote struct {
	*sfredis.Remote
	t *testing.T
}

func (r remote) fetch(ask sfcache.Ask, life time.Duration, keys ...string) []sfcache.Fetched {
	r.t.Helper()
	got, err := r.Fetch(r.t.Context(), keys, ask, life)
	if err != nil || len(got) != len(keys) {
		r.t.Fatalf("Fetch(%q): %d answers, %v", keys, len(got), err)
	}
	return got
}

func (r remote) token(key string) string {
	r.t.Helper()
	got := r.fetch(sfcache.AskMissing, time.Minute, key)[0]
	if got.Value != nil || got.Token == "" || !got.Owner {
		r.t.Fatalf("Fetch(%q): %+v, want a token of its own", key, got)
	}
	return got.Token
}

func (r remote) fill(want bool, e sfcache.Entry) {
	r.t.Helper()
	got, err := r.Fill(r.t.Context(), []sfcache.Entry{e})
	if err != nil || len(got) != 1 || got[0] != want {
		r.t.Fatalf("Fill(%q): %t, %v; want %t", e.Key, got, err, want)
	}
}

func (r remote) holds(key, want string) {
	r.t.Helper()
	if got := r.fetch(sfcache.AskMissing, time.Minute, key)[0]; got.Value == nil || string(got.Value) != want {
		r.t.Fatalf("%q holds %q, want %q", key, got.Value, want)
	}
}

func contract(t *testing.T, c redis.UniversalClient) {
	ctx := t.Context()
	entry := func(key, token, value string) sfcache.Entry {
		return sfcache.Entry{Key: key, Token: token, Value: []byte(value), Life: time.Minute}
	}
	for name, test := range map[string]func(t *testing.T, r remote){
		"a miss gives a token, which is used once": func(t *testing.T, r remote) {
			token := r.token("k")
			if got := r.fetch(sfcache.AskMissing, time.Minute, "k")[0]; got.Token != token || got.Owner {
				t.Errorf("the second Fetch: %+v, want the token of the first and no owner", got)
			}
			r.fill(false, entry("k", "another", "wrong"))
			r.fill(true, entry("k", token, "v"))
			r.fill(false, entry("k", token, "again"))
			got := r.fetch(sfcache.AskMissing, time.Minute, "k")[0]
			if got.Life <= 0 || got.Life > time.Minute {
				t.Errorf("life %s, want up to a minute", got.Life)
			}
			got.Life = 0
			if d := cmp.Diff(sfcache.Fetched{Value: []byte("v")}, got); d != "" {
				t.Error(d)
			}
		},
		"a token that is kept is used again": func(t *testing.T, r remote) {
			e := entry("k", r.token("k"), "1")
			e.Keep = true
			r.fill(true, e)
			e.Value = []byte("2")
			r.fill(true, e)
			r.holds("k", "2")
		},
		"a token is stolen": func(t *testing.T, r remote) {
			old := r.token("k")
			got := r.fetch(sfcache.AskSteal, time.Minute, "k")[0]
			if got.Token == "" || got.Token == old || !got.Owner {
				t.Fatalf("%+v, want a new token", got)
			}
			r.fill(false, entry("k", old, "old"))
			r.fill(true, entry("k", got.Token, "new"))
			r.holds("k", "new")
		},
		"a token beside a value": func(t *testing.T, r remote) {
			if err := r.Set(ctx, entry("k", "", "v"), "me"); err != nil {
				t.Fatal(err)
			}
			got := r.fetch(sfcache.AskAll, time.Minute, "k")[0]
			if string(got.Value) != "v" || got.Token == "" || !got.Owner {
				t.Fatalf("%+v, want the value and a token", got)
			}
			r.fill(true, entry("k", got.Token, "w"))
			r.holds("k", "w")
		},
		"no value gives the token back": func(t *testing.T, r remote) {
			r.fill(true, sfcache.Entry{Key: "k", Token: r.token("k")})
			r.token("k")
		},
		"an empty value is one": func(t *testing.T, r remote) {
			r.fill(true, entry("k", r.token("k"), ""))
			r.holds("k", "")
		},
		"Set ends loads": func(t *testing.T, r remote) {
			token := r.token("k")
			if err := r.Set(ctx, entry("k", "", "set"), "me"); err != nil {
				t.Fatal(err)
			}
			r.fill(false, entry("k", token, "loaded"))
			r.holds("k", "set")
		},
		"Delete ends loads": func(t *testing.T, r remote) {
			keys := []string{"a", "b", "c"}
			tokens := map[string]string{}
			for _, k := range keys {
				tokens[k] = r.token(k)
			}
			r.fill(true, entry("c", tokens["c"], "v"))
			if err := r.Delete(ctx, keys, "me"); err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				r.fill(false, entry(k, tokens[k], "loaded"))
				r.token(k)
			}
		},
		"lives below a second": func(t *testing.T, r remote) {
			e := entry("k", "", "v")
			e.Life = 90 * time.Millisecond
			if err := r.Set(ctx, e, "me"); err != nil {
				t.Fatal(err)
			}
			if got := r.fetch(sfcache.AskMissing, time.Minute, "k")[0]; got.Life > e.Life {
				t.Errorf("life %s, want up to %s", got.Life, e.Life)
			}
			eventually(t, "the value is gone", func() bool { return c.Exists(ctx, "k").Val() == 0 })
			e = entry("short", "", "v")
			e.Life = time.Microsecond
			if err := r.Set(ctx, e, "me"); err != nil {
				t.Fatal(err)
			}
			token := r.fetch(sfcache.AskMissing, 60*time.Millisecond, "lease")[0].Token
			eventually(t, "the token is gone", func() bool {
				got := r.fetch(sfcache.AskMissing, time.Minute, "lease")[0]
				return got.Owner && got.Token != token
			})
			r.fill(false, entry("lease", token, "late"))
		},
		"a value of another program, without an end": func(t *testing.T, r remote) {
			if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]sfcache.Fetched{{Value: []byte("v")}}, r.fetch(sfcache.AskMissing, time.Minute, "k")); d != "" {
				t.Error(d)
			}
		},
		"what is no string is left alone": func(t *testing.T, r remote) {
			if err := c.RPush(ctx, "k", "element").Err(); err != nil {
				t.Fatal(err)
			}
			for _, ask := range []sfcache.Ask{sfcache.AskMissing, sfcache.AskAll, sfcache.AskSteal} {
				if d := cmp.Diff([]sfcache.Fetched{{}}, r.fetch(ask, time.Minute, "k")); d != "" {
					t.Error(d)
				}
			}
			if err := r.Set(ctx, entry("k", "", "v"), "me"); err != nil {
				t.Fatal(err)
			}
			r.holds("k", "v")
		},
		"many keys in order, whatever their bytes": func(t *testing.T, r remote) {
			var keys []string
			var entries []sfcache.Entry
			var want []sfcache.Fetched
			for i := range 50 {
				keys = append(keys, fmt.Sprintf("k%d\x00\xff{", i), fmt.Sprintf("k%d}", i), fmt.Sprintf("ключ {%d}", i))
			}
			keys = append(keys, "", "{", "}", "{}", "a{}b{c}")
			for i, f := range r.fetch(sfcache.AskMissing, time.Minute, keys...) {
				if !f.Owner {
					t.Fatalf("%q: %+v, want a token", keys[i], f)
				}
				e := entry(keys[i], f.Token, strings.Repeat("x", i*i)+"\r\n\x00\xfe")
				w := sfcache.Fetched{Value: e.Value}
				switch i % 3 {
				case 1:
					e.Token, w = "wrong", sfcache.Fetched{Token: f.Token}
				case 2:
					e.Value, w = nil, sfcache.Fetched{Owner: true}
				}
				entries, want = append(entries, e), append(want, w)
			}
			stored, err := r.Fill(ctx, entries)
			if err != nil {
				t.Fatal(err)
			}
			for i, ok := range stored {
				if ok != (i%3 != 1) {
					t.Errorf("entry %d stored: %t", i, ok)
				}
			}
			got := r.fetch(sfcache.AskMissing, time.Minute, keys...)
			for i := range got {
				if got[i].Owner {
					got[i].Token = "" // a new one
				}
			}
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(sfcache.Fetched{}, "Life"), cmp.Comparer(bytes.Equal)); d != "" {
				t.Error(d)
			}
			if err := r.Delete(ctx, keys, "me"); err != nil {
				t.Fatal(err)
			}
			if n := c.DBSize(ctx).Val(); n != 0 {
				t.Errorf("%d keys are left", n)
			}
		},
		"a megabyte": func(t *testing.T, r remote) {
			big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
			r.fill(true, entry("k", r.token("k"), string(big)))
			r.holds("k", string(big))
		},
		"a server that forgot the scripts": func(t *testing.T, r remote) {
			for range 2 {
				if err := c.ScriptFlush(ctx).Err(); err != nil {
					t.Fatal(err)
				}
				r.fetch(sfcache.AskMissing, time.Minute, "a", "b", "c")
				if err := r.Delete(ctx, []string{"a", "b"}, "me"); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a context that has ended": func(t *testing.T, r remote) {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := r.Fetch(ended, []string{"k"}, sfcache.AskMissing, time.Minute); err == nil {
				t.Error("no error")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.FlushAll(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			test(t, remote{sfredis.New(c, sfredis.Options{}), t})
		})
	}
	t.Run("messages", func(t *testing.T) { messages(t, c) })
}

// messages is the part of the contract that Watch has.
func messages(t *testing.T, c redis.UniversalClient) {
	r := sfredis.New(c, sfredis.Options{Channel: "other"})
	ctx, cancel := context.WithCancel(t.Context())
	heard, missed, ended := make(chan string, 10), make(chan bool, 10), make(chan error)
	go func() {
		ended <- r.Watch(ctx, func(origin string, keys []string) {
			for _, k := range keys {
				heard <- origin + " wrote " + k
			}
		}, func() { missed <- true })
	}()
	<-missed
	if err := r.Set(ctx, sfcache.Entry{Key: "a\xff", Value: []byte("v"), Life: time.Minute}, "me"); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, []string{"b,1:", "", "c"}, "you"); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for range 4 {
		got[<-heard] = true
	}
	if d := cmp.Diff(map[string]bool{"me wrote a\xff": true, "you wrote b,1:": true, "you wrote ": true, "you wrote c": true}, got); d != "" {
		t.Error(d)
	}
	if err := c.Publish(ctx, "other", "a version to come").Err(); err != nil {
		t.Fatal(err)
	}
	<-missed
	cancel()
	if err := <-ended; err == nil {
		t.Error("Watch ended without an error, as if it told nothing")
	}
	if err := sfredis.New(c, sfredis.Options{NoMessages: true}).Watch(t.Context(), nil, nil); err != nil {
		t.Errorf("Watch without messages: %v, want nil", err)
	}
}

// TestRights uses the commands that the package comment names and no other.
func TestRights(t *testing.T) {
	s := redistest.Start(t)
	admin := client(t, s)
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "cache", "on", "nopass", "resetkeys", "~*", "resetchannels", "&sfcache",
		"-@all", "+get", "+set", "+del", "+pttl", "+eval", "+evalsha", "+publish", "+subscribe", "+ping").Err(); err != nil {
		t.Fatal(err)
	}
	c := clientOf(t, &redis.Options{Addr: s.Addr, Username: "cache", Password: "any"})
	loads := 0
	cache := open(t, sfredis.New(c, sfredis.Options{}), sfcache.Config[item]{Load: func(context.Context, string) (item, error) {
		loads++
		return item{loads}, nil
	}})
	get(t, cache, "k")
	if err := cache.Set(t.Context(), "k", item{7}); err != nil {
		t.Error(err)
	}
	if err := cache.Delete(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	get(t, cache, "k")
	if s := cache.Stats(); s.RemoteErrors != 0 || loads != 2 {
		t.Errorf("%d remote errors, %d loads; want 0 and 2", s.RemoteErrors, loads)
	}
}

// TestFull is a Redis that has no room left: what is there is served, and what
// was overwritten is not.
func TestFull(t *testing.T) {
	c := client(t, redistest.Start(t))
	r := remote{sfredis.New(c, sfredis.Options{}), t}
	r.fill(true, sfcache.Entry{Key: "old", Token: r.token("old"), Value: []byte("v"), Life: time.Minute})
	if err := c.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	got := r.fetch(sfcache.AskMissing, time.Minute, "old", "new")
	if string(got[0].Value) != "v" || got[1].Value != nil || got[1].Token != "" {
		t.Errorf("%+v, want the value, and a miss without a token", got)
	}
	if err := r.Set(t.Context(), sfcache.Entry{Key: "old", Value: []byte("w"), Life: time.Minute}, "me"); err == nil {
		r.holds("old", "w")
	} else if got := r.fetch(sfcache.AskMissing, time.Minute, "old")[0]; got.Value != nil {
		t.Errorf("after Set failed (%v) the old value is there", err)
	}
	if err := r.Delete(t.Context(), []string{"old"}, "me"); err != nil {
		t.Error(err)
	}
	// A cache goes on without storing.
	cache := open(t, r.Remote, sfcache.Config[item]{Lease: time.Second, Load: func(context.Context, string) (item, error) { return item{3}, nil }})
	if n := get(t, cache, "k"); n != 3 || cache.Stats().RemoteErrors != 0 {
		t.Errorf("Get: %d with %d remote errors", n, cache.Stats().RemoteErrors)
	}
}

func TestRing(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}, HeartbeatFrequency: time.Hour})
	defer ring.Close()
	defer func() {
		if recover() == nil {
			t.Error("New took a redis.Ring")
		}
	}()
	sfredis.New(ring, sfredis.Options{})
}
