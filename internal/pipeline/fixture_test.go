package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
	"github.com/profbot/profbot/internal/store"
)

const corpus = "../analysis/testdata/corpus/only-live-std."

// profiles are what a pod of the tests answers, by kind: read once, before
// any bubble.
var profiles = sync.OnceValues(func() (map[incident.Kind][]byte, error) {
	out := map[incident.Kind][]byte{}
	for _, kind := range append(slices.Clone(incident.WaitPlan), incident.KindGoroutine) { // nothing is recorded here: those of waiting are empty
		var b bytes.Buffer
		if err := pprof.Lookup(kind.Profile()).WriteTo(&b, 0); err != nil {
			return nil, err
		}
		out[kind] = b.Bytes()
	}
	for kind, file := range map[incident.Kind]string{
		incident.KindAllocsBefore: "allocs0", incident.KindCPU: "cpu", incident.KindAllocsAfter: "allocs1",
		incident.KindHeapBefore: "allocs0", incident.KindHeap: "allocs1", // they hold a heap too
	} {
		data, err := os.ReadFile(corpus + file + ".pb.gz")
		if err != nil {
			return nil, err
		}
		out[kind] = data
	}
	return out, nil
})

// bubble runs f where the clock moves on as soon as everybody waits: windows,
// retries, leases and retention take no time, and order is what is tested. The
// queue asks SQLite for the time, which is outside: jobs that wait for a time
// within the next 5 s (its scheduler's interval) run at once.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	if _, err := profiles(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, f)
}

// pass lets d of the bubble's clock pass, until all is quiet again.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// change wakes those who wait for something that a fake has seen.
type change struct {
	mu   sync.Mutex // protects what embeds it
	next chan struct{}
}

// changed must be called with mu held.
func (c *change) changed() {
	if c.next != nil {
		close(c.next)
	}
	c.next = make(chan struct{})
}

// await returns when cond, called with mu held, holds.
func (c *change) await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("it never came")) // of the bubble's clock
	defer cancel()
	for {
		c.mu.Lock()
		ok := cond()
		if c.next == nil {
			c.next = make(chan struct{})
		}
		next := c.next
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, context.Cause(ctx))
		}
	}
}

// cluster lists pods, says how busy they are and gives their profiles: a
// [pipeline.Finder], [pipeline.Meter] and [pipeline.Puller].
type cluster struct {
	change
	pods   map[string]float64 // cores by pod: "pod", or "namespace/pod"
	pulled []string           // "POD KIND", as they were asked for
	fails  map[string][]error // what the next pulls of "POD KIND" get
	// onPull is called before a pull is answered, without mu.
	onPull func(ctx context.Context, what string)
	meter  func(ctx context.Context) error
	// requests is the rate of requests that the metric has for each pod.
	requests float64
	bytes    map[string]float64         // memory by pod
	uids     map[string]string          // by pod; none has none
	refuses  map[string][]incident.Kind // by pod
	asks     []incident.Measure         // what the meter was asked for
	// silent is what who asks for pods gets in place of them; nil: the pods.
	silent func() error
	finds  int // how often the pods were asked for
}

func newCluster(pods map[string]float64) *cluster {
	return &cluster{pods: pods, fails: map[string][]error{}}
}

func (c *cluster) Pods(_ context.Context, service, env string) ([]incident.Target, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finds++
	if c.silent != nil {
		if err := c.silent(); err != nil {
			return nil, err
		}
	}
	if service != "live-api" {
		return nil, fmt.Errorf("%w %q; configured: live-api", incident.ErrUnknownService, service)
	}
	var out []incident.Target
	for _, pod := range slices.Sorted(maps.Keys(c.pods)) {
		id := podID(pod)
		out = append(out, incident.Target{Service: service, Env: env, Namespace: id.Namespace, Pod: id.Pod, UID: c.uids[pod], Refuses: c.refuses[pod], URL: "http://" + pod})
	}
	return out, nil
}

// podID reads "pod", or "namespace/pod".
func podID(s string) incident.PodID {
	if namespace, pod, ok := strings.Cut(s, "/"); ok {
		return incident.PodID{Namespace: namespace, Pod: pod}
	}
	return incident.PodID{Pod: s}
}

func (c *cluster) PodLoad(ctx context.Context, _, _ string, of incident.Measure, _ time.Duration) ([]incident.PodLoad, error) {
	if c.meter != nil {
		if err := c.meter(ctx); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks = append(c.asks, of)
	var out []incident.PodLoad
	for pod, cores := range c.pods {
		if of == incident.MeasureMemory {
			out = append(out, incident.PodLoad{Pod: podID(pod).Pod, Namespace: podID(pod).Namespace, Bytes: c.bytes[pod]})
			continue
		}
		out = append(out, incident.PodLoad{Pod: podID(pod).Pod, Namespace: podID(pod).Namespace, Cores: cores, Requests: c.requests})
	}
	return out, nil
}

func (c *cluster) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (pipeline.Pulled, error) {
	what := t.Pod + " " + string(k)
	if t.Namespace != "" {
		what = t.Namespace + "/" + what
	}
	c.mu.Lock()
	c.pulled = append(c.pulled, what)
	var err error
	if f := c.fails[what]; len(f) > 0 {
		err, c.fails[what] = f[0], f[1:]
	}
	hook := c.onPull
	c.changed()
	c.mu.Unlock()
	if hook != nil {
		hook(ctx, what)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return pipeline.Pulled{}, err
	}
	all, err := profiles()
	if k != incident.KindCPU {
		window = 0
	}
	return pipeline.Pulled{Data: all[k], Window: window, Asked: window, Started: time.Now()}, err
}

func (c *cluster) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pulled)
}

// remove takes a pod off the list.
func (c *cluster) remove(pod string) {
	c.mu.Lock()
	delete(c.pods, pod)
	c.mu.Unlock()
}

// refusal is a [pipeline.Failure].
type refusal struct {
	what  incident.Outcome
	words string
	retry bool
	after time.Duration // how long the pod asks to be left alone
}

func (r refusal) Error() string                       { return string(r.what) + ": " + r.words }
func (r refusal) Outcome() (incident.Outcome, string) { return r.what, r.words }
func (r refusal) Retryable() bool                     { return r.retry }
func (r refusal) RetryAfter() time.Duration           { return r.after }

// board is a [pipeline.Teller]: it shows the last update of every incident.
type board struct {
	change
	told  map[string][]pipeline.Update
	busy  map[string]int // Publish calls under way
	most  int            // of busy, ever
	calls int
	fails []error // what the next calls get
	// onPublish is called while an update is told, without mu.
	onPublish func(ctx context.Context, u pipeline.Update)
}

func newBoard() *board { return &board{told: map[string][]pipeline.Update{}, busy: map[string]int{}} }

func (b *board) Publish(ctx context.Context, id string, u pipeline.Update) error {
	b.mu.Lock()
	b.calls++
	b.busy[id]++
	b.most = max(b.most, b.busy[id])
	var err error
	if len(b.fails) > 0 {
		err, b.fails = b.fails[0], b.fails[1:]
	}
	hook := b.onPublish
	b.changed()
	b.mu.Unlock()
	if hook != nil {
		hook(ctx, u)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy[id]--
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		b.told[id] = append(b.told[id], u)
	}
	b.changed()
	return err
}

// made counts the calls of Publish.
func (b *board) made() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// all are the updates of an incident that were told.
func (b *board) all(id string) []pipeline.Update {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told[id])
}

// last is the newest update of an incident. Must be called with mu held.
func (b *board) last(id string) (u pipeline.Update) {
	if all := b.told[id]; len(all) > 0 {
		u = all[len(all)-1]
	}
	return u
}

// until waits for an update of an incident and returns it.
func (b *board) until(t *testing.T, id, what string, cond func(u pipeline.Update) bool) pipeline.Update {
	t.Helper()
	var u pipeline.Update
	b.await(t, what, func() bool {
		u = b.last(id)
		return u.Incident.ID != "" && cond(u)
	})
	return u
}

func (b *board) untilFinal(t *testing.T, id string) pipeline.Update {
	t.Helper()
	return b.until(t, id, "the incident is told to its end", func(u pipeline.Update) bool { return u.Incident.Status.Final() })
}

// world is one data folder with the cluster and the board around it.
type world struct {
	*cluster
	*board
	t    *testing.T
	opt  pipeline.Options
	dir  string
	log  bytes.Buffer // written by one handler, read after stop
	st   *store.Store
	p    *pipeline.Pipeline
	stop func()
}

// newWorld opens a pipeline on a new folder; start runs it. Call it within a
// bubble: its clock makes windows, waits and retries pass at once.
func newWorld(t *testing.T, pods map[string]float64, change ...func(*pipeline.Options)) *world {
	t.Helper()
	w := &world{t: t, cluster: newCluster(pods), board: newBoard(), dir: t.TempDir(), stop: func() {}}
	w.opt = pipeline.Options{
		Finder: w.cluster, Meter: w.cluster, Puller: w.cluster, Teller: w.board,
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	for _, c := range change {
		c(&w.opt)
	}
	w.open()
	t.Cleanup(func() {
		w.close()
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	return w
}

// open opens the folder as a new process would.
func (w *world) open() {
	w.t.Helper()
	var err error
	if w.st, err = store.Open(w.t.Context(), store.Options{Dir: w.dir}); err != nil {
		w.t.Fatal(err)
	}
	w.opt.Store = w.st
	if w.p, err = pipeline.New(w.t.Context(), w.opt); err != nil {
		w.t.Fatal(err)
	}
}

// start runs the pipeline until stop is called.
func (w *world) start() {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(w.t.Context()))
	done := make(chan error)
	go func() { done <- w.p.Run(ctx) }() // ended by stop
	w.stop = func() {
		cancel(errors.New("the test stops it"))
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		w.stop = func() {}
	}
}

// close ends the process, so that the folder is free.
func (w *world) close() {
	w.stop()
	if err := w.st.Close(); err != nil {
		w.t.Error(err)
	}
}

func alert(id string, tr incident.Transition) incident.Alert {
	return incident.Alert{
		Source: "datadog", ID: id, Cycle: "c1", Transition: tr, Title: "CPU is high",
		Key: incident.Key{Service: "live-api", Env: "prod", Monitor: "1234"},
	}
}

// captures reads an incident's captures, by "POD KIND".
func (w *world) captures(id string) map[string]incident.Capture {
	w.t.Helper()
	all, err := w.st.Captures(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]incident.Capture{}
	for _, c := range all {
		out[c.Pod+" "+string(c.Kind)] = c
	}
	return out
}

// untold lists the incidents that are not told to their end.
func (w *world) untold() map[string]bool {
	w.t.Helper()
	out, err := w.st.Untold(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// fire accepts a firing alert and returns its incident.
func (w *world) fire() string {
	w.t.Helper()
	rec, err := w.p.Accept(w.t.Context(), alert("e1", incident.TransitionTriggered))
	if err != nil || rec.Action != incident.ActionCapture {
		w.t.Fatalf("Accept = %+v, %v", rec, err)
	}
	return rec.Incident
}

// asked are the kinds that a pod is asked for in a CPU alert when nothing goes
// wrong, in order.
func asked(role incident.Role) []string {
	var out []string
	for _, k := range incident.Plan(incident.MeasureCPU, role, nil) {
		if !k.Waiting() || k.Before() == "" {
			out = append(out, string(k))
		}
	}
	return out
}
