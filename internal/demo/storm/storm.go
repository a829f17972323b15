// Package storm puts a real profbot process under an alert storm: hundreds of
// pods, dozens of services whose monitors fire at the same moment, a Slack that
// limits requests as the real one does. [Run] measures what must not happen:
// more CPU profiles at once than the budget allows, an incident that is lost or
// never told to its end, memory that grows with the storm.
//
// The pods are one server of this process that answers with real profiles after
// the time that a CPU profile takes. profbot is a process of its own, so that
// its memory can be told from theirs.
package storm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/webhook"
)

// Options configure [Run]. Exe, Dir and Profiles are required.
type Options struct {
	Exe  string   // profbot
	Args []string // before "--config FILE"; nil means "serve"
	Env  []string // beside this process's own
	Dir  string   // for the configuration and profbot's data
	// Profiles is the folder of the profiles that pods answer with: the
	// development corpus of internal/analysis.
	Profiles string

	Services     int           // each fires one alert; 0 means 50
	Pods         int           // of each service; 0 means 10
	Window       time.Duration // of a CPU profile; 0 means 2 s
	Simultaneous int           // profbot's budget of profiles at once; 0 means 4
	// Slow makes Slack limit requests as the real one does: a message a second
	// in a channel, 50 edits a minute.
	Slow bool
	// Within is how long the storm may take; 0 means 8 minutes.
	Within time.Duration
	// Progress is told how far it is, every few seconds; nil is fine.
	Progress func(string)
}

// Result is what was measured.
type Result struct {
	Alerts, Incidents int           // accepted, and kept in the end
	Told              int           // messages with a final text
	Pictures, Details int           // in their threads
	Profiles          int           // CPU profiles that were asked for
	MostAtOnce        int           // of them, ever
	MostPerPod        int           // of them at once of one pod
	LastProfile       time.Duration // from the first alert to the end of the last CPU profile
	LastTold          time.Duration // from the first alert to the last final message
	Whole             time.Duration // to the last detail and picture
	PeakRSS           int64         // bytes of profbot, as the kernel says; 0 where it does not
	Limited           int           // requests that Slack refused for their rate
}

const (
	channel = "C0PROFBOT0"
	token   = "storm-webhook-token-0123456789"
)

// Run runs the storm. An error means that it could not be measured, or that
// not everything was told in time; the result says how far it came.
func Run(ctx context.Context, opt Options) (res Result, err error) {
	opt.Services, opt.Pods = cmp.Or(opt.Services, 50), cmp.Or(opt.Pods, 10)
	opt.Window, opt.Simultaneous, opt.Within = cmp.Or(opt.Window, 2*time.Second), cmp.Or(opt.Simultaneous, 4), cmp.Or(opt.Within, 8*time.Minute)
	if opt.Args == nil {
		opt.Args = []string{"serve"}
	}
	if opt.Progress == nil {
		opt.Progress = func(string) {}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opt.Within, fmt.Errorf("the storm was not over within %s", opt.Within))
	defer cancel()

	fleet, err := newFleet(opt)
	if err != nil {
		return res, err
	}
	defer fleet.Close()
	limit := newLimits(time.Now)
	so := slacktest.Options{Token: "xoxb-storm"}
	if opt.Slow {
		so.Limit = limit.take
	}
	slack, err := slacktest.NewServer(so)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, slack.Close()) }()
	dd := datadogtest.New(datadogtest.Options{APIKey: "api", AppKey: "app", Loads: fleet.loads})
	defer dd.Close()

	config := filepath.Join(opt.Dir, "profbot.yaml")
	if err := os.WriteFile(config, []byte(configOf(opt, fleet, slack.URL(), dd.URL)), 0o600); err != nil {
		return res, fmt.Errorf("write the configuration: %w", err)
	}
	p, err := start(ctx, opt, config)
	if err != nil {
		return res, err
	}
	stopped := false
	defer func() {
		if !stopped {
			p.kill()
		}
	}()

	began := time.Now()
	if res.Alerts, err = fire(ctx, opt, p.public); err != nil {
		return res, err
	}
	opt.Progress(fmt.Sprintf("%d alerts accepted in %s", res.Alerts, time.Since(began).Round(time.Millisecond)))
	err = watch(ctx, opt, p, slack, fleet, began, &res)
	res.PeakRSS = p.peakRSS()
	stopped = true
	err = errors.Join(err, p.stop())
	res.MostAtOnce, res.MostPerPod, res.Profiles, res.LastProfile = fleet.seen(began)
	res.Limited = limit.refused()
	if err != nil {
		return res, fmt.Errorf("%w; see %s", err, p.logFile)
	}
	res.Incidents, err = kept(ctx, opt)
	return res, err
}

// fire sends the alerts all at once and counts those that were accepted.
func fire(ctx context.Context, opt Options, address string) (int, error) {
	errs := make([]error, opt.Services)
	var sending sync.WaitGroup
	for i := range opt.Services {
		sending.Go(func() {
			e := webhook.Example{
				Service: service(i), Monitor: fmt.Sprint(1000 + i), MonitorName: "CPU of " + service(i), Transition: "triggered",
				Cycle: fmt.Sprintf("c%d", i), EventID: fmt.Sprintf("e%d", i), Value: "3.1", Threshold: "1.5", At: time.Now(),
			}
			req, err := e.Request(ctx, address+"/webhooks/datadog", token)
			if err != nil {
				errs[i] = err
				return
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				errs[i] = err
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
				errs[i] = fmt.Errorf("alert %d: %s, %w: %s", i, resp.Status, err, body)
			}
		})
	}
	sending.Wait()
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
		}
	}
	return n, errors.Join(errs...)
}

// watch follows the channel until every incident is told to its end.
func watch(ctx context.Context, opt Options, p *process, slack *slacktest.Server, fleet *fleet, began time.Time, res *Result) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	said := time.Now()
	for {
		res.Told, res.Pictures, res.Details = 0, 0, 0
		for _, m := range slack.Messages(channel) {
			if strings.Contains(string(m.Blocks), "⏳") {
				continue
			}
			res.Told++
			for _, r := range slack.Thread(channel, m.TS)[1:] {
				if len(r.Files) > 0 {
					res.Pictures++
				} else {
					res.Details++
				}
			}
		}
		if res.Told == opt.Services && res.LastTold == 0 {
			res.LastTold = time.Since(began)
		}
		if res.Told == opt.Services && res.Pictures >= opt.Services && res.Details >= opt.Services {
			res.Whole = time.Since(began)
			return nil
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			_, _, profiles, _ := fleet.seen(began)
			opt.Progress(fmt.Sprintf("%s: %d CPU profiles asked for, %d of %d told, %d MB", time.Since(began).Round(time.Second), profiles, res.Told, opt.Services, p.peakRSS()>>20))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			return errors.New("profbot ended by itself")
		case <-tick.C:
		}
	}
}

// kept counts the incidents in profbot's data that are done and told.
func kept(ctx context.Context, opt Options) (n int, err error) {
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(opt.Dir, "data")})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	incs, err := st.Incidents(ctx, 10*opt.Services)
	if err != nil {
		return 0, err
	}
	for _, inc := range incs {
		if inc.Status == incident.StatusDone {
			n++
		}
	}
	return n, nil
}

func service(i int) string { return fmt.Sprintf("svc-%02d", i) }

// configOf is profbot's configuration.
func configOf(opt Options, f *fleet, slackURL, datadogURL string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: {public: '127.0.0.1:0', internal: '127.0.0.1:0'}\ndata: %q\n", filepath.Join(opt.Dir, "data"))
	fmt.Fprintf(&b, "slack: {token: xoxb-storm, channel: %s, api_url: %q}\nwebhook: {tokens: [%s]}\n", channel, slackURL, token)
	fmt.Fprintf(&b, "datadog: {api_key: api, app_key: app, api_url: %q}\n", datadogURL)
	fmt.Fprintf(&b, "capture: {cpu: %s, simultaneous: %d}\nservices:\n", opt.Window, opt.Simultaneous)
	for i := range opt.Services {
		fmt.Fprintf(&b, "  - name: %s\n    targets:\n", service(i))
		for j := range opt.Pods {
			fmt.Fprintf(&b, "      - {pod: %s, url: %q}\n", pod(i, j), f.URL+"/"+pod(i, j)+"/debug/pprof")
		}
	}
	return b.String()
}
