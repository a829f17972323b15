package sfcache

import (
	"context"
	"time"
)

// loadMany settles keys with one call of LoadMany and stores what it returned,
// with one call of Remote.
func (b *batch[V]) loadMany(ctx context.Context, keys []*batchKey[V]) {
	if len(keys) == 0 {
		return
	}
	c := b.c
	filled := false
	defer func() { // also after a panic
		if !filled {
			b.each(keys, func(k *batchKey[V]) (V, error) { c.giveBack(ctx, &k.search); return k.v, k.err })
		}
	}()
	if ctx.Err() != nil {
		for _, k := range keys {
			k.settle(k.zero(), ended(ctx))
		}
		return
	}
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
	c.observe(Event{Kind: EventLoad, Key: names[0], Took: took, Err: err})
	if err != nil {
		c.loadErrors.Add(int64(len(keys)))
		for _, k := range keys {
			k.settle(c.insteadOf(k.zero(), err, &k.search))
		}
		return
	}
	b.storeMany(ctx, keys, vals, took)
	filled = true
}

// storeMany is Cache.store for many keys.
func (b *batch[V]) storeMany(ctx context.Context, keys []*batchKey[V], vals map[string]V, took time.Duration) {
	c := b.c
	results := make([]loaded[V], len(keys))
	at := make([]int, len(keys)) // in entries; -1 for none
	var entries []Entry
	for i, k := range keys {
		v, there := vals[k.key]
		var notFound error
		if !there {
			notFound = c.cfg.NotFound
			c.notFound.Add(1)
		}
		at[i], results[i] = -1, c.loaded(v, notFound, took)
		c.encode(k.key, &results[i])
		if k.token != "" {
			at[i] = len(entries)
			entries = append(entries, c.entry(&k.search, results[i]))
		}
		k.settle(v, notFound)
	}
	var stored []bool
	if len(entries) > 0 {
		stored = c.fill(ctx, entries)
	}
	for i, k := range keys {
		if at[i] >= 0 && !stored[at[i]] {
			c.refused.Add(1)
			continue
		}
		c.keep(&k.search, results[i])
	}
}
