package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// A hot pod whose CPU cannot be profiled is not the end. First another pod of
// the service is profiled in its place, the next hottest. When there is none
// left, the pod is asked again, twice, after a while that differs from pod to
// pod, so that a profiler that runs at fixed times is missed once. Then the
// report is made of what else the pod gave; see load.

const (
	// maxStandIns is how many pods of one incident stand in for others: where
	// a continuous profiler holds every pod, the search has to end.
	maxStandIns = 3
	// maxTries is how often one pod is asked again.
	maxTries = 2
	// The waits before them, each drawn anew.
	shortestWait, longestWait = 3 * time.Second, 25 * time.Second
	// longestLeave is how long a pod is left alone that asks for it. One that
	// wants more is not asked again: the spike would be over.
	longestLeave = time.Minute
)

// replaceable are the outcomes of a CPU profile after which another pod is
// asked: they are about this one pod, and say nothing about the others.
func replaceable(o incident.Outcome) bool {
	switch o {
	case incident.OutcomeBusy, incident.OutcomeGone, incident.OutcomeMoved, incident.OutcomeUnreachable:
		return true
	}
	return false
}

// mayPass are those that may be gone a moment later. A pod that is gone does
// not come back.
func mayPass(o incident.Outcome) bool {
	return o == incident.OutcomeBusy || o == incident.OutcomeUnreachable || o == incident.OutcomeDiscovery
}

// lost are those after which the pod is not asked for its other profiles.
func lost(o incident.Outcome) bool {
	return o == incident.OutcomeGone || o == incident.OutcomeMoved || o == incident.OutcomeUnreachable || o == incident.OutcomeDiscovery
}

// because says why a pod could not be profiled, with its name. leave is how
// long it asked to be left alone.
func because(pod string, o incident.Outcome, leave time.Duration) string {
	switch {
	case leave > longestLeave:
		return fmt.Sprintf("%s asks to be left alone for %s", pod, leave)
	case o == incident.OutcomeBusy:
		return pod + "'s CPU profiler is taken by another profiler"
	case o == incident.OutcomeGone:
		return pod + " is not listed any more"
	case o == incident.OutcomeMoved:
		return pod + " was replaced since it was chosen"
	}
	return pod + " could not be reached"
}

// standIn lets another pod be profiled in the place of c's, for a reason in
// plain words. It returns false when there is no other, and has done nothing then.
func (p *Pipeline) standIn(ctx context.Context, inc incident.Incident, c incident.Capture, why string) (bool, error) {
	if inc.Alert.Order != nil && inc.Alert.Pod != "" {
		return false, nil // a person asked for this pod
	}
	pods, err := p.pods(ctx, inc.Alert.Key)
	if err != nil {
		p.Logger.WarnContext(ctx, "no pod to stand in", "incident", inc.ID, "pod", c.Pod, "error", err)
		return false, nil
	}
	able, _ := incident.Within(pods, inc.Alert.Namespace)
	able = slices.DeleteFunc(slices.Clone(able), func(t incident.Target) bool { return incident.KindCPU.RefusedBy(t.Refuses) })
	var loads []incident.PodLoad
	if inc.Fleet != nil {
		loads = inc.Fleet.Next
	}
	for { // ends: each round without an end has met one pod more
		captures, err := p.Store.Captures(ctx, inc.ID)
		if err != nil {
			return false, err
		}
		others := map[string]bool{}
		known := slices.Clone(pods)
		for _, o := range captures {
			known = append(known, o.Target())
			if o.For != "" {
				others[o.Pod] = true
			}
		}
		t, load, ok := incident.Next(able, loads, inc.Measure, func(t incident.Target) bool {
			return slices.ContainsFunc(captures, func(o incident.Capture) bool { return o.Is(t) })
		})
		if !ok || len(others) >= maxStandIns {
			return false, nil
		}
		pick := incident.Pick{Target: t, Pod: incident.NameOf(t, known), Role: incident.RoleHot, Why: "in place of " + c.Pod, Load: load}
		if v := load.Of(inc.Measure); v > 0 {
			pick.Why = inc.Measure.Text(v) + ", " + pick.Why
		}
		more := p.capturesOf(inc, pick, inc.Measure)
		for i := range more {
			more[i].For = c.Pod
		}
		says := fmt.Sprintf("%s, so %s was profiled in its place", why, pick.Pod)
		done, err := p.Store.StandIn(ctx, c, more, says, p.enqueue)
		if err != nil || done {
			if done {
				p.Logger.InfoContext(ctx, "another pod stands in", "incident", inc.ID, "pod", c.Pod, "outcome", c.Outcome, "detail", c.Detail, "instead", pick.Pod)
			}
			return done, err
		}
	}
}

// outcomeOf is how a pull's error shows in the thread.
func outcomeOf(err error) (incident.Outcome, string) {
	var fail Failure
	if errors.As(err, &fail) {
		return fail.Outcome()
	}
	return incident.OutcomeTargetError, err.Error()
}

// pause waits for d, or returns why it should not.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter is how long to wait before a pod is asked again.
func jitter() time.Duration { return shortestWait + rand.N(longestWait-shortestWait) }
