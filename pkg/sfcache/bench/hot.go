package main

import (
	"context"
	"fmt"
)

// hot has everything in the process: what does a hit cost? It serves three
// comparisons: shared values (sfcache against the caches of objects), private
// ones (sfcache/clone against the caches of bytes), and values shared in
// flight alone (sfcache/strict against the pattern by hand).
func hot(ctx context.Context, r *runner) error {
	for _, size := range r.sizes {
		for _, keys := range r.keys {
			for _, n := range r.goroutines {
				orders := keyOrders(keys.n, keys.zipf, min(n, 64), 1024)
				lasts := r.hot
				if keys.n == 1 && n > 100 {
					// How many share a flight varies much: it takes many flights.
					lasts *= 4
				}
				err := r.run(ctx, group{
					scenario: "hot", name: fmt.Sprintf("%s/%s/G%d", sizeName(size), keys.name, n), redis: true,
					env: func() (*env, error) {
						e, err := newEnv(size)
						if err != nil {
							return nil, err
						}
						e.keys, e.entries = keys.n, roomy
						return e, nil
					},
					measure: func(ctx context.Context, e *env, l lister, _ contender) (Sample, error) {
						s, err := closedLoop(ctx, e, l, work{goroutines: n, keys: orders, lasts: lasts})
						if err != nil {
							return s, err
						}
						// Apart, since looking at the time twice costs more than
						// a hit: that much is in the quantiles of short calls.
						timed := work{goroutines: n, keys: orders, lasts: lasts / 8, timeEvery: 64}
						if s.Wall > 2000 {
							timed.timeEvery = 1
						}
						t, err := closedLoop(ctx, e, l, timed)
						s.P50, s.P99 = t.P50, t.P99
						return s, err
					},
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func sizeName(n int) string { return fmt.Sprintf("%dKB", n/1000) }
