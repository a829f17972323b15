package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/jellydator/ttlcache/v3"
	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
	"github.com/viccon/sturdyc"
	"golang.org/x/sync/singleflight"
)

// otterLister is otter's loading Get with its statistics, bounded by weight,
// expiring after writes: https://maypok86.github.io/otter/user-guide/v2/.
type otterLister struct {
	cache *otter.Cache[string, *List]
	load  otter.Loader[string, *List]
	clock *otter.CoarseClock // nil: the default
}

func openOtter(e *env) (lister, error) { return newOtter(e, nil) }

// openOtterCoarse has a clock as coarse as sfcache's own.
func openOtterCoarse(e *env) (lister, error) {
	return newOtter(e, otter.NewCoarseClock(min(max(e.ttl/100, time.Millisecond), 100*time.Millisecond)))
}

func newOtter(e *env, clock *otter.CoarseClock) (lister, error) {
	opt := &otter.Options[string, *List]{
		MaximumWeight:    uint64(e.objectBytes()),
		Weigher:          func(string, *List) uint32 { return uint32(e.weight) },
		ExpiryCalculator: otter.ExpiryWriting[string, *List](e.ttl),
		StatsRecorder:    stats.NewCounter(),
	}
	if e.refresh {
		opt.RefreshCalculator = otter.RefreshWriting[string, *List](e.ttl * 8 / 10)
	}
	if clock != nil {
		opt.Clock = clock
	}
	c, err := otter.New(opt)
	return &otterLister{c, otter.LoaderFunc[string, *List](e.readObject), clock}, err
}

func (l *otterLister) Get(ctx context.Context, key string) (*List, error) {
	return l.cache.Get(ctx, key, l.load)
}

func (l *otterLister) Close() error {
	l.cache.StopAllGoroutines()
	if l.clock != nil {
		l.clock.Stop()
	}
	return nil
}

// theineLister is theine's loading cache, bounded by cost. It always counts.
type theineLister struct {
	*theine.LoadingCache[string, *List]
}

func openTheine(e *env) (lister, error) {
	c, err := theine.NewBuilder[string, *List](e.objectBytes()).BuildWithLoader(
		func(ctx context.Context, key string) (theine.Loaded[*List], error) {
			v, err := e.readObject(ctx, key)
			return theine.Loaded[*List]{Value: v, Cost: e.weight, TTL: e.ttl}, err
		})
	return theineLister{c}, err
}

func (l theineLister) Close() error {
	l.LoadingCache.Close()
	return nil
}

// ristrettoLister is ristretto with its metrics, sized as its documentation
// says. It has no loader, so a singleflight.Group stands around the miss.
type ristrettoLister struct {
	e     *env
	cache *ristretto.Cache[string, *List]
	group singleflight.Group
}

func openRistretto(e *env) (lister, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, *List]{
		NumCounters: 10 * int64(max(e.entries, 100)), MaxCost: e.objectBytes(), BufferItems: 64, Metrics: true,
	})
	return &ristrettoLister{e: e, cache: c}, err
}

func (l *ristrettoLister) Get(ctx context.Context, key string) (*List, error) {
	if v, ok := l.cache.Get(key); ok {
		return v, nil
	}
	v, err, _ := l.group.Do(key, func() (any, error) {
		v, err := l.e.readObject(ctx, key)
		if err == nil {
			l.cache.SetWithTTL(key, v, l.e.weight, l.e.ttl)
		}
		return v, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*List), nil
}

func (l *ristrettoLister) Close() error {
	l.cache.Close()
	return nil
}

// ttlcacheLister is ttlcache with a suppressed loader, bounded by cost. Its
// loader gives no errors, so they become nil items. It always counts.
type ttlcacheLister struct {
	cache *ttlcache.Cache[string, *List]
}

func openTTLCache(e *env) (lister, error) {
	load := ttlcache.LoaderFunc[string, *List](func(c *ttlcache.Cache[string, *List], key string) *ttlcache.Item[string, *List] {
		v, err := e.readObject(context.Background(), key)
		if err != nil {
			return nil
		}
		return c.Set(key, v, ttlcache.DefaultTTL)
	})
	c := ttlcache.New(
		ttlcache.WithTTL[string, *List](e.ttl),
		ttlcache.WithMaxCost(uint64(e.objectBytes()), func(ttlcache.CostItem[string, *List]) uint64 { return uint64(e.weight) }),
		ttlcache.WithDisableTouchOnHit[string, *List](),
		ttlcache.WithLoader(ttlcache.NewSuppressedLoader[string, *List](load, nil)),
	)
	go c.Start() // removes what has expired; ends with Stop
	return ttlcacheLister{c}, nil
}

func (l ttlcacheLister) Get(_ context.Context, key string) (*List, error) {
	it := l.cache.Get(key)
	if it == nil {
		return nil, errors.New("ttlcache has no value")
	}
	return it.Value(), nil
}

func (l ttlcacheLister) Close() error {
	l.cache.Stop()
	return nil
}

// sturdycLister is sturdyc with ten shards, ten percent evictions and its
// distributed storage, as in its documentation, and counters for metrics.
type sturdycLister struct {
	cache *sturdyc.Client[*List]
	e     *env
}

func openSturdyc(e *env) (lister, error) {
	opts := []sturdyc.Option{sturdyc.WithMetrics(&sturdycMetrics{})}
	if e.refresh {
		opts = append(opts, sturdyc.WithEarlyRefreshes(e.ttl*6/10, e.ttl*8/10, e.ttl, 10*time.Millisecond))
	}
	if e.redis != nil {
		opts = append(opts, sturdyc.WithDistributedStorage(sturdycStorage{e}))
	}
	// Its capacity is split over the shards, and a shard that is full evicts
	// although others are not: small numbers of keys get room to spare.
	capacity := e.entries
	if capacity < 1000 {
		capacity *= 10
	}
	return &sturdycLister{sturdyc.New[*List](capacity, 10, e.ttl, 10, opts...), e}, nil
}

func (l *sturdycLister) Get(ctx context.Context, key string) (*List, error) {
	return l.cache.GetOrFetch(ctx, key, func(ctx context.Context) (*List, error) { return l.e.load(ctx, key) })
}

func (l *sturdycLister) Close() error { return nil }

// sturdycStorage is Redis for sturdyc. It decodes what it gets, once each.
type sturdycStorage struct{ e *env }

func (s sturdycStorage) Get(ctx context.Context, key string) ([]byte, bool) {
	s.e.reads.Add(1)
	data, err := s.e.redis.Get(ctx, key).Bytes()
	if err != nil {
		return nil, false
	}
	s.e.decodes.Add(1)
	return data, true
}

func (s sturdycStorage) Set(ctx context.Context, key string, value []byte) {
	_ = s.e.redis.Set(ctx, key, value, s.e.redisTTL).Err() // sturdyc cannot be told
}

func (s sturdycStorage) GetBatch(ctx context.Context, keys []string) map[string][]byte {
	got := map[string][]byte{}
	for _, k := range keys {
		if data, ok := s.Get(ctx, k); ok {
			got[k] = data
		}
	}
	return got
}

func (s sturdycStorage) SetBatch(ctx context.Context, records map[string][]byte) {
	for k, v := range records {
		s.Set(ctx, k, v)
	}
}

// sturdycMetrics counts what the statistics of the others count.
type sturdycMetrics struct {
	hits, misses, evicted atomic.Int64
}

func (m *sturdycMetrics) CacheHit()                     { m.hits.Add(1) }
func (m *sturdycMetrics) CacheMiss()                    { m.misses.Add(1) }
func (m *sturdycMetrics) EntriesEvicted(n int)          { m.evicted.Add(int64(n)) }
func (m *sturdycMetrics) AsynchronousRefresh()          {}
func (m *sturdycMetrics) SynchronousRefresh()           {}
func (m *sturdycMetrics) MissingRecord()                {}
func (m *sturdycMetrics) ForcedEviction()               {}
func (m *sturdycMetrics) ShardIndex(int)                {}
func (m *sturdycMetrics) CacheBatchRefreshSize(int)     {}
func (m *sturdycMetrics) ObserveCacheSize(f func() int) {}
