package main

import (
	"context"
	"fmt"
	"time"
)

// churn is 100 keys that expire all the time: after one second in the process
// and two in Redis. A load takes 2 ms. Contenders that can get a value again
// before it expires do. Latencies are of one call in 64.
func churn(ctx context.Context, r *runner) error {
	if r.churn == 0 {
		return nil
	}
	const size, n = 50_000, 64
	orders := keyOrders(manyKeys.n, false, n, 1024)
	return r.run(ctx, group{
		scenario: "churn", name: fmt.Sprintf("%s/%s/G%d", sizeName(size), manyKeys.name, n), redis: true, rounds: min(r.rounds, 2),
		takes: func(c contender) bool { return c.kind != floor },
		env: func() (*env, error) {
			e, err := newEnv(size)
			if err != nil {
				return nil, err
			}
			e.keys, e.entries, e.ttl, e.redisTTL, e.refresh = manyKeys.n, roomy, time.Second, 2*time.Second, true
			return e, nil
		},
		measure: func(ctx context.Context, e *env, l lister, _ contender) (Sample, error) {
			e.delay = loadTime
			defer func() { e.delay = 0 }()
			return closedLoop(ctx, e, l, work{goroutines: n, keys: orders, lasts: r.churn, timeEvery: 64})
		},
	})
}
