// Package kube discovers pods in a Kubernetes cluster, reaches them through
// the API server where their addresses are out of reach, and confirms a pod's
// identity before it is profiled.
//
// [New] makes a [Finder]; [Finder.Start] makes it watch the pods. What a pod
// says of itself is read as teams have it already: Datadog's unified service
// tags name the service, and the annotations of Grafana Alloy, Pyroscope,
// Coroot, profefe and profbot say whether and where it serves pprof. reading.go
// has the table of all keys.
//
// profbot's own annotations, on the pod:
//
//	profbot.io/scrape   "true" or "false"; it overrules what other tools' annotations say
//	profbot.io/port     port of pprof: a number, or the name of a container's port
//	profbot.io/path     path of the pprof index; default /debug/pprof
//	profbot.io/scheme   http or https; default https where the configuration has tls for the service, else http
//	profbot.io/service  the service that the alerts name, where Datadog's tags do not say it
//	profbot.io/kinds    the profiles that may be pulled, such as "cpu, goroutine": of cpu, allocs,
//	                    heap, goroutine, mutex and block; default all
//
// All that is asked of the API server: list and watch of pods, get of the one
// pod that is about to be profiled, and, where so configured, get on its proxy
// or create on its portforward subresource. Owners are known by name rules,
// so that nothing else has to be readable. Nothing of a pod is kept but what
// makes a target.
//
// Labels and annotations prove nothing: who may create pods in a watched
// namespace may write any service there. So what a pod may be given is the
// configuration's to say, by the pod's namespace, which the cluster knows: see
// [Settings].
package kube

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/profbot/profbot/internal/incident"
)

// Settings are what the configuration says of a service's pods in one
// namespace.
type Settings struct {
	// Authorization is the header for the pods' pprof endpoints; "" sends none.
	// It goes to a pod as the pod's URL says, without TLS in clear.
	Authorization string
	// TLS is what the collector knows certificates by; see [incident.Target.TLS].
	// With it pods are asked by https alone.
	TLS  string
	Path string // of the pprof index where the pod names none; "" means /debug/pprof
	// Refusal says why a pod of that namespace is none of the service's,
	// whatever it says itself; "" when it may be one. It becomes a [Remark].
	Refusal string
}

// Options configure a [Finder]. The zero value is for a profbot that runs in
// the cluster, may read all its pods and profiles those that opted in.
type Options struct {
	// Kubeconfig is a file with the cluster's address and credentials; ""
	// means those of the pod that profbot runs in.
	Kubeconfig string
	Context    string   // within that file; "" means its current one
	Namespaces []string // to look in; none, or "" among them, means all
	Selector   string   // label selector of the pods to know at all; "" means all
	// Everyone makes every pod with a service name a target. By default only
	// those are targets that say so by an annotation.
	Everyone   bool
	Port       int          // of pods that do not say theirs; 0 means 6060
	Reach      incident.Via // how the targets are to be reached
	ServiceTag string       // label that names the service of a pod without Datadog's; "" for none
	// Settings are asked whenever targets are listed; nil means none. An empty
	// env is any. They must be quick.
	Settings func(service, env, namespace string) Settings
	// TLS is how an https pod is talked to through a port-forward; nil, and a
	// nil answer, mean the system's authorities and no certificate.
	TLS func(incident.Target) (*tls.Config, error)
	// SyncWait bounds how long Start waits for the first list; 0 means 10 s.
	SyncWait time.Duration
	Logger   *slog.Logger // nil discards
}

// Finder knows the running pods of a cluster. It is safe for concurrent use.
type Finder struct {
	opt    Options
	config *rest.Config // to be copied, never changed
	client *rest.RESTClient
	// through and upgrading carry requests to the API server with profbot's
	// credentials, the second without HTTP/2, which knows no upgrades.
	through, upgrading http.RoundTripper

	pods   *cache
	scopes []*scope // one a namespace, or one for all; never changes
	retry  wait.Backoff

	mu     sync.Mutex // protects what is below
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // of the goroutines that Start began
}

// New checks the options and reads the credentials. It asks nothing of the
// cluster yet.
func New(opt Options) (*Finder, error) {
	opt.Port = cmp.Or(opt.Port, 6060)
	if opt.Port < 1 || opt.Port > 65535 {
		return nil, fmt.Errorf("new kubernetes finder: %d is no port", opt.Port)
	}
	switch opt.Reach {
	case incident.ViaDirect, incident.ViaProxy, incident.ViaPortForward:
	default:
		return nil, fmt.Errorf("new kubernetes finder: %q is no way to reach pods", opt.Reach)
	}
	if err := checkSelector(opt.Selector); err != nil {
		return nil, fmt.Errorf("new kubernetes finder: %w", err)
	}
	config, err := restConfig(opt.Kubeconfig, opt.Context)
	if err != nil {
		return nil, fmt.Errorf("new kubernetes finder: %w", err)
	}
	if opt.SyncWait == 0 {
		opt.SyncWait = 10 * time.Second
	}
	if opt.Settings == nil {
		opt.Settings = func(string, string, string) Settings { return Settings{} }
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Finder{
		opt: opt, config: config,
		pods:  newCache(rules{everyone: opt.Everyone, port: opt.Port, serviceTag: opt.ServiceTag}),
		retry: wait.Backoff{Duration: 800 * time.Millisecond, Cap: 30 * time.Second, Steps: 6, Factor: 2, Jitter: 1},
	}
	if err := f.connect(); err != nil {
		return nil, fmt.Errorf("new kubernetes finder: %w", err)
	}
	namespaces := slices.Compact(slices.Sorted(slices.Values(opt.Namespaces)))
	if len(namespaces) == 0 || namespaces[0] == "" {
		namespaces = []string{""}
		f.opt.Namespaces = nil
	}
	for _, ns := range namespaces {
		f.scopes = append(f.scopes, &scope{namespace: ns, synced: make(chan struct{}), errs: map[string]error{}})
	}
	return f, nil
}

// Start watches the pods until Stop or the end of ctx, and waits for the first
// list, though not longer than Options.SyncWait. Its error says in plain words
// why there is none yet; the finder goes on trying by itself all the same.
func (f *Finder) Start(ctx context.Context) error {
	f.mu.Lock()
	if f.cancel != nil {
		f.mu.Unlock()
		return errors.New("the kubernetes finder was started before")
	}
	wait, stopWaiting := context.WithTimeout(ctx, f.opt.SyncWait)
	defer stopWaiting()
	ctx, f.cancel = context.WithCancelCause(ctx)
	for _, s := range f.scopes {
		f.wg.Go(func() { f.watch(ctx, s) }) // ends with ctx; Stop waits for it
	}
	f.mu.Unlock()
	for _, s := range f.scopes {
		select {
		case <-s.synced:
		case <-wait.Done():
			return f.Ready()
		}
	}
	return f.Ready()
}

// Stop ends the watching and waits for it. Stop before Start, and a second
// Stop, do nothing.
func (f *Finder) Stop() {
	f.mu.Lock()
	if f.cancel != nil {
		f.cancel(errors.New("the kubernetes finder was stopped"))
	}
	f.mu.Unlock()
	f.wg.Wait()
	for _, t := range []http.RoundTripper{f.client.Client.Transport, f.through, f.upgrading} {
		utilnet.CloseIdleConnectionsFor(t)
	}
}

// Ready is nil when the pods are known and up to date. Otherwise it says in
// plain words what is missing and what to do.
func (f *Finder) Ready() error {
	var errs []error
	for _, s := range f.scopes {
		if err := s.trouble(time.Now()); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
