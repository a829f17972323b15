package sfcache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// reading says which stored values a fetch may return.
type reading int

const (
	readAny   reading = iota // every fresh one
	readFresh                // those that need no refresh soon
	readNone                 // none: load
)

// search is what a flight knows of its key on the way down.
type search[V any] struct {
	own  *call[V] // run by the goroutine that has the search, if ahead
	hash uint64
	key  string
	load Loader[V]
	read reading
	// ahead lets callers have what was loaded before the byte tiers do.
	ahead bool

	spare *found[V] // stale, for when the loader fails
	bytes []byte    // what Remote had, and spare was made of if it was of use
	had   bool      // Remote has a value, or may
	token string    // for the fill that must follow; "" for none
}

// fetch is the body of a flight: the tiers again, since another flight may
// have ended between this caller's look and this flight's start, then Remote,
// then the loader; and what was got is stored on the way back.
func (c *Cache[V]) fetch(ctx context.Context, s *search[V]) (V, error) {
	if s.read == readAny {
		if it := c.loadedLately(s.hash, s.key); it != nil {
			c.hits.add()
			return it.val, it.err
		}
	}
	// What the hold has no longer counts as fresh there; it will do if
	// everything else fails.
	if it, now := c.held(s.hash, s.key); it != nil && it.err == nil && s.read != readNone {
		s.spare = &found[V]{v: it.val, left: time.Duration(it.end - now)}
	}
	if c.local != nil && s.read != readNone {
		f := c.readLocal(s.hash, s.key, func(e envelope) bool { return s.read == readAny || c.enough(e) })
		if f != nil && f.left > 0 {
			return f.v, f.err
		}
		if f != nil {
			s.spare = f
		}
	}
	return c.fetchFar(ctx, s)
}

// loadedLately is what the hold has of key, or would have if it had not been
// pushed out before the byte tiers got it; nil if that is nothing fresh.
func (c *Cache[V]) loadedLately(hash uint64, key string) *item[V] {
	it := c.hold.get(hash, key)
	if it == nil && c.hold.max > 0 {
		it = c.flights.published(hash, key)
	}
	if it == nil || c.clock.read() >= it.fresh {
		return nil
	}
	return it
}

// fetchFar is fetch when the tiers of this process have been looked into.
func (c *Cache[V]) fetchFar(ctx context.Context, s *search[V]) (V, error) {
	if c.remote != nil {
		if answer := c.fetchRemote(ctx, s); answer != nil {
			if answer.left <= 0 && s.read == readAny {
				c.stale.Add(1)
			}
			return answer.v, answer.err
		}
	}
	return c.loadAndStore(ctx, s)
}

// loadAndStore is the end of every search that found nothing. Whatever happens
// to the loader, the token is given back.
func (c *Cache[V]) loadAndStore(ctx context.Context, s *search[V]) (V, error) {
	filled := false
	defer func() { // also after a panic or a Goexit
		if !filled {
			c.giveBack(ctx, s)
		}
	}()
	if ctx.Err() != nil {
		var zero V
		return zero, ended(ctx)
	}
	v, cost, err := c.load(ctx, s.key, s.load)
	if err != nil && !errors.Is(err, c.cfg.NotFound) {
		return c.insteadOf(v, err, s)
	}
	l := c.loaded(v, err, cost)
	if c.putAhead(s, l) {
		c.storeBehind(ctx, s, l)
	} else {
		c.encode(s.key, &l)
		c.store(ctx, s, l)
	}
	filled = true
	return v, err
}

// insteadOf is what callers get when a load failed: the stale value, if there
// is one.
func (c *Cache[V]) insteadOf(v V, err error, s *search[V]) (V, error) {
	c.failed[failedAt(s.hash)].Store(c.clock.read() + int64(c.pause()))
	if s.spare == nil {
		return v, err
	}
	if s.read == readAny && s.spare.left <= 0 {
		c.stale.Add(1)
	}
	return s.spare.v, s.spare.err
}

// failedAt is a key's place in Cache.failed.
func failedAt(hash uint64) uint64 { return hash >> 16 % failedPlaces }

// failedPlaces is how many keys may fail without others' refreshes being put
// off with theirs.
const failedPlaces = 1024

// failedLately reports whether a load failed just now, so that a stale value is
// served without another attempt.
func (c *Cache[V]) failedLately(hash uint64) bool {
	return c.clock.read() < c.failed[failedAt(hash)].Load()
}

var errNoReturn = errors.New("the loader did not return")

// load calls the loader. Its panics and Goexits are counted here, and caught
// by the flight.
func (c *Cache[V]) load(ctx context.Context, key string, load Loader[V]) (v V, took time.Duration, err error) {
	c.loads.Add(1)
	start := time.Now()
	err = errNoReturn
	defer func() {
		took = time.Since(start)
		c.countLoad(key, took, err)
	}()
	v, err = load(ctx, key)
	return v, took, err
}

func (c *Cache[V]) countLoad(key string, took time.Duration, err error) {
	c.loadTime.Add(int64(took))
	switch {
	case errors.Is(err, c.cfg.NotFound):
		c.notFound.Add(1)
	case err != nil:
		c.loadErrors.Add(1)
	}
	c.observe(Event{Kind: EventLoad, Key: key, Took: took, Err: err})
}

// loaded is a loader's result on its way to the tiers.
type loaded[V any] struct {
	v        V
	notFound error  // Config.NotFound, or nil
	payload  []byte // for the byte tiers, if ok
	bytes    []byte // nil, or room for a header and payload behind it
	ok       bool
	left     time.Duration // how long it is fresh; 0: it is not to be kept
	cut      bool          // left is not the value's own time, but a tier's
	cost     time.Duration // how long it took to load
}

// loaded gives what a loader returned a lifetime.
func (c *Cache[V]) loaded(v V, notFound error, cost time.Duration) loaded[V] {
	l := loaded[V]{v: v, cost: cost, left: c.spread(c.cfg.TTL)}
	if notFound != nil {
		l.notFound, l.left = c.cfg.NotFound, c.spread(c.cfg.NegativeTTL)
	}
	return l
}

// encode makes l's payload.
func (c *Cache[V]) encode(key string, l *loaded[V]) {
	payload, err := c.payload(key, l.v, l.notFound)
	l.payload, l.ok = payload, err == nil
}

// store puts a loaded value, or that there is none, into every tier: Remote
// first, since it knows of writes in other processes. If the key was written
// during the load, it goes nowhere.
func (c *Cache[V]) store(ctx context.Context, s *search[V], l loaded[V]) {
	if !c.fillWith(ctx, s, l) {
		c.refused.Add(1)
		return
	}
	c.keep(s, l)
}

// fillWith puts l into Remote if there is a token, and reports false if Remote
// says that the key was written during the load.
func (c *Cache[V]) fillWith(ctx context.Context, s *search[V], l loaded[V]) bool {
	if s.token == "" {
		return true
	}
	e := c.entry(s, l)
	if l.notFound != nil && e.Value == nil && s.had {
		c.removeRemote(ctx, e.Key) // takes the token away as well
		return true
	}
	return c.fill(ctx, []Entry{e})[0]
}

// entry is what Remote is to store of l.
func (c *Cache[V]) entry(s *search[V], l loaded[V]) Entry {
	e := Entry{Key: c.remoteKey(s.key), Token: s.token, Keep: c.cfg.Lease == 0}
	if l.ok && l.left > 0 {
		e.Value, e.Life = c.remoteValue(l)
	}
	return e
}

// keep is store for the tiers of this process.
func (c *Cache[V]) keep(s *search[V], l loaded[V]) {
	if c.hold.max == 0 && c.local == nil {
		return
	}
	if l.left <= 0 { // there is none; that is not remembered, and neither is what was there
		c.flights.store(s.hash, s.key, s.own, func() { c.dropLocal(s.hash, s.key) })
		return
	}
	r := c.ready(s.hash, s.key, l)
	if !c.flights.store(s.hash, s.key, s.own, func() { c.putReady(s.hash, s.key, r) }) {
		c.refused.Add(1)
	}
	c.reportReady(s.key, r)
}

// errNoBytes says that there is no byte tier to encode for.
var errNoBytes = errors.New("no byte tier is on")

// payload encodes v for the byte tiers.
func (c *Cache[V]) payload(key string, v V, notFound error) (payload []byte, err error) {
	if c.local == nil && c.remote == nil {
		return nil, errNoBytes
	}
	if notFound != nil {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the codec panicked: %v", p)
		}
		if err != nil {
			c.encodeErrors.Add(1)
			c.observe(Event{Kind: EventEncode, Key: key, Err: err})
			c.said.say(c.cfg.Logger, "a value cannot be encoded and is kept in no byte tier", "cache", c.cfg.Name, "key", key, "error", err)
		}
	}()
	return c.cfg.Codec.Encode(v)
}

// decode is the codec's, with its panics turned into errors: what is stored
// may be anything.
func (c *Cache[V]) decode(key string, payload []byte) (v V, err error) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the codec panicked: %v", p)
		}
		if err != nil {
			c.undecodable(key, len(payload), err)
			return
		}
		took := time.Since(start)
		c.decodeCount.Add(1)
		c.decodedBytes.Add(int64(len(payload)))
		c.decodeTime.Add(int64(took))
		c.observe(Event{Kind: EventDecode, Key: key, Took: took, Size: len(payload)})
	}()
	return c.cfg.Codec.Decode(payload)
}

func (c *Cache[V]) undecodable(key string, size int, err error) {
	c.undecodables.Add(1)
	c.observe(Event{Kind: EventUndecodable, Key: key, Size: size, Err: err})
	c.said.say(c.cfg.Logger, "stored bytes cannot be decoded and count as absent", "cache", c.cfg.Name, "key", key, "error", err)
}
