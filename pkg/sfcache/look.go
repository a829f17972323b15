package sfcache

import (
	"bytes"
	"context"
	mrand "math/rand/v2"
	"time"
)

// fetchRemote looks into Remote. It returns the answer: a fresh value, or a
// stale one when another process gets the new one or a load has just failed. If
// it returns nil the caller must load, with s.token; where Remote fails there
// is none.
func (c *Cache[V]) fetchRemote(ctx context.Context, s *search[V]) (answer *found[V]) {
	ask := AskMissing
	switch {
	case s.read == readNone:
		ask, s.had = AskSteal, true
	case s.bytes != nil:
		ask = AskAll
	}
	waited := false
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		got, err := c.ask(ctx, []string{c.remoteKey(s.key)}, ask)
		if err != nil {
			return nil
		}
		f := got[0]
		if f.Value != nil && ask != AskSteal {
			if s.had = true; !bytes.Equal(s.bytes, f.Value) || s.bytes == nil {
				if v := c.look(s, f); v != nil && v.left > 0 {
					return v
				}
			}
			if s.spare != nil && s.read == readAny && c.failedLately(s.hash) {
				s.token = f.Token
				if f.Owner {
					c.giveBack(ctx, s)
				}
				return s.spare
			}
			if f.Token == "" && ask == AskMissing { // it has a value, and nobody asked for a token yet
				ask, pause = AskAll, time.Millisecond
				continue
			}
		}
		if f.Token == "" { // a Remote that can store nothing: go on without
			return nil
		}
		if f.Owner && c.cfg.Lease > 0 {
			c.leases.Add(1)
		}
		if f.Owner || c.cfg.Lease == 0 || ask == AskSteal {
			s.token = f.Token
			return nil
		}
		if s.spare != nil && s.spare.err == nil {
			return s.spare
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
			return nil
		}
	}
}

// look takes what Remote had, keeps it in this process if it is fresh, and
// notes it in s.
func (c *Cache[V]) look(s *search[V], f Fetched) *found[V] {
	s.bytes = f.Value
	v := c.take(s, f)
	if v != nil && v.left <= 0 {
		s.spare = v
	}
	return v
}

// take decodes what Remote had, and keeps it in this process if it is fresh.
// It returns nil when it is of no use.
func (c *Cache[V]) take(s *search[V], f Fetched) *found[V] {
	left := c.cfg.TTL
	var e envelope
	payload := f.Value
	if c.cfg.Raw {
		if f.Life > 0 {
			left = min(left, f.Life)
		}
	} else {
		var err error
		if e, payload, err = openEnvelope(f.Value); err != nil {
			c.undecodable(s.key, len(f.Value), err)
			return nil
		}
		left = c.left(e)
	}
	if left <= 0 && (e.absent || left <= -c.cfg.Stale) {
		return nil
	}
	v := &found[V]{left: left, cost: e.cost}
	if e.absent {
		v.err = c.cfg.NotFound
	} else {
		var err error
		if v.v, err = c.decode(s.key, payload); err != nil {
			return nil
		}
	}
	c.remoteHits.Add(1)
	if s.read == readFresh && !c.enough(e) {
		v.left = 0 // as good as stale: it is to be refreshed
		return v
	}
	if left > 0 {
		c.keep(s, loaded[V]{v: v.v, notFound: v.err, payload: payload, ok: true, left: left, cost: e.cost})
	}
	return v
}

// left is how long what e describes is fresh. Whoever stored it may have had
// another clock or another TTL: this cache's own is the most.
func (c *Cache[V]) left(e envelope) time.Duration {
	return min(time.Until(e.fresh), time.Duration(float64(c.cfg.TTL)*(1+c.cfg.Jitter)))
}
