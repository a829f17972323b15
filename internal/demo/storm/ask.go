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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
	"github.com/profbot/profbot/internal/webhook"
)

// AskOptions configure [Ask]. Exe, Dir and Profiles are as in [Options].
type AskOptions struct {
	Exe, Dir, Profiles string

	Socket   bool          // people ask by Socket Mode, and not by HTTP
	Captures int           // CPU profiles that run meanwhile; 0 means 20
	Window   time.Duration // of each; 0 means 5 s
	Every    time.Duration // between two commands; 0 means 200 ms
	For      time.Duration // how long people ask; 0 means a minute
}

// Asked is what was measured.
type Asked struct {
	Took     map[string][]time.Duration // of the acknowledgements, by the command's first word, sorted
	Late     int                        // orders that were acknowledged before they were accepted
	Running  []int                      // CPU profiles, at each command, sorted
	Profiles int                        // that were asked for
	Verdicts int                        // that were told
}

// All are the times of all acknowledgements, sorted.
func (a Asked) All() []time.Duration {
	var out []time.Duration
	for _, of := range a.Took {
		out = append(out, of...)
	}
	slices.Sort(out)
	return out
}

const (
	askSecret = "storm-signing-secret-0123456789"
	asker     = "U0STORM000"
)

// asks is what people type, one after the other: mostly to look.
var asks = []string{"status", "help", "history svc-%03d", "cpu svc-%03d", "cqu svc-%03d", "status", "why svc-%03d", "services", "cpu nosuch-%03d", "history svc-%03d"}

// Ask measures how long people in Slack wait for the acknowledgement of a
// command, while CPU profiles run and are analysed: alerts fire all the time, so
// that as many run as may. A command is sent when its time has come, whether the
// one before was acknowledged or not.
func Ask(ctx context.Context, opt AskOptions) (res Asked, err error) {
	opt.Captures, opt.Window = cmp.Or(opt.Captures, 20), cmp.Or(opt.Window, 5*time.Second)
	opt.Every, opt.For = cmp.Or(opt.Every, 200*time.Millisecond), cmp.Or(opt.For, time.Minute)
	base := Options{
		Exe: opt.Exe, Args: []string{"serve"}, Dir: opt.Dir, Profiles: opt.Profiles, Window: opt.Window,
		Alerts: opt.Captures, Pods: 2 * opt.Captures, Nodes: 3 * opt.Captures, Simultaneous: opt.Captures, PerService: 2, PerNode: 1,
	}
	fleet, err := newFleet(ctx, base)
	if err != nil {
		return res, err
	}
	defer fleet.Close()
	slack, err := slacktest.NewServer(slacktest.Options{Token: "xoxb-storm"})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, slack.Close()) }()
	slack.AddUser(slacktest.User{ID: asker, Name: "ann"})
	dd := datadogtest.New(datadogtest.Options{APIKey: "api", AppKey: "app", Loads: fleet.loads})
	defer dd.Close()
	kubeconfig, err := fleet.api.WriteKubeconfig(opt.Dir)
	if err != nil {
		return res, err
	}
	way := "signing_secrets: [" + askSecret + "]"
	if opt.Socket {
		way = "app_token: xapp-test"
	}
	text := strings.Replace(configOf(base, kubeconfig, fleet.port, slack.URL(), dd.URL), "slack: {", "slack: {limits: {user: -1, service: -1}, "+way+", ", 1)
	config := filepath.Join(opt.Dir, "profbot.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return res, fmt.Errorf("write the configuration: %w", err)
	}
	p, err := start(ctx, base, config)
	if err != nil {
		return res, err
	}
	defer p.kill()

	ctx, cancel := context.WithCancel(ctx)
	var busy sync.WaitGroup
	defer busy.Wait()
	defer cancel()
	fired := make(chan error, 1)
	busy.Go(func() { fired <- keepBusy(ctx, base, fleet, p.public) })
	for fleet.running("") < opt.Captures {
		select {
		case err := <-fired:
			return res, err
		case <-p.done:
			return res, errors.New("profbot ended by itself; see " + p.logFile)
		case <-time.After(50 * time.Millisecond):
		}
	}
	err = ask(ctx, opt, slack, fleet, p.public, &res)
	fleet.mu.Lock()
	res.Profiles = fleet.asked
	fleet.mu.Unlock()
	for _, m := range slack.Messages(channel) {
		if !strings.Contains(string(m.Blocks), "⏳") {
			res.Verdicts++
		}
	}
	select {
	case failed := <-fired:
		err = errors.Join(err, failed)
	default:
	}
	return res, err
}

// keepBusy fires the monitor of each service that no CPU profile runs of, until
// ctx ends.
func keepBusy(ctx context.Context, opt Options, fleet *fleet, address string) error {
	last := make([]time.Time, opt.Alerts)
	for n := 0; ; n++ {
		for i := range opt.Alerts {
			if fleet.running(service(i)) > 0 || time.Since(last[i]) < opt.Window {
				continue
			}
			last[i] = time.Now()
			e := webhook.Example{
				Service: service(i), Monitor: fmt.Sprint(1000 + i), MonitorName: "CPU of " + service(i), Transition: "triggered",
				Cycle: fmt.Sprintf("c%d-%d", i, n), EventID: fmt.Sprintf("e%d-%d", i, n), Value: "3.1", Threshold: "1.5", At: time.Now(),
			}
			req, err := e.Request(ctx, address+"/webhooks/datadog", token)
			if err == nil {
				_, err = read(req, http.StatusAccepted)
			}
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("fire a monitor: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// running counts the CPU profiles that run of a service; "" is of all.
func (f *fleet) running(service string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if service == "" {
		return f.all.now[""]
	}
	return f.byService.now[service]
}

// read makes a request and returns the answer.
func read(req *http.Request, want int) (string, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// ask types commands at a steady rate.
func ask(ctx context.Context, opt AskOptions, slack *slacktest.Server, fleet *fleet, address string, res *Asked) error {
	res.Took = map[string][]time.Duration{}
	var mu sync.Mutex // protects res and errs
	var errs []error
	var asking sync.WaitGroup
	began := time.Now()
	for n := range int(opt.For / opt.Every) {
		due := began.Add(time.Duration(n) * opt.Every)
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		text := asks[n%len(asks)]
		if strings.Contains(text, "%") {
			text = fmt.Sprintf(text, n/len(asks)%opt.Captures)
		}
		asking.Go(func() {
			says, err := command(ctx, opt, slack, address, text)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("/profbot %s: %w", text, err))
			}
			word, rest, _ := strings.Cut(text, " ")
			if word == "cpu" && strings.HasPrefix(rest, "svc") {
				if !strings.Contains(says, "Profiling") {
					res.Late++
				}
				word = "order"
			}
			res.Took[word] = append(res.Took[word], took)
			res.Running = append(res.Running, fleet.running(""))
		})
	}
	asking.Wait()
	for _, of := range res.Took {
		slices.Sort(of)
	}
	slices.Sort(res.Running)
	return errors.Join(errs...)
}

// command types one, and returns its acknowledgement.
func command(ctx context.Context, opt AskOptions, slack *slacktest.Server, address, text string) (string, error) {
	fields := slack.Command(asker, channel, text)
	if opt.Socket {
		body, err := slack.Send(ctx, "slash_commands", fields)
		return string(body), err
	}
	req, err := slacktest.SignedRequest(ctx, address+"/slack", askSecret, "slash_commands", fields)
	if err != nil {
		return "", err
	}
	return read(req, http.StatusOK)
}
