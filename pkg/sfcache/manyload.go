package sfcache

import (
	"context"
	"time"
)

// loadMany settles keys with one call of LoadMany and stores what it returned,
// with one call of Remote.
func (b *batch[V]) loadMany(ctx context.Context, keys []*batchKey[V]) {
	c := b.c
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.key
	}
	start := time.Now()
	var vals map[string]V
	var err error
	done := make(chan struct{})
	go func() { // so that a Goexit in LoadMany ends this goroutine alone; run waits for it
		defer close(done)
		protect(&vals, &err, func() (map[string]V, error) { return c.cfg.LoadMany(ctx, names) })
	}()
	<-done
	took := time.Since(start)
	c.loads.Add(int64(len(keys)))
	c.loadTime.Add(int64(took))
	if err != nil {
		c.loadErrors.Add(int64(len(keys)))
		c.observe(Event{Kind: EventLoad, Key: names[0], Took: took, Err: err})
		b.each(keys, func(k *batchKey[V]) (V, error) {
			if k.token != "" {
				c.giveBack(ctx, c.remoteKey(k.key), k.token)
			}
			return b.failed(k, err)
		})
		return
	}
	c.observe(Event{Kind: EventLoad, Key: names[0], Took: took})
	b.storeMany(ctx, keys, vals, took)
}

// loaded is one key's result on its way to the tiers.
type loaded struct {
	notFound error
	payload  []byte
	ok       bool
	left     time.Duration
	entry    int // in the fill; -1 for none
}

// storeMany is Cache.store for many keys.
func (b *batch[V]) storeMany(ctx context.Context, keys []*batchKey[V], vals map[string]V, took time.Duration) {
	c := b.c
	results := make([]loaded, len(keys))
	var entries []Entry
	for i, k := range keys {
		v, there := vals[k.key]
		r := loaded{entry: -1}
		if !there {
			r.notFound = c.cfg.NotFound
			c.notFound.Add(1)
		}
		r.left = c.lifetime(r.notFound)
		r.payload, r.ok = c.payload(k.key, v, r.notFound)
		if k.token != "" {
			e := Entry{Key: c.remoteKey(k.key), Token: k.token, Keep: c.cfg.Lease == 0}
			if r.ok && r.left > 0 {
				e.Value, e.Life = c.remoteValue(r.payload, !there, r.left, took)
			}
			r.entry = len(entries)
			entries = append(entries, e)
		}
		results[i] = r
		k.settle(v, r.notFound)
	}
	var stored []bool
	if len(entries) > 0 {
		stored = c.fill(ctx, entries)
	}
	for i, k := range keys {
		r := results[i]
		if r.entry >= 0 && !stored[r.entry] {
			c.refused.Add(1)
			continue
		}
		c.keep(k.own, k.hash, k.key, k.v, r.notFound, r.payload, r.ok, r.left, took)
	}
}
