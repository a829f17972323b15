package main

import (
	"context"
	"time"

	"github.com/coocood/freecache"
	"github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"
	"golang.org/x/sync/singleflight"
)

// redisLister is Redis GET and Unmarshal, without anything in the process.
type redisLister struct{ e *env }

func openRedis(e *env) (lister, error) { return redisLister{e}, nil }

func (l redisLister) Get(ctx context.Context, key string) (*List, error) {
	data, v, err := l.e.readRedis(ctx, jsonCodec, key)
	if err != nil || v != nil {
		return v, err
	}
	return l.e.decode(jsonCodec, data)
}

func (redisLister) Close() error { return nil }

// freecacheLister is what services write by hand: freecache, Unmarshal, and
// Redis behind it. freecache counts in whole seconds.
type freecacheLister struct {
	e     *env
	codec codec
	cache *freecache.Cache
}

func openFreecache(c codec) func(*env) (lister, error) {
	return func(e *env) (lister, error) { return newFreecacheLister(e, c), nil }
}

func newFreecacheLister(e *env, c codec) *freecacheLister {
	return &freecacheLister{e, c, freecache.NewCache(e.localBytes())}
}

func (l *freecacheLister) Get(ctx context.Context, key string) (*List, error) {
	data, err := l.cache.Get([]byte(key))
	if err == nil {
		return l.e.decode(l.codec, data)
	}
	data, v, err := l.e.readRedis(ctx, l.codec, key)
	if err != nil {
		return nil, err
	}
	if err := l.cache.Set([]byte(key), data, int(l.e.ttl/time.Second)); err != nil {
		return nil, err
	}
	if v != nil {
		return v, nil
	}
	return l.e.decode(l.codec, data)
}

func (l *freecacheLister) Close() error { return nil }

// patternLister is the pattern by hand: x/sync/singleflight around the cache
// read and the decode, so that those who come together share one value.
type patternLister struct {
	*freecacheLister
	group singleflight.Group
}

func openPattern(c codec) func(*env) (lister, error) {
	return func(e *env) (lister, error) { return &patternLister{freecacheLister: newFreecacheLister(e, c)}, nil }
}

func (l *patternLister) Get(ctx context.Context, key string) (*List, error) {
	v, err, _ := l.group.Do(key, func() (any, error) { return l.freecacheLister.Get(ctx, key) })
	if err != nil {
		return nil, err
	}
	return v.(*List), nil
}

// goRedisLister is go-redis/cache with its own local tier, through Once, which
// shares loads but not decodes. Its statistics are on.
type goRedisLister struct {
	e     *env
	cache *cache.Cache
}

// msgpackCodec is go-redis/cache's default format without its compression,
// which only makes it slower here.
var msgpackCodec = codec{msgpack.Marshal, msgpack.Unmarshal}

func openGoRedisCache(c codec) func(*env) (lister, error) {
	return func(e *env) (lister, error) {
		local := cache.NewTinyLFU(max(e.entries, 2), e.ttl)
		opt := &cache.Options{
			LocalCache: local, StatsEnabled: true, Marshal: c.marshal,
			Unmarshal: func(data []byte, v any) error { e.decodes.Add(1); return c.unmarshal(data, v) },
		}
		if e.redis != nil {
			opt.Redis = countingRedis{e.redis, e}
		}
		return &goRedisLister{e, cache.New(opt)}, nil
	}
}

// countingRedis counts reads.
type countingRedis struct {
	*redis.Client
	e *env
}

func (r countingRedis) Get(ctx context.Context, key string) *redis.StringCmd {
	r.e.reads.Add(1)
	return r.Client.Get(ctx, key)
}

func (l *goRedisLister) Get(ctx context.Context, key string) (*List, error) {
	v := new(List)
	err := l.cache.Once(&cache.Item{
		Ctx: ctx, Key: key, Value: v, TTL: l.e.redisTTL,
		Do: func(*cache.Item) (any, error) { return l.e.load(ctx, key) },
	})
	return v, err
}

func (l *goRedisLister) Close() error { return nil }
