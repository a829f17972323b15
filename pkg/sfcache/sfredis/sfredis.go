// Package sfredis is the Redis tier of sfcache, and its messages between
// processes: a value written with Set or Delete in one process is dropped from
// the local tiers of the others.
//
//	cache, err := sfcache.New(sfcache.Config[*List]{
//		Name:   "lists",
//		TTL:    time.Minute,
//		Remote: sfredis.New(client, sfredis.Options{}),
//		...
//	})
//
// Beside a key K it uses, while somebody loads K, the key {K}:fence (or K:fence
// where K has a hash tag of its own), which is on the same node of a cluster. A
// user of Redis needs the commands GET, SET, DEL, PTTL, EVAL, EVALSHA, PUBLISH,
// SUBSCRIBE and PING, for these keys and the channel.
//
// It is a module of its own, so that a service which uses sfcache without
// Redis, or with its own version of go-redis, is not moved by this one.
package sfredis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
)

// Options configure a [Remote]. The zero value is usual.
type Options struct {
	// Channel carries the messages between processes; "" means "sfcache". All
	// caches of all processes may share one.
	Channel string
	// NoMessages turns them off: other processes keep what they have until it
	// expires.
	NoMessages bool
}

// Remote is an [sfcache.Remote] in Redis 6 or later. It may be shared by any
// number of caches.
type Remote struct {
	client  redis.UniversalClient
	channel string // "" for no messages
	cluster bool
	quiet   time.Duration // the constant, but in tests
}

var _ sfcache.Remote = (*Remote)(nil)

// New returns a Remote that uses client, which stays the caller's to close, after
// the caches. The client's own timeouts and retries apply within sfcache's
// RemoteTimeout. Set its ContextTimeoutEnabled, or what it does for a call that
// was given up, on a Redis that does not answer, takes a connection and a
// goroutine until its ReadTimeout.
//
// It panics for a redis.Ring: when one of a ring's nodes comes back, so does
// what was deleted while it was away.
func New(client redis.UniversalClient, opt Options) *Remote {
	r := &Remote{client: client, channel: opt.Channel, quiet: quiet}
	if opt.Channel == "" {
		r.channel = "sfcache"
	}
	if opt.NoMessages {
		r.channel = ""
	}
	// By method, so that a client of the caller's own type that embeds one of
	// these is known too.
	type each = func(context.Context, *redis.Client) error
	_, r.cluster = client.(interface {
		ForEachMaster(context.Context, each) error
	})
	if _, shards := client.(interface {
		ForEachShard(context.Context, each) error
	}); shards && !r.cluster {
		panic("sfredis: a redis.Ring cannot be used: when one of its nodes comes back, so does what was deleted meanwhile")
	}
	return r
}

//go:embed fetch.lua
var fetchLua string

//go:embed fill.lua
var fillLua string

//go:embed write.lua
var writeLua string

var (
	fetchScript = redis.NewScript(fetchLua)
	fillScript  = redis.NewScript(fillLua)
	writeScript = redis.NewScript(writeLua)
)

// run runs a script on all keys with one call; on a cluster, where a script
// sees one node, with one call a key and all of them in one pipeline. Each key
// comes with its fence and with as many of args as perKey says; common follow.
// The answers are concatenated.
//
// The call runs in a goroutine of its own. Whatever the client is at when ctx
// ends (a read that only its own timeouts bound, a handshake, a look at the
// cluster's nodes), run does not wait for it; that goroutine ends with the
// client's call.
func (r *Remote) run(ctx context.Context, s *redis.Script, keys []string, args []any, perKey int, common ...any) ([]any, error) {
	type answer struct {
		got []any
		err error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		if !r.cluster || len(keys) == 1 {
			a.got, a.err = s.Run(ctx, r.client, withFences(keys), slices.Concat(common, args)...).Slice()
		} else {
			a.got, a.err = r.runEach(ctx, s, keys, args, perKey, common)
		}
		done <- a
	}()
	select {
	case a := <-done:
		return a.got, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// runEach is run with a call a key. A node that does not know the script yet
// gets its text in a second pipeline.
func (r *Remote) runEach(ctx context.Context, s *redis.Script, keys []string, args []any, perKey int, common []any) (all []any, err error) {
	cmds := make([]*redis.Cmd, len(keys))
	add := func(pipe redis.Pipeliner, eval func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd, i int) {
		cmds[i] = eval(ctx, pipe, withFences(keys[i:i+1]), slices.Concat(common, args[i*perKey:(i+1)*perKey])...)
	}
	pipe, again := r.client.Pipeline(), r.client.Pipeline()
	for i := range keys {
		add(pipe, s.EvalSha, i)
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	for i, c := range cmds {
		if redis.HasErrorPrefix(c.Err(), "NOSCRIPT") {
			add(again, s.Eval, i)
		}
	}
	if again.Len() > 0 {
		_, _ = again.Exec(ctx)
	}
	for _, c := range cmds {
		got, err := c.Slice()
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	return all, nil
}

// withFences puts each key's fence behind it.
func withFences(keys []string) []string {
	out := make([]string, 0, 2*len(keys))
	for _, k := range keys {
		out = append(out, k, fence(k))
	}
	return out
}

// Fetch implements [sfcache.Remote]. It is one round trip.
func (r *Remote) Fetch(ctx context.Context, keys []string, ask sfcache.Ask, life time.Duration) ([]sfcache.Fetched, error) {
	const answers = 4 // value, life in ms, token, owner
	got, err := r.run(ctx, fetchScript, keys, nil, 0, int(ask), rand.Text(), max(life.Milliseconds(), 1))
	if err != nil {
		return nil, fmt.Errorf("sfredis: fetch: %w", err)
	}
	if len(got) != answers*len(keys) {
		return nil, fmt.Errorf("sfredis: fetch: %d answers for %d keys", len(got), len(keys))
	}
	out := make([]sfcache.Fetched, len(keys))
	for i := range out {
		a := got[answers*i:]
		if v, ok := a[0].(string); ok {
			out[i].Value = []byte(v)
		}
		if ms, ok := a[1].(int64); ok && ms > 0 {
			out[i].Life = time.Duration(ms) * time.Millisecond
		}
		out[i].Token, _ = a[2].(string)
		out[i].Owner = a[3] == int64(1)
	}
	return out, nil
}

// Fill implements [sfcache.Remote]. It is one round trip.
func (r *Remote) Fill(ctx context.Context, entries []sfcache.Entry) ([]bool, error) {
	const perKey = 5 // token, what to do with the value, value, life in ms, keep the token
	keys, args := make([]string, len(entries)), make([]any, 0, perKey*len(entries))
	for i, e := range entries {
		keys[i] = e.Key
		args = append(args, e.Token, e.Value != nil, e.Value, max(e.Life.Milliseconds(), 1), e.Keep)
	}
	got, err := r.run(ctx, fillScript, keys, args, perKey)
	if err != nil {
		return nil, fmt.Errorf("sfredis: fill: %w", err)
	}
	stored := make([]bool, len(got))
	for i := range got {
		stored[i] = got[i] == int64(1)
	}
	return stored, nil
}

// Set implements [sfcache.Remote]. The value, the end of other loads and the
// message are one step. Where Redis has no room for the value, the old one is
// removed all the same.
func (r *Remote) Set(ctx context.Context, e sfcache.Entry, origin string) error {
	if err := r.write(ctx, []string{e.Key}, origin, 1, e.Value, max(e.Life.Milliseconds(), 1)); err != nil {
		return fmt.Errorf("sfredis: set: %w", err)
	}
	return nil
}

// Delete implements [sfcache.Remote]. On a cluster keys go one by one.
func (r *Remote) Delete(ctx context.Context, keys []string, origin string) error {
	if err := r.write(ctx, keys, origin, 0, "", 0); err != nil {
		return fmt.Errorf("sfredis: delete: %w", err)
	}
	return nil
}

func (r *Remote) write(ctx context.Context, keys []string, origin string, common ...any) error {
	var messages []any
	if r.cluster { // each call tells of its own key
		for _, k := range keys {
			messages = append(messages, message(origin, k))
		}
	} else {
		messages = append(messages, message(origin, keys...))
	}
	_, err := r.run(ctx, writeScript, keys, messages, 1, append([]any{r.channel}, common...)...)
	return err
}
