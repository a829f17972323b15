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
// user of Redis needs the commands GET, SET, DEL, PTTL, EVAL, EVALSHA, PUBLISH
// and SUBSCRIBE, for these keys and the channel.
//
// It is a module of its own, so that a service which uses sfcache without
// Redis, or with its own version of go-redis, is not moved by this one.
package sfredis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
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
}

// New returns a Remote that uses client, which stays the caller's to close. The
// client's own timeouts and retries apply within sfcache's RemoteTimeout: set
// ContextTimeoutEnabled, or a slow Redis is noticed only by them.
func New(client redis.UniversalClient, opt Options) *Remote {
	r := &Remote{client: client, channel: opt.Channel}
	if opt.Channel == "" {
		r.channel = "sfcache"
	}
	if opt.NoMessages {
		r.channel = ""
	}
	_, r.cluster = client.(*redis.ClusterClient)
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
func (r *Remote) run(ctx context.Context, s *redis.Script, keys []string, args []any, perKey int, common ...any) ([]any, error) {
	if !r.cluster || len(keys) == 1 {
		return s.Run(ctx, r.client, withFences(keys), append(common, args...)...).Slice()
	}
	// A pipeline cannot fall back from EVALSHA for a node that does not know
	// the script, so the text is sent.
	pipe := r.client.Pipeline()
	cmds := make([]*redis.Cmd, len(keys))
	for i, key := range keys {
		cmds[i] = s.Eval(ctx, pipe, withFences([]string{key}), append(append([]any(nil), common...), args[i*perKey:(i+1)*perKey]...)...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	var all []any
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

// fence is the key that a token of key is kept in, in the same hash slot: see
// the Redis Cluster specification, "Hash tags".
func fence(key string) string {
	if _, after, ok := strings.Cut(key, "{"); ok && strings.IndexByte(after, '}') > 0 {
		return key + ":fence"
	}
	return "{" + key + "}:fence"
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
// message are one step.
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
	all := keys
	if r.cluster { // each call tells of its own key
		for _, k := range keys {
			messages = append(messages, message(origin, k))
		}
	} else {
		messages = append(messages, message(origin, all...))
	}
	_, err := r.run(ctx, writeScript, keys, messages, 1, append([]any{r.channel}, common...)...)
	return err
}

// message is what goes through the channel: a JSON array of the origin and the
// keys.
func message(origin string, keys ...string) string {
	b, err := json.Marshal(append([]string{origin}, keys...))
	if err != nil {
		panic(err) // strings always can
	}
	return string(b)
}

// quiet is how long the channel may be silent before the connection is tried.
const quiet = 5 * time.Second

// Watch implements [sfcache.Remote].
func (r *Remote) Watch(ctx context.Context, changed func(origin string, keys []string), missed func()) error {
	if r.channel == "" {
		return nil
	}
	sub := r.client.Subscribe(ctx, r.channel)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // ends a Receive that waits
	defer stop()
	asked := false // whether a ping is under way
	for {
		got, err := sub.ReceiveTimeout(ctx, quiet)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
		case errors.As(err, &timeout) && timeout.Timeout() && !asked:
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("sfredis: watch: %w", err)
			}
			continue
		default:
			return fmt.Errorf("sfredis: watch: %w", err)
		}
		switch m := got.(type) {
		case *redis.Subscription: // the first time, and when the client has connected again
			missed()
		case *redis.Message:
			var parts []string
			if json.Unmarshal([]byte(m.Payload), &parts) == nil && len(parts) > 1 {
				changed(parts[0], parts[1:])
			}
		}
	}
}
