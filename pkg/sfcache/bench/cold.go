package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// stampede is how many callers want an absent key at the same moment.
const stampede = 256

const loadTime = 2 * time.Millisecond

// cold lets 256 callers loose on a key that nobody has. Loads and decodes are
// those of one stampede, times are those until its last caller is served; CPU
// and memory are per caller.
func cold(ctx context.Context, r *runner) error {
	for _, size := range r.sizes {
		next := 0
		err := r.run(ctx, group{
			scenario: "cold", name: fmt.Sprintf("%s/G%d", sizeName(size), stampede), redis: true,
			takes: func(c contender) bool { return c.kind != floor },
			env: func() (*env, error) {
				e, err := newEnv(size)
				if err != nil {
					return nil, err
				}
				e.keys, e.entries = 1, roomy
				return e, nil
			},
			measure: func(ctx context.Context, e *env, l lister, _ contender) (Sample, error) {
				e.delay = loadTime
				defer func() { e.delay = 0 }()
				var took []time.Duration
				m := startMeter(e)
				for range r.stampedes {
					next++
					d, err := oneStampede(ctx, e, l, keyName(500_000+next))
					if err != nil {
						return Sample{}, err
					}
					took = append(took, d)
				}
				s := m.stop(int64(r.stampedes * stampede))
				s.Decodes *= stampede
				s.Loads *= stampede
				s.Reads *= stampede
				s.quantiles(took)
				s.Wall = s.P50
				return s, nil
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func oneStampede(ctx context.Context, e *env, l lister, key string) (time.Duration, error) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	errs := make([]error, stampede)
	for i := range stampede {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			v, err := l.Get(ctx, key)
			if err == nil && (v.ID != key || len(v.Items) != len(e.value.Items)) {
				err = fmt.Errorf("a wrong value for %q", key)
			}
			errs[i] = err
		})
	}
	ready.Wait()
	at := time.Now()
	close(begin)
	done.Wait()
	took := time.Since(at)
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return 0, errs[i]
	}
	return took, nil
}
