package sfcache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Group shares calls: while one for a key is under way, later callers of the
// same key wait for its result instead of making their own. It is
// [singleflight.Group] with types, with contexts, and without one lock for all
// keys. The zero value is ready. A Group must not be copied after first use.
//
// It remembers nothing: a caller that comes after a call has ended starts a
// new one. For results that are kept, see [Cache].
type Group[V any] struct {
	// Timeout bounds a call, however long its callers would wait: then they
	// get an error, even if the function does not heed its context. 0 means
	// no bound.
	Timeout time.Duration

	shards [shards]groupShard[V]
	// closed is set once, by close. A call that saw it false under its shard's
	// mu is in running before close gets that mu.
	closed  atomic.Bool
	running sync.WaitGroup // functions under way, abandoned ones too
	started atomic.Int64   // calls so far
}

// shards is how many locks the keys are spread over. With a single one, many
// goroutines on many keys spend more time on it than in short calls.
const shards = 64

// seed hashes keys. It is the same for every Group so that their zero value is
// ready to use.
var seed = maphash.MakeSeed()

type groupShard[V any] struct {
	mu sync.Mutex // protects the fields below
	// calls are those that a new caller may join; lazily made.
	calls map[string]*call[V]
	// behind are those whose result was handed out while their functions still
	// store it, the latest of each key; lazily made. A key may be in both.
	behind map[string]*call[V]
	// absent is how many of calls were begun because nothing was at hand. It
	// is changed under mu, and read without it to see that there is none.
	absent atomic.Int32
	// writes counts the keys dropped and stored: who saw it unchanged knows
	// that no key of this shard got another value in between.
	writes uint64
	// group runs the calls and hands out their results. It knows a key while
	// calls does: both are changed under mu. (It locks itself as well.)
	group singleflight.Group
}

// call is one execution of a function.
type call[V any] struct {
	cancel context.CancelCauseFunc
	// waiters is how many callers still want the result, and dropped says that
	// it must be stored nowhere, since the key was written in the meantime.
	// These are under the shard's mu.
	waiters   int
	dropped   bool
	absent    bool     // counted in the shard's absent
	published bool     // the result was handed out, and nobody can join or abandon it
	item      *item[V] // what was published

	// answered is closed when the function's result is in answer, which that
	// function's goroutine writes before and nobody after.
	answered chan struct{}
	answer   result[V]
	// val and err are written before the shard's group sends on its channels,
	// and read only after a receive from one.
	val V
	err error
}

// result is what a function returns.
type result[V any] struct {
	set bool
	val V
	err error
}

// errAbandoned is why a call's context ended when its last caller had left.
var errAbandoned = errors.New("every caller has left")

// Do returns the result of f for key, shared with all callers of the same key
// that come before f returns.
//
// ctx governs only how long this caller waits, also the caller whose f runs:
// when ctx ends, Do returns its error at once and the others go on. f gets a
// context with the values of the first caller's ctx (traces, profiler labels).
// It ends after Timeout, or when the last caller has left; a caller who comes
// later than that starts a new call.
//
// An error of f is every caller's error. A panic or a runtime.Goexit in f
// reaches every caller as a [*PanicError].
func (g *Group[V]) Do(ctx context.Context, key string, f func(context.Context) (V, error)) (V, error) {
	v, _, err := g.do(ctx, maphash.String(seed, key), key, false, func(ctx context.Context, _ *call[V]) (V, error) { return f(ctx) })
	return v, err
}

// do is Do for a key whose hash is known. anew drops a call that is under way
// instead of joining it. joined says that it was another caller's f that ran.
func (g *Group[V]) do(ctx context.Context, hash uint64, key string, anew bool, f func(context.Context, *call[V]) (V, error)) (v V, joined bool, err error) {
	if ctx.Err() != nil {
		return v, false, ended(ctx)
	}
	s := g.shard(hash)
	s.mu.Lock()
	c, joined := s.calls[key]
	if anew && joined {
		s.unlinkLocked(key, c)
		joined = false
	}
	var done <-chan singleflight.Result
	if joined {
		c.waiters++
		done = s.group.DoChan(key, nil) // never run: a call of this key is under way
	} else {
		c, done, err = g.startLocked(ctx, s, key, f)
		if err == nil && !anew {
			c.absent = true
			s.absent.Add(1)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return v, false, err
	}
	select {
	case <-done:
		return c.val, joined, c.err
	case <-ctx.Done():
		s.leave(key, c)
		return v, joined, ended(ctx)
	}
}

// absent reports whether a call for key is under way that was begun because
// nothing was at hand: then there is nothing to look for, but a call to join.
func (g *Group[V]) absent(hash uint64, key string) bool {
	s := g.shard(hash)
	if s.absent.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[key]
	return c != nil && c.absent
}

// background starts a call that nobody waits for, unless one for key is under
// way, and reports whether it did. Nobody leaves it either: it runs to its end,
// to Timeout or to close.
func (g *Group[V]) background(ctx context.Context, hash uint64, key string, f func(context.Context, *call[V]) (V, error)) bool {
	s := g.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[key] != nil {
		return false
	}
	_, _, err := g.startLocked(ctx, s, key, f)
	return err == nil // the only error is ErrClosed
}

// startLocked starts a call with one waiter. Must be called with s.mu held,
// and with no call for key under way.
func (g *Group[V]) startLocked(ctx context.Context, s *groupShard[V], key string, f func(context.Context, *call[V]) (V, error)) (*call[V], <-chan singleflight.Result, error) {
	if g.closed.Load() {
		return nil, nil, ErrClosed
	}
	if s.calls == nil {
		s.calls = map[string]*call[V]{}
	}
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	c := &call[V]{cancel: stop, waiters: 1, answered: make(chan struct{})}
	s.calls[key] = c
	g.running.Add(1)
	g.started.Add(1)
	return c, s.group.DoChan(key, func() (any, error) {
		c.val, c.err = g.run(ctx, s, key, c, f)
		s.unlink(key, c)
		stop(nil)
		return nil, nil // c holds the result, with its type
	}), nil
}

// run calls f in a goroutine of its own, for three reasons: a Goexit in f must
// not end the goroutine that hands out the results, a panic must not end the
// process, and an f that does not heed its context must not hold its callers
// longer than Timeout. That goroutine ends with f, which may be long after run
// has returned, when the result was published; close waits for it.
func (g *Group[V]) run(ctx context.Context, s *groupShard[V], key string, c *call[V], f func(context.Context, *call[V]) (V, error)) (V, error) {
	if g.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, g.Timeout, fmt.Errorf("no result within %s", g.Timeout))
		defer cancel()
	}
	go func() {
		defer g.running.Done()
		defer s.finish(key, c)
		var v V
		var err error
		defer func() { c.reply(v, err) }() // also after a Goexit
		protect(&v, &err, func() (V, error) { return f(ctx, c) })
	}()
	select {
	case <-c.answered:
		v, err := c.answer.val, c.answer.err
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		return v, err
	case <-ctx.Done():
		var zero V
		return zero, ended(ctx)
	}
}

// reply makes v and err the result, unless there is one. Only the goroutine of
// c's function may call it.
func (c *call[V]) reply(v V, err error) {
	if !c.answer.set {
		c.answer = result[V]{true, v, err}
		close(c.answered)
	}
}

// leave takes one waiter off c. The last one unlinks the call before it
// cancels it: otherwise a new caller could join a call that is bound to fail.
func (s *groupShard[V]) leave(key string, c *call[V]) {
	s.mu.Lock()
	c.waiters--
	last := c.waiters == 0 && !c.published
	if last {
		s.unlinkLocked(key, c)
	}
	s.mu.Unlock()
	if last {
		c.cancel(errAbandoned)
	}
}

// unlink makes sure that nobody joins c any more. Before a call's result is
// handed out it must be unlinked, so that no caller gets a result older than
// itself. What a function does after that, late, is dropped, unless it had
// published its result.
func (s *groupShard[V]) unlink(key string, c *call[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.published {
		s.unlinkLocked(key, c)
	}
}

// unlinkLocked drops c, of calls, with mu held.
func (s *groupShard[V]) unlinkLocked(key string, c *call[V]) {
	c.dropped = true
	s.removeLocked(key, c)
}

// removeLocked takes c out of calls, with mu held.
func (s *groupShard[V]) removeLocked(key string, c *call[V]) {
	if s.calls[key] == c {
		delete(s.calls, key)
		s.group.Forget(key)
		if c.absent {
			s.absent.Add(-1)
		}
	}
}

// drop tells the calls of key, if there are any, that their results must not be
// stored, lets nobody join them any more, and runs update before any other call
// of the key can store something.
func (g *Group[V]) drop(hash uint64, key string, update func()) {
	s := g.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if c := s.calls[key]; c != nil {
		s.unlinkLocked(key, c)
	}
	s.outdoLocked(key)
	update()
}

// dropAll drops the calls of all keys.
func (g *Group[V]) dropAll(update func()) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		defer s.mu.Unlock()
		s.writes++
		for key, c := range s.calls {
			s.unlinkLocked(key, c)
		}
		for key := range s.behind {
			s.outdoLocked(key)
		}
	}
	update()
}

// store runs put unless c was dropped, and says whether it did. No drop of the
// key comes in between. Another call that is behind with the key stores nothing
// after it.
func (g *Group[V]) store(hash uint64, key string, c *call[V], put func()) bool {
	s := g.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.dropped {
		s.writes++
		if s.behind[key] != c {
			s.outdoLocked(key)
		}
		put()
	}
	return !c.dropped
}

// storeUnwritten runs put unless a key of the shard was dropped or stored
// since writes was read.
func (g *Group[V]) storeUnwritten(hash, writes uint64, put func()) {
	s := g.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes == writes {
		put()
	}
}

// writes is the count for storeUnwritten.
func (g *Group[V]) writes(hash uint64) uint64 {
	s := g.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// close refuses new calls, ends those under way and waits for their functions,
// and for those that are behind.
func (g *Group[V]) close() {
	g.closed.Store(true)
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for key, c := range s.calls {
			s.unlinkLocked(key, c)
			c.cancel(ErrClosed)
		}
		s.mu.Unlock()
	}
	g.running.Wait()
}

func (g *Group[V]) shard(hash uint64) *groupShard[V] { return &g.shards[hash%shards] }

// ended is the error of a context that has ended, with its cause.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err { //nolint:errorlint // the very same value, not one that wraps it
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
