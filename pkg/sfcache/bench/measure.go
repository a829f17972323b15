package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Sample is what one contender did in one round. Fields that a scenario does
// not measure are 0.
type Sample struct {
	Ops     int64   `json:"ops"`
	Wall    float64 `json:"wall_ns_op"`
	CPU     float64 `json:"cpu_ns_op"` // user and system time of the whole process
	Allocs  float64 `json:"allocs_op"`
	Bytes   float64 `json:"bytes_op"`
	Decodes float64 `json:"decodes_op"`
	Loads   float64 `json:"loads_op"`
	Reads   float64 `json:"redis_reads_op"`
	P50     float64 `json:"p50_ns"`
	P99     float64 `json:"p99_ns"`
	// Heap is the live heap that the contender's values take, in parts of the
	// bound it was given.
	Heap float64 `json:"heap_of_bound"`
}

// meter measures between its start and its stop.
type meter struct {
	e                     *env
	began                 time.Time
	cpu                   time.Duration
	mem                   runtime.MemStats
	decodes, loads, reads int64
}

func startMeter(e *env) *meter {
	m := &meter{e: e, decodes: e.decodes.Load(), loads: e.loads.Load(), reads: e.reads.Load()}
	runtime.ReadMemStats(&m.mem)
	m.cpu, m.began = cpuTime(), time.Now()
	return m
}

func (m *meter) stop(ops int64) Sample {
	wall, cpu := time.Since(m.began), cpuTime()-m.cpu
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	n := float64(max(ops, 1))
	return Sample{
		Ops: ops, Wall: float64(wall) / n, CPU: float64(cpu) / n,
		Allocs: float64(mem.Mallocs-m.mem.Mallocs) / n, Bytes: float64(mem.TotalAlloc-m.mem.TotalAlloc) / n,
		Decodes: float64(m.e.decodes.Load()-m.decodes) / n, Loads: float64(m.e.loads.Load()-m.loads) / n, Reads: float64(m.e.reads.Load()-m.reads) / n,
	}
}

// cpuTime is what this process has used of all processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for arguments that are wrong
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// quantiles sets P50 and P99.
func (s *Sample) quantiles(took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	s.P50 = float64(took[len(took)/2])
	s.P99 = float64(took[len(took)*99/100])
}

// work is what goroutines do at the same time.
type work struct {
	goroutines int
	keys       [][]string    // each goroutine's, in order and again; their lengths are a power of two
	lasts      time.Duration // how long; or
	ops        int           // how many, together
	timeEvery  int           // a power of two: one call of so many is timed; 0: none
}

// closedLoop has each goroutine call again when its last call has returned.
func closedLoop(ctx context.Context, e *env, l lister, w work) (Sample, error) {
	var (
		ready, done sync.WaitGroup
		stop        atomic.Bool
		total       atomic.Int64
		failed      atomic.Pointer[error]
		begin       = make(chan struct{})
		began       time.Time // written before begin is closed
		took        = make([][]time.Duration, w.goroutines)
	)
	for g := range w.goroutines {
		ready.Add(1)
		done.Go(func() {
			keys := w.keys[g%len(w.keys)]
			mask, quota := len(keys)-1, -1
			if w.ops > 0 {
				quota = (w.ops + g) / w.goroutines
			}
			if w.timeEvery > 0 {
				took[g] = make([]time.Duration, 0, 4096)
			}
			ready.Done()
			<-begin
			// Everybody looks at the time, about every 50 µs: a timer would
			// wait its turn behind hundreds of goroutines that never block.
			i, look, steps, last := 0, 0, 1, time.Duration(0)
			for ; i != quota && !stop.Load(); i++ {
				if i == look && w.ops == 0 {
					now := time.Since(began)
					if now > w.lasts {
						stop.Store(true)
						break
					}
					if now-last < 50*time.Microsecond {
						steps = min(2*steps, 1024)
					} else {
						steps = max(steps/2, 1)
					}
					look, last = i+steps, now
				}
				timed := w.timeEvery > 0 && i&(w.timeEvery-1) == 0
				var at time.Time
				if timed {
					at = time.Now()
				}
				v, err := l.Get(ctx, keys[i&mask])
				if err != nil || v == nil {
					failure := noAnswer(keys[i&mask], err) // err itself must not escape: that would be an allocation a call
					failed.Store(&failure)
					break
				}
				if timed && len(took[g]) < cap(took[g]) {
					took[g] = append(took[g], time.Since(at))
				}
			}
			total.Add(int64(i))
		})
	}
	ready.Wait()
	m := startMeter(e)
	began = m.began
	close(begin)
	done.Wait()
	s := m.stop(total.Load())
	s.quantiles(slices.Concat(took...))
	if err := failed.Load(); err != nil {
		return s, *err
	}
	return s, nil
}

func noAnswer(key string, err error) error {
	if err == nil {
		return fmt.Errorf("get %q: no value", key)
	}
	return fmt.Errorf("get %q: %w", key, err)
}

// keyOrders are the orders in which goroutines ask for n keys: one key, all in
// turn from different places, or by a Zipf law with exponent 1.1.
func keyOrders(n int, zipf bool, goroutines, length int) [][]string {
	names := make([]string, n)
	for i := range names {
		names[i] = keyName(i)
	}
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	rng.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
	law := rand.NewZipf(rng, 1.1, 1, uint64(n-1))
	orders := make([][]string, goroutines)
	for g := range orders {
		orders[g] = make([]string, length)
		for i := range orders[g] {
			at := (g*31 + i) % n
			if zipf {
				at = int(law.Uint64())
			}
			orders[g][i] = names[at]
		}
	}
	return orders
}
