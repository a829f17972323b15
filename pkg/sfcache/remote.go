package sfcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Remote is a byte tier that several processes share. Package sfredis has the
// one for Redis; most users never implement it.
//
// A fill is fenced: Fetch gives a token with a miss, Set and Delete take it
// away, and Fill stores only while it is there. So a load that began before a
// write cannot put an old value over it, in whichever process either happens.
//
// Methods must heed their context, which has a deadline, and must not keep
// the bytes they are given. They are called by many goroutines at once.
type Remote interface {
	// Fetch looks keys up, in one round trip if it can, and returns one answer
	// a key, in order. Where ask says so it also takes out a token for life,
	// or finds the one that somebody else holds.
	Fetch(ctx context.Context, keys []string, ask Ask, life time.Duration) ([]Fetched, error)
	// Fill stores each entry whose token is still there and gives the token
	// back; an entry with a nil Value only gives it back. stored has one answer
	// an entry, in order.
	Fill(ctx context.Context, entries []Entry) (stored []bool, err error)
	// Set stores e, whatever its token, takes the token away, and tells the
	// other processes as origin.
	Set(ctx context.Context, e Entry, origin string) error
	// Delete removes keys and their tokens and tells the other processes.
	Delete(ctx context.Context, keys []string, origin string) error
	// Watch calls changed for what others wrote, and missed whenever it has
	// begun to listen, the first time and after each break: messages before
	// that may be lost. It returns when ctx ends or when it cannot go on, and
	// is called again then after a while. A Remote that tells nothing returns
	// nil at once and is not asked again.
	Watch(ctx context.Context, changed func(origin string, keys []string), missed func()) error
}

// Ask says for which keys a Fetch takes out a token.
type Ask int

// What a Fetch may be asked for.
const (
	AskMissing Ask = iota // those without a value
	AskAll                // those with a value too
	AskSteal              // all, and from whoever has one
)

// Fetched is a Remote's answer for one key.
type Fetched struct {
	Value []byte // nil for a miss; not nil for an empty value
	// Life is how long Value stays; 0 when that is not known.
	Life time.Duration
	// Token fences a fill; "" where Ask took out none.
	Token string
	// Owner says that this call took the token out, so that no other process
	// is loading the key.
	Owner bool
}

// Entry is a value on its way to a Remote.
type Entry struct {
	Key   string
	Token string
	Value []byte
	Life  time.Duration // after which it may be forgotten; at least 1 ms
	// Keep leaves the token there after a fill, for others who load the key at
	// the same time and found the same token.
	Keep bool
}

var errResting = errors.New("sfcache: remote tier is resting after failures")

// guard stands before a Remote: every call gets its own deadline, and after
// failures in a row there is a rest in which none is made, so that a dead
// Redis costs its timeout a few times and not in every load.
type guard struct {
	remote  Remote
	timeout time.Duration

	mu       sync.Mutex // protects the fields below
	failures int        // in a row
	until    time.Time  // no call before, but for one that probes
}

const (
	restAfter = 3 // failures in a row
	restFirst = 250 * time.Millisecond
	restMost  = 5 * time.Second
)

// do makes one call. It fails with errResting when it is not made at all.
func (g *guard) do(ctx context.Context, call func(context.Context) error) error {
	probe, ok := g.enter()
	if !ok {
		return errResting
	}
	cctx, cancel := context.WithTimeoutCause(ctx, g.timeout, fmt.Errorf("no answer within %s", g.timeout))
	defer cancel()
	err := call(cctx)
	if err != nil && cctx.Err() != nil {
		err = fmt.Errorf("%w: %w", err, context.Cause(cctx))
	}
	if err == nil || ctx.Err() == nil { // or whoever asked has left, which says nothing about the remote
		g.leave(probe, err != nil)
	}
	return err
}

// enter reports whether a call may be made, and whether it is one that probes.
func (g *guard) enter() (probe, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures < restAfter {
		return false, true
	}
	now := time.Now()
	if now.Before(g.until) {
		return false, false
	}
	g.until = now.Add(g.timeout) // one probe at a time
	return true, true
}

func (g *guard) leave(probe, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !failed {
		g.failures = 0
		return
	}
	if g.failures >= restAfter && !probe {
		return // it was under way when the rest began, which it must not make longer
	}
	g.failures++
	if over := g.failures - restAfter; over >= 0 {
		g.until = time.Now().Add(min(restFirst<<min(over, 6), restMost))
	}
}
