package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
)

// lister is what is compared: a cache of lists that loads what it lacks.
// Close ends everything it runs.
type lister interface {
	Get(ctx context.Context, key string) (*List, error)
	Close() error
}

// kind is what a contender keeps, and so what a hit in it costs.
type kind string

const (
	ours    kind = "sfcache"
	bytesIn kind = "bytes"   // bytes in memory or in Redis: each caller decodes
	objects kind = "objects" // decoded values: callers share them
	floor   kind = "floor"   // what nothing can be faster than
)

// contender is one way of caching, and how to make it.
type contender struct {
	name string
	kind kind
	// private says that each caller gets a value of its own.
	private bool
	// only says which scenario it is made for; "" is every one.
	only string
	open func(*env) (lister, error)
}

var contenders = []contender{
	{name: "sfcache", kind: ours, open: openHold},
	{name: "sfcache/clone", kind: ours, private: true, open: openClone},
	{name: "sfcache/strict", kind: ours, open: openStrict},
	{name: "sfcache/strict-goccy", kind: ours, open: openStrictGoccy},
	{name: "sfcache/hold-only", kind: ours, only: "zipf", open: openHoldOnly},

	{name: "redis", kind: bytesIn, private: true, open: openRedis},
	{name: "freecache", kind: bytesIn, private: true, open: openFreecache(jsonCodec)},
	{name: "freecache-goccy", kind: bytesIn, private: true, open: openFreecache(goccyCodec)},
	{name: "go-redis/cache-json", kind: bytesIn, private: true, open: openGoRedisCache(jsonCodec)},
	{name: "go-redis/cache-msgpack", kind: bytesIn, private: true, open: openGoRedisCache(msgpackCodec)},
	{name: "pattern", kind: bytesIn, open: openPattern(jsonCodec)},
	{name: "pattern-goccy", kind: bytesIn, open: openPattern(goccyCodec)},

	{name: "otter", kind: objects, open: openOtter},
	{name: "otter-coarse", kind: objects, open: openOtterCoarse},
	{name: "theine", kind: objects, open: openTheine},
	{name: "ristretto", kind: objects, open: openRistretto},
	{name: "ttlcache", kind: objects, open: openTTLCache},
	{name: "sturdyc", kind: objects, open: openSturdyc},

	{name: "noop", kind: floor, open: openNoop},
	{name: "map", kind: floor, open: openMap},
	{name: "decode", kind: floor, private: true, open: openDecode(jsonCodec)},
	{name: "decode-goccy", kind: floor, private: true, open: openDecode(goccyCodec)},
}

// env is what one contender works with, and the counts of what it does there.
type env struct {
	value  *List // what the loader returns, under the name of the key
	length int   // of its JSON
	weight int64 // bytes in memory, the same measure for all

	redis *redis.Client // the contender's own database; nil: the scenario has none
	// delay is how long a load takes. It is set between measurements only.
	delay time.Duration

	ttl      time.Duration // in the process
	redisTTL time.Duration
	holdTTL  time.Duration // of sfcache's decoded values; 0: ttl
	keys     int           // that there are; known to contenders that make a table of them
	entries  int           // that the process has room for
	refresh  bool          // before the end, where a contender can
	lease    time.Duration
	turns    int // taken so far; for a scenario to count

	// decoded, if not nil, makes what the loader returns, without delay.
	decoded func() (*List, error)

	decodes, loads, reads atomic.Int64 // reads are GETs in Redis
}

// roomy is enough entries for freecache not to evict any of some hundred: it has
// 256 segments and fills them unevenly.
const roomy = 7 * 256

// localBytes is the size of a freecache with room for the entries, of which
// each may be a 1024th.
func (e *env) localBytes() int {
	entry := e.length + 128 // key, headers
	return max(512<<10, entry*e.entries, (entry+24)*1024)
}

// objectBytes is the same room for decoded values.
func (e *env) objectBytes() int64 { return max(e.weight*int64(e.entries), 2*e.weight) }

// load is the loader.
func (e *env) load(ctx context.Context, key string) (*List, error) {
	e.loads.Add(1)
	if e.delay > 0 {
		t := time.NewTimer(e.delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if e.decoded != nil {
		v, err := e.decoded()
		if err == nil {
			v.ID = key
		}
		return v, err
	}
	v := *e.value
	v.ID = key
	return &v, nil
}

// codec is a codec of sfcache's kind that also suits the peers.
type codec struct {
	marshal   func(any) ([]byte, error)
	unmarshal func([]byte, any) error
}

var jsonCodec = codec{json.Marshal, json.Unmarshal}

func (e *env) decode(c codec, data []byte) (*List, error) {
	e.decodes.Add(1)
	v := new(List)
	return v, c.unmarshal(data, v)
}

// readRedis is what a contender without a Redis tier of its own does after a
// miss: GET; then load and SET. It returns bytes or a value, as it comes.
func (e *env) readRedis(ctx context.Context, c codec, key string) (data []byte, v *List, err error) {
	if e.redis != nil {
		e.reads.Add(1)
		data, err = e.redis.Get(ctx, key).Bytes()
		if err == nil {
			return data, nil, nil
		}
		if !errors.Is(err, redis.Nil) {
			return nil, nil, err
		}
	}
	if v, err = e.load(ctx, key); err != nil {
		return nil, nil, err
	}
	if data, err = c.marshal(v); err != nil {
		return nil, nil, err
	}
	if e.redis != nil {
		err = e.redis.Set(ctx, key, data, e.redisTTL).Err()
	}
	return data, v, err
}

// readObject is readRedis for contenders that keep decoded values.
func (e *env) readObject(ctx context.Context, key string) (*List, error) {
	if e.redis == nil {
		return e.load(ctx, key) // no bytes anywhere
	}
	data, v, err := e.readRedis(ctx, jsonCodec, key)
	if err != nil || v != nil {
		return v, err
	}
	return e.decode(jsonCodec, data)
}

// newEnv describes the work with lists of n bytes; the caller fills in the rest.
func newEnv(n int) (*env, error) {
	v := newList(n)
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(data) < n || len(data) > n+n/4+1024 {
		return nil, fmt.Errorf("a list of %d bytes has %d", n, len(data))
	}
	return &env{
		value: v, length: len(data), weight: sfcache.SizeOf(v),
		ttl: 10 * time.Minute, redisTTL: 20 * time.Minute,
	}, nil
}
