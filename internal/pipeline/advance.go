package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/profbot/profbot/internal/incident"
)

type advanceArgs struct {
	Incident string `json:"incident"`
}

func (advanceArgs) Kind() string { return "advance" }

type advanceWorker struct {
	river.WorkerDefaults[advanceArgs]
	p *Pipeline
}

// Timeout covers an analysis and a telling with its waits.
func (w *advanceWorker) Timeout(*river.Job[advanceArgs]) time.Duration { return 10 * time.Minute }

func (w *advanceWorker) Work(ctx context.Context, job *river.Job[advanceArgs]) error {
	u := incident.Unit{Incident: job.Args.Incident}
	err := w.p.hold(ctx, u, func(ctx context.Context, l *incident.Lease) error {
		for {
			done, err := w.p.advance(ctx, l)
			if err != nil || done {
				return err
			}
		}
	})
	// What is only to come later has its place in a line, and is no news.
	if err != nil && ctx.Err() == nil && retryAfter(err) == 0 {
		w.p.Logger.ErrorContext(ctx, "incident not advanced, will be tried again", "incident", u.Incident, "error", err)
	}
	return w.p.again(ctx, job.ID, u, err)
}

// advance does the next step of an incident. It returns true when everything
// there is to tell was told.
func (p *Pipeline) advance(ctx context.Context, l *incident.Lease) (done bool, err error) {
	inc, rev, err := p.Store.Incident(ctx, l.Unit.Incident)
	if err != nil {
		return false, err
	}
	switch inc.Status {
	case incident.StatusAccepted:
		if err := p.planned.check(inc.ID, p.Now()); err != nil {
			p.tellBriefly(ctx, inc) // what it waits for
			return false, err
		}
		return false, p.beside(ctx, inc, p.plan)
	case incident.StatusReporting:
		return false, p.beside(ctx, inc, p.report)
	}
	if err := p.tell(ctx, inc); err != nil {
		return false, err
	}
	if err := p.event(ctx, inc); err != nil {
		return false, err
	}
	return p.Store.Told(ctx, l, rev)
}

// beside does a step while the state before it is told. People see at once
// that somebody is on it, but a spike does not wait for Slack: whatever goes
// wrong with the telling is mended by the next one.
func (p *Pipeline) beside(ctx context.Context, inc incident.Incident, step func(context.Context, incident.Incident) error) error {
	var telling sync.WaitGroup
	telling.Go(func() { p.tellBriefly(ctx, inc) }) // bounded, and waited for: an incident is told by one at a time
	defer telling.Wait()
	return step(ctx, inc)
}

// tellBriefly tells a state that will soon be overtaken.
func (p *Pipeline) tellBriefly(ctx context.Context, inc incident.Incident) {
	_, err := within(ctx, 5*time.Second, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.tell(ctx, inc) })
	if err != nil && retryAfter(err) == 0 {
		p.Logger.WarnContext(ctx, "progress not told, going on", "incident", inc.ID, "error", err)
	}
}

// tell brings the incident's thread up to date, unless the last try was asked
// to wait.
func (p *Pipeline) tell(ctx context.Context, inc incident.Incident) error {
	if err := p.told.check(inc.ID, p.Now()); err != nil {
		return err
	}
	u, err := p.update(ctx, inc)
	if err != nil {
		return err
	}
	err = p.Teller.Publish(ctx, inc.ID, u)
	p.told.set(inc.ID, p.Now(), retryAfter(err))
	return err
}

// Show is everything that an incident's thread shows.
func (p *Pipeline) Show(ctx context.Context, id string) (Update, error) {
	inc, _, err := p.Store.Incident(ctx, id)
	if err != nil {
		return Update{}, err
	}
	return p.update(ctx, inc)
}

// update reads what there is to tell of an incident.
func (p *Pipeline) update(ctx context.Context, inc incident.Incident) (Update, error) {
	u := Update{Incident: inc}
	var err error
	if u.Captures, err = p.Store.Captures(ctx, inc.ID); err != nil {
		return u, err
	}
	if inc.Status == incident.StatusDone {
		if u.Report, err = p.Store.Report(ctx, inc.ID); err != nil {
			return u, err
		}
		// A disk may lose a picture; the words are told without it.
		if u.Picture, err = p.Store.Blob(inc.ID, BlobPicture); errors.Is(err, incident.ErrNotFound) {
			p.Logger.WarnContext(ctx, "picture is gone, telling the words alone", "incident", inc.ID, "error", err)
		} else if err != nil {
			return u, err
		}
		if u.Diff, err = p.difference(inc.ID); err != nil {
			return u, err
		}
		u.ReportURL, u.FlameURL = p.Links(inc.ID)
		if inc.Alert.Verifies != "" {
			if u.Proof, err = p.Proof(ctx, inc, u.Captures, u.Report); err != nil {
				return u, err
			}
		}
	}
	return u, nil
}
