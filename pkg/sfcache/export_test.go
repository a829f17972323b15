package sfcache

import (
	"hash/maphash"
	"time"
)

// Header is what an envelope says.
type Header struct {
	Absent bool
	Fresh  time.Time
	Cost   time.Duration
}

// Wrap puts payload behind h's header.
func Wrap(h Header, payload []byte) []byte {
	return append(envelope{absent: h.Absent, fresh: h.Fresh, cost: h.Cost}.append(nil, len(payload)), payload...)
}

// Open is the opposite of Wrap.
func Open(b []byte) (Header, []byte, error) {
	e, payload, err := openEnvelope(b)
	return Header{e.absent, e.fresh, e.cost}, payload, err
}

// SetLocal puts bytes into Local behind the cache's back.
func (c *Cache[V]) SetLocal(key string, b []byte) error { return c.local.Set([]byte(key), b, 0) }

// InLocal returns the bytes that Local has of key.
func (c *Cache[V]) InLocal(key string) ([]byte, bool) {
	b, err := c.local.Get([]byte(key))
	return b, err == nil
}

// Unhold drops key from the hold alone, as eviction does.
func (c *Cache[V]) Unhold(key string) { c.hold.remove(maphash.String(seed, key), key) }

// HoldOf is a hold of strings without a cache around it.
type HoldOf struct {
	h *hold[string]
}

func NewHoldOf(max int64) HoldOf { return HoldOf{newHold[string](max)} }

func (h HoldOf) Put(key, v string, cost, dead int64) bool {
	return h.h.put(&item[string]{hash: maphash.String(seed, key), key: key, val: v, cost: cost, soon: dead, fresh: dead, dead: dead})
}

func (h HoldOf) Get(key string) (string, bool) {
	it := h.h.get(maphash.String(seed, key), key)
	if it == nil {
		return "", false
	}
	it.touch()
	return it.val, true
}

func (h HoldOf) Remove(key string) { h.h.remove(maphash.String(seed, key), key) }
func (h HoldOf) Clear()            { h.h.clear() }
func (h HoldOf) Sweep(now int64)   { h.h.sweep(now, 1) }

func (h HoldOf) Size() (bytes, count int64) { return h.h.size() }

// Keys are those in the queues; the sizes that the queues count are added up.
func (h HoldOf) Keys() (keys []string, bytes int64) {
	h.h.each(func(it *item[string]) { keys = append(keys, it.key) })
	return keys, h.h.small.bytes + h.h.main.bytes
}

// ID is what c's messages are known by.
func (c *Cache[V]) ID() string { return c.id }
