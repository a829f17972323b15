package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
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

// Options configure [Start].
type Options struct {
	// Exe with Args runs a pod: it must call [RunPod] with the flags that
	// podFlags appends.
	Exe    string
	Args   []string
	Env    []string // beside the parent's
	Pods   int      // 0 means 3
	Labels bool
	Logger *slog.Logger // nil discards
}

// Pod is one running process.
type Pod struct {
	Name       string
	API, Pprof string // addresses
	PID        int

	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *tail
	done   chan struct{} // closed when the process has ended
}

// Fleet is the running pods and their Redis. Stop ends all.
type Fleet struct {
	pods   []*Pod
	redis  *miniredis.Miniredis
	log    *slog.Logger
	client *http.Client

	stop    context.CancelFunc // ends watch
	watched chan struct{}      // closed when watch has ended

	mu   sync.Mutex // protects used
	used map[string][]usage
}

// usage is a pod's CPU time at one moment.
type usage struct {
	at  time.Time
	cpu float64
}

// Start starts Redis and the pods and waits until all serve.
func Start(ctx context.Context, opt Options) (_ *Fleet, err error) {
	if opt.Pods == 0 {
		opt.Pods = 3
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{
		log: opt.Logger, used: map[string][]usage{}, watched: make(chan struct{}),
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	close(f.watched) // nothing to wait for yet
	defer func() {
		if err != nil {
			f.Stop()
		}
	}()
	f.redis = miniredis.NewMiniRedis()
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
		p, err := f.start(opt, fmt.Sprintf("%s-%d", Service, i))
		if err != nil {
			return nil, err
		}
		f.pods = append(f.pods, p)
	}
	f.watched = make(chan struct{})
	go f.watch(watch) // ended by stop
	return f, nil
}

func (f *Fleet) start(opt Options, name string) (*Pod, error) {
	args := append(append([]string{}, opt.Args...), "--name="+name, "--redis="+f.redis.Addr(), fmt.Sprintf("--labels=%t", opt.Labels))
	// Not CommandContext: a pod ends when its stdin does, and Stop waits.
	cmd := exec.Command(opt.Exe, args...)
	cmd.Env = append(os.Environ(), opt.Env...)
	p := &Pod{Name: name, cmd: cmd, stderr: &tail{}, done: make(chan struct{})}
	cmd.Stderr = p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start pod %s: %w", name, err)
	}
	p.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start pod %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start pod %s: %w", name, err)
	}
	said := make(chan error, 1)
	go func() { // ends with the process, which closes its stdout
		line, err := bufio.NewReader(stdout).ReadBytes('\n')
		if err == nil {
			var a announcement
			if err = json.Unmarshal(line, &a); err == nil {
				p.API, p.Pprof, p.PID = a.API, a.Pprof, a.PID
			}
		}
		said <- err
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // killed or ended: both are an end
		close(p.done)
	}()
	select {
	case err = <-said:
	case <-time.After(30 * time.Second):
		err = errors.New("it did not come up within 30s")
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("start pod %s: %w: %s", name, err, p.stderr)
	}
	return p, nil
}

// end closes the pod's stdin, waits, and kills it when that does not help.
func (p *Pod) end() {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Stop ends every process and waits for them.
func (f *Fleet) Stop() {
	f.stop()
	<-f.watched
	var wg sync.WaitGroup
	for _, p := range f.pods {
		wg.Go(p.end)
	}
	wg.Wait()
	f.client.CloseIdleConnections()
	if f.redis != nil {
		f.redis.Close()
	}
}

// Pods lists the pods in the order of their names.
func (f *Fleet) Pods() []*Pod { return f.pods }

// Targets are the pods as profbot may dial them.
func (f *Fleet) Targets() []incident.Target {
	var out []incident.Target
	for _, p := range f.pods {
		out = append(out, incident.Target{Service: Service, Env: Env, Namespace: Namespace, Pod: p.Name, URL: p.Pprof})
	}
	return out
}

// watchEvery and watchWindow: loads are means over the last few seconds.
const (
	watchEvery  = 500 * time.Millisecond
	watchWindow = 5 * time.Second
)

// watch asks the pods for their CPU time until ctx ends.
func (f *Fleet) watch(ctx context.Context) {
	defer close(f.watched)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		for _, p := range f.pods {
			var v struct {
				CPU float64 `json:"cpu_seconds"`
			}
			if err := f.get(ctx, strings.TrimSuffix(p.Pprof, "/pprof")+"/cpu", &v); err != nil {
				if ctx.Err() == nil {
					f.log.Warn("pod does not tell its CPU time", "pod", p.Name, "error", err)
				}
				continue
			}
			f.note(p.Name, usage{time.Now(), v.CPU})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Fleet) note(pod string, u usage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	us := append(f.used[pod], u)
	for len(us) > 2 && u.at.Sub(us[0].at) > watchWindow {
		us = us[1:]
	}
	f.used[pod] = us
}

// Loads is each pod's CPU over the last few seconds, in cores, as the
// operating system counts it.
func (f *Fleet) Loads() map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]float64{}
	for pod, us := range f.used {
		if first, last := us[0], us[len(us)-1]; last.at.After(first.at) {
			out[pod] = (last.cpu - first.cpu) / last.at.Sub(first.at).Seconds()
		}
	}
	return out
}

func (f *Fleet) get(ctx context.Context, address string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
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

// tail keeps the end of what a pod writes to stderr, for the error that says
// why it did not start.
type tail struct {
	mu sync.Mutex // protects b
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 4<<10; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
