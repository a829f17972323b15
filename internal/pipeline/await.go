package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// A cluster that does not answer for a moment must not cost an incident its
// profiles. So the pods are asked for again while that is still about the
// spike, and people are told what is waited for.

const (
	// findTimeout bounds one question for the pods of a service: who knows them
	// has a cache, or a limit of its own.
	findTimeout = 10 * time.Second
	// maxAwait is how long the pods are asked for: a spike is news for minutes.
	maxAwait = 150 * time.Second
	// The waits between the questions, each drawn anew: the incidents of a
	// storm must not ask as one.
	shortestAwait, longestAwait = 3 * time.Second, 8 * time.Second
	// maxFinds is how often one pull looks for its pod.
	maxFinds = 5
)

// pods asks for the pods of a service, once.
func (p *Pipeline) pods(ctx context.Context, key incident.Key) ([]incident.Target, error) {
	return within(ctx, findTimeout, func(ctx context.Context) ([]incident.Target, error) {
		return p.Finder.Pods(ctx, key.Service, key.Env)
	})
}

// await notes that the pods could not be asked for, so that it is told and the
// next try comes later, or ends the incident when that has gone on for too
// long. Since when is on disk: a restart does not begin anew.
func (p *Pipeline) await(ctx context.Context, inc incident.Incident, why error) error {
	now := p.Now()
	w := incident.Waiting{Since: now, Until: now.Add(maxAwait), Why: why.Error()}
	if inc.Waiting != nil {
		w = *inc.Waiting
	}
	if !now.Before(w.Until) {
		return p.Store.Finish(ctx, inc.ID, nil, fmt.Sprintf("the pods of the service could not be found out for %s: %v", now.Sub(w.Since).Round(time.Second), why))
	}
	wait := min(awaitJitter(), w.Until.Sub(now))
	p.Logger.WarnContext(ctx, "pods not known, asking again", "incident", inc.ID, "since", w.Since, "wait", wait, "error", why)
	if err := p.Store.Await(ctx, inc.ID, w); err != nil {
		return err
	}
	p.planned.set(inc.ID, now, wait)
	return nil
}

// awaitJitter is how long to wait before the pods are asked for again.
func awaitJitter() time.Duration { return shortestAwait + rand.N(longestAwait-shortestAwait) }

// discoveryError says that who knows the pods did not answer when one was to
// be pulled: the pod was not asked.
type discoveryError struct{ err error }

func (e discoveryError) Error() string {
	return string(incident.OutcomeDiscovery) + ": " + e.err.Error()
}
func (e discoveryError) Unwrap() error { return e.err }
func (e discoveryError) Outcome() (incident.Outcome, string) {
	return incident.OutcomeDiscovery, "not asked, since its place could not be looked up: " + e.err.Error()
}
func (discoveryError) Retryable() bool { return true }

// find looks a capture's pod up anew, so that only a pod which is still listed,
// and still the one that was chosen, is dialled. Its errors are of type
// [Failure].
func (p *Pipeline) find(ctx context.Context, key incident.Key, c incident.Capture) (incident.Target, error) {
	pods, err := p.pods(ctx, key)
	if err != nil && !errors.Is(err, incident.ErrUnknownService) {
		return incident.Target{}, discoveryError{err}
	}
	t, ok := c.Find(pods) // of a service that is unknown by now there are none
	switch {
	case !ok:
		return t, goneError{}
	case c.UID != "" && t.UID != "" && t.UID != c.UID:
		return t, movedError{}
	case c.Kind.RefusedBy(t.Refuses):
		return t, refusedError{c.Kind}
	}
	return t, nil
}
