package sfcache

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"

	"golang.org/x/sync/singleflight"
)

// atOnce is how many Loads a GetMany without LoadMany runs at a time.
const atOnce = 8

// GetMany returns the values of keys, like Get: it joins flights that are
// under way, and gets the other keys with one call of Remote and one of
// LoadMany. Keys without a value are not in the result. Keys that failed are
// not either, and the error joins a [*KeyError] for each; the others are there.
// Keys that are stale are refreshed one by one, with Load.
func (c *Cache[V]) GetMany(ctx context.Context, keys []string) (map[string]V, error) {
	got := make(map[string]V, len(keys))
	var errs []error
	take := func(key string, v V, err error) {
		switch {
		case err == nil:
			got[key], _ = c.give(v, nil)
		case !errors.Is(err, c.cfg.NotFound):
			errs = append(errs, &KeyError{key, err})
		}
	}
	if c.flights.closed.Load() {
		return got, ErrClosed
	}
	type miss struct {
		hash uint64
		key  string
	}
	var misses []miss
	asked := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		if _, ok := asked[key]; ok {
			continue
		}
		asked[key] = struct{}{}
		hash := maphash.String(seed, key)
		if v, err, ok := c.atHand(ctx, hash, key, c.cfg.Load); ok {
			take(key, v, err)
		} else if c.cfg.Load == nil {
			take(key, v, errNoLoader)
		} else if ctx.Err() != nil {
			take(key, v, ended(ctx))
		} else {
			misses = append(misses, miss{hash, key})
		}
	}
	if len(misses) > 0 {
		// What callers may join starts only now, when nothing is decoded and
		// none of the caller's functions runs any more before the batch does.
		b := newBatch(ctx, c)
		waits := make([]waiting[V], len(misses))
		for i, m := range misses {
			waits[i] = b.join(ctx, m.hash, m.key)
		}
		b.start()
		for _, w := range waits {
			v, err := w.wait(ctx)
			if w.joined && err == nil {
				c.shared.add()
			}
			take(w.key, v, err)
		}
	}
	return got, errors.Join(errs...)
}

// waiting is one key that GetMany waits for.
type waiting[V any] struct {
	key    string
	shard  *groupShard[V]
	call   *call[V]
	done   <-chan singleflight.Result
	joined bool
	err    error
}

func (w waiting[V]) wait(ctx context.Context) (v V, err error) {
	if w.err != nil {
		return v, w.err
	}
	select {
	case <-w.done:
		return w.call.val, w.call.err
	case <-ctx.Done():
		w.shard.leave(w.key, w.call)
		return v, ended(ctx)
	}
}

// batch gets the keys of one GetMany that nobody else was getting. Each is a
// call that others may join; what they wait for is the batch.
type batch[V any] struct {
	c      *Cache[V]
	ctx    context.Context // with the values of GetMany's
	cancel context.CancelCauseFunc
	keys   []*batchKey[V]
	done   chan struct{} // closed when every key has its result

	mu     sync.Mutex // protects wanted
	wanted int        // keys that somebody still waits for, and 1 until start
}

func newBatch[V any](ctx context.Context, c *Cache[V]) *batch[V] {
	b := &batch[V]{c: c, done: make(chan struct{}), wanted: 1}
	b.ctx, b.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return b
}

// batchKey is one key of a batch. Its results are written by run and read after
// done.
type batchKey[V any] struct {
	search[V]
	settled bool
	v       V
	err     error
}

// join joins the flight of key, or makes key part of the batch.
func (b *batch[V]) join(ctx context.Context, hash uint64, key string) waiting[V] {
	g := &b.c.flights
	s := g.shard(hash)
	w := waiting[V]{key: key, shard: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.call, w.joined = s.calls[key]; w.joined {
		w.call.waiters++
		w.done = s.group.DoChan(key, nil)
		return w
	}
	k := &batchKey[V]{search: search[V]{hash: hash, key: key, load: b.c.cfg.Load}}
	b.mu.Lock()
	b.wanted++
	b.mu.Unlock()
	w.call, w.done, w.err = g.startLocked(ctx, s, key, func(ctx context.Context, _ *call[V]) (V, error) {
		select {
		case <-b.done:
			return k.v, k.err
		case <-ctx.Done():
			b.leave()
			return k.zero(), ended(ctx)
		}
	})
	if w.err != nil {
		b.leave()
		return w
	}
	if len(b.keys) == 0 {
		g.running.Add(1) // for start; close, which waits, has not got this shard's mu yet
	}
	k.own = w.call
	b.keys = append(b.keys, k)
	return w
}

func (*batchKey[V]) zero() (v V) { return v }

// leave is called for a key that nobody waits for any more.
func (b *batch[V]) leave() {
	b.mu.Lock()
	b.wanted--
	last := b.wanted == 0
	b.mu.Unlock()
	if last {
		b.cancel(errAbandoned)
	}
}

// start runs the batch in a goroutine of its own, which ends when all keys have
// their results or nobody wants them, at the latest after LoadTimeout.
func (b *batch[V]) start() {
	if len(b.keys) == 0 {
		b.cancel(nil)
		return
	}
	go func() {
		defer b.c.flights.running.Done() // of join
		defer b.cancel(nil)
		defer close(b.done)
		ctx, cancel := context.WithTimeoutCause(b.ctx, b.c.cfg.LoadTimeout, errBatchTimeout)
		defer cancel()
		var none struct{}
		var err error
		defer func() { // also after a Goexit
			for _, k := range b.open() {
				k.settle(k.zero(), err)
			}
		}()
		protect(&none, &err, func() (struct{}, error) { b.run(ctx); return none, nil })
	}()
	b.leave()
}

var errBatchTimeout = errors.New("the batch took longer than LoadTimeout")

func (k *batchKey[V]) settle(v V, err error) { k.settled, k.v, k.err = true, v, err }

// run settles every key.
func (b *batch[V]) run(ctx context.Context) {
	c := b.c
	for _, k := range b.keys { // another flight may have ended in between
		if it := c.loadedLately(k.hash, k.key); it != nil {
			c.hits.add()
			k.settle(it.val, it.err)
		} else if c.local != nil {
			f := c.readLocal(k.hash, k.key, nil)
			if f != nil && f.left > 0 {
				k.settle(f.v, f.err)
			}
			k.spare = f
		}
	}
	absent, alone := b.open(), []*batchKey[V](nil)
	if c.remote != nil && len(absent) > 0 {
		absent, alone = b.fetch(ctx, absent)
	}
	// At the same time: others may wait for the keys that are absent here, and
	// load those that this batch waits for.
	var both sync.WaitGroup
	defer both.Wait() // also after a panic
	both.Go(func() { b.each(alone, func(k *batchKey[V]) (V, error) { return c.fetchFar(ctx, &k.search) }) })
	if c.cfg.LoadMany != nil {
		b.loadMany(ctx, absent)
	} else {
		b.each(absent, func(k *batchKey[V]) (V, error) { return c.loadAndStore(ctx, &k.search) })
	}
}

func (b *batch[V]) open() (open []*batchKey[V]) {
	for _, k := range b.keys {
		if !k.settled {
			open = append(open, k)
		}
	}
	return open
}

// fetch looks into Remote, with one call, and settles what is fresh there. Keys
// that are absent are to be loaded together. Keys that are stale, or that
// another process is loading, go the way of single flights.
func (b *batch[V]) fetch(ctx context.Context, open []*batchKey[V]) (absent, alone []*batchKey[V]) {
	c := b.c
	keys := make([]string, len(open))
	for i, k := range open {
		keys[i] = c.remoteKey(k.key)
	}
	got, err := c.ask(ctx, keys, AskMissing)
	if err != nil {
		return open, nil
	}
	for i, k := range open {
		f := got[i]
		switch {
		case f.Value != nil:
			k.had = true
			if v := c.look(&k.search, f); v != nil && v.left > 0 {
				k.settle(v.v, v.err)
			} else {
				alone = append(alone, k)
			}
		case !f.Owner && f.Token != "" && c.cfg.Lease > 0:
			alone = append(alone, k)
		default:
			if f.Owner && c.cfg.Lease > 0 {
				c.leases.Add(1)
			}
			k.token = f.Token
			absent = append(absent, k)
		}
	}
	return absent, alone
}

// each settles keys with f, a few at a time.
func (b *batch[V]) each(keys []*batchKey[V], f func(*batchKey[V]) (V, error)) {
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, k := range keys {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			var v V
			var err error
			defer func() { k.settle(v, err) }() // also after a Goexit
			protect(&v, &err, func() (V, error) { return f(k) })
		})
	}
	all.Wait()
}
