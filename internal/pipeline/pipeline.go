// Package pipeline turns an accepted alert into a told verdict: choose the
// pods, pull their profiles, analyse, draw, tell.
//
// The work is cut into two kinds of jobs, both of which may run any number of
// times: advance moves one incident to its next state and tells it; pull takes
// one pod's profiles. What is done is known from the store alone, never from
// the queue: every job first takes the [incident.Lease] of its unit, then does
// what the stored state says is left. So a process may be killed at any
// instant. [Pipeline.Run] reconciles on start and every few seconds: whatever
// has work left and nobody working on it is queued again.
//
// The package declares the interfaces it needs and imports no edge; package
// app wires them.
package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// Store is the memory. Methods that take an enqueue function call it inside
// their own transaction.
type Store interface {
	DB() *sql.DB
	Accept(ctx context.Context, a incident.Alert, action incident.Action, reason string, coolDown time.Duration, enqueue func(context.Context, *sql.Tx, incident.Unit) error) (incident.Receipt, error)
	Incident(ctx context.Context, id string) (inc incident.Incident, rev int64, err error)
	Plan(ctx context.Context, id string, choice incident.Choice, captures []incident.Capture, enqueue func(context.Context, *sql.Tx, incident.Unit) error) error
	StandIn(ctx context.Context, failed incident.Capture, captures []incident.Capture, says string, enqueue func(context.Context, *sql.Tx, incident.Unit) error) (bool, error)
	Captures(ctx context.Context, id string) ([]incident.Capture, error)
	PutCapture(ctx context.Context, c incident.Capture, enqueue func(context.Context, *sql.Tx, incident.Unit) error) error
	// SetRates returns those that are kept, which may be earlier ones.
	SetRates(ctx context.Context, id string, r incident.Rates) (incident.Rates, error)
	CountReport(ctx context.Context, id string, n int) (sum int, err error)
	Finish(ctx context.Context, id string, rep *analysis.Report, failure string) error
	Report(ctx context.Context, id string) (*analysis.Report, error)
	PutBlob(id, name string, data []byte) error
	Blob(id, name string) ([]byte, error)
	// Acquire returns nil when somebody else holds the unit, and
	// [incident.ErrNotFound] when its incident does not exist.
	Acquire(ctx context.Context, u incident.Unit, ttl time.Duration) (*incident.Lease, error)
	Renew(ctx context.Context, l *incident.Lease, ttl time.Duration) error
	Release(ctx context.Context, l *incident.Lease) error
	Effect(ctx context.Context, id, step string) (incident.Effect, error)
	SaveEffect(ctx context.Context, id, step string, e incident.Effect) error
	Told(ctx context.Context, l *incident.Lease, rev int64) (done bool, err error)
	Idle(ctx context.Context) ([]incident.Unit, error)
	Prune(ctx context.Context, before, untold time.Time) (int, error)
}

// Finder knows the pods of a service. An error says in plain words what to do.
type Finder interface {
	// Pods fails with [incident.ErrUnknownService] when none may be profiled.
	Pods(ctx context.Context, service, env string) ([]incident.Target, error)
}

// Meter knows how busy the pods of a service are.
type Meter interface {
	// PodLoad is about the last window; 0 means one that suits a fresh alert.
	PodLoad(ctx context.Context, service, env string, of incident.Measure, window time.Duration) ([]incident.PodLoad, error)
}

// Monitoring knows the monitor that fired, and has a timeline to write on.
type Monitoring interface {
	// Monitor reads what a monitor is set to.
	Monitor(ctx context.Context, id string) (incident.Monitor, error)
	// EndpointRates are the requests a second of a service's endpoints, by the
	// names that the traces give them; empty when there is no such metric.
	EndpointRates(ctx context.Context, service, env string, window time.Duration) (map[string]float64, error)
	// PostEvent puts a verdict on the timeline. With look it looks first
	// whether the incident's event is there, since an earlier call may have
	// come through without anybody learning of it.
	PostEvent(ctx context.Context, e incident.Event, look bool) error
}

// Pulled is one profile as the target sent it.
type Pulled struct {
	Data    []byte // gzipped; nil with an error
	Window  time.Duration
	Started time.Time
	Asked   time.Duration // how long the target was asked to sample, with an error too
}

// Puller takes one profile of one pod. Its errors implement [Failure].
type Puller interface {
	Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (Pulled, error)
}

// Failure is an error that knows how to say itself in the thread.
type Failure interface {
	error
	Outcome() (o incident.Outcome, detail string)
	Retryable() bool
}

// Update is everything a thread shows.
type Update struct {
	Incident  incident.Incident
	Captures  []incident.Capture
	Report    *analysis.Report // nil until analysed
	Picture   []byte           // PNG; nil until drawn
	ReportURL string           // "" when there is no page
	FlameURL  string           // "" when there is no page
	// Proof is what an incident found whose alert asks to verify another; nil
	// for other incidents, and until analysed.
	Proof *analysis.Comparison
	// Diff is how the profiles differ from those of a control pod or of an
	// earlier incident; nil when there is nothing to compare with.
	Diff *incident.Difference
}

// Teller brings an incident's thread to the state of an update. It may be
// killed and called again at any time.
type Teller interface {
	Publish(ctx context.Context, id string, u Update) error
}

// Policy is what an operator decides. Zero fields mean the defaults.
type Policy struct {
	Window     time.Duration // of a CPU profile; default 30 s
	Pods       int           // hot pods per incident; default 2
	NoControl  bool          // take no cool pod to compare with
	CoolDown   time.Duration // per service, monitor and cycle; default 30 min
	Retention  time.Duration // how long incidents and profiles are kept, twice as long when they cannot be told; default 30 days
	MaxRaw     int64         // decompressed bytes of one profile; default 64 MiB
	Metric     string        // what the Meter reads for CPU, for texts
	Memory     string        // the same for memory
	NoEvents   bool          // put no verdict on the timeline
	Thresholds analysis.Thresholds
	// Service gives what is configured for a service's analysis; nil means nothing.
	Service func(service, env string) (appPrefixes []string, routes map[string]string)
}

// Options configure a [Pipeline]. Store, Finder, Puller and Teller are required.
type Options struct {
	Store  Store
	Finder Finder
	Meter  Meter // nil: pods are chosen by the alert or by name
	// Monitoring is read for the thread and told the verdict; nil: neither.
	Monitoring Monitoring
	Puller     Puller
	Teller     Teller
	Policy     Policy
	// Links gives the addresses of an incident's pages; nil means no links.
	Links  func(id string) (report, flame string)
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil means time.Now
}

// Pipeline runs the jobs. It is safe for concurrent use.
type Pipeline struct {
	Options
	river *river.Client[*sql.Tx]
	// analysing has one place: an analysis may use a few times a profile's raw
	// size, and two at once would double the peak for no gain on few cores.
	analysing chan struct{}
	told      notBefore
	posted    notBefore // of events
}

const (
	leaseTTL       = 15 * time.Second
	leaseRenew     = 5 * time.Second
	reconcileEvery = 5 * time.Second
	pruneEvery     = time.Hour
	queuePull      = "pull"
)

// New returns a Pipeline after bringing the queue's tables up to date.
func New(ctx context.Context, opt Options) (*Pipeline, error) {
	if opt.Store == nil || opt.Finder == nil || opt.Puller == nil || opt.Teller == nil {
		return nil, errors.New("new pipeline: Store, Finder, Puller and Teller are required")
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	pol := &opt.Policy
	if pol.Window == 0 {
		pol.Window = 30 * time.Second
	}
	if pol.Pods == 0 {
		pol.Pods = 2
	}
	if pol.CoolDown == 0 {
		pol.CoolDown = 30 * time.Minute
	}
	if pol.Retention == 0 {
		pol.Retention = 30 * 24 * time.Hour
	}
	if opt.Links == nil {
		opt.Links = func(string) (string, string) { return "", "" }
	}
	p := &Pipeline{Options: opt, analysing: make(chan struct{}, 1), told: newNotBefore("told"), posted: newNotBefore("posted")}

	driver := riversqlite.New(opt.Store.DB())
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, fmt.Errorf("prepare queue migrations: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("migrate queue: %w", err)
	}
	workers := river.NewWorkers()
	if err := errors.Join(
		river.AddWorkerSafely(workers, &advanceWorker{p: p}),
		river.AddWorkerSafely(workers, &pullWorker{p: p}),
	); err != nil {
		return nil, fmt.Errorf("register workers: %w", err)
	}
	p.river, err = river.NewClient(driver, &river.Config{
		Logger:  quiet(opt.Logger),
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			// Most of them wait for Slack, and none may keep another incident's
			// pods from being chosen; one at a time analyses.
			river.QueueDefault: {MaxWorkers: 64},
			// The collector's budget bounds the profiles that run; waiting
			// jobs cost nothing but a place here.
			queuePull: {MaxWorkers: 64},
		},
		RetryPolicy: retryPolicy{},
	})
	if err != nil {
		return nil, fmt.Errorf("make queue: %w", err)
	}
	return p, nil
}

// Accept stores an alert with what becomes of it. When it returns without
// error the alert is safe, and its work will be done even if the process is
// killed at once.
//
// An alert of a service that is not configured is recorded with the reason: a
// notification rule for everything would else fill the channel with incidents
// that nothing can be said about.
func (p *Pipeline) Accept(ctx context.Context, a incident.Alert) (incident.Receipt, error) {
	action, reason := incident.Decide(a)
	if action == incident.ActionCapture && a.Verifies == "" {
		if _, err := p.Finder.Pods(ctx, a.Key.Service, a.Key.Env); errors.Is(err, incident.ErrUnknownService) {
			action, reason = incident.ActionRecord, err.Error()
		}
	}
	rec, err := p.Store.Accept(ctx, a, action, reason, p.Policy.CoolDown, p.enqueue)
	if err == nil {
		p.Logger.InfoContext(ctx, "alert accepted", "alert", a.ID, "service", a.Key.Service, "monitor", a.Key.Monitor,
			"transition", a.Transition, "action", rec.Action, "incident", rec.Incident, "reason", rec.Reason, "repeated", rec.Repeated)
	}
	return rec, err
}

// enqueue inserts the job of a unit within tx. Jobs are not unique: a
// duplicate finds the lease taken, or nothing to do, or ends when its work
// fails while another waits (see again).
func (p *Pipeline) enqueue(ctx context.Context, tx *sql.Tx, u incident.Unit) error {
	if _, err := p.river.InsertTx(ctx, tx, jobOf(u), nil); err != nil {
		return fmt.Errorf("queue %s: %w", u, err)
	}
	return nil
}

// jobOf is the job that works on a unit.
func jobOf(u incident.Unit) river.JobArgs {
	if u.Pod != "" {
		return pullArgs{Incident: u.Incident, Pod: u.Pod}
	}
	return advanceArgs{Incident: u.Incident}
}
