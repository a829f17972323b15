package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
	"github.com/profbot/profbot/internal/webhook"
)

const (
	channel   = "C0PROFBOT0"
	asking    = "C0ASKING00" // where people ask
	direct    = "D0ANN00000"
	hookToken = "0123456789abcdef-app"
	botToken  = "xoxb-app-test"
)

// around is everything that a profbot talks to, on this machine's loopback.
type around struct {
	t     testing.TB
	slack *slacktest.Server
	dd    *datadogtest.Server
	pods  []*pproftest.Server
	cpu   []byte // what every pod's CPU is used for
	dir   string
	log   lines
}

func newAround(t testing.TB) *around {
	t.Helper()
	w := &around{t: t, dir: t.TempDir(), log: lines{added: make(chan struct{})}}
	var err error
	if w.slack, err = slacktest.NewServer(slacktest.Options{Token: botToken, Channels: []slacktest.Channel{
		{ID: channel, Name: "ops-alerts"}, {ID: asking, Name: "live"}, {ID: direct, Private: true},
	}}); err != nil {
		t.Fatal(err)
	}
	w.dd = datadogtest.New(datadogtest.Options{
		APIKey: "dd-api-key", AppKey: "dd-app-key",
		Loads: func(string, string) map[string]float64 { return map[string]float64{"pod-0": 0.1, "pod-1": 0.9} },
	})
	if w.cpu, err = os.ReadFile("../analysis/testdata/corpus/only-live-std.cpu.pb.gz"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p := pproftest.New()
		p.ServeCPU(w.cpu)
		w.pods = append(w.pods, p)
	}
	t.Cleanup(w.close)
	return w
}

// close ends the stand-ins; it may be called again.
func (w *around) close() {
	_ = w.slack.Close() // cuts what is open
	w.dd.Close()
	for _, p := range w.pods {
		p.Close()
	}
}

// config is a configuration as an operator would write it, with more
// environment on top.
func (w *around) config(more ...string) *config.Config {
	w.t.Helper()
	cfg, err := config.Load("", append([]string{
		"PROFBOT_LISTEN_PUBLIC=127.0.0.1:0", "PROFBOT_LISTEN_INTERNAL=127.0.0.1:0", "PROFBOT_DATA=" + w.dir,
		"PROFBOT_SLACK_TOKEN=" + botToken, "PROFBOT_SLACK_CHANNEL=" + channel, "PROFBOT_SLACK_API_URL=" + w.slack.URL(),
		"PROFBOT_DATADOG_API_KEY=dd-api-key", "PROFBOT_DATADOG_APP_KEY=dd-app-key", "PROFBOT_DATADOG_API_URL=" + w.dd.URL,
		"PROFBOT_WEBHOOK_TOKENS=" + hookToken, "PROFBOT_CAPTURE_CPU=1s", "PROFBOT_CAPTURE_PODS=1",
		fmt.Sprintf(`PROFBOT_SERVICES=[{name: live-api, targets: [{pod: pod-0, url: %q}, {pod: pod-1, url: %q}]}]`, w.pods[0].PprofURL(), w.pods[1].PprofURL()),
	}, more...))
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

func (w *around) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&w.log, nil)) }

// start starts a profbot.
func (w *around) start(more ...string) *App {
	w.t.Helper()
	a := w.make(more...)
	a.Start(w.t.Context())
	return a
}

// make makes a profbot that is stopped when the test ends.
func (w *around) make(more ...string) *App {
	w.t.Helper()
	a, err := New(w.t.Context(), w.config(more...), w.logger())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			w.t.Error(err)
		}
		if w.t.Failed() {
			w.t.Log(w.log.String())
		}
	})
	return a
}

// alert sends an alert of live-api and returns the answer.
func (w *around) alert(a *App, transition, event, token string) (status int, body string) {
	w.t.Helper()
	return w.alertOf(a, "live-api", transition, event, token)
}

func (w *around) alertOf(a *App, service, transition, event, token string) (status int, body string) {
	w.t.Helper()
	e := webhook.Example{
		Service: service, Monitor: "1234", MonitorName: "CPU of " + service, Transition: transition, Cycle: "c1", EventID: event,
		Value: "0.9", Threshold: "0.5", At: time.Now(),
	}
	req, err := e.Request(w.t.Context(), a.PublicURL()+"/webhooks/datadog", token)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(req)
}

func (w *around) get(address string) (status int, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(req)
}

func (w *around) do(req *http.Request) (status int, body string) {
	w.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// untilSlack waits until cond holds in the workspace.
func (w *around) untilSlack(what string, cond func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeoutCause(w.t.Context(), 3*time.Minute, errors.New("it never came"))
	defer cancel()
	if err := w.slack.WaitFor(ctx, cond); err != nil {
		w.t.Fatalf("waiting until %s: %v\n%s%s\n%s", what, err, w.slack.Text(channel), w.slack.Text(asking), w.log.String())
	}
}

// whole reports whether a thread has all that is told of an incident: the
// details come last, after the pictures.
func whole(thread []slacktest.Message) bool {
	return len(thread) > 2 && len(thread[len(thread)-1].Files) == 0
}

// lines is a log that can be waited for.
type lines struct {
	mu    sync.Mutex // protects the fields below
	buf   bytes.Buffer
	added chan struct{} // closed and replaced with every line
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.added)
	l.added = make(chan struct{})
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await returns when the log has s.
func (l *lines) await(t *testing.T, s string) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 60*time.Second, errors.New("it never came"))
	defer cancel()
	for {
		l.mu.Lock()
		added, ok := l.added, strings.Contains(l.buf.String(), s)
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-added:
		case <-ctx.Done():
			t.Fatalf("waiting for %q in the log: %v\n%s", s, context.Cause(ctx), l)
		}
	}
}

// goroutines are the stacks of all goroutines but the caller's and testing's.
func goroutines() []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(strings.TrimSpace(string(buf[:runtime.Stack(buf, true)])), "\n\n")
	return slices.DeleteFunc(all[1:], func(s string) bool {
		return strings.Contains(s, "testing.(*T).Run(") || strings.Contains(s, "testing.(*F)") || strings.Contains(s, "testing.runTests") || strings.Contains(s, "testing.(*M)")
	})
}

// untilAlone waits until no goroutine is left that was not there before. One
// that was told to end needs a moment to.
func untilAlone(t *testing.T, before []string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for {
		http.DefaultClient.CloseIdleConnections()
		now := goroutines()
		if len(now) <= len(before) {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%d goroutines before, and now:\n%s", len(before), strings.Join(now, "\n\n"))
		}
	}
}
