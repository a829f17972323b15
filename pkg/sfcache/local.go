package sfcache

import (
	"errors"
	"time"
	"unsafe"

	"github.com/coocood/freecache"
)

// found is a value from a byte tier.
type found[V any] struct {
	v    V
	err  error         // Config.NotFound: it is known that there is none
	left time.Duration // until it is stale; less than 0 where it is
	cost time.Duration // of the load
}

// readLocal returns what Local has of key and puts it into the hold, or nil.
// usable, if not nil, may turn it down before it is decoded.
func (c *Cache[V]) readLocal(hash uint64, key string, usable func(envelope) bool) *found[V] {
	writes := uint64(0)
	if c.hold.max > 0 {
		writes = c.flights.writes(hash)
	}
	// A sync.Pool would lose the buffers, which are as large as the values, in
	// each collection: as many as there are processors stay.
	var buf []byte
	select {
	case buf = <-c.buffers:
	default:
	}
	defer func() {
		select {
		case c.buffers <- buf:
		default:
		}
	}()
	var room [128]byte // so that most keys need no memory
	data, err := c.local.GetWithBuf(append(room[:0], key...), buf)
	if err != nil {
		return nil // not there
	}
	buf = data[:0] // a larger one, if it had to be
	e, payload, err := openEnvelope(data)
	if err != nil {
		c.undecodable(key, len(data), err)
		c.local.Del([]byte(key))
		return nil
	}
	left := c.left(e)
	if left <= 0 && (e.absent || left <= -c.cfg.Stale) || usable != nil && !usable(e) {
		return nil
	}
	f := &found[V]{left: left, cost: e.cost}
	if e.absent {
		f.err = c.cfg.NotFound
	} else if f.v, err = c.decode(key, payload); err != nil {
		c.local.Del([]byte(key))
		return nil
	}
	c.localHits.Add(1)
	if c.hold.max > 0 && (left > 0 || !e.cut) {
		r := c.ready(hash, key, loaded[V]{v: f.v, notFound: f.err, left: left, cut: e.cut, cost: e.cost})
		r.local = false // it is there
		c.flights.storeUnwritten(hash, writes, func() { c.putReady(hash, key, r) })
		c.reportReady(key, r)
	}
	return f
}

// ready is a value made ready for the tiers of this process. Making it takes
// time, storing it happens under a lock.
type ready[V any] struct {
	item  *item[V] // nil: not for the hold
	local bool     // Local is to have bytes, or nothing
	bytes []byte   // nil: nothing
	stay  int      // seconds, in Local

	tooLarge bool  // the hold refused it
	refused  error // Local did
}

// ready makes l ready.
func (c *Cache[V]) ready(hash uint64, key string, l loaded[V]) *ready[V] {
	r := &ready[V]{}
	if c.local != nil {
		r = c.readyLocal(l)
	}
	if c.hold.max > 0 {
		r.item = c.item(hash, key, l)
	}
	return r
}

// item is l for the hold.
func (c *Cache[V]) item(hash uint64, key string, l loaded[V]) *item[V] {
	it := &item[V]{hash: hash, key: key, val: l.v, err: l.notFound}
	now, fresh, end := c.clock.read(), l.left, l.left
	if c.cfg.Hold.TTL > 0 {
		fresh = min(fresh, c.spread(c.cfg.Hold.TTL))
	}
	if c.local == nil && c.remote == nil {
		end = fresh
	}
	it.fresh, it.end = now+int64(fresh), now+int64(end)
	it.soon, it.dead = it.fresh, it.end+int64(c.stay(l))
	it.cost = int64(unsafe.Sizeof(*it)) + int64(len(key)) + 16 // and its place in the table
	if l.notFound == nil {
		// The margin is before the value's own end: when only the hold's
		// TTL is over, a byte tier has it.
		it.soon = min(it.soon, now+int64(end-c.margin(l.cost)))
		it.cost += c.cfg.Hold.Size(l.v)
		if c.cfg.SharedCheck {
			it.snapshot = c.copyOf(l.v)
		}
	}
	return it
}

// stay is how long l may be served stale.
func (c *Cache[V]) stay(l loaded[V]) time.Duration {
	if l.notFound != nil || l.cut { // where it is cut, another tier may have it fresh
		return 0
	}
	return c.cfg.Stale
}

// readyLocal makes l ready for Local, which must be on.
func (c *Cache[V]) readyLocal(l loaded[V]) *ready[V] {
	r := &ready[V]{local: true}
	if l.ok {
		e := envelope{absent: l.notFound != nil, cost: l.cost}
		left := l.left
		if ttl := c.spread(c.cfg.Local.TTL); c.cfg.Local.TTL > 0 && ttl < left {
			left, e.cut = ttl, true
		}
		e.fresh = time.Now().Add(left)
		r.bytes = l.wrap(e)
		// freecache takes whole seconds and calls 0 for ever; they are only for
		// forgetting in the end, since the header has the time.
		r.stay = int((left+c.stay(l))/time.Second) + 2
	}
	return r
}

// wrap is l's payload behind a header. It uses l.bytes, if that is there.
func (l loaded[V]) wrap(e envelope) []byte {
	if l.bytes != nil {
		e.append(l.bytes[:0], len(l.payload))
		return l.bytes
	}
	return append(e.append(make([]byte, 0, headerLen+len(l.payload)), len(l.payload)), l.payload...)
}

// putReady stores r. It runs under the lock of its key's flights.
func (c *Cache[V]) putReady(hash uint64, key string, r *ready[V]) {
	if r.item != nil {
		r.tooLarge = !c.hold.put(r.item)
	}
	if !r.local {
		return
	}
	if r.bytes != nil {
		r.refused = c.local.Set([]byte(key), r.bytes, r.stay)
	}
	if r.bytes == nil || r.refused != nil {
		c.local.Del([]byte(key)) // an older value may be there
	}
	c.decodes.Load()[hash%shards].Forget(key)
}

// reportReady tells what putReady could not store.
func (c *Cache[V]) reportReady(key string, r *ready[V]) {
	if r.tooLarge {
		c.tooLarge.Add(1)
		c.observe(Event{Kind: EventOversize, Key: key, Size: int(r.item.cost)})
		c.said.say(c.cfg.Logger, "a value is larger than the whole hold and is not held: raise Hold.MaxBytes",
			"cache", c.cfg.Name, "key", key, "bytes", r.item.cost, "max_bytes", c.hold.max)
	}
	if r.refused != nil {
		c.oversize.Add(1)
		n := len(key) + len(r.bytes)
		c.observe(Event{Kind: EventOversize, Key: key, Size: n, Err: r.refused})
		if errors.Is(r.refused, freecache.ErrLargeKey) {
			c.said.say(c.cfg.Logger, "a key is too long for Local, which takes 65,535 bytes; its value is not kept there",
				"cache", c.cfg.Name, "key_bytes", len(key))
			return
		}
		c.said.say(c.cfg.Logger, "a value is too large for Local and is not kept there: raise Local.Bytes", "cache", c.cfg.Name, "key", key,
			"bytes", n, "max_bytes", localMaxEntry(c.cfg.Local.Bytes), "want_local_bytes", (n+localHeader)*1024)
	}
}

// dropLocal removes key from the tiers of this process. Nobody joins a decode
// of the removed bytes any more. It runs under the lock of its key's flights.
func (c *Cache[V]) dropLocal(hash uint64, key string) {
	c.decodes.Load()[hash%shards].Forget(key)
	c.hold.remove(hash, key)
	if c.local != nil {
		c.local.Del([]byte(key))
	}
}
