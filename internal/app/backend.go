package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/version"
)

// backend answers people in Slack from what profbot knows. Mutes, the audit
// log, digests and deliveries are the store's own methods.
type backend struct {
	*store.Store
	app   *App
	since time.Time
}

var _ slackbot.Backend = (*backend)(nil)

// maxRead bounds the incidents that one answer looks at.
const maxRead = 200

func (b *backend) Accept(ctx context.Context, a incident.Alert) (incident.Receipt, error) {
	return b.app.pipeline.Accept(ctx, a)
}

func (b *backend) Verify(ctx context.Context, id, by string) (incident.Receipt, error) {
	return b.app.verify(ctx, id, by)
}

func (b *backend) Show(ctx context.Context, id string) (slackbot.Update, error) {
	u, err := b.app.pipeline.Show(ctx, id)
	return slackbot.Update(u), err
}

func (b *backend) Find(ctx context.Context, at incident.Place) (string, error) {
	return b.Thread(ctx, slackbot.StepMessage, at)
}

func (b *backend) Services(ctx context.Context) ([]slackbot.Known, error) {
	names, err := b.app.fleet.Services(ctx)
	if err != nil {
		return nil, err
	}
	var out []slackbot.Known
	for _, name := range names {
		pods, err := b.app.fleet.Pods(ctx, name, "")
		if errors.Is(err, incident.ErrUnknownService) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		envs := map[string]int{}
		for _, t := range pods {
			envs[t.Env]++
		}
		for env, n := range envs {
			of := settings(b.app.cfg, name, env)
			out = append(out, slackbot.Known{Service: name, Env: env, Pods: n, Team: of.Team})
		}
	}
	slices.SortFunc(out, func(a, b slackbot.Known) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Env, b.Env))
	})
	return out, nil
}

func (b *backend) Latest(ctx context.Context) (map[string]slackbot.Past, error) {
	incs, err := b.Store.Latest(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]slackbot.Past{}
	for service, inc := range incs {
		if out[service], _, err = b.past(ctx, inc); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *backend) History(ctx context.Context, service string, limit int) ([]slackbot.Past, error) {
	incs, err := b.Store.History(ctx, service, limit)
	if err != nil {
		return nil, err
	}
	return b.pasts(ctx, incs)
}

func (b *backend) pasts(ctx context.Context, incs []incident.Incident) ([]slackbot.Past, error) {
	out := make([]slackbot.Past, len(incs))
	for i, inc := range incs {
		p, _, err := b.past(ctx, inc)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// past is an incident as a list shows it, and its report; nil for none.
func (b *backend) past(ctx context.Context, inc incident.Incident) (slackbot.Past, *analysis.Report, error) {
	p := slackbot.Past{Incident: inc, Headline: inc.Failure}
	e, err := b.Effect(ctx, inc.ID, slackbot.StepMessage)
	if err != nil {
		return p, nil, err
	}
	p.Place.Channel, p.Place.Thread, _ = strings.Cut(e.Ref, "/")
	if inc.Status != incident.StatusDone {
		return p, nil, nil
	}
	p.Report, _ = b.app.web.Link(inc.ID)
	rep, err := b.Report(ctx, inc.ID)
	if errors.Is(err, incident.ErrNotFound) {
		return p, nil, nil
	}
	if err != nil {
		return p, nil, err
	}
	p.Headline = rep.Headline()
	for _, e := range rep.Flagged() {
		p.Flagged = append(p.Flagged, e.Name)
	}
	p.Proven, err = b.proven(ctx, inc.ID)
	return p, rep, err
}

// proven says what the latest verification of an incident found; "" when there
// was none.
func (b *backend) proven(ctx context.Context, id string) (string, error) {
	v, err := b.Verification(ctx, id)
	if errors.Is(err, incident.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	after, err := b.Report(ctx, v.ID)
	if errors.Is(err, incident.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	captures, err := b.Captures(ctx, v.ID)
	if err != nil {
		return "", err
	}
	c, err := b.app.pipeline.Proof(ctx, v, captures, after)
	if err != nil {
		return "", err
	}
	return c.Headline(), nil
}

func (b *backend) Baseline(ctx context.Context, service, env string, before time.Time) (slackbot.Past, error) {
	incs, err := b.Store.History(ctx, service, maxRead)
	if err != nil {
		return slackbot.Past{}, err
	}
	for _, inc := range incs {
		if inc.Status != incident.StatusDone || !inc.Opened.Before(before) || env != "" && inc.Alert.Key.Env != "" && inc.Alert.Key.Env != env {
			continue
		}
		p, rep, err := b.past(ctx, inc)
		if err != nil {
			return p, err
		}
		if rep != nil && rep.Samples > 0 {
			return p, nil
		}
	}
	return slackbot.Past{}, fmt.Errorf("service %q has no earlier incident with a CPU profile to compare with: %w", service, incident.ErrNotFound)
}

func (b *backend) Why(ctx context.Context, what string, limit int) ([]slackbot.Received, error) {
	rows, err := b.AlertsOf(ctx, what, limit)
	if err != nil {
		return nil, err
	}
	out := make([]slackbot.Received, len(rows))
	for i, r := range rows {
		out[i] = slackbot.Received{At: r.At, Alert: r.Alert, Receipt: r.Receipt}
	}
	return out, nil
}

func (b *backend) Status(ctx context.Context) (slackbot.State, error) {
	st := slackbot.State{Since: b.since, Trouble: b.app.trouble()}
	st.Version, _ = version.Get()
	stats, err := b.Stats(ctx)
	if err != nil {
		return st, err
	}
	st.Untold, st.Waiting = stats.Untold, stats.Captures[incident.CaptureWaiting]
	now, pulls := time.Now(), b.app.fleet.Collector.State()
	st.Profiles, st.Most = pulls.CPU.Running, pulls.CPU.Most
	for _, s := range pulls.Services {
		if s.Resting.After(now) {
			st.Resting = append(st.Resting, fmt.Sprintf("%s: %d pulls in a row failed, the last: %s; left alone until %s",
				s.Service, s.Failures, s.Last, s.Resting.UTC().Format("15:04 UTC")))
		}
	}
	incs, err := b.Working(ctx)
	if err != nil {
		return st, err
	}
	st.Running, err = b.pasts(ctx, incs)
	return st, err
}

func (b *backend) Offenders(ctx context.Context, since time.Time) ([]slackbot.Offender, error) {
	incs, err := b.Store.History(ctx, "", maxRead)
	if err != nil {
		return nil, err
	}
	seen := map[[3]string]bool{}
	var out []slackbot.Offender
	for _, inc := range incs { // newest first: the latest verdict of an endpoint counts
		if inc.Opened.Before(since) {
			break
		}
		p, rep, err := b.past(ctx, inc)
		if err != nil {
			return nil, err
		}
		if rep == nil {
			continue
		}
		key := inc.Alert.Key
		for _, e := range rep.Flagged() {
			if k := [3]string{key.Service, key.Env, e.Name}; !seen[k] {
				seen[k] = true
				work, doing, _ := e.Work()
				out = append(out, slackbot.Offender{
					Service: key.Service, Env: key.Env, Endpoint: e.Name, Verdict: doing, Share: work,
					Cores: cores(rep) * e.Share.Part * work.Part, Incident: inc.ID, At: inc.Opened, Proven: p.Proven,
				})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b slackbot.Offender) int { return cmp.Compare(b.Cores, a.Cores) })
	return out, nil
}

// cores is how many cores the hot pods of a report used while they were profiled.
func cores(rep *analysis.Report) float64 {
	sum := 0.0
	for _, p := range rep.Pods {
		if !p.Control {
			sum += p.Cores
		}
	}
	return sum
}
