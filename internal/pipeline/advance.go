package pipeline

import (
	"context"
	"errors"
	"fmt"
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
	if early := (waitError{}); err != nil && ctx.Err() == nil && !errors.As(err, &early) {
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
		// People see at once that somebody is on it, but a spike does not wait
		// for Slack: whatever goes wrong here is mended by the next telling.
		p.tellBriefly(ctx, inc)
		return false, p.plan(ctx, inc)
	case incident.StatusReporting:
		p.tellBriefly(ctx, inc)
		return false, p.report(ctx, inc)
	}
	if err := p.tell(ctx, inc); err != nil {
		return false, err
	}
	return p.Store.Told(ctx, l, rev)
}

// plan chooses the pods and stores the captures they need.
func (p *Pipeline) plan(ctx context.Context, inc incident.Incident) error {
	key := inc.Alert.Key
	pods, err := p.Finder.Pods(ctx, key.Service, key.Env)
	if err != nil || len(pods) == 0 {
		failure := fmt.Sprintf("no pods are known for service %q", key.Service)
		if err != nil {
			failure = err.Error()
		}
		return p.Store.Finish(ctx, inc.ID, nil, failure)
	}
	ask := incident.Ask{AlertPod: inc.Alert.Pod, Hot: p.Policy.Pods, Control: !p.Policy.NoControl, Metric: p.Policy.Metric}
	var loads []incident.PodLoad
	var window time.Duration
	if inc.Alert.Verifies != "" {
		window = sinceFix // what was before the fix must not count
	}
	if p.Meter == nil {
		ask.NoLoads = "no Datadog API keys are configured, so loads are not known"
	} else {
		// Choosing must not cost the spike: a slow metric is a metric we do without.
		mctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("no answer within 10s"))
		loads, err = p.Meter.PodLoad(mctx, key.Service, key.Env, incident.MeasureCPU, window)
		if err != nil {
			if ctx.Err() != nil {
				cancel()
				return context.Cause(ctx)
			}
			ask.NoLoads = fmt.Sprintf("the Datadog metric could not be read (%v)", err)
			if mctx.Err() != nil {
				ask.NoLoads = fmt.Sprintf("the Datadog metric could not be read (%v)", context.Cause(mctx))
			}
			p.Logger.WarnContext(ctx, "pod loads unknown", "incident", inc.ID, "error", err)
		}
		cancel()
	}
	picks, choice := incident.Choose(pods, loads, ask)
	var captures []incident.Capture
	for _, pick := range picks {
		for _, kind := range incident.CPUPlan {
			c := incident.Capture{Incident: inc.ID, Pod: pick.Target.Pod, Kind: kind, Role: pick.Role, Why: pick.Why, Status: incident.CaptureWaiting}
			if kind == incident.KindCPU {
				c.Window, c.Load = p.Policy.Window, pick.Load
			}
			captures = append(captures, c)
		}
	}
	p.Logger.InfoContext(ctx, "pods chosen", "incident", inc.ID, "choice", choice)
	return p.Store.Plan(ctx, inc.ID, choice, captures, p.enqueue)
}

// tellBriefly tells a state that will soon be overtaken.
func (p *Pipeline) tellBriefly(ctx context.Context, inc incident.Incident) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errors.New("gave up after 5s to go on with the capture"))
	defer cancel()
	if err := p.tell(ctx, inc); err != nil {
		p.Logger.WarnContext(ctx, "progress not told, going on", "incident", inc.ID, "error", err)
	}
}

// tell brings the incident's thread up to date, unless the last try was asked
// to wait.
func (p *Pipeline) tell(ctx context.Context, inc incident.Incident) error {
	if err := p.told.check(inc.ID, p.Now()); err != nil {
		return err
	}
	u := Update{Incident: inc}
	var err error
	if u.Captures, err = p.Store.Captures(ctx, inc.ID); err != nil {
		return err
	}
	if inc.Status == incident.StatusDone {
		if u.Report, err = p.Store.Report(ctx, inc.ID); err != nil {
			return err
		}
		// A disk may lose a picture; the words are told without it.
		if u.Picture, err = p.Store.Blob(inc.ID, BlobPicture); errors.Is(err, incident.ErrNotFound) {
			p.Logger.WarnContext(ctx, "picture is gone, telling the words alone", "incident", inc.ID, "error", err)
		} else if err != nil {
			return err
		}
		u.ReportURL, u.FlameURL = p.Links(inc.ID)
		if inc.Alert.Verifies != "" {
			if u.Proof, err = p.Proof(ctx, inc, u.Captures, u.Report); err != nil {
				return err
			}
		}
	}
	err = p.Teller.Publish(ctx, inc.ID, u)
	p.told.set(inc.ID, p.Now(), retryAfter(err))
	return err
}
