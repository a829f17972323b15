package sfcache

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
)

// Set stores v as the value of key, in every tier, and makes the other
// processes forget theirs. A load that is under way reaches those who wait for
// it and is stored nowhere. v is shared with callers of Get from now on.
//
// Write to where the value really is first, then call Set or Delete. After Set
// has returned without an error, no Get of this process that starts later
// returns an older value; other processes follow when the message reaches them
// (at the latest when their local copies expire).
//
// An error says that Remote could not be told, and other processes may keep
// the old value until it expires; in this process it is forgotten.
func (c *Cache[V]) Set(ctx context.Context, key string, v V) error {
	if err := c.writable(ctx); err != nil {
		return err
	}
	payload, ok := c.payload(key, v, nil)
	if !ok && (c.remote != nil || c.local != nil) {
		return fmt.Errorf("sfcache: set %q: the value cannot be encoded", key)
	}
	defer c.writers.lock(key)()
	hash := maphash.String(seed, key)
	// Forgotten before and stored after: a flight that starts in between may
	// read the old value from Remote, and the second drop keeps it from being
	// stored.
	c.flights.drop(hash, key, func() { c.dropLocal(hash, key) })
	left := c.lifetime(nil)
	var err error
	if c.remote != nil {
		e := Entry{Key: c.remoteKey(key)}
		e.Value, e.Life = c.remoteValue(payload, false, left, 0)
		err = c.remote.do(ctx, func(ctx context.Context) error { return c.cfg.Remote.Set(ctx, e, c.id) })
		c.remoteFailed(ctx, e.Key, err)
	}
	r := c.ready(hash, key, v, nil, payload, ok, left, 0)
	c.flights.drop(hash, key, func() {
		c.dropLocal(hash, key)
		if err == nil && !c.flights.closed.Load() {
			c.putReady(hash, key, r)
		}
	})
	c.reportReady(key, r)
	if err != nil {
		return fmt.Errorf("sfcache: set %q in the remote tier: %w", key, err)
	}
	return nil
}

// Delete forgets keys in every tier and in the other processes. What Set says
// of loads under way, of order and of errors holds here too.
func (c *Cache[V]) Delete(ctx context.Context, keys ...string) error {
	if err := c.writable(ctx); err != nil {
		return err
	}
	if len(keys) == 0 {
		return nil
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(keys))) // one order for all: no two writers wait for each other
	remoteKeys := make([]string, len(sorted))
	for i, key := range sorted {
		defer c.writers.lock(key)()
		remoteKeys[i] = c.remoteKey(key)
	}
	drop := func() {
		for _, key := range sorted {
			hash := maphash.String(seed, key)
			c.flights.drop(hash, key, func() { c.dropLocal(hash, key) })
		}
	}
	drop()
	if c.remote == nil {
		return nil
	}
	err := c.remote.do(ctx, func(ctx context.Context) error { return c.cfg.Remote.Delete(ctx, remoteKeys, c.id) })
	drop() // what flights that started in between read from Remote
	c.remoteFailed(ctx, remoteKeys[0], err)
	if err != nil {
		return fmt.Errorf("sfcache: delete %q in the remote tier: %w", sorted, err)
	}
	return nil
}

// Refresh loads key with Config.Load now, whatever the tiers have, stores it
// in all of them and returns it. The load starts after the call: a flight that
// is under way is not joined, and its value is stored nowhere.
func (c *Cache[V]) Refresh(ctx context.Context, key string) (V, error) {
	var zero V
	if err := c.writable(ctx); err != nil {
		return zero, err
	}
	if c.cfg.Load == nil {
		return zero, errNoLoader
	}
	hash := maphash.String(seed, key)
	v, _, err := c.flights.do(ctx, hash, key, true, func(ctx context.Context, own *call[V]) (V, error) {
		return c.fetch(ctx, own, hash, key, c.cfg.Load, readNone)
	})
	return c.give(v, err)
}

func (c *Cache[V]) writable(ctx context.Context) error {
	if c.flights.closed.Load() {
		return ErrClosed
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return nil
}

// keyLocks are mutexes by key that exist while they are used: writes of one
// key reach the tiers in one order.
type keyLocks struct {
	mu sync.Mutex // protects m and the users in it
	m  map[string]*keyLock
}

type keyLock struct {
	sync.Mutex
	users int
}

// lock locks key and returns its unlock.
func (l *keyLocks) lock(key string) (unlock func()) {
	l.mu.Lock()
	k := l.m[key]
	if k == nil {
		if l.m == nil {
			l.m = map[string]*keyLock{}
		}
		k = &keyLock{}
		l.m[key] = k
	}
	k.users++
	l.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.m, key)
		}
	}
}
