package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/profbot/profbot/internal/incident"
)

// Names of the service that the fleet is.
const (
	Service   = "live-api"
	Env       = "demo"
	Namespace = "live"
)

// Limits on how long the fleet waits for others.
const (
	startTimeout   = 30 * time.Second // for a pod to announce itself
	endGrace       = 5 * time.Second  // for a pod to end before it is killed
	requestTimeout = 5 * time.Second  // for an answer of a pod
)

// Options configure [Start].
type Options struct {
	// Exe with Args runs a pod: a program that calls [RunPod] with what
	// --name=NAME --redis=HOST:PORT --labels=BOOL, appended to Args, say.
	Exe    string
	Args   []string
	Env    []string     // beside the parent's
	Pods   int          // 0 means 3
	Labels bool         // see [PodConfig]
	Logger *slog.Logger // nil discards
}

// Pod is one running process.
type Pod struct {
	Name    string
	API     string // address without a trailing slash
	Pprof   string // address of the pprof index, without a trailing slash
	Control string // address of what the fleet asks of it, without a trailing slash
	PID     int
}

// Fleet is the running pods and their Redis. Stop ends all of it.
type Fleet struct {
	// Set by Start, read only afterwards.
	pods   []*process
	redis  *miniredis.Miniredis
	log    *slog.Logger
	client *http.Client
	grace  time.Duration

	stopping context.CancelFunc // ends the watchers
	watchers sync.WaitGroup

	mu   sync.Mutex // protects used
	used map[string][]usage
}

// Start starts Redis and the pods, and waits until all serve. The first pod
// is the one that [Load] makes hot. ctx bounds the start alone: only Stop
// ends the fleet. The error holds what a pod that did not start wrote to
// stderr; nothing is left running then.
func Start(ctx context.Context, opt Options) (_ *Fleet, err error) {
	if opt.Pods == 0 {
		opt.Pods = 3
	}
	if opt.Pods < 0 {
		return nil, fmt.Errorf("start %d pods: not a number of pods", opt.Pods)
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &Fleet{
		redis: miniredis.NewMiniRedis(), log: opt.Logger, grace: endGrace, stopping: stop, used: map[string][]usage{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * workersPerPod}},
	}
	defer func() {
		if err != nil {
			f.Stop()
		}
	}()
	if err := f.redis.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	values, err := catalogValues()
	if err != nil {
		return nil, err
	}
	for k, v := range values {
		if err := f.redis.Set(k, v); err != nil {
			return nil, fmt.Errorf("fill redis: %w", err)
		}
	}
	for i := range opt.Pods {
		name := fmt.Sprintf("%s-%d", Service, i)
		p, err := startProcess(ctx, opt, name, f.redis.Addr(), f.grace)
		if err != nil {
			return nil, fmt.Errorf("start pod %q: %w", name, err)
		}
		f.pods = append(f.pods, p)
	}
	for _, p := range f.pods {
		f.watchers.Go(func() { f.watchCPU(watching, p.Pod) })
		f.watchers.Go(func() { f.watchEnd(watching, p) })
	}
	return f, nil
}

// Stop ends every process, by force when it takes more than 5 s, and waits
// for them. More calls do nothing.
func (f *Fleet) Stop() {
	f.stopping()
	f.watchers.Wait()
	var ends sync.WaitGroup
	for _, p := range f.pods {
		ends.Go(func() { p.end(f.grace) })
	}
	ends.Wait()
	f.client.CloseIdleConnections()
	f.redis.Close()
}

// Pods lists the pods in the order of their names.
func (f *Fleet) Pods() []Pod {
	out := make([]Pod, len(f.pods))
	for i, p := range f.pods {
		out[i] = p.Pod
	}
	return out
}

// Targets are the pods as profbot may dial them.
func (f *Fleet) Targets() []incident.Target {
	out := make([]incident.Target, len(f.pods))
	for i, p := range f.pods {
		out[i] = incident.Target{Service: Service, Env: Env, Namespace: Namespace, Pod: p.Name, URL: p.Pprof}
	}
	return out
}

// watchEnd logs a pod that ends before it is told to.
func (f *Fleet) watchEnd(ctx context.Context, p *process) {
	select {
	case <-ctx.Done():
	case <-p.done:
		f.log.Error("pod ended", "pod", p.Name, "error", p.exit, "stderr", p.stderr.String())
	}
}

// Fix rolls out the fix in every pod: from then on their lists come from
// sfcache.
func (f *Fleet) Fix(ctx context.Context) error {
	for _, p := range f.pods {
		var v struct{ Fixed bool }
		err := f.ask(ctx, http.MethodPost, p.Control+"/fix", &v)
		if err == nil && !v.Fixed {
			err = errors.New("it says that it did not")
		}
		if err != nil {
			return fmt.Errorf("roll out the fix in %q: %w", p.Name, err)
		}
	}
	return nil
}

// get reads a small JSON answer into v.
func (f *Fleet) get(ctx context.Context, address string, v any) error {
	return f.ask(ctx, http.MethodGet, address, v)
}

func (f *Fleet) ask(ctx context.Context, method, address string, v any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(v)
}

var errNoAnswer = errors.New("no answer from the pod within " + requestTimeout.String())
