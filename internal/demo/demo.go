// Package demo runs the whole loop on one machine: hot services, an alert as
// Datadog sends it, profiles of real processes, a Slack thread. profbot itself
// is the real one, configured as an operator would; only Slack and Datadog are
// stand-ins, the ones the tests use.
package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/demo/fleet"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
	"github.com/profbot/profbot/internal/webhook"
)

// Options configure [Run].
type Options struct {
	Exe     string   // runs a pod, with PodArgs before the fleet's flags
	PodArgs []string // such as "demo-pod"
	PodEnv  []string
	Out     string        // folder for what the demo leaves; made when missing
	Labels  bool          // pods set profiler labels, as with pkg/pprofserve
	Window  time.Duration // of the CPU profile, at least 8 s; 0 means 10 s
	// Keep lets the traffic come back after the recovery, until Ready returns,
	// so that another alert finds a hot service.
	Keep bool
	// Progress is told each step as it begins, and remarks on it; nil is fine.
	Progress func(step, remark string)
	// Ready is called when all is done and before anything is stopped; nil is
	// fine. The demo stops when it returns.
	Ready func(Result)
}

// Result is what the demo shows.
type Result struct {
	Report    *analysis.Report
	Incident  string
	PageURL   string // the Slack thread, as long as the demo runs
	ReportURL string // the report page, as long as the demo runs
	// Trigger are the arguments of profbot trigger that send another alert, as
	// long as the demo runs.
	Trigger []string
	Files   []string
	Took    time.Duration // from the alert to the told verdict
	Load    []fleet.Count

	Asked  string               // the incident that a person asked for: a heap profile, of before the fix
	Heap   *analysis.Report     // of it
	After  *analysis.Report     // with the fix
	Proof  *analysis.Comparison // of both
	Verify string               // the incident that After is the report of
}

// UnexpectedError says that the demo's verdict is not what its services deserve.
type UnexpectedError struct{ What []string }

func (e *UnexpectedError) Error() string {
	return "the verdict is not what it should be: " + strings.Join(e.What, "; ")
}

const (
	channel = "C0PROFBOT0"
	dana    = "U0DANA0000" // is on call
	// The monitor that fires, and its threshold in cores.
	monitor   = 1234
	threshold = "0.40"
	token     = "demo-webhook-token-0123456789"
	apiKey    = "demo-datadog-api-key"
	appKey    = "demo-datadog-app-key"
	// profbot is told what people do by Socket Mode, as on a first installation.
	appToken = "xapp-demo"
)

// minWindow is how long the hot pod must be sampled for each of its lists to
// get well over the samples that a verdict needs.
const minWindow = 8 * time.Second

// Run runs the demo. The error is an [*UnexpectedError] when everything worked
// and the expected endpoints were not flagged, or others were.
func Run(ctx context.Context, opt Options) (Result, error) {
	d := &demo{Options: opt}
	if d.Window == 0 {
		d.Window = 10 * time.Second
	}
	if d.Window < minWindow {
		return d.res, fmt.Errorf("a CPU profile of %s has too few samples for a verdict: take %s or more", d.Window, minWindow)
	}
	if d.Progress == nil {
		d.Progress = func(string, string) {}
	}
	err := d.run(ctx)
	// What was started ends, last first, also after a failure.
	for i := len(d.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, d.closers[i]())
	}
	return d.res, err
}

type demo struct {
	Options
	res     Result
	closers []func() error

	fleet *fleet.Fleet
	load  *fleet.Load
	slack *slacktest.Server
	app   *app.App
}

func (d *demo) onEnd(f func() error) { d.closers = append(d.closers, f) }

func (d *demo) run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(d.Out, "profiles"), 0o755); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	if err := d.clear(); err != nil {
		return fmt.Errorf("remove what an earlier demo left: %w", err)
	}
	log, err := os.Create(filepath.Join(d.Out, "profbot.log"))
	if err != nil {
		return fmt.Errorf("make the log file: %w", err)
	}
	d.onEnd(log.Close)
	logger := slog.New(slog.NewTextHandler(log, nil))

	d.Progress("Starting three live-streaming services, each a process that serves pprof by pkg/pprofserve", "")
	d.fleet, err = fleet.Start(ctx, fleet.Options{Exe: d.Exe, Args: d.PodArgs, Env: d.PodEnv, Labels: d.Labels, Logger: logger})
	if err != nil {
		return err
	}
	d.onEnd(func() error { d.fleet.Stop(); return nil })
	for _, p := range d.fleet.Pods() {
		d.Progress("", fmt.Sprintf("%s  pid %d  %s", p.Name, p.PID, p.Pprof))
	}

	d.load = fleet.NewLoad(d.fleet, 0)
	d.Progress("Starting profbot, with stand-ins for Slack and Datadog", "")
	if err := d.startProfbot(ctx, logger); err != nil {
		return err
	}
	d.Progress("", "webhooks at "+d.app.PublicURL()+"/webhooks/datadog, reports at "+d.app.InternalURL())

	d.Progress("Sending traffic until one service is hot", "")
	stop := d.traffic(ctx)
	if err := d.untilHot(ctx); err != nil {
		return err
	}

	hot := d.fleet.Pods()[0].Name
	d.Progress("The monitor fires: a webhook, as Datadog sends it", "")
	fired := time.Now()
	e := webhook.Example{
		Service: fleet.Service, Env: fleet.Env, Namespace: fleet.Namespace, Monitor: strconv.Itoa(monitor), MonitorName: "CPU is high on " + fleet.Service,
		Transition: "triggered", Cycle: fmt.Sprint(fired.UnixNano()), EventID: fmt.Sprint(fired.UnixNano()),
		Value: fmt.Sprintf("%.2f", d.fleet.Loads()[hot]), Threshold: threshold, At: fired,
	}
	if err := d.send(ctx, e); err != nil {
		return err
	}
	d.Progress("profbot chooses pods, pulls profiles, analyses, draws and tells", "")
	first, err := d.follow(ctx, func(p app.Progress) bool { return p.Incident.Alert.Verifies == "" })
	if err != nil {
		return err
	}
	d.res.Took = time.Since(fired)
	d.res.Incident, d.res.Report, d.res.ReportURL, d.res.PageURL = first.Incident.ID, first.Report, first.ReportURL, d.slack.PageURL()
	if err := d.ask(ctx); err != nil {
		return err
	}
	if err := d.fix(ctx); err != nil {
		return err
	}
	if err := d.untilHeapTold(ctx); err != nil {
		return err
	}
	d.Progress("The monitor recovers", "")
	e.Transition, e.EventID, e.At = "recovered", e.EventID+"r", time.Now()
	if err := d.send(ctx, e); err != nil {
		return err
	}
	if err := d.untilRecovered(ctx); err != nil {
		return err
	}
	if err := d.verify(ctx); err != nil {
		return err
	}
	if err := d.lookAtHome(ctx); err != nil {
		return err
	}
	if !d.Keep { // it goes on for alerts of one's own
		stop()
	}
	d.res.Load = d.load.Stats()
	if err := d.leave(ctx); err != nil {
		return err
	}
	unexpected := d.judge()
	d.res.Trigger = []string{"--service=" + fleet.Service, "--env=" + fleet.Env, "--url=" + d.app.PublicURL(), "--token=" + token}
	if d.Ready != nil {
		d.Ready(d.res)
	}
	return unexpected
}

// traffic sends requests until stop is called, at the latest when the demo ends.
func (d *demo) traffic(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); d.load.Run(ctx) }() // ended by stop, which waits for it
	stop = func() { cancel(); <-done }
	d.onEnd(func() error { stop(); return nil })
	return stop
}

// startProfbot configures profbot through its environment, like an operator.
func (d *demo) startProfbot(ctx context.Context, logger *slog.Logger) error {
	var err error
	d.slack, err = slacktest.NewServer(slacktest.Options{
		Token: "xoxb-demo", AppToken: appToken, Team: "Demo", Channels: []slacktest.Channel{{ID: channel, Name: "ops-alerts"}}, Viewer: dana,
	})
	if err != nil {
		return err
	}
	d.onEnd(d.slack.Close)
	d.slack.AddUser(slacktest.User{ID: dana, Name: "Dana"})
	d.slack.Say(channel, "", "Rosa", "Evening, live-api feels slow since the show started.")
	// Datadog's answers are what the operating system and the load generator
	// count.
	ours := func(values func() map[string]float64) func(service, env string) map[string]float64 {
		return func(service, env string) map[string]float64 {
			if service != fleet.Service || env != "" && env != fleet.Env {
				return nil
			}
			return values()
		}
	}
	dd := datadogtest.New(datadogtest.Options{APIKey: apiKey, AppKey: appKey, Loads: ours(d.fleet.Loads), Memory: ours(d.fleet.Memory), Rates: ours(d.load.Rates)})
	d.onEnd(func() error { dd.Close(); return nil })
	dd.PutMonitor(datadogtest.Monitor{
		ID: monitor, Name: "CPU is high on " + fleet.Service, Type: "metric alert",
		Query:   fmt.Sprintf("avg(last_5m):avg:container.cpu.usage{service:%s,kube_namespace:%s} by {kube_namespace,service} > %s", fleet.Service, fleet.Namespace, threshold),
		Options: map[string]any{"thresholds": map[string]any{"critical": json.Number(threshold)}},
	})
	data, err := os.MkdirTemp("", "profbot-demo-")
	if err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	d.onEnd(func() error { return os.RemoveAll(data) })
	var services strings.Builder
	fmt.Fprintf(&services, "- name: %s\n  env: %s\n  namespace: %s\n  targets:\n", fleet.Service, fleet.Env, fleet.Namespace)
	for _, t := range d.fleet.Targets() {
		fmt.Fprintf(&services, "    - {pod: %q, url: %q}\n", t.Pod, t.URL)
	}
	cfg, err := config.Load("", []string{
		"PROFBOT_LISTEN_PUBLIC=127.0.0.1:0", "PROFBOT_LISTEN_INTERNAL=127.0.0.1:0", "PROFBOT_DATA=" + data,
		"PROFBOT_SLACK_TOKEN=" + d.slack.Token(), "PROFBOT_SLACK_APP_TOKEN=" + appToken, "PROFBOT_SLACK_CHANNEL=" + channel, "PROFBOT_SLACK_API_URL=" + d.slack.URL(),
		"PROFBOT_WEBHOOK_TOKENS=" + token, "PROFBOT_DATADOG_API_KEY=" + apiKey, "PROFBOT_DATADOG_APP_KEY=" + appKey, "PROFBOT_DATADOG_API_URL=" + dd.URL,
		"PROFBOT_DATADOG_REQUESTS=trace.http.request.hits",
		"PROFBOT_CAPTURE_CPU=" + d.Window.String(), "PROFBOT_CAPTURE_PODS=1",
		// The samples that the default asks for are those of the default window;
		// this one is shorter.
		fmt.Sprintf("PROFBOT_VERDICT_MIN_SAMPLES=%d", max(30, int64(100*d.Window/(30*time.Second)))),
		"PROFBOT_SERVICES=" + services.String(),
	})
	if err != nil {
		return err
	}
	d.app, err = app.New(ctx, cfg, logger)
	if err != nil {
		return err
	}
	d.onEnd(func() error { return d.app.Stop(context.WithoutCancel(ctx)) })
	d.app.Start(ctx)
	return d.app.CheckSlack(ctx)
}

// busy shows how busy a pod is. Its requests are counted over seconds, and not
// known at first.
func (d *demo) busy(pod string) {
	text := fmt.Sprintf("%s uses %.2f cores", pod, d.fleet.Loads()[pod])
	if rate := d.load.Rates()[pod]; rate > 0 {
		text += fmt.Sprintf(" for %.0f requests a second", rate)
	}
	d.Progress("", text+" (means of the last 5 s)")
}

func (d *demo) untilHot(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 45*time.Second, errors.New("the service did not get hot within 45s: the machine is too busy"))
	defer cancel()
	hot := d.fleet.Pods()[0].Name
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		loads := d.fleet.Loads()
		d.busy(hot)
		if loads[hot] >= 0.45 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if loads[hot] >= 0.15 {
				return nil // less than wanted, and enough samples for a verdict
			}
			return context.Cause(ctx)
		}
	}
}

func (d *demo) send(ctx context.Context, e webhook.Example) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 15*time.Second, errors.New("no answer to the webhook within 15s"))
	defer cancel()
	req, err := e.Request(ctx, d.app.PublicURL()+"/webhooks/datadog", token)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("send the alert: %w", cmp.Or(context.Cause(ctx), err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	d.Progress("", resp.Status+" "+strings.TrimSpace(string(body)))
	if resp.StatusCode > 299 {
		return fmt.Errorf("profbot answered %s: %s", resp.Status, body)
	}
	return nil
}

// follow tells an incident's progress until its thread is complete.
func (d *demo) follow(ctx context.Context, ours func(app.Progress) bool) (app.Progress, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.Window+60*time.Second, errors.New("no verdict in time; profbot.log says why"))
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	told := ""
	for {
		st, err := d.app.Progress(ctx)
		if err != nil {
			return app.Progress{}, err
		}
		if i := slices.IndexFunc(st, ours); i >= 0 {
			now := st[i]
			if line := describe(now); line != told {
				told = line
				d.Progress("", line)
			}
			if now.Incident.Status == incident.StatusFailed {
				return now, errors.New(now.Incident.Failure)
			}
			if now.Incident.Status == incident.StatusDone && now.Told {
				return now, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return app.Progress{}, context.Cause(ctx)
		case err := <-d.app.Failed():
			return app.Progress{}, err
		}
	}
}

func describe(p app.Progress) string {
	switch p.Incident.Status {
	case incident.StatusAccepted:
		return "accepted, asking Datadog which pod is hot"
	case incident.StatusCapturing:
		var now []string
		stored := 0
		for _, c := range p.Captures {
			switch c.Status {
			case incident.CapturePulling:
				now = append(now, fmt.Sprintf("%s of %s", c.Kind, c.Pod))
			case incident.CaptureStored:
				stored++
			}
		}
		line := fmt.Sprintf("%d of %d profiles stored", stored, len(p.Captures))
		if len(now) > 0 {
			line += ", pulling " + strings.Join(now, ", ")
		}
		return line
	case incident.StatusReporting:
		return "analysing and drawing"
	}
	return "telling Slack"
}

func (d *demo) untilRecovered(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("the recovery was not told within 20s"))
	defer cancel()
	err := d.slack.WaitFor(ctx, func() bool { return strings.Contains(strings.ToLower(d.slack.Text(channel)), "recovered") })
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	return nil
}
