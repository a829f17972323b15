package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// sinceFix is how far back metrics are read to judge a fix: a fix should have
// been rolled out for that long.
const sinceFix = 2 * time.Minute

// ErrNothingToVerify says that an incident has no verdict to compare with.
var ErrNothingToVerify = errors.New("the incident has no verdict that flagged something: there is nothing to verify")

// Verify profiles an incident's service again, and tells in its thread what
// has changed. by names who asked; "" is nobody in particular. Asked twice
// within a minute it does once.
func (p *Pipeline) Verify(ctx context.Context, id, by string) (incident.Receipt, error) {
	inc, _, err := p.Store.Incident(ctx, id)
	if err != nil {
		return incident.Receipt{}, err
	}
	if of := inc.Alert.Verifies; of != "" { // its link stands in the same thread
		return p.Verify(ctx, of, by)
	}
	rep, err := p.Store.Report(ctx, id)
	if errors.Is(err, incident.ErrNotFound) || err == nil && len(rep.Flagged()) == 0 {
		return incident.Receipt{}, ErrNothingToVerify
	}
	if err != nil {
		return incident.Receipt{}, err
	}
	now := p.Now()
	name := fmt.Sprintf("%s%s/%d", incident.VerifyCycle, id, now.Unix()/60)
	a := inc.Alert
	return p.Accept(ctx, incident.Alert{
		Source: "verify", ID: name, Key: a.Key, Cycle: name, Transition: incident.TransitionTriggered,
		Title: a.Title, URL: a.URL, At: now, Namespace: a.Namespace, RequestedBy: by, Verifies: id, Place: a.Place,
	})
}

// Proof holds the report of a verification, inc, against the one of the
// incident that it is about.
func (p *Pipeline) Proof(ctx context.Context, inc incident.Incident, captures []incident.Capture, after *analysis.Report) (*analysis.Comparison, error) {
	of := inc.Alert.Verifies
	before, err := p.Store.Report(ctx, of)
	if errors.Is(err, incident.ErrNotFound) {
		return &analysis.Comparison{}, nil // deleted by now: there is nothing to compare with
	}
	if err != nil {
		return nil, err
	}
	capturesBefore, err := p.Store.Captures(ctx, of)
	if err != nil {
		return nil, err
	}
	c := analysis.Compare(before, after, p.Policy.Thresholds)
	c.Before, c.After = perCPUSecond(capturesBefore), perCPUSecond(captures)
	if c.Before == 0 || c.After == 0 {
		c.Before, c.After = 0, 0 // one alone says nothing
	}
	return &c, nil
}

// perCPUSecond is how many requests the hot pods served for each second of CPU
// when they were chosen; 0 when a metric is missing.
func perCPUSecond(captures []incident.Capture) float64 {
	var requests, cores float64
	for _, c := range captures {
		if c.Kind == incident.KindCPU && c.Role == incident.RoleHot && c.Load.Requests > 0 {
			requests += c.Load.Requests
			cores += c.Load.Cores
		}
	}
	if cores == 0 {
		return 0
	}
	return requests / cores
}
