package pipeline

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// retryPolicy waits 1 s, 2 s, 4 s ... up to 5 minutes: an incident is news for
// minutes, so the queue's default of up to weeks would help nobody.
type retryPolicy struct{}

func (retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	d := time.Second << min(max(len(job.Errors), 1)-1, 9)
	return time.Now().Add(min(d, 5*time.Minute))
}

// retryAfter is how long an error asks to wait before the next try; 0 when it
// does not ask.
func retryAfter(err error) time.Duration {
	var later interface{ RetryAfter() time.Duration }
	if errors.As(err, &later) {
		return max(0, later.RetryAfter())
	}
	return 0
}

// snoozeOr turns an error that says when to come back into a snooze, which
// does not count as a failed attempt.
func snoozeOr(err error) error {
	if d := retryAfter(err); d > 0 {
		return river.JobSnooze(d)
	}
	return err
}

// notBefore remembers when something may be tried again for an incident: a job
// that comes later than the one that was asked to wait must wait as well. It
// knows what this process was asked: after a restart the first try is made at
// once.
type notBefore struct {
	what string // "told": for the error

	mu    sync.Mutex // protects until
	until map[string]time.Time
}

func newNotBefore(what string) notBefore {
	return notBefore{what: what, until: map[string]time.Time{}}
}

// check returns a [waitError] when incident id must wait.
func (n *notBefore) check(id string, now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := n.until[id].Sub(now); d > 0 {
		return waitError{n.what, d}
	}
	return nil
}

// set remembers that incident id must wait for d from now, and forgets those
// that need not wait any more.
func (n *notBefore) set(id string, now time.Time, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other, until := range n.until {
		if !until.After(now) {
			delete(n.until, other)
		}
	}
	if d > 0 {
		n.until[id] = now.Add(d)
	}
}

// waitError says that it is too early for the next try.
type waitError struct {
	what string
	left time.Duration
}

func (e waitError) Error() string {
	return fmt.Sprintf("not %s yet: the last try was asked to wait, for %s from now", e.what, e.left.Round(time.Millisecond))
}
func (e waitError) RetryAfter() time.Duration { return e.left }
