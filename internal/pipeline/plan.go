package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

const (
	// Choosing must not cost the spike: what does not answer in time we do without.
	loadTimeout    = 10 * time.Second
	monitorTimeout = 8 * time.Second
	// maxNext is how many loads of pods that were not chosen are kept.
	maxNext = 16
)

// plan chooses the pods and stores the captures they need.
func (p *Pipeline) plan(ctx context.Context, inc incident.Incident) error {
	key := inc.Alert.Key
	pods, err := p.pods(ctx, key)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx) // stopped: says nothing of who knows the pods
	case err != nil && !errors.Is(err, incident.ErrUnknownService):
		return p.await(ctx, inc, err)
	case err != nil:
		return p.Store.Finish(ctx, inc.ID, nil, err.Error())
	case len(pods) == 0:
		return p.Store.Finish(ctx, inc.ID, nil, fmt.Sprintf("no pods are known for service %q", key.Service))
	}
	ch := incident.Choice{Measure: incident.MeasureOf(inc.Alert)}
	all := pods
	order := inc.Alert.Order
	main := order.Main(ch.Measure)
	pods, off := allowing(pods, order, ch.Measure, main)
	if len(pods) == 0 {
		return p.Store.Finish(ctx, inc.ID, nil, fmt.Sprintf("the owner of %q has switched off every profile of its pods", key.Service))
	}
	ask := incident.Ask{AlertPod: inc.Alert.Pod, Namespace: inc.Alert.Namespace, Hot: p.Policy.Pods, Control: !p.Policy.NoControl && order.Asks(incident.KindCPU), Measure: ch.Measure, Metric: p.Policy.Metric}
	if ch.Measure == incident.MeasureMemory {
		ask.Metric = p.Policy.Memory
	}
	if order != nil && order.Pods > 0 {
		ask.Hot = order.Pods
	}
	// The two are asked at once, and neither waits for the other.
	var loads []incident.PodLoad
	var unread string
	var asking sync.WaitGroup
	asking.Go(func() { loads, ask.NoLoads = p.loads(ctx, inc, ch.Measure) })
	asking.Go(func() { ch.Monitor, unread = p.monitor(ctx, inc) })
	asking.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // stopped: what was not answered is asked anew
	}
	picks, says := incident.Choose(pods, loads, ask)
	notes := []string{says}
	if off > 0 {
		notes = append(notes, fmt.Sprintf("%d of its %d pods left alone, since their owner has switched off %s profiles", off, len(all), called(main)))
	}
	var captures []incident.Capture
	for _, pick := range picks {
		captures = append(captures, p.capturesOf(inc, pick, ch.Measure)...)
		if s := refusal(pick); s != "" {
			notes = append(notes, s)
		}
	}
	if unread != "" {
		notes = append(notes, unread)
	}
	ch.Says, ch.Fleet = strings.Join(notes, "; "), fleetOf(all, loads, picks, ch.Measure)
	p.Logger.InfoContext(ctx, "pods chosen", "incident", inc.ID, "measure", ch.Measure, "choice", ch.Says)
	return p.Store.Plan(ctx, inc.ID, ch, captures, p.enqueue)
}

// allowing are the pods whose owner lets the main kind of profile be taken, and
// how many do not. Where that is none they are those that give anything at all.
func allowing(pods []incident.Target, o *incident.Order, m incident.Measure, main incident.Kind) (able []incident.Target, off int) {
	var some []incident.Target
	for _, t := range pods {
		if !main.RefusedBy(t.Refuses) {
			able = append(able, t)
		} else if len(incident.PlanOf(o, m, incident.RoleHot, t.Refuses)) > 0 {
			some = append(some, t)
		}
	}
	if len(able) == 0 {
		return some, 0 // each chosen one says what it refuses
	}
	return able, len(pods) - len(able)
}

// capturesOf are the captures of one chosen pod.
func (p *Pipeline) capturesOf(inc incident.Incident, pick incident.Pick, m incident.Measure) []incident.Capture {
	var out []incident.Capture
	for _, kind := range incident.PlanOf(inc.Alert.Order, m, pick.Role, pick.Target.Refuses) {
		c := incident.Capture{
			Incident: inc.ID, Pod: pick.Pod, Namespace: pick.Target.Namespace, UID: pick.Target.UID, Kind: kind, Role: pick.Role, Why: pick.Why, Status: incident.CaptureWaiting,
		}
		if kind == incident.KindCPU {
			c.Window, c.Load = p.window(inc), pick.Load
		}
		out = append(out, c)
	}
	return out
}

// window is how long an incident's CPU profiles are, and what lies between two
// snapshots where there is none.
func (p *Pipeline) window(inc incident.Incident) time.Duration {
	if o := inc.Alert.Order; o != nil && o.Window > 0 {
		return o.Window
	}
	return p.Policy.Window
}

// called is what a profile is called in a sentence.
func called(k incident.Kind) string {
	if k == incident.KindCPU {
		return "CPU"
	}
	return k.Profile()
}

// refusal says which profiles of a pod its owner has switched off; "" for none.
func refusal(pick incident.Pick) string {
	var off []string
	for _, k := range pick.Target.Refuses {
		if name := called(k); !slices.Contains(off, name) {
			off = append(off, name)
		}
	}
	if len(off) == 0 {
		return ""
	}
	return fmt.Sprintf("the owner of %s has switched off its %s profiles", pick.Pod, strings.Join(off, ", "))
}

// fleetOf is what is worth keeping of the loads.
func fleetOf(pods []incident.Target, loads []incident.PodLoad, picks []incident.Pick, m incident.Measure) incident.Fleet {
	f := incident.Fleet{Pods: len(pods)}
	loadOf, _ := incident.LoadsOf(pods, loads)
	for _, t := range pods {
		l, ok := loadOf[t.ID()]
		if !ok {
			continue
		}
		delete(loadOf, t.ID()) // a pod of several envs counts once
		f.Requests += l.Requests
		if !slices.ContainsFunc(picks, func(p incident.Pick) bool { return p.Target.ID() == t.ID() }) {
			f.Next = append(f.Next, l)
		}
	}
	slices.SortFunc(f.Next, func(a, b incident.PodLoad) int { return incident.Hotter(a, b, m) })
	f.Next = f.Next[:min(len(f.Next), maxNext)]
	return f
}

// loads asks how busy the pods are. none says in plain words why nobody knows.
func (p *Pipeline) loads(ctx context.Context, inc incident.Incident, m incident.Measure) (loads []incident.PodLoad, none string) {
	if p.Meter == nil {
		return nil, "no Datadog API keys are configured, so loads are not known"
	}
	var window time.Duration
	if inc.Alert.Verifies != "" {
		window = sinceFix // what was before the fix must not count
	}
	key := inc.Alert.Key
	loads, err := within(ctx, loadTimeout, func(ctx context.Context) ([]incident.PodLoad, error) {
		return p.Meter.PodLoad(ctx, key.Service, key.Env, m, window)
	})
	if err != nil {
		p.Logger.WarnContext(ctx, "pod loads unknown", "incident", inc.ID, "error", err)
		return nil, fmt.Sprintf("the Datadog metric could not be read (%v)", err)
	}
	return loads, ""
}

// monitor reads what the monitor that fired is set to. unread says in plain
// words why it could not be read; "" when nobody was to be asked.
func (p *Pipeline) monitor(ctx context.Context, inc incident.Incident) (m *incident.Monitor, unread string) {
	a := inc.Alert
	if p.Monitoring == nil || a.Source != "datadog" || a.Key.Monitor == "" {
		return nil, ""
	}
	read, err := within(ctx, monitorTimeout, func(ctx context.Context) (incident.Monitor, error) {
		return p.Monitoring.Monitor(ctx, a.Key.Monitor)
	})
	if err != nil {
		p.Logger.WarnContext(ctx, "monitor not read", "incident", inc.ID, "monitor", a.Key.Monitor, "error", err)
		return nil, fmt.Sprintf("the monitor could not be read (%v)", err)
	}
	return &read, ""
}

// within asks with a time limit, whose end is the error then. A panic of who is
// asked is an error too: it may run beside the job, where nobody else would
// catch it.
func within[T any](ctx context.Context, limit time.Duration, ask func(ctx context.Context) (T, error)) (v T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	v, err = ask(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = context.Cause(ctx)
	}
	return v, err
}
