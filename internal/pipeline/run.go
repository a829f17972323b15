package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/profbot/profbot/internal/incident"
)

// Run works until ctx ends, then stops the workers and waits for them. Jobs in
// progress are cancelled: the store knows what is left, and the next start
// goes on from there.
func (p *Pipeline) Run(ctx context.Context) error {
	// The queue gets a context of its own: ending ctx must cancel the jobs
	// with a cause and then wait, which Stop below does.
	if err := p.river.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start queue: %w", err)
	}
	p.reconcile(ctx, true)
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	var pruned time.Time
	for ctx.Err() == nil {
		if now := p.Now(); now.Sub(pruned) >= pruneEvery {
			pruned = now
			p.prune(ctx, now)
		}
		select {
		case <-tick.C:
			p.reconcile(ctx, false)
		case <-ctx.Done():
		}
	}
	stop, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 10*time.Second, errors.New("jobs did not stop within 10s"))
	defer cancel()
	if err := p.river.StopAndCancel(stop); err != nil {
		return fmt.Errorf("stop queue: %w: %w", err, context.Cause(stop))
	}
	return nil
}

// reconcile queues every unit with work left that nobody holds. A unit whose
// job is still waiting in the queue is left to it, except at start: then a job
// that waits for a far retry is doubled, since the cause of its failure may
// have been mended by the restart.
func (p *Pipeline) reconcile(ctx context.Context, start bool) {
	idle, err := p.Store.Idle(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.Logger.ErrorContext(ctx, "reconcile", "error", err)
		}
		return
	}
	for _, i := range idle {
		if !start && p.waiting(ctx, i.Job) {
			continue
		}
		if err := p.Store.Requeue(ctx, i.Unit, p.enqueue); err != nil {
			if ctx.Err() == nil {
				p.Logger.ErrorContext(ctx, "requeue", "unit", i.Unit.String(), "error", err)
			}
			return
		}
		p.Logger.InfoContext(ctx, "work left by a stopped worker queued again", "unit", i.Unit.String())
	}
}

// waiting reports whether the queue will still run a job by itself.
func (p *Pipeline) waiting(ctx context.Context, id int64) bool {
	if id == 0 {
		return false
	}
	job, err := p.river.JobGet(ctx, id)
	if err != nil {
		return false // cleaned away, or the database will say so again at Requeue
	}
	switch job.State {
	case rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateScheduled:
		return true
	case rivertype.JobStateRunning:
		// Just fetched and on its way to the lease, or its process is dead.
		return job.AttemptedAt != nil && time.Since(*job.AttemptedAt) < reconcileEvery
	}
	return false
}

func (p *Pipeline) prune(ctx context.Context, now time.Time) {
	n, err := p.Store.Prune(ctx, now.Add(-p.Policy.Retention))
	switch {
	case err != nil && ctx.Err() == nil:
		p.Logger.ErrorContext(ctx, "prune", "error", err)
	case n > 0:
		p.Logger.InfoContext(ctx, "old incidents deleted", "incidents", n, "older_than", p.Policy.Retention.String())
	}
}

// hold runs f while holding the lease of u. It does nothing when somebody else
// holds it, who looks for changes before letting go, and when the incident was
// pruned while its job waited. ctx of f ends when the lease is lost.
func (p *Pipeline) hold(ctx context.Context, u incident.Unit, f func(ctx context.Context, l *incident.Lease) error) error {
	l, err := p.Store.Acquire(ctx, u, leaseTTL)
	if errors.Is(err, incident.ErrNotFound) {
		return nil
	}
	if err != nil || l == nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() { // ends when f has returned and cancel was called
		defer close(renewed)
		tick := time.NewTicker(leaseRenew)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := p.Store.Renew(ctx, l, leaseTTL); err != nil {
					cancel(err)
					return
				}
			}
		}
	}()
	err = f(ctx, l)
	lost := context.Cause(ctx)
	cancel(nil)
	<-renewed
	if err != nil && lost != nil {
		err = fmt.Errorf("%w: %w", err, lost)
	}
	// Without the release the unit would wait for the lease to run out.
	release, done := context.WithTimeoutCause(context.WithoutCancel(ctx), 5*time.Second, errors.New("database did not answer within 5s"))
	defer done()
	return errors.Join(err, p.Store.Release(release, l))
}

// retryPolicy waits 1 s, 2 s, 4 s ... up to 5 minutes: an incident is news for
// minutes, so the queue's default of up to weeks would help nobody.
type retryPolicy struct{}

func (retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	d := time.Second << min(max(len(job.Errors), 1)-1, 9)
	return time.Now().Add(min(d, 5*time.Minute))
}

// snoozeOr turns an error that says when to come back into a snooze, which
// does not count as a failed attempt.
func snoozeOr(err error) error {
	var later interface{ RetryAfter() time.Duration }
	if errors.As(err, &later) && later.RetryAfter() > 0 {
		return river.JobSnooze(later.RetryAfter())
	}
	return err
}

// quiet is the queue's logger: its own chatter at a level people rarely show.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(quietHandler{l.Handler()}) }

type quietHandler struct{ slog.Handler }

func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	if level < slog.LevelWarn {
		level = slog.LevelDebug
	}
	return h.Handler.Enabled(ctx, level)
}

func (h quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(a)}
}

func (h quietHandler) WithGroup(g string) slog.Handler { return quietHandler{h.Handler.WithGroup(g)} }
