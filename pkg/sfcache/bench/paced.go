package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// paced is one 50 KB key at 1,000 requests a second that arrive by a Poisson
// process, whether or not earlier ones are served (an open loop). sfcache holds
// decoded values for 100 ms here, as a service does that wants to see other
// processes' writes soon; the objects of the others live for minutes. P50 and
// P99 are from arrival to answer.
func paced(ctx context.Context, r *runner) error {
	const size, perSecond = 50_000, 1000
	return r.run(ctx, group{
		scenario: "paced", name: fmt.Sprintf("%s/1 key/%d per s", sizeName(size), perSecond), redis: true, rounds: min(r.rounds, 3),
		env: func() (*env, error) {
			e, err := newEnv(size)
			if err != nil {
				return nil, err
			}
			e.keys, e.entries, e.holdTTL = 1, roomy, 100*time.Millisecond
			return e, nil
		},
		measure: func(ctx context.Context, e *env, l lister, _ contender) (Sample, error) {
			return openLoop(ctx, e, l, keyName(0), perSecond, r.paced)
		},
	})
}

func openLoop(ctx context.Context, e *env, l lister, key string, perSecond float64, lasts time.Duration) (Sample, error) {
	rng := rand.New(rand.NewPCG(3, 4)) // the same arrivals for all
	var (
		done   sync.WaitGroup
		mu     sync.Mutex // protects the fields below
		took   = make([]time.Duration, 0, int(2*perSecond*lasts.Seconds())+16)
		failed error
		ops    int64
	)
	m := startMeter(e)
	for at := time.Duration(0); ; ops++ {
		at += time.Duration(rng.ExpFloat64() / perSecond * float64(time.Second))
		if at > lasts {
			break
		}
		due := m.began.Add(at)
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		}
		done.Go(func() {
			v, err := l.Get(ctx, key)
			d := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, d)
			if err != nil || v == nil {
				failed = noAnswer(key, err)
			}
		})
	}
	done.Wait()
	s := m.stop(ops)
	s.quantiles(took)
	return s, failed
}
