package sfcache

import (
	"sync/atomic"
	"time"
)

// clock is the time that hits compare with. Reading the system's clock costs
// more than the rest of a hit, so a goroutine writes it down every tick; time
// in the hold is exact to a tick, and to the moment that goroutine waits for a
// processor. All other work reads the system's clock.
type clock struct {
	now   atomic.Int64 // ns since start; written by run alone
	start time.Time    // never changes
	tick  time.Duration
	stop  chan struct{}
	done  chan struct{}
}

// newClock starts a clock that is fine enough for lifetimes of about ttl, and
// calls each after every tick. Its goroutine ends with close.
func newClock(ttl time.Duration, each func(now int64, tick time.Duration)) *clock {
	c := &clock{start: time.Now(), tick: min(max(ttl/20, time.Millisecond), 250*time.Millisecond), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		t := time.NewTicker(c.tick)
		defer t.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-t.C:
				now := c.read()
				c.now.Store(now)
				each(now, c.tick)
			}
		}
	}()
	return c
}

// read is the exact time.
func (c *clock) read() int64 { return int64(time.Since(c.start)) }

// close stops the clock's goroutine and waits for it.
func (c *clock) close() {
	close(c.stop)
	<-c.done
}
