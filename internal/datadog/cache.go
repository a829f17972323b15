package datadog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxCached is how many answers are kept at most.
const maxCached = 256

// cache keeps answers for a while and lets callers with the same question
// share one call. The zero value is empty. What it holds is shared: nobody may
// change it.
type cache struct {
	mu      sync.Mutex // protects the fields below, and each flight's waiters
	answers map[string]answer
	flights map[string]*flight
}

// flight is a call under way. Unlike one of x/sync's singleflight it ends when
// nobody waits for it any more, and a caller that leaves fails nobody else.
type flight struct {
	waiters int
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when the fields below are written
	value   any
	err     error
}

type answer struct {
	value any
	until time.Time
}

// put keeps an answer. The caller holds c.mu.
func (c *cache) put(key string, value any, now time.Time, fresh time.Duration) {
	if fresh <= 0 {
		return
	}
	if c.answers == nil {
		c.answers = map[string]answer{}
	}
	if len(c.answers) >= maxCached {
		for k, a := range c.answers {
			if !now.Before(a.until) {
				delete(c.answers, k)
			}
		}
		if len(c.answers) >= maxCached {
			clear(c.answers)
		}
	}
	c.answers[key] = answer{value, now.Add(fresh)}
}

// errLeft is why a call ends that nobody waits for.
var errLeft = errors.New("nobody waits for the answer any more")

// shared answers from the cache, or calls ask, once for all who have the same
// key at the time, on a goroutine of its own. That ends with the call, which
// has a time limit, and is cancelled when the last of the callers has left. A
// caller that leaves gets the cause of its context. Failures are not kept.
func shared[T any](ctx context.Context, c *Client, key, doing string, fresh time.Duration, ask func(context.Context) (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	c.cache.mu.Lock()
	if a, ok := c.cache.answers[key]; ok && c.opt.Now().Before(a.until) {
		c.cache.mu.Unlock()
		return a.value.(T), nil
	}
	f := c.cache.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		var flying context.Context
		flying, f.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		if c.cache.flights == nil {
			c.cache.flights = map[string]*flight{}
		}
		c.cache.flights[key] = f
		go func() {
			defer f.cancel(nil)
			value, err := ask(flying)
			c.cache.mu.Lock()
			defer c.cache.mu.Unlock()
			if c.cache.flights[key] == f { // else the last caller has left
				delete(c.cache.flights, key)
			}
			if err == nil {
				c.cache.put(key, value, c.opt.Now(), fresh)
			}
			f.value, f.err = value, err
			close(f.done)
		}()
	}
	f.waiters++
	c.cache.mu.Unlock()
	select {
	case <-f.done:
		if f.err != nil {
			return none, f.err
		}
		return f.value.(T), nil
	case <-ctx.Done():
		c.cache.mu.Lock()
		defer c.cache.mu.Unlock()
		if f.waiters--; f.waiters == 0 {
			if c.cache.flights[key] == f {
				delete(c.cache.flights, key) // who comes next has a call of its own
			}
			f.cancel(errLeft)
		}
		return none, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
}
