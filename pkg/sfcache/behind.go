package sfcache

import (
	"context"
	"fmt"
	"runtime"
)

// With the hold on, callers get what was loaded when the hold has it; what the
// byte tiers need, which takes as long as a load does where values are large,
// happens behind their backs, in the same call. Until that has ended the call is
// behind: a write of the key drops it, as it drops one that loads.

// publish hands out it, c's result, before c's function returns, and runs put
// before any other call of the key can store something; what is stored is it.
// It does neither, and reports false, if c was dropped. Only the goroutine of c's
// function may call it.
func (g *Group[V]) publish(c *call[V], it *item[V], put func()) bool {
	s := g.shard(it.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.dropped {
		return false
	}
	s.writes++
	put()
	s.outdoLocked(it.key)
	s.removeLocked(it.key, c)
	if s.behind == nil {
		s.behind = map[string]*call[V]{}
	}
	s.behind[it.key] = c
	c.published, c.item = true, it
	c.reply(it.val, it.err)
	return true
}

// published is what the call that is behind with key published, or nil. Until
// it has ended, that is as good as stored.
func (g *Group[V]) published(hash uint64, key string) *item[V] {
	s := g.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.behind[key]; c != nil {
		return c.item
	}
	return nil
}

// withdraw drops c, which was published, and runs update, unless it was dropped
// before: then what is stored is not c's any more.
func (g *Group[V]) withdraw(c *call[V], update func()) {
	s := g.shard(c.item.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.dropped {
		s.writes++
		s.outdoLocked(c.item.key)
		update()
	}
}

// outdoLocked drops the call that is behind with key: it has been written or
// stored again. Must be called with mu held.
func (s *groupShard[V]) outdoLocked(key string) {
	if c := s.behind[key]; c != nil {
		c.dropped = true
		delete(s.behind, key)
	}
}

// finish is called by the goroutine of c's function when that has ended.
func (s *groupShard[V]) finish(key string, c *call[V]) {
	if c.item == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind[key] == c {
		delete(s.behind, key)
	}
}

// putAhead puts a loaded value into the hold and hands it out. It reports false
// where callers have to wait for the byte tiers: they would find nothing in the
// hold, or the key was written meanwhile.
func (c *Cache[V]) putAhead(s *search[V], l loaded[V]) bool {
	if !s.ahead || c.hold.max == 0 || l.left <= 0 {
		return false
	}
	it := c.item(s.hash, s.key, l)
	return it.cost <= c.hold.max && c.flights.publish(s.own, it, func() {
		c.hold.put(it)
		if c.local != nil { // what is there is older
			c.local.Del([]byte(s.key))
			c.decodes.Load()[s.hash%shards].Forget(s.key)
		}
	})
}

// storeBehind puts what putAhead has handed out into the byte tiers. Remote may
// say that another process has written the key meanwhile: then this process
// forgets it again.
func (c *Cache[V]) storeBehind(ctx context.Context, s *search[V], l loaded[V]) {
	defer func() {
		if p := recover(); p != nil { // of Observe or Remote: nobody waits for the error
			c.said.say(c.cfg.Logger, "storing a loaded value panicked", "cache", c.cfg.Name, "key", s.key, "panic", fmt.Sprint(p))
			c.giveBack(ctx, s)
		}
	}()
	if c.local == nil && c.remote == nil {
		return
	}
	runtime.Gosched() // to those who wait, so that they do not wait for the codec
	c.encode(s.key, &l)
	r := &ready[V]{}
	if c.local != nil {
		r = c.readyLocal(l)
		l.bytes = r.bytes
	}
	if !c.flights.store(s.hash, s.key, s.own, func() { c.putReady(s.hash, s.key, r) }) {
		c.refused.Add(1)
		c.giveBack(ctx, s)
		return
	}
	c.reportReady(s.key, r)
	// Local has copied the bytes, so Remote can have them with another header.
	if !c.fillWith(ctx, s, l) {
		c.refused.Add(1)
		c.flights.withdraw(s.own, func() { c.dropLocal(s.hash, s.key) })
	}
}
