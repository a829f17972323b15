package sfcache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
)

// Set stores v as the value of key, in every tier, and makes the other
// processes forget theirs. A load that is under way reaches those who wait for
// it and is stored nowhere. v is shared with callers of Get from now on, unless
// Config.Clone is set.
//
// Write to where the value really is first, then call Set or Delete. After Set
// has returned without an error, no Get of this process that starts later
// returns an older value; other processes follow when the message reaches them
// (at the latest when their local copies expire).
//
// After an error the value is forgotten in this process. Either it cannot be
// encoded; then it is deleted everywhere. Or Remote could not be told, and it
// and other processes may keep the old value until that expires. Remote is
// tried even while it rests after failures, so with a dead one this takes up to
// RemoteTimeout.
func (c *Cache[V]) Set(ctx context.Context, key string, v V) error {
	if err := c.writable(ctx); err != nil {
		return err
	}
	payload, err := c.payload(key, v, nil)
	encoded := err == nil
	if err != nil && err != errNoBytes { //nolint:errorlint // the very same
		return errors.Join(fmt.Errorf("sfcache: set %q: encode: %w", key, err), c.Delete(ctx, key))
	}
	if c.clone != nil {
		v = c.clone(v)
	}
	hash := maphash.String(seed, key)
	// Forgotten before and stored after: a flight that starts in between may
	// read the old value from Remote, and the second drop keeps it from being
	// stored.
	c.flights.drop(hash, key, func() { c.dropLocal(hash, key) })
	turn, err := c.writers.lock(ctx, key)
	if err != nil {
		return fmt.Errorf("sfcache: set %q: %w", key, err)
	}
	defer turn.unlock()
	l := loaded[V]{v: v, payload: payload, ok: encoded, left: c.spread(c.cfg.TTL), cost: c.meanLoad()}
	if c.remote != nil {
		e := Entry{Key: c.remoteKey(key)}
		e.Value, e.Life = c.remoteValue(l)
		err = c.remote.write(ctx, func(ctx context.Context) error { return c.cfg.Remote.Set(ctx, e, c.id) })
		c.remoteFailed(ctx, e.Key, err)
	}
	r := c.ready(hash, key, l)
	c.flights.drop(hash, key, func() {
		c.dropLocal(hash, key)
		// A message about the key that came after Remote.Set began may be of a
		// write that came after it there.
		if err == nil && !turn.overtaken() && !c.flights.closed.Load() {
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
		remoteKeys[i] = c.remoteKey(key)
	}
	drop := func() {
		for _, key := range sorted {
			hash := maphash.String(seed, key)
			c.flights.drop(hash, key, func() { c.dropLocal(hash, key) })
		}
	}
	drop()
	for _, key := range sorted {
		turn, err := c.writers.lock(ctx, key)
		if err != nil {
			return fmt.Errorf("sfcache: delete %q: %w", sorted, err)
		}
		defer turn.unlock()
	}
	var err error
	if c.remote != nil {
		err = c.remote.write(ctx, func(ctx context.Context) error { return c.cfg.Remote.Delete(ctx, remoteKeys, c.id) })
		c.remoteFailed(ctx, remoteKeys[0], err)
	}
	drop() // what was stored in between: by flights that read from Remote, and by a Set before this in line
	if err != nil {
		return fmt.Errorf("sfcache: delete %q in the remote tier: %w", sorted, err)
	}
	return nil
}

// Refresh loads key with Config.Load now, whatever the tiers have, stores it
// in all of them and returns it. The load starts after the call: a flight that
// is under way is not joined, and its value is stored nowhere. Refresh returns
// when every tier has the value.
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
		return c.fetch(ctx, &search[V]{own: own, hash: hash, key: key, load: c.cfg.Load, read: readNone})
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
