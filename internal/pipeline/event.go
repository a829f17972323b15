package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

const (
	// StepEvent is the step of an incident that the timeline can see. The Ref
	// of its effect is the number of tries so far, and in the end "posted", or
	// why it was given up.
	StepEvent = "event"
	// EventPosted is the Ref of an event that is on the timeline.
	EventPosted = "posted"

	eventTimeout = 25 * time.Second // a look and a post
	// maxEvents is how often an event is tried, with 10 s, 20 s, 40 s, 80 s
	// between, or as long as the error asks for: a verdict is news for minutes,
	// and it is in Slack already.
	maxEvents    = 5
	maxEventText = 3500 // bytes; Datadog takes 4,000 characters
)

// event puts the verdict of a told incident on the monitor's timeline, once.
// That a try was begun is on disk before it, so that one after a crash looks
// first. It returns a [waitError] when it is to be called again, and never
// fails for good: Slack has the verdict.
func (p *Pipeline) event(ctx context.Context, inc incident.Incident) error {
	if p.Monitoring == nil || p.Policy.NoEvents || inc.Status != incident.StatusDone || inc.Alert.Key.Monitor == "" {
		return nil
	}
	if err := p.posted.check(inc.ID, p.Now()); err != nil {
		return err
	}
	e, err := p.Store.Effect(ctx, inc.ID, StepEvent)
	if err != nil || e.State == incident.EffectDone {
		return err
	}
	look := e.State == incident.EffectBegun
	tries := 0
	if look {
		if tries, err = strconv.Atoi(e.Ref); err != nil {
			return fmt.Errorf("effect %q of incident %q: %w", StepEvent, inc.ID, err)
		}
	}
	if tries >= maxEvents {
		// Only a process that died of its last try leaves this behind.
		return p.endEvent(ctx, inc, fmt.Sprintf("given up after %d tries", tries))
	}
	ev, err := p.eventOf(ctx, inc)
	if err != nil {
		return err
	}
	tries++
	if err := p.Store.SaveEffect(ctx, inc.ID, StepEvent, incident.Effect{State: incident.EffectBegun, Ref: strconv.Itoa(tries), At: p.Now()}); err != nil {
		return err
	}
	_, err = within(ctx, eventTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, p.Monitoring.PostEvent(ctx, ev, look)
	})
	switch {
	case err == nil:
		p.Logger.InfoContext(ctx, "event posted", "incident", inc.ID, "title", ev.Title)
		return p.endEvent(ctx, inc, EventPosted)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case tries == maxEvents:
		p.Logger.WarnContext(ctx, "event given up", "incident", inc.ID, "tries", tries, "error", err)
		return p.endEvent(ctx, inc, fmt.Sprintf("given up after %d tries: %v", tries, err))
	}
	wait := max(p.eventGap<<(tries-1), retryAfter(err))
	p.Logger.WarnContext(ctx, "event not posted, will be tried again", "incident", inc.ID, "tries", tries, "wait", wait, "error", err)
	p.posted.set(inc.ID, p.Now(), wait)
	return waitError{"posted", wait}
}

func (p *Pipeline) endEvent(ctx context.Context, inc incident.Incident, ref string) error {
	return p.Store.SaveEffect(ctx, inc.ID, StepEvent, incident.Effect{State: incident.EffectDone, Ref: ref, At: p.Now()})
}

// eventOf is what an incident's event says.
func (p *Pipeline) eventOf(ctx context.Context, inc incident.Incident) (incident.Event, error) {
	rep, err := p.Store.Report(ctx, inc.ID)
	if err != nil {
		return incident.Event{}, err
	}
	ev := incident.Event{Incident: inc.ID, Key: inc.Alert.Key, At: inc.Finished}
	ev.URL, _ = p.Links(inc.ID)
	if inc.Alert.Verifies == "" {
		ev.Title, ev.Text = "profbot: "+rep.Headline(), verdictText(rep)
		return ev, nil
	}
	captures, err := p.Store.Captures(ctx, inc.ID)
	if err != nil {
		return incident.Event{}, err
	}
	proof, err := p.Proof(ctx, inc, captures, rep)
	if err != nil {
		return incident.Event{}, err
	}
	ev.Title = "profbot: fix not proven: " + proof.Headline()
	if proof.Proven() {
		ev.Title = "profbot: fix proven: " + proof.Headline()
	}
	ev.Text = proofText(proof, inc.Alert.Verifies)
	return ev, nil
}

// verdictText is a report in a few lines.
func verdictText(r *analysis.Report) string {
	var b strings.Builder
	for _, e := range r.Flagged() {
		fmt.Fprintf(&b, "%s %s. %s\n", e.Name, e.Verdict.Title, e.Verdict.Why)
		if e.Verdict.Next != "" {
			fmt.Fprintf(&b, "Next: %s\n", e.Verdict.Next)
		}
		if e.Gain != nil {
			fmt.Fprintf(&b, "Expected gain: %s\n", e.Gain)
		}
	}
	for _, f := range r.Problems() {
		fmt.Fprintf(&b, "%s %s\nNext: %s\n", strings.TrimSpace(f.Endpoint+" "+f.Title)+".", f.Why, f.Next)
	}
	if b.Len() == 0 {
		fmt.Fprintf(&b, "%s.\n", r.Headline())
	}
	return cutText(b.String())
}

// proofText is a comparison in a few lines.
func proofText(c *analysis.Comparison, of string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Verification of incident %s.\n", of)
	for _, ch := range c.Endpoints {
		fmt.Fprintf(&b, "%s: %s before, %s now: %s\n", ch.Name, ch.Before, ch.After, ch.Outcome)
	}
	return cutText(b.String())
}

// cutText keeps whole lines up to the limit.
func cutText(s string) string {
	s = strings.TrimRight(s, "\n")
	if len(s) <= maxEventText {
		return s
	}
	i := strings.LastIndexByte(s[:maxEventText], '\n')
	if i < 0 {
		return strings.ToValidUTF8(s[:maxEventText], "")
	}
	return s[:i] + "\nThe report has more."
}
