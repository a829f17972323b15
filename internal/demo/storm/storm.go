// Package storm puts a real profbot process under an alert storm: hundreds of
// pods in a cluster, dozens of services whose monitors fire at the same moment,
// a Slack that limits requests as the real one does. [Run] measures what must
// not happen: more CPU profiles at once than the budgets allow, of all, of a
// service, of a node or of a pod; a pod that is asked though its owner has not
// opted in; an incident that is lost, told twice or never told to its end;
// memory that grows with the storm.
//
// profbot discovers the pods from an API server, by watching them. They are
// servers of this process, each at an address of its own, that answer with real
// profiles after the time that a CPU profile takes. profbot is a process of its
// own, so that its memory can be told from theirs.
package storm

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

	Alerts int           // each of a service of its own; 0 means 50
	Pods   int           // of all services together; 0 means 500
	Nodes  int           // that the pods run on; 0 means 40
	Window time.Duration // of a CPU profile; 0 means 2 s
	// The budgets of CPU profiles at once; 0 means profbot's own: 4, 2 and 1.
	Simultaneous, PerService, PerNode int
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
	Discovered        int           // pods, as profbot's metrics say before the storm
	Alerts, Incidents int           // accepted, and kept in the end
	Told              int           // services with a final message
	Pictures, Details int           // flame graphs and replies with details in their threads
	Extra             int           // messages beyond one of a service, and one of each picture and one reply with details
	Profiles          int           // CPU profiles that were asked for
	MostAtOnce        int           // of them, ever
	MostPerService    int           // of them at once of one service
	MostPerNode       int           // and on one node
	MostPerPod        int           // and of one pod
	Uninvited         int           // requests to pods that have not opted in
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
	opt.Alerts, opt.Pods, opt.Nodes = cmp.Or(opt.Alerts, 50), cmp.Or(opt.Pods, 500), cmp.Or(opt.Nodes, 40)
	opt.Simultaneous, opt.PerService, opt.PerNode = cmp.Or(opt.Simultaneous, 4), cmp.Or(opt.PerService, 2), cmp.Or(opt.PerNode, 1)
	opt.Window, opt.Within = cmp.Or(opt.Window, 2*time.Second), cmp.Or(opt.Within, 8*time.Minute)
	if opt.Args == nil {
		opt.Args = []string{"serve"}
	}
	if opt.Progress == nil {
		opt.Progress = func(string) {}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opt.Within, fmt.Errorf("the storm was not over within %s", opt.Within))
	defer cancel()

	fleet, err := newFleet(ctx, opt)
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

	kubeconfig, err := fleet.api.WriteKubeconfig(opt.Dir)
	if err != nil {
		return res, err
	}
	config := filepath.Join(opt.Dir, "profbot.yaml")
	if err := os.WriteFile(config, []byte(configOf(opt, kubeconfig, fleet.port, slack.URL(), dd.URL)), 0o600); err != nil {
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

	if res.Discovered, err = discovered(ctx, p.internal); err != nil {
		return res, err
	}
	opt.Progress(fmt.Sprintf("%d pods discovered", res.Discovered))

	began := time.Now()
	if res.Alerts, err = fire(ctx, opt, p.public); err != nil {
		return res, err
	}
	opt.Progress(fmt.Sprintf("%d alerts accepted in %s", res.Alerts, time.Since(began).Round(time.Millisecond)))
	fleet.api.CutWatches() // as happens in the worst moment
	err = watch(ctx, opt, p, slack, fleet, began, &res)
	res.PeakRSS = p.peakRSS()
	stopped = true
	err = errors.Join(err, p.stop())
	fleet.seen(began, &res)
	count(opt, slack, &res)
	res.Limited = limit.refused()
	if err != nil {
		return res, fmt.Errorf("%w; see %s", err, p.logFile)
	}
	res.Incidents, err = kept(ctx, opt)
	return res, err
}

// discovered sums up what profbot's metrics say of the pods that it knows.
func discovered(ctx context.Context, address string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("read profbot's metrics: %w", err)
	}
	defer resp.Body.Close()
	sum := 0
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		if strings.HasPrefix(in.Text(), "profbot_discovered_pods{") {
			_, value, _ := strings.Cut(in.Text(), "} ")
			n, err := strconv.Atoi(value)
			if err != nil {
				return 0, fmt.Errorf("read profbot's metrics: %w", err)
			}
			sum += n
		}
	}
	return sum, in.Err()
}

// fire sends the alerts all at once, each twice, as a sender does that waits in
// vain for an answer, and counts those that were accepted and not repeated.
func fire(ctx context.Context, opt Options, address string) (int, error) {
	errs := make([]error, 2*opt.Alerts)
	var sending sync.WaitGroup
	var accepted atomic.Int32
	for at := range errs {
		i := at / 2
		sending.Go(func() {
			e := webhook.Example{
				Service: service(i), Monitor: fmt.Sprint(1000 + i), MonitorName: "CPU of " + service(i), Transition: "triggered",
				Cycle: fmt.Sprintf("c%d", i), EventID: fmt.Sprintf("e%d", i), Value: "3.1", Threshold: "1.5", At: time.Now(),
			}
			req, err := e.Request(ctx, address+"/webhooks/datadog", token)
			if err != nil {
				errs[at] = err
				return
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				errs[at] = err
				return
			}
			defer resp.Body.Close()
			switch body, err := io.ReadAll(resp.Body); {
			case err != nil:
				errs[at] = err
			case resp.StatusCode == http.StatusAccepted:
				accepted.Add(1)
			case resp.StatusCode != http.StatusOK:
				errs[at] = fmt.Errorf("alert %d: %s: %s", i, resp.Status, body)
			}
		})
	}
	sending.Wait()
	return int(accepted.Load()), errors.Join(errs...)
}

// count puts what the channel shows into a result.
func count(opt Options, slack *slacktest.Server, res *Result) {
	res.Told, res.Pictures, res.Details, res.Extra = 0, 0, 0, 0
	told, files := map[string]int{}, map[string]string{} // the second: names by id
	for _, f := range slack.Files() {
		files[f.ID] = f.Name
	}
	for _, m := range slack.Messages(channel) {
		for i := range opt.Alerts {
			if strings.Contains(m.Text+string(m.Blocks), service(i)) {
				told[service(i)]++
			}
		}
		if strings.Contains(string(m.Blocks), "⏳") {
			continue
		}
		res.Told++
		pictures, details := map[string]int{}, 0 // by name: the flame graph, and what differs from the cool pod
		for _, r := range slack.Thread(channel, m.TS)[1:] {
			if len(r.Files) == 0 {
				details++
			}
			for _, id := range r.Files {
				pictures[files[id]]++
			}
		}
		res.Pictures += min(pictures["flame.png"], 1)
		res.Details += min(details, 1)
		res.Extra += max(0, details-1)
		for _, n := range pictures {
			res.Extra += n - 1
		}
	}
	for i := range opt.Alerts {
		res.Extra += max(0, told[service(i)]-1)
	}
}

// watch follows the channel until every incident is told to its end.
func watch(ctx context.Context, opt Options, p *process, slack *slacktest.Server, fleet *fleet, began time.Time, res *Result) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	said := time.Now()
	for {
		count(opt, slack, res)
		if res.Told == opt.Alerts && res.LastTold == 0 {
			res.LastTold = time.Since(began)
		}
		if res.Told == opt.Alerts && res.Pictures >= opt.Alerts && res.Details >= opt.Alerts {
			res.Whole = time.Since(began)
			return nil
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			fleet.seen(began, res)
			opt.Progress(fmt.Sprintf("%s: %d CPU profiles asked for, %d of %d told, %d MB", time.Since(began).Round(time.Second), res.Profiles, res.Told, opt.Alerts, p.peakRSS()>>20))
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
	incs, err := st.Incidents(ctx, 10*opt.Alerts)
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

func service(i int) string { return fmt.Sprintf("svc-%03d", i) }

// configOf is profbot's configuration.
func configOf(opt Options, kubeconfig, port, slackURL, datadogURL string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: {public: '127.0.0.1:0', internal: '127.0.0.1:0'}\ndata: %q\n", filepath.Join(opt.Dir, "data"))
	fmt.Fprintf(&b, "slack: {token: xoxb-storm, channel: %s, api_url: %q}\nwebhook: {tokens: [%s]}\n", channel, slackURL, token)
	fmt.Fprintf(&b, "datadog: {api_key: api, app_key: app, api_url: %q}\n", datadogURL)
	fmt.Fprintf(&b, "kubernetes: {enabled: true, kubeconfig: %q, port: %s, namespaces: [live]}\n", kubeconfig, port)
	fmt.Fprintf(&b, "capture: {cpu: %s, simultaneous: %d, per_service: %d, per_node: %d, jitter: %s, networks: [%s]}\n",
		opt.Window, opt.Simultaneous, opt.PerService, opt.PerNode, opt.Window/10, networks)
	return b.String()
}
