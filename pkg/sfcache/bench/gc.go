package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// gc is what a collection costs while a million small values are cached. The
// floor "noop" caches nothing: it is the empty heap. sfcache takes part with
// its byte tier, which is where a million values belong.
func gc(ctx context.Context, r *runner) error {
	return r.run(ctx, group{
		scenario: "gc", name: fmt.Sprintf("%d entries", r.gcEntries), apart: true, rounds: min(r.rounds, 2),
		takes: func(c contender) bool {
			switch c.name {
			case "sfcache/strict", "freecache", "go-redis/cache-msgpack", "noop":
				return true
			}
			// sturdyc cannot be closed: its goroutines would keep its million
			// values alive for those who come after it.
			return c.kind == objects && c.name != "sturdyc"
		},
		env: func() (*env, error) {
			e, err := newEnv(0)
			if err != nil {
				return nil, err
			}
			e.keys, e.entries = r.gcEntries, 2*r.gcEntries
			return e, nil
		},
		prepare: func(ctx context.Context, e *env, l lister, c contender) error {
			for i := range e.keys {
				key := keyName(i)
				v, err := l.Get(ctx, key)
				if err != nil {
					return err
				}
				if c.kind != floor && !v.equal(key, e.value) {
					return fmt.Errorf("a wrong value for %q", key)
				}
			}
			return nil
		},
		measure: func(_ context.Context, e *env, l lister, _ contender) (Sample, error) {
			// The garbage of the filling goes back first, which is no part of it.
			debug.FreeOSMemory()
			// The least of single collections: what others on the machine do
			// only adds to it, several times over.
			var wall, cpu []float64
			for began := time.Now(); len(wall) < r.gcCycles && (len(wall) < 3 || time.Since(began) < 2*time.Second); {
				m := startMeter(e)
				runtime.GC()
				s := m.stop(1)
				wall, cpu = append(wall, s.Wall), append(cpu, s.CPU)
			}
			s := Sample{Ops: int64(len(wall)), Wall: slices.Min(wall), CPU: slices.Min(cpu)}
			runtime.KeepAlive(l)
			return s, nil
		},
	})
}

// held is the memory that the decoded tier really takes when it is full.
func held(ctx context.Context, r *runner) error {
	for _, size := range r.sizes {
		c := jsonCodec
		err := r.run(ctx, group{
			scenario: "held", name: fmt.Sprintf("%s/%d MiB", sizeName(size), r.heldBytes>>20), apart: true, rounds: min(r.rounds, 2),
			takes: func(c contender) bool { return c.name == "sfcache" || c.name == "otter" || c.name == "theine" },
			env: func() (*env, error) {
				e, err := newEnv(size)
				if err != nil {
					return nil, err
				}
				e.entries = int(r.heldBytes / e.weight)
				e.keys = 3 * e.entries
				data, err := c.marshal(e.value)
				e.decoded = func() (*List, error) { // each value has memory of its own
					v := new(List)
					return v, c.unmarshal(data, v)
				}
				return e, err
			},
			prepare: func(context.Context, *env, lister, contender) error { return nil },
			measure: func(ctx context.Context, e *env, l lister, _ contender) (Sample, error) {
				before := liveHeap()
				m := startMeter(e)
				for i := range e.keys {
					if _, err := l.Get(ctx, keyName(i)); err != nil {
						return Sample{}, err
					}
				}
				s := m.stop(int64(e.keys))
				s.Heap = (liveHeap() - before) / float64(e.objectBytes())
				runtime.KeepAlive(l)
				return s, nil
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// liveHeap is the smallest of a few readings, after collections.
func liveHeap() float64 {
	least := math.Inf(1)
	for range 3 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, float64(m.HeapAlloc))
	}
	return least
}
