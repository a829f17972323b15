package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/incident"
)

const (
	// maxServices bounds what is asked about single services.
	maxServices = 10
	// maxRemarks bounds what is told of pods whose annotations cannot be meant.
	maxRemarks = 10
	// maxPods bounds how many pods of a service are asked after one that failed.
	maxPods = 3
)

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
	if err != nil {
		w.result("Pods", "discovery", "", err, "")
		return
	}
	if w.fleet.Kube != nil {
		w.cluster(ctx)
	}
	w.services, err = w.fleet.Services(ctx)
	switch {
	case err != nil:
		w.result("Pods", "services", "", err, "")
	case len(w.services) == 0:
		w.result("Pods", "services", "", errors.New("none is known"), `annotate the pods of one: profbot.io/scrape: "true", or list it under services`)
	default:
		w.tell(Result{Area: "Pods", What: "services", Note: names(w.services)})
	}
}

// cluster looks at what the API server lets profbot do, and at what pods say
// of themselves.
func (w *walk) cluster(ctx context.Context) {
	const area = "Kubernetes"
	if err := w.fleet.Start(ctx); err != nil {
		w.result(area, "pods", "", err, "")
	} else {
		pods := 0
		for _, n := range w.fleet.Kube.Counts() {
			pods += n
		}
		w.tell(Result{Area: area, What: "pods", Note: fmt.Sprintf("%d may be profiled", pods)})
	}
	w.result(area, "permissions", "all that discovery and the way to the pods need", w.fleet.Kube.Permissions(ctx), "apply the RBAC of deploy/kubernetes, with its component for the way to the pods")
	remarks := w.fleet.Kube.Remarks(w.Service)
	for i, r := range remarks {
		if i == maxRemarks {
			w.tell(Result{Area: area, State: Warning, What: "annotations", Note: fmt.Sprintf("%d more like these", len(remarks)-maxRemarks)})
			break
		}
		w.tell(Result{Area: area, State: Warning, What: fmt.Sprintf("pod %s/%s", r.Namespace, r.Pod), Note: r.Words})
	}
}

// pull takes from one pod of each chosen service what an incident would, only
// less, and knocks as a stranger.
func (w *walk) pull(ctx context.Context) {
	if w.fleet == nil {
		return // told already
	}
	if w.NoPull {
		w.tell(Result{Area: "Pods", State: Skipped, What: "test pull", Note: "not asked for"})
		return
	}
	for _, s := range w.chosen() {
		pods, err := w.fleet.Pods(ctx, s, "")
		if err == nil && len(pods) == 0 {
			err = errors.New("it has no pods at the moment")
		}
		if err != nil {
			w.result("Pods", s, "", err, "")
			continue
		}
		w.pullOne(ctx, s, pods)
	}
	if more := len(w.services) - len(w.chosen()); w.Service == "" && more > 0 {
		w.tell(Result{Area: "Pods", State: Skipped, What: fmt.Sprintf("%d more services", more), Note: "one is looked at with --service"})
	}
}

// pullOne tries a few pods: one may be on its way out, or profiled by another.
func (w *walk) pullOne(ctx context.Context, service string, pods []incident.Target) {
	var t incident.Target
	var err error
	for _, t = range pods[:min(len(pods), maxPods)] {
		if err = w.pullFrom(ctx, t); err == nil {
			break
		}
	}
	what := fmt.Sprintf("%s, pod %s", service, t.Pod)
	if err != nil {
		w.result("Pods", what, "", err, advice(err))
		return
	}
	note := "goroutines and a second of CPU pulled"
	if t.Found != "" {
		note += " (" + t.Found + ")"
	}
	w.tell(Result{Area: "Pods", What: what, Note: note})
	w.exposed(ctx, what, t)
}

func (w *walk) pullFrom(ctx context.Context, t incident.Target) error {
	for _, k := range []incident.Kind{incident.KindGoroutine, incident.KindCPU} {
		if _, err := w.fleet.Collector.Pull(ctx, t, k, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// advice is the next step after a pull that failed; "" where its words say it.
func advice(err error) string {
	e, ok := errors.AsType[*collector.Error](err)
	if !ok {
		return ""
	}
	switch e.What {
	case incident.OutcomeNoPprof:
		return "serve it with one line of pkg/pprofserve, and name the port by profbot.io/port or in the configuration"
	case incident.OutcomeUnreachable, incident.OutcomeTimeout:
		return "open the way from profbot to the pod's port (a NetworkPolicy may close it), or set kubernetes.reach to proxy or port-forward"
	case incident.OutcomeDenied:
		return "set the service's authorization, user and password, or tls in the configuration"
	case incident.OutcomeBusy:
		return "another profiler holds the CPU profile; pkg/pprofserve lets both run in turn, and an incident takes another pod or does without"
	}
	return ""
}

// exposed warns where strangers reach a pod's pprof.
func (w *walk) exposed(ctx context.Context, what string, t incident.Target) {
	x, err := w.fleet.Collector.Expose(ctx, t)
	if err != nil {
		return // no stranger gets in from here; the pull before was fine
	}
	const token = "ask for a token (pkg/pprofserve has one), and keep the port to itself by a NetworkPolicy"
	r := Result{Area: "Pods", State: Warning, What: what, Next: token}
	switch {
	case x.Open && x.Public:
		r.State, r.Note = Bad, fmt.Sprintf("pprof is open to the world: %s is a public address and nobody is asked who he is", x.Address)
	case x.Open && x.Shared:
		r.Note = "pprof answers anybody on a port that serves something else too: who reaches the service reaches pprof"
		r.Next = "serve pprof on a port of its own, with one line of pkg/pprofserve"
	case x.Open && t.Authorization != "":
		r.Note = "pprof answers without the credentials that the configuration sends"
	case x.Open:
		r = Result{Area: "Pods", What: what, Note: "pprof asks for no token, at a private address: the network alone keeps it"}
	default:
		r = Result{Area: "Pods", What: what, Note: "pprof lets no stranger in"}
	}
	w.tell(r)
}

// names lists some.
func names(all []string) string {
	const most = 12
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}
