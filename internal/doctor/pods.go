package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/incident"
)

const (
	// maxServices bounds what is asked about single services.
	maxServices = 10
	// maxPods bounds how many pods of a service are asked after one that failed.
	maxPods = 3
)

// areaPull is the area of what is pulled, and of what a stranger gets.
const areaPull = "Test pull"

// chosen are the services that single questions are asked about.
func (w *walk) chosen() []string {
	if w.Service != "" {
		return []string{w.Service}
	}
	return w.services[:min(len(w.services), maxServices)]
}

// find builds the fleet as the service would, and starts to watch the cluster.
func (w *walk) find(ctx context.Context) {
	var err error
	w.fleet, err = app.NewFleet(w.Config, w.Logger, func(o *collector.Options) { o.Jitter = 0 })
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "new kubernetes finder"):
		w.result("Kubernetes", "credentials", "", err, w.mendCluster(err))
		return
	case err != nil:
		w.result("Pods", "discovery", "", err, "correct it below services in the configuration; a file that it names must be there and readable by profbot's user")
		return
	}
	known := w.fleet.Kube == nil || w.cluster(ctx)
	w.services, err = w.fleet.Services(ctx)
	switch {
	case err != nil && !known, len(w.services) == 0 && !known:
		w.tell(Result{Area: "Pods", State: Skipped, What: "services", Note: "not known without the cluster"})
	case err != nil:
		w.result("Pods", "services", "", err, w.optIn())
	case len(w.services) == 0:
		w.result("Pods", "services", "", errors.New("none is known"), w.optIn())
	default:
		w.tell(Result{Area: "Pods", What: "services", Note: names(w.services)})
	}
}

// pull takes from one pod of each chosen service what an incident would, only
// less, and knocks as a stranger.
func (w *walk) pull(ctx context.Context) {
	switch {
	case w.NoPull:
		w.tell(Result{Area: areaPull, State: Skipped, What: "pods", Note: "not asked for"})
		return
	case w.fleet == nil, len(w.chosen()) == 0:
		w.tell(Result{Area: areaPull, State: Skipped, What: "pods", Note: "none are known"})
		return
	}
	for _, s := range w.chosen() {
		pods, err := w.fleet.Pods(ctx, s, "")
		if err == nil && len(pods) == 0 {
			err = errors.New("it has no pods at the moment")
		}
		if err != nil {
			w.result(areaPull, s, "", err, w.mendService())
			continue
		}
		w.pullOne(ctx, s, pods)
	}
	if more := len(w.services) - len(w.chosen()); w.Service == "" && more > 0 {
		w.tell(Result{Area: areaPull, State: Skipped, What: count(more, "more service"), Note: "not looked at", Next: "one of them: profbot doctor --service NAME"})
	}
}

// mendService is the next step about a service that has no pods.
func (w *walk) mendService() string {
	if w.Service != "" && len(w.services) > 0 {
		return fmt.Sprintf("name another with --service (known are %s); or %s", names(w.services), w.optIn())
	}
	return w.optIn()
}

// pullOne tries a few pods: one may be on its way out, or profiled by another.
func (w *walk) pullOne(ctx context.Context, service string, pods []incident.Target) {
	var t incident.Target
	var pulled string
	var err error
	for _, t = range pods[:min(len(pods), maxPods)] {
		if pulled, err = w.pullFrom(ctx, t); err == nil {
			break
		}
	}
	what := fmt.Sprintf("%s, pod %s", service, t.Pod)
	if err != nil {
		w.result(areaPull, what, "", err, mendPull(t, err))
		return
	}
	if t.Found != "" {
		pulled += " (" + t.Found + ")"
	}
	w.tell(Result{Area: areaPull, What: what, Note: pulled})
	w.exposed(ctx, what, t)
}

// pullFrom pulls what the pod's owner does not refuse, and says what that is.
func (w *walk) pullFrom(ctx context.Context, t incident.Target) (string, error) {
	var pulled []string
	for _, k := range []struct {
		kind  incident.Kind
		words string
	}{{incident.KindGoroutine, "goroutines"}, {incident.KindCPU, "a second of CPU"}} {
		if slices.Contains(t.Refuses, k.kind) {
			continue
		}
		if _, err := w.fleet.Collector.Pull(ctx, t, k.kind, time.Second); err != nil {
			return "", err
		}
		pulled = append(pulled, k.words)
	}
	if len(pulled) == 0 {
		return "nothing pulled: its owner refuses goroutines and CPU", nil
	}
	return strings.Join(pulled, " and ") + " pulled", nil
}

// names lists some.
func names(all []string) string {
	const most = 12
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}

// count is "1 pod" or "2 pods".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
