package sfcache

import (
	"context"
	"errors"
	"hash/maphash"
	"time"
)

// What follows is how a Cache talks to its Remote.

func (c *Cache[V]) remoteKey(key string) string {
	if c.cfg.Raw {
		return key
	}
	return c.cfg.Name + ":" + key
}

// remoteValue is what is stored of l, and for how long.
func (c *Cache[V]) remoteValue(l loaded[V]) ([]byte, time.Duration) {
	absent, left, payload := l.notFound != nil, l.left, l.payload
	if c.cfg.Raw {
		if absent {
			return nil, 0 // there is no way to say it
		}
		if payload == nil {
			payload = []byte{} // nil would only give the token back
		}
		return payload, left
	}
	b := l.wrap(envelope{absent: absent, fresh: time.Now().Add(left), cost: l.cost})
	if !absent {
		left += c.cfg.Stale
	}
	return b, max(left, time.Millisecond)
}

// ask is Remote.Fetch, guarded. It does not end with ctx: callers who are less
// patient than RemoteTimeout would keep a dead Remote from ever being found out,
// and a token that was taken out would be lost with the answer.
func (c *Cache[V]) ask(ctx context.Context, keys []string, ask Ask) (got []Fetched, err error) {
	life := c.cfg.Lease
	if life == 0 {
		life = c.cfg.LoadTimeout + c.cfg.RemoteTimeout // as long as a fill may come
	}
	ctx = context.WithoutCancel(ctx)
	err = c.remote.read(ctx, func(ctx context.Context) error {
		got, err = c.remote.remote.Fetch(ctx, keys, ask, life)
		if err == nil && len(got) != len(keys) {
			err = errors.New("Remote.Fetch returned another number of answers than there were keys")
		}
		return err
	})
	c.remoteFailed(ctx, keys[0], err)
	return got, err
}

// fill is Remote.Fill, guarded. What was loaded is worth storing even when
// nobody waits any more, so it does not end with ctx. Entries count as stored
// when Remote fails: whether they are is not known, and other processes'
// writes are not either.
func (c *Cache[V]) fill(ctx context.Context, entries []Entry) (stored []bool) {
	ctx = context.WithoutCancel(ctx)
	err := c.remote.read(ctx, func(ctx context.Context) (err error) {
		stored, err = c.remote.remote.Fill(ctx, entries)
		if err == nil && len(stored) != len(entries) {
			err = errors.New("Remote.Fill returned another number of answers than there were entries")
		}
		return err
	})
	c.remoteFailed(ctx, entries[0].Key, err)
	if err != nil {
		stored = make([]bool, len(entries))
		for i := range stored {
			stored[i] = true
		}
	}
	return stored
}

// giveBack lets another process try what was not done here.
func (c *Cache[V]) giveBack(ctx context.Context, s *search[V]) {
	if c.cfg.Lease == 0 || s.token == "" {
		return // without leases nobody waits for it, and others may load with the same token
	}
	c.fill(ctx, []Entry{{Key: c.remoteKey(s.key), Token: s.token}})
}

// removeRemote removes what Remote has of a key that turned out to have no
// value. The other processes are told: unlike a fill, that is news to them.
func (c *Cache[V]) removeRemote(ctx context.Context, remoteKey string) {
	ctx = context.WithoutCancel(ctx)
	err := c.remote.write(ctx, func(ctx context.Context) error { return c.cfg.Remote.Delete(ctx, []string{remoteKey}, c.id) })
	c.remoteFailed(ctx, remoteKey, err)
}

// remoteFailed counts and tells a failure that callers do not see.
func (c *Cache[V]) remoteFailed(ctx context.Context, key string, err error) {
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errResting):
		c.remoteRests.Add(1)
	default:
		c.remoteErrors.Add(1)
		c.observe(Event{Kind: EventRemote, Key: key, Err: err})
		c.said.say(c.cfg.Logger, "the remote tier failed and is done without", "cache", c.cfg.Name, "error", err)
	}
}

// watch hears of other processes' writes until ctx ends.
func (c *Cache[V]) watch(ctx context.Context) {
	defer close(c.watched)
	changed := func(origin string, keys []string) {
		if origin == c.id {
			return
		}
		for _, k := range keys {
			key, ok := c.localKey(k)
			if !ok {
				continue // another cache's
			}
			hash := maphash.String(seed, key)
			c.flights.drop(hash, key, func() {
				c.dropLocal(hash, key)
				c.writers.overtake(key)
			})
			c.invalidations.Add(1) // who sees the count finds nothing old
		}
	}
	first := true // nothing was missed, but what was loaded before it listened is not trusted either
	missed := func() {
		if !first {
			c.missed.Add(1)
			c.observe(Event{Kind: EventMissed})
		}
		first = false
		c.forget()
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		began := time.Now()
		err := c.cfg.Remote.Watch(ctx, changed, missed)
		if time.Since(began) > 10*time.Second {
			pause = 100 * time.Millisecond // it worked for a while
		}
		if err == nil && ctx.Err() == nil {
			return // it tells nothing
		}
		c.remoteFailed(ctx, "", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// localKey is the opposite of remoteKey.
func (c *Cache[V]) localKey(remoteKey string) (string, bool) {
	if c.cfg.Raw {
		return remoteKey, true
	}
	n := len(c.cfg.Name)
	if len(remoteKey) <= n || remoteKey[:n] != c.cfg.Name || remoteKey[n] != ':' {
		return "", false
	}
	return remoteKey[n+1:], true
}
