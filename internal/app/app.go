// Package app is profbot as a process: it wires every part and owns their
// life. It is the only package that sees all others; package main parses
// flags and calls [Run], tests and the demo use [New], [App.Start] and
// [App.Stop].
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/metrics"
	"github.com/profbot/profbot/internal/pipeline"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/web"
	"github.com/profbot/profbot/internal/webhook"
)

// shutdownTimeout bounds each step of Stop.
const shutdownTimeout = 15 * time.Second

// App is one profbot. Use New, then Start, then Stop; Stop may follow New at once.
type App struct {
	cfg    *config.Config
	log    *slog.Logger
	public net.Listener
	inside net.Listener

	fleet    *Fleet
	metrics  *metrics.Metrics
	store    *store.Store
	pipeline *pipeline.Pipeline
	bot      *slackbot.Bot
	people   *people // nil when nobody can ask
	webhook  http.Handler
	web      *web.Handler

	// failed gets the first error of a background part; it has one place and
	// later errors are dropped, since one is enough to stop.
	failed chan error
	// closers undo, last first, what New and Start have done.
	closers []closer
}

type closer struct {
	name string
	f    func(ctx context.Context) error
}

func (a *App) onStop(name string, f func(ctx context.Context) error) {
	a.closers = append(a.closers, closer{name, f})
}

// New listens and opens the data folder, but serves nothing yet. When it
// fails halfway, what was done is undone.
func New(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if a.public, err = listen(ctx, cfg.Listen.Public); err != nil {
		return nil, fmt.Errorf("listen.public: %w", err)
	}
	a.onStop("public listener", closeListener(a.public))
	if a.inside, err = listen(ctx, cfg.Listen.Internal); err != nil {
		return nil, fmt.Errorf("listen.internal: %w", err)
	}
	a.onStop("internal listener", closeListener(a.inside))

	st, err := store.Open(ctx, store.Options{Dir: cfg.Data})
	if err != nil {
		return nil, err
	}
	a.store = st
	a.onStop("store", func(context.Context) error { return st.Close() })
	key := []byte(cfg.LinkKey.Reveal())
	if len(key) == 0 {
		if key, err = st.Secret("link.key"); err != nil {
			return nil, err
		}
	}
	base := cfg.Listen.URL
	if base == "" && loopback(a.inside.Addr()) {
		base = "http://" + a.inside.Addr().String() // right for the person at this machine
	}
	a.fleet, err = NewFleet(cfg, log, func(o *collector.Options) {
		o.Observe = func(p collector.Observation) { a.metrics.Pulled(p.Kind, p.Outcome, p.Waited, p.Took) }
	})
	if err != nil {
		return nil, err
	}
	a.metrics = metrics.New(sources(st, a.fleet, targets(cfg)))
	a.web, err = web.New(web.Options{
		Store: st, Alerts: alerts(st), Metrics: a.metrics.Handler(), Key: key, URL: base, Logger: log,
		Verify: func(ctx context.Context, id, by string) (incident.Receipt, error) { return a.verify(ctx, id, by) },
	})
	if err != nil {
		return nil, err
	}
	told := BotOptions(cfg)
	told.Logger, told.HTTPClient = log, &http.Client{Transport: a.metrics.Transport("slack", slackbot.NewTransport())}
	a.bot, err = slackbot.New(told)
	if err != nil {
		return nil, err
	}
	opt := pipeline.Options{
		Store: watchedStore{st, a.metrics}, Finder: a.fleet, Puller: puller{a.fleet.Collector, a.metrics}, Teller: teller{a.bot, st, a.metrics}, Policy: policy(cfg), Links: a.web.Link, Logger: log,
	}
	if cfg.Datadog.APIKey != "" && cfg.Datadog.AppKey != "" {
		dd, err := datadog.New(datadog.Options{
			Site: cfg.Datadog.Site, APIKey: cfg.Datadog.APIKey.Reveal(), AppKey: cfg.Datadog.AppKey.Reveal(),
			Metric: cfg.Datadog.Metric, Memory: cfg.Datadog.Memory, Requests: cfg.Datadog.Requests, Endpoints: cfg.Datadog.Endpoints,
			URL: cfg.Datadog.APIURL, Logger: log,
			Transport: a.metrics.Transport("datadog", http.DefaultTransport),
		})
		if err != nil {
			return nil, err
		}
		opt.Meter = dd
		opt.Monitoring = dd
	}
	if a.pipeline, err = pipeline.New(ctx, opt); err != nil {
		return nil, err
	}
	if a.people, err = a.newPeople(); err != nil {
		return nil, err
	}
	hook := webhook.Options{Accepter: a.pipeline, Logger: log}
	for _, t := range cfg.Webhook.Tokens {
		hook.Tokens = append(hook.Tokens, t.Reveal())
	}
	for _, b := range cfg.Webhook.Basic {
		hook.Basic = append(hook.Basic, webhook.Credential{User: b.User, Password: b.Password.Reveal()})
	}
	if a.webhook, err = webhook.NewHandler(hook); err != nil {
		return nil, err
	}
	return a, nil
}

// Start serves and works until Stop. Errors of background parts come from [App.Failed].
func (a *App) Start(ctx context.Context) {
	// Before anything is accepted, so that a service that is there is not
	// called unknown. A cluster that does not answer keeps nobody waiting for
	// long: alerts that come meanwhile are accepted, and say so.
	a.onStop("discovery", func(context.Context) error { a.fleet.Stop(); return nil })
	if err := a.fleet.Start(context.WithoutCancel(ctx)); err != nil {
		a.log.Error("discovery", "error", err)
	}
	a.serve("internal server", a.inside, a.web.Internal())

	a.background(ctx, "pipeline", a.pipeline.Run)
	if a.people != nil {
		a.people.start(ctx, a)
	}
	// Last, so that it is the first to stop: no alert is accepted by a
	// profbot that is going away.
	a.serve("public server", a.public, a.publicHandler())
	a.log.Info("profbot is up", "public", a.PublicURL(), "internal", a.InternalURL(), "services", len(a.cfg.Services))
}

// background runs a part until Stop, which waits for it. A part that dies by
// itself stops profbot.
func (a *App) background(ctx context.Context, name string, run func(context.Context) error) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	ended := make(chan error, 1) // why it did not end well when it was stopped
	go func() {                  // ended by the closer below, which waits for it
		err := run(work)
		if err != nil && work.Err() == nil {
			a.fail(fmt.Errorf("%s: %w", name, err)) // it died by itself
			err = nil
		}
		ended <- err
	}()
	a.onStop(name, func(ctx context.Context) error {
		cancel(errors.New("profbot is stopping"))
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// publicHandler is all that the world can reach: it takes alerts and shows nothing.
func (a *App) publicHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/webhooks/datadog", a.metrics.Webhook(a.webhook))
	if a.people != nil && a.people.http != nil {
		mux.Handle(slackPath, a.people.http)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// CheckSlack asks Slack whether the token works and the channel can be posted to.
func (a *App) CheckSlack(ctx context.Context) error { return a.bot.Check(ctx) }

// Failed gets an error when a part has died and profbot should be stopped.
func (a *App) Failed() <-chan error { return a.failed }

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

func (a *App) serve(name string, l net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	go func() { // ended by Shutdown or Close
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
	a.onStop(name, func(ctx context.Context) error {
		if err := srv.Shutdown(ctx); err != nil {
			return errors.Join(err, srv.Close())
		}
		return nil
	})
}

// Stop undoes what New and Start have done, last first. A step that fails does
// not stop the others. It may be called more than once.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		ctx, cancel := context.WithTimeoutCause(ctx, shutdownTimeout, fmt.Errorf("%s did not stop within %s", c.name, shutdownTimeout))
		if err := c.f(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
		cancel()
	}
	a.closers = nil
	return errors.Join(errs...)
}

// Run is New, Start and Stop around ctx.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	a, err := New(ctx, cfg, log)
	if err != nil {
		return err
	}
	a.Start(ctx)
	// Slack may be down when profbot starts: alerts are accepted and told
	// later, so a failed check is news and not an end.
	check, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("no answer within 10s"))
	if err := a.CheckSlack(check); err != nil && ctx.Err() == nil {
		log.Error("Slack check", "error", err)
	}
	cancel()
	select {
	case <-ctx.Done():
		log.Info("stopping", "cause", context.Cause(ctx))
		err = nil
	case err = <-a.Failed():
	}
	return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
}

// PublicURL is the address of the public listener.
func (a *App) PublicURL() string { return "http://" + a.public.Addr().String() }

// InternalURL is the address of the internal listener.
func (a *App) InternalURL() string { return "http://" + a.inside.Addr().String() }

func listen(ctx context.Context, addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
}

func closeListener(l net.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err // the server closes it too
		}
		return nil
	}
}

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// targets lists the configured pods.
func targets(cfg *config.Config) []incident.Target {
	var out []incident.Target
	for _, s := range cfg.Services {
		for _, t := range s.Targets {
			out = append(out, access(incident.Target{Service: s.Name, Env: s.Env, Namespace: s.Namespace, Pod: t.Pod, URL: t.URL}, s))
		}
	}
	return out
}

func policy(cfg *config.Config) pipeline.Policy {
	return pipeline.Policy{
		Window:     cfg.Capture.CPU,
		Pods:       cfg.Capture.Pods,
		NoControl:  !cfg.Capture.Control,
		CoolDown:   cfg.Capture.CoolDown,
		Retention:  cfg.Retention,
		MaxRaw:     cfg.Capture.MaxRawBytes,
		Metric:     cfg.Datadog.Metric,
		Memory:     cfg.Datadog.Memory,
		NoEvents:   !cfg.Datadog.Events,
		Thresholds: analysis.Thresholds(cfg.Verdict), // the same fields: the compiler says when they part
		Service: func(service, env string) (prefixes []string, routes map[string]string) {
			of := settings(cfg, service, env)
			return of.AppPrefixes, of.Routes
		},
	}
}
