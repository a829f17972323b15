package main

import (
	"context"
	"fmt"
)

// zipf has room for a quarter of the keys: a quarter decoded for the caches of
// objects, a quarter of the bytes for those of bytes, and both for sfcache,
// whose two tiers are for that; sfcache/hold-only has the memory of one peer. Redis has all keys. A hit without a decode is 1-Decodes, one
// without Redis 1-Reads.
func zipf(ctx context.Context, r *runner) error {
	const size, n = 4000, 16
	orders := keyOrders(r.zipfKeys, true, n, 8192)
	return r.run(ctx, group{
		scenario: "zipf", rounds: min(r.rounds, 3), name: fmt.Sprintf("%s/%d keys, room for a quarter/G%d", sizeName(size), r.zipfKeys, n), redis: true,
		takes: func(c contender) bool { return c.kind != floor },
		env: func() (*env, error) {
			e, err := newEnv(size)
			if err != nil {
				return nil, err
			}
			e.keys, e.entries = r.zipfKeys, r.zipfKeys/4
			return e, nil
		},
		prepare: func(ctx context.Context, e *env, l lister, c contender) error {
			for i := range e.keys {
				v, err := l.Get(ctx, keyName(i))
				if err != nil {
					return err
				}
				if key := keyName(i); !v.equal(key, e.value) {
					return fmt.Errorf("a wrong value for %q", key)
				}
			}
			// The policies learn what is asked for often.
			_, err := closedLoop(ctx, e, l, work{goroutines: n, keys: orders, ops: 2 * r.zipfOps})
			return err
		},
		measure: func(ctx context.Context, e *env, l lister, _ contender) (Sample, error) {
			e.turns++ // each has the same keys in the same round
			return closedLoop(ctx, e, l, work{goroutines: n, keys: rotate(orders, e.turns*r.zipfOps/n), ops: r.zipfOps, timeEvery: 16})
		},
	})
}

// rotate lets each order begin n keys later.
func rotate(orders [][]string, n int) [][]string {
	out := make([][]string, len(orders))
	for i, o := range orders {
		k := n % len(o)
		out[i] = append(append(make([]string, 0, len(o)), o[k:]...), o[:k]...)
	}
	return out
}
