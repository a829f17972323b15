package sfcache

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"maps"
	"math"
	mrand "math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coocood/freecache"
	"golang.org/x/sync/singleflight"
)

// Cache gets values by key through its tiers: see the package comment. Make
// one with [New]; its methods may be called by many goroutines at once.
type Cache[V any] struct {
	// What a hit reads; it never changes after New.
	hold  *hold[V]
	clock *clock
	clone func(V) V

	hits   hitCounter
	shared hitCounter
	counters

	cfg Config[V]
	// id is what other processes, and this one, know its messages by.
	id string
	// flights are those that may block: they go to Remote and the loader.
	flights Group[V]
	// decodes share the reading and decoding of Local. These cannot block, so
	// the caller that comes first does the work itself, and nobody leaves.
	// forget replaces all of them: who comes later joins no decode from before.
	decodes atomic.Pointer[[shards]singleflight.Group]
	writers keyLocks
	local   *freecache.Cache // nil when off
	remote  *guard           // nil when off
	buffers chan []byte      // for reading local; some may be out
	said    sayings
	// failed has, by hash, the time on clock before which no stale value is
	// refreshed again, since a load failed. Keys may share a place: then a
	// refresh comes that much later.
	failed [failedPlaces]atomic.Int64

	changedMu sync.Mutex // protects changed
	changed   map[string]struct{}

	closing sync.Once
	unwatch context.CancelFunc // ends watch
	watched chan struct{}      // closed when watch has ended
}

// New returns a Cache, or an error that says everything that is wrong with
// cfg. Close it when it is no longer used.
func New[V any](cfg Config[V]) (*Cache[V], error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Cache[V]{cfg: cfg, id: rand.Text(), clone: cfg.Clone, hold: newHold[V](cfg.Hold.MaxBytes), watched: make(chan struct{})}
	c.flights.Timeout = cfg.LoadTimeout
	c.decodes.Store(new([shards]singleflight.Group))
	c.buffers = make(chan []byte, runtime.GOMAXPROCS(0))
	if cfg.Local.Bytes > 0 {
		c.local = freecache.NewCache(cfg.Local.Bytes)
	}
	if cfg.SharedCheck {
		c.changed, c.hold.gone = map[string]struct{}{}, c.compareShared
	}
	if cfg.Hold.MaxBytes > 0 {
		ttl := c.holdTTL()
		c.clock = newClock(ttl, func(now int64, tick time.Duration) {
			c.hold.sweep(now, float64(tick)/float64(max(ttl, time.Second)))
		})
	} else {
		c.clock = &clock{start: time.Now()}
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.unwatch = cancel
	if cfg.Remote != nil {
		c.remote = &guard{remote: cfg.Remote, timeout: cfg.RemoteTimeout}
		go c.watch(ctx) // ends with unwatch; Close waits for watched
	} else {
		close(c.watched)
	}
	return c, nil
}

// Get returns the value of key: from the hold, from Local, from Remote, or
// from Config.Load, and from a flight that is under way for it already.
//
// ctx governs how long this caller waits for a flight. It does not cancel the
// flight while others wait, and a value that is at hand is returned even when
// ctx has ended. An error that wraps Config.NotFound says that there is no
// value. Unless Config.Clone is set, the value is shared with other callers
// and must not be changed.
func (c *Cache[V]) Get(ctx context.Context, key string) (V, error) {
	hash := maphash.String(seed, key)
	if it := c.hold.get(hash, key); it != nil && c.clock.now.Load() < it.soon && it.err == nil {
		it.touch()
		c.hits.add()
		if c.clone == nil {
			return it.val, nil
		}
		return c.clone(it.val), nil
	}
	return c.get(ctx, hash, key, c.cfg.Load)
}

// GetWith is Get with a loader of its own, for code that has in hand what the
// loader needs. Callers of one key that come together share the loader of the
// first.
func (c *Cache[V]) GetWith(ctx context.Context, key string, load Loader[V]) (V, error) {
	hash := maphash.String(seed, key)
	if it := c.hold.get(hash, key); it != nil && c.clock.now.Load() < it.soon && it.err == nil {
		it.touch()
		c.hits.add()
		return c.give(it.val, nil)
	}
	return c.get(ctx, hash, key, load)
}

// get is what follows when the hold has nothing plainly fresh.
func (c *Cache[V]) get(ctx context.Context, hash uint64, key string, load Loader[V]) (V, error) {
	if v, err, ok := c.atHand(ctx, hash, key, load); ok {
		return c.give(v, err)
	}
	if load == nil {
		var zero V
		return zero, errNoLoader
	}
	v, joined, err := c.flights.do(ctx, hash, key, false, func(ctx context.Context, own *call[V]) (V, error) {
		return c.fetch(ctx, &search[V]{own: own, hash: hash, key: key, load: load, ahead: true})
	})
	if joined && err == nil {
		c.shared.add()
	}
	return c.give(v, err)
}

var errNoLoader = errors.New("sfcache: Config.Load is nil: use GetWith")

// atHand looks where nothing can block: into the hold and Local. It starts the
// refresh of what is stale or soon will be.
func (c *Cache[V]) atHand(ctx context.Context, hash uint64, key string, load Loader[V]) (v V, err error, ok bool) { //nolint:revive // ok says whether there is an answer, which may be an error
	if c.flights.closed.Load() {
		return v, ErrClosed, true
	}
	if it, now := c.heldNow(hash, key); it != nil {
		it.touch()
		if now < it.fresh {
			c.hits.add()
			if it.err != nil { // nothing would have been decoded
				c.absentHits.Add(1)
			}
		} else {
			c.stale.Add(1)
		}
		if again := it.again.Load(); now >= it.soon && now >= again && it.again.CompareAndSwap(again, now+int64(c.pause())) {
			c.refresh(ctx, hash, key, load)
		}
		return it.val, it.err, true
	}
	if c.local == nil || load != nil && c.flights.absent(hash, key) {
		return v, nil, false
	}
	first := false
	res, _, _ := c.decodes.Load()[hash%shards].Do(key, func() (any, error) {
		first = true
		return c.readLocal(hash, key, func(e envelope) bool { return !e.cut || c.left(e) > 0 }), nil
	})
	found := res.(*found[V])
	if found == nil {
		return v, nil, false
	}
	if !first {
		c.shared.add()
	}
	if found.left <= 0 {
		c.stale.Add(1)
	}
	if first && (found.left <= 0 || found.err == nil && found.left <= c.margin(found.cost)) {
		c.refresh(ctx, hash, key, load)
	}
	return found.v, found.err, true
}

// heldNow returns what the hold has of key and may serve, fresh or stale, and
// the exact time; or nil. Between the two, when only the hold's TTL is over, the
// byte tiers are to be asked.
func (c *Cache[V]) heldNow(hash uint64, key string) (it *item[V], now int64) {
	if it, now = c.held(hash, key); it != nil && it.fresh <= now && now < it.end {
		return nil, now
	}
	return it, now
}

// held returns what the hold has of key and is not dead, and the exact time; or
// nil. Where nothing is held, nothing is spent on the time either.
func (c *Cache[V]) held(hash uint64, key string) (it *item[V], now int64) {
	if it = c.hold.get(hash, key); it == nil {
		return nil, 0
	}
	if now = c.clock.read(); now >= it.dead {
		return nil, now
	}
	return it, now
}

// refresh gets a new value in the background, for callers that have one.
func (c *Cache[V]) refresh(ctx context.Context, hash uint64, key string, load Loader[V]) {
	if load == nil || c.failedLately(hash) {
		return
	}
	if c.flights.background(ctx, hash, key, func(ctx context.Context, own *call[V]) (V, error) {
		return c.fetch(ctx, &search[V]{own: own, hash: hash, key: key, load: load, read: readFresh, ahead: true})
	}) {
		c.refreshes.Add(1)
	}
}

// pause is how long after a refresh was started no other is started for the
// same held value: a loader that fails at once must not be called by each hit.
func (c *Cache[V]) pause() time.Duration {
	return min(time.Second, max(c.cfg.Stale/8, 10*time.Millisecond))
}

// give is what a caller gets of a value that others may have too.
func (c *Cache[V]) give(v V, err error) (V, error) {
	if err == nil && c.clone != nil {
		v = c.clone(v)
	}
	return v, err
}

// Peek returns the value of key if the hold has it, fresh or stale. It starts
// nothing and counts nothing.
func (c *Cache[V]) Peek(key string) (v V, ok bool) {
	it := c.hold.get(maphash.String(seed, key), key)
	if it == nil || it.err != nil || c.clock.read() >= it.dead {
		return v, false
	}
	v, _ = c.give(it.val, nil)
	return v, true
}

func (c *Cache[V]) holdTTL() time.Duration {
	if c.cfg.Hold.TTL > 0 {
		return c.cfg.Hold.TTL
	}
	return c.cfg.TTL
}

// spread is ttl with jitter.
func (c *Cache[V]) spread(ttl time.Duration) time.Duration {
	return time.Duration(float64(ttl) * (1 + c.cfg.Jitter*(2*mrand.Float64()-1)))
}

// margin is how long before its end a value that takes cost to get is got
// again. XFetch draws cost*beta*-ln(rand) for every read; here a draw is for
// a value, since a hit must not pay for it, so it starts from the time that the
// load takes: otherwise most draws would come too late.
func (c *Cache[V]) margin(cost time.Duration) time.Duration {
	if c.cfg.Early == 0 {
		return 0
	}
	return time.Duration(min(float64(cost)*c.cfg.Early*(1+mrand.ExpFloat64()), math.MaxInt64/2)) + c.clock.tick
}

// enough reports whether a stored value need not be got again yet, although
// somebody's margin says so of theirs, or they have kept it for long enough.
// Hardly any margin is so large.
func (c *Cache[V]) enough(e envelope) bool {
	return time.Until(e.fresh) > time.Duration(min(5*float64(e.cost)*c.cfg.Early, math.MaxInt64/2))
}

// meanLoad is what a value costs whose load nobody saw.
func (c *Cache[V]) meanLoad() time.Duration {
	return time.Duration(c.loadTime.Load() / max(c.loads.Load(), 1))
}

// Close ends what runs in the background, cancels flights with ErrClosed and
// waits for their loaders, and for values that are on their way to Remote, then
// forgets everything. Values in Remote stay.
// Calls after it return ErrClosed. It may be called more than once, but not by
// a loader, which it would wait for.
func (c *Cache[V]) Close() error {
	c.closing.Do(func() {
		c.unwatch()
		c.flights.close()
		<-c.watched
		if c.hold.max > 0 {
			c.clock.close()
		}
		c.forget()
	})
	return nil
}

// forget empties the tiers of this process, and lets no flight under way put
// anything back.
func (c *Cache[V]) forget() {
	c.flights.dropAll(func() {
		c.writers.overtakeAll()
		c.hold.clear()
		if c.local != nil {
			c.local.Clear()
		}
		c.decodes.Store(new([shards]singleflight.Group))
	})
}

// CheckShared says which values were changed by a caller while the hold had
// them, which nobody may do unless Config.Clone is set. It needs
// Config.SharedCheck, and compares what the codec makes of each value when it
// comes and when it leaves, or now; so it does not see fields that the codec
// leaves out. It may be called after Close. Call it at the end of tests:
//
//	t.Cleanup(func() {
//		if err := c.CheckShared(); err != nil {
//			t.Error(err)
//		}
//	})
func (c *Cache[V]) CheckShared() error {
	if !c.cfg.SharedCheck {
		return errors.New("sfcache: CheckShared needs Config.SharedCheck")
	}
	c.hold.each(c.compareShared)
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(c.changed)) {
		errs = append(errs, &KeyError{Key: key, Err: errors.New("a caller changed the shared value: copy it first, or set Config.Clone")})
	}
	return errors.Join(errs...)
}

// compareShared notes it if its value was changed. It is called for what leaves
// the hold and for what is in it when somebody asks, with the hold's mu held.
func (c *Cache[V]) compareShared(it *item[V]) {
	if it.err == nil && !reflect.DeepEqual(it.snapshot, c.copyOf(it.val)) {
		c.changedMu.Lock()
		defer c.changedMu.Unlock()
		c.changed[it.key] = struct{}{}
	}
}

// copyOf is what the codec makes of v, or why it makes nothing.
func (c *Cache[V]) copyOf(v V) any {
	data, err := c.cfg.Codec.Encode(v)
	if err == nil {
		var again V
		if again, err = c.cfg.Codec.Decode(data); err == nil {
			return again
		}
	}
	return err.Error()
}
