package sfcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"time"
)

// reading says which stored values a fetch may return.
type reading int

const (
	readAny   reading = iota // every fresh one
	readFresh                // those that need no refresh soon
	readNone                 // none: load
)

// fetch is the body of a flight: the tiers again, since another flight may
// have ended between this caller's look and this flight's start, then Remote,
// then the loader; and what was got is stored on the way back.
func (c *Cache[V]) fetch(ctx context.Context, own *call[V], hash uint64, key string, load Loader[V], read reading) (V, error) {
	if read == readAny {
		if it := c.hold.get(hash, key); it != nil && c.clock.read() < it.fresh {
			c.hits.add()
			return it.val, it.err
		}
	}
	var spare *found[V] // stale, for when the loader fails
	if c.local != nil && read != readNone {
		spare = c.readLocal(hash, key, func(e envelope) bool { return read == readAny || c.enough(e) })
		if spare != nil && spare.left > 0 {
			return spare.v, spare.err
		}
	}
	token := ""
	if c.remote != nil {
		got, t := c.fetchRemote(ctx, own, hash, key, read)
		if got != nil && got.left > 0 || got != nil && t == "" {
			return got.v, got.err
		}
		if got != nil {
			spare = got
		}
		token = t
	}
	if ctx.Err() != nil {
		var zero V
		return zero, ended(ctx)
	}
	v, cost, err := c.load(ctx, key, load)
	if err != nil && !errors.Is(err, c.cfg.NotFound) {
		if token != "" {
			c.giveBack(ctx, c.remoteKey(key), token)
		}
		if spare != nil {
			c.stale.Add(1)
			return spare.v, spare.err
		}
		return v, err
	}
	c.store(ctx, own, hash, key, v, err, cost, token)
	return v, err
}

// enough reports whether a stored value need not be refreshed yet.
func (c *Cache[V]) enough(e envelope) bool { return time.Until(e.fresh) > c.margin(e.cost) }

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

// store puts a loaded value, or that there is none, into every tier: Remote
// first, since it knows of writes in other processes. If the key was written
// during the load, it goes nowhere.
func (c *Cache[V]) store(ctx context.Context, own *call[V], hash uint64, key string, v V, notFound error, cost time.Duration, token string) {
	if notFound != nil {
		notFound = c.cfg.NotFound
	}
	left := c.lifetime(notFound)
	payload, ok := c.payload(key, v, notFound)
	if token != "" {
		e := Entry{Key: c.remoteKey(key), Token: token, Keep: c.cfg.Lease == 0}
		if ok && left > 0 {
			e.Value, e.Life = c.remoteValue(payload, notFound != nil, left, cost)
		}
		if !c.fill(ctx, []Entry{e})[0] {
			c.refused.Add(1)
			return
		}
	}
	c.keep(own, hash, key, v, notFound, payload, ok, left, cost)
}

// keep is store for the tiers of this process.
func (c *Cache[V]) keep(own *call[V], hash uint64, key string, v V, notFound error, payload []byte, ok bool, left, cost time.Duration) {
	if left <= 0 {
		return
	}
	r := c.ready(hash, key, v, notFound, payload, ok, left, cost)
	if !c.flights.store(hash, own, func() { c.putReady(hash, key, r) }) {
		c.refused.Add(1)
	}
	c.reportReady(key, r)
}

// lifetime is how long what was loaded just now is fresh; 0 when it is not to
// be kept.
func (c *Cache[V]) lifetime(notFound error) time.Duration {
	if notFound != nil {
		return c.spread(c.cfg.NegativeTTL)
	}
	return c.spread(c.cfg.TTL)
}

// payload encodes v for the byte tiers; ok is false when there are none, or it
// cannot be encoded.
func (c *Cache[V]) payload(key string, v V, notFound error) (payload []byte, ok bool) {
	if c.local == nil && c.remote == nil {
		return nil, false
	}
	if notFound != nil {
		return nil, true
	}
	payload, err := c.cfg.Codec.Encode(v)
	if err != nil {
		c.encodeErrors.Add(1)
		c.observe(Event{Kind: EventEncode, Key: key, Err: err})
		c.said.say(c.cfg.Logger, "a value cannot be encoded and is kept in no byte tier", "cache", c.cfg.Name, "key", key, "error", err)
		return nil, false
	}
	return payload, true
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

// fetchRemote looks into Remote. It returns a fresh value; or a stale one, or
// none, with the token for the fill that must follow. Without a token a stale
// value is the answer: another process gets the new one. Where Remote fails
// there is neither.
func (c *Cache[V]) fetchRemote(ctx context.Context, own *call[V], hash uint64, key string, read reading) (spare *found[V], token string) {
	ask := AskMissing
	if read == readNone {
		ask = AskSteal
	}
	waited := false
	var seen []byte // what spare was made of
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		got, err := c.ask(ctx, []string{c.remoteKey(key)}, ask)
		if err != nil {
			return nil, ""
		}
		f := got[0]
		if f.Value != nil && ask != AskSteal {
			if seen == nil || !bytes.Equal(seen, f.Value) {
				seen, spare = f.Value, c.take(own, hash, key, f, read)
				if spare != nil && spare.left > 0 {
					return spare, ""
				}
			}
			if f.Token == "" { // it has a value, and nobody asked for a token yet
				if ask == AskAll {
					return spare, "" // a Remote that gives none: go on without
				}
				ask, pause = AskAll, time.Millisecond
				continue
			}
		}
		if f.Owner && c.cfg.Lease > 0 {
			c.leases.Add(1)
		}
		if f.Owner || c.cfg.Lease == 0 || ask == AskSteal {
			return spare, f.Token
		}
		if spare != nil && spare.err == nil {
			return spare, ""
		}
		if !waited {
			waited = true
			c.leaseWaits.Add(1)
		}
		// Spread, so that the waiting processes do not ask in step.
		t := time.NewTimer(pause/2 + mrand.N(pause))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ""
		}
	}
}

// take decodes what Remote had, and keeps it in this process if it is fresh.
// It returns nil when it is of no use.
func (c *Cache[V]) take(own *call[V], hash uint64, key string, f Fetched, read reading) *found[V] {
	e, payload := envelope{fresh: time.Now().Add(c.cfg.TTL)}, f.Value
	if f.Life > 0 {
		e.fresh = time.Now().Add(f.Life)
	}
	if !c.cfg.Raw {
		var err error
		if e, payload, err = openEnvelope(f.Value); err != nil {
			c.undecodable(key, len(f.Value), err)
			return nil
		}
	}
	left := time.Until(e.fresh)
	if left <= 0 && (e.absent || left <= -c.cfg.Stale) {
		return nil
	}
	v := &found[V]{left: left}
	if e.absent {
		v.err = c.cfg.NotFound
	} else {
		var err error
		if v.v, err = c.decode(key, payload); err != nil {
			return nil
		}
	}
	c.remoteHits.Add(1)
	if read == readFresh && !c.enough(e) {
		v.left = 0 // as good as stale: it is to be refreshed
		return v
	}
	if left > 0 {
		c.keep(own, hash, key, v.v, v.err, payload, true, left, e.cost)
	}
	return v
}
