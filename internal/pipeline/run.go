package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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

// reconcile queues every unit with work left that nobody holds and the queue
// does not know of. At start it queues those as well that wait for a far
// retry, since the cause of their failure may have been mended by the restart.
func (p *Pipeline) reconcile(ctx context.Context, start bool) {
	idle, err := p.Store.Idle(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.Logger.ErrorContext(ctx, "reconcile", "error", err)
		}
		return
	}
	for _, u := range idle {
		queued := false
		if !start {
			queued, err = p.queued(ctx, u, 0)
		}
		if !queued && err == nil {
			_, err = p.river.Insert(ctx, jobOf(u), nil)
		}
		if err != nil {
			if ctx.Err() == nil {
				p.Logger.ErrorContext(ctx, "reconcile", "unit", u.String(), "error", err)
			}
			return
		}
		if !queued {
			p.Logger.InfoContext(ctx, "work left by a stopped worker queued again", "unit", u.String())
		}
	}
}

// queued reports whether the queue will run a job of u by itself, beside the
// job of number self (0 for none).
func (p *Pipeline) queued(ctx context.Context, u incident.Unit, self int64) (bool, error) {
	res, err := p.river.JobList(ctx, river.NewJobListParams().Kinds(jobOf(u).Kind()).
		States(rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateScheduled, rivertype.JobStateRunning).
		Where("args ->> '$.incident' = @incident AND coalesce(args ->> '$.pod', '') = @pod", river.NamedArgs{"incident": u.Incident, "pod": u.Pod}))
	if err != nil {
		return false, fmt.Errorf("look for jobs of %s: %w", u, err)
	}
	return slices.ContainsFunc(res.Jobs, func(j *rivertype.JobRow) bool {
		if j.ID == self {
			return false
		}
		// What seems to run may have died with another process; and it does
		// not count beside a job that has just held the unit, since it may
		// have found the lease taken and be about to end.
		return j.State != rivertype.JobStateRunning || self == 0 && slices.Contains(j.AttemptedBy, p.river.ID())
	}), nil
}

// again decides how a job of u ends that got err. While the work cannot be
// done, every change would add one more job that fails and waits: one that
// waits is enough, so this one ends if there is another.
func (p *Pipeline) again(ctx context.Context, job int64, u incident.Unit, err error) error {
	if err == nil {
		return nil
	}
	if queued, qerr := p.queued(ctx, u, job); qerr == nil && queued {
		return nil
	}
	return snoozeOr(err)
}

func (p *Pipeline) prune(ctx context.Context, now time.Time) {
	n, err := p.Store.Prune(ctx, now.Add(-p.Policy.Retention), now.Add(-2*p.Policy.Retention))
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
