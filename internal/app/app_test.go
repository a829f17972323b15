package app

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"image/png"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
	"github.com/profbot/profbot/internal/profile"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
	"github.com/profbot/profbot/internal/store"
)

// TestWholeLoop: an alert comes in over HTTP, and a message, a picture, the
// details and a report page come out; then profbot stops and leaves nothing.
func TestWholeLoop(t *testing.T) {
	before := goroutines()
	w := newAround(t)
	a := w.start()
	if err := a.CheckSlack(t.Context()); err != nil {
		t.Error(err)
	}
	for _, base := range []string{a.PublicURL(), a.InternalURL()} {
		if status, body := w.get(base + "/healthz"); status != 200 || body != "ok\n" {
			t.Errorf("%s/healthz: %d %q", base, status, body)
		}
	}
	if status, body := w.alert(a, "triggered", "e0", "a-wrong-token-of-some-length"); status != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d %s", status, body)
	}
	// A service that is not configured opens nothing, and its sender reads why.
	const why = `service "billing" is not configured; configured: live-api`
	var rec incident.Receipt
	if status, body := w.alertOf(a, "billing", "triggered", "e0", hookToken); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	} else if err := json.Unmarshal([]byte(body), &rec); err != nil || rec.Action != incident.ActionRecord || rec.Reason != why {
		t.Errorf("receipt = %s, %v", body, err)
	}
	if status, body := w.get(a.InternalURL() + "/"); status != 200 || !strings.Contains(html.UnescapeString(body), why) {
		t.Errorf("the index: %d, want %q in it", status, why)
	}
	if status, body := w.alert(a, "triggered", "e1", hookToken); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	var thread []slacktest.Message
	w.untilSlack("message, picture and details are there", func() bool {
		roots := w.slack.Messages(channel)
		if len(roots) != 1 {
			return false
		}
		thread = w.slack.Thread(channel, roots[0].TS)
		return whole(thread)
	})
	if len(thread) != 4 || len(thread[1].Files) != 1 || len(thread[2].Files) != 1 || !strings.Contains(w.slack.Text(channel), "decodes cached JSON") {
		t.Errorf("the thread:\n%s", w.slack.Text(channel))
	}
	if files := w.slack.Files(); len(files) != 2 || files[0].Name != "flame.png" || files[0].Shares != 1 || files[1].Name != "difference.png" || files[1].Shares != 1 {
		t.Errorf("%d files", len(files))
	} else if _, err := png.Decode(bytes.NewReader(files[0].Data)); err != nil {
		t.Errorf("the picture: %v", err)
	}
	if w.dd.Queries() == nil || len(w.pods[1].Requests()) != 6 {
		t.Errorf("queries %q, pulls %q", w.dd.Queries(), w.pods[1].Requests())
	}

	told, err := a.Progress(t.Context())
	if err != nil || len(told) != 1 {
		t.Fatalf("%d incidents, %v", len(told), err)
	}
	inc := told[0]
	if inc.Incident.Status != incident.StatusDone || inc.Report == nil || len(inc.Captures) != 12 || inc.Captures[0].Pod != "pod-1" {
		t.Errorf("progress = %+v", inc)
	}
	// The link in Slack is one that works, and so are those of its page.
	address := regexp.MustCompile(regexp.QuoteMeta(a.InternalURL()) + `/r/[A-Za-z0-9_-]+/`).FindString(w.slack.Text(channel))
	for file, want := range map[string]string{"": "live-api", "flame.html": "<html", "flame.png": "PNG", "report.json": `"version"`} {
		if status, body := w.get(address + file); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s%s: %d, want %q in %.200q", address, file, status, want, body)
		}
	}
	if status, body := w.get(a.InternalURL() + "/"); status != 200 || !strings.Contains(body, inc.Incident.ID) {
		t.Errorf("the index: %d", status)
	}
	if status, _ := w.get(a.PublicURL() + "/"); status != http.StatusNotFound {
		t.Errorf("the public door shows something: %d", status)
	}

	if status, body := w.alert(a, "recovered", "e2", hookToken); status != http.StatusOK {
		t.Errorf("recovery: %d %s", status, body)
	}
	w.untilSlack("the recovery is told", func() bool { return strings.Contains(strings.ToLower(w.slack.Text(channel)), "recovered") })

	public, inside := a.public.Addr().String(), a.inside.Addr().String()
	for range 2 {
		if err := a.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	free(t, public, inside)
	select {
	case err := <-a.Failed():
		t.Errorf("a part has failed: %v", err)
	default:
	}
	if log := w.log.String(); strings.Contains(log, hookToken) || strings.Contains(log, botToken) || strings.Contains(log, "dd-a") || strings.Contains(log, "level=ERROR") {
		t.Errorf("a secret or an error stands in the log:\n%s", log)
	}
	w.close()
	untilAlone(t, before)
}

// free checks that one may listen on addresses again.
func free(t *testing.T, addresses ...string) {
	t.Helper()
	for _, addr := range addresses {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Errorf("%s is still taken: %v", addr, err)
			continue
		}
		l.Close()
	}
}

// vacant is an address that was free a moment ago.
func vacant(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestStopBeforeStart(t *testing.T) {
	before := goroutines()
	w := newAround(t)
	a, err := New(t.Context(), w.config(), w.logger())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	free(t, a.public.Addr().String(), a.inside.Addr().String())
	w.close()
	untilAlone(t, before)
}

// TestStopAtOnce stops a profbot whose servers may not run yet.
func TestStopAtOnce(t *testing.T) {
	before := goroutines()
	w := newAround(t)
	for range 10 {
		a, err := New(t.Context(), w.config(), w.logger())
		if err != nil {
			t.Fatal(err)
		}
		a.Start(t.Context())
		if err := a.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		free(t, a.public.Addr().String(), a.inside.Addr().String())
	}
	w.close()
	untilAlone(t, before)
}

// TestStopWhilePulling: a target that never answers does not hold up the end,
// and the next profbot asks again.
func TestStopWhilePulling(t *testing.T) {
	w := newAround(t)
	asked := make(chan struct{}, 100)
	w.pods[1].SetMode(pproftest.Hang)
	w.pods[1].OnRequest(func(string) { asked <- struct{}{} })
	a := w.start()
	if status, body := w.alert(a, "triggered", "e1", hookToken); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	<-asked
	stopping := time.Now()
	if err := a.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if took := time.Since(stopping); took > 8*time.Second {
		t.Errorf("stopping took %s", took)
	}
	w.pods[1].SetMode(pproftest.Real)
	next := w.start()
	w.untilSlack("the verdict is told", func() bool { return strings.Contains(w.slack.Text(channel), "decodes cached JSON") })
	told, err := next.Progress(t.Context())
	if err != nil || len(told) != 1 || len(w.slack.Messages(channel)) != 1 {
		t.Errorf("%d incidents, %d messages, %v", len(told), len(w.slack.Messages(channel)), err)
	}
}

// TestStopSaysWhatDoesNotStop: jobs that go on are an error of Stop, since the
// store is closed under them.
func TestStopSaysWhatDoesNotStop(t *testing.T) {
	t.Parallel() // it waits for 10 s
	w := newAround(t)
	a, err := New(t.Context(), w.config(), w.logger())
	if err != nil {
		t.Fatal(err)
	}
	stuck := stuckPuller{make(chan struct{}, 100), make(chan struct{})}
	a.pipeline.Puller = stuck
	a.Start(t.Context())
	if status, body := w.alert(a, "triggered", "e1", hookToken); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	<-stuck.pulling
	if err := a.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "stop pipeline: ") || !strings.Contains(err.Error(), "jobs did not stop within 10s") {
		t.Errorf("Stop = %v", err)
	}
	select {
	case err := <-a.Failed():
		t.Errorf("a part has failed: %v", err)
	default:
	}
	close(stuck.release)
	free(t, a.public.Addr().String(), a.inside.Addr().String())
}

// stuckPuller pulls until release is closed, whatever its context says.
type stuckPuller struct{ pulling, release chan struct{} }

func (s stuckPuller) Pull(ctx context.Context, _ incident.Target, _ incident.Kind, _ time.Duration) (pipeline.Pulled, error) {
	s.pulling <- struct{}{}
	<-s.release
	return pipeline.Pulled{}, context.Cause(ctx)
}

// TestNewFailsHalfway: whatever is wrong, and however late it is seen, nothing
// of the attempt is left.
func TestNewFailsHalfway(t *testing.T) {
	before := goroutines()
	w := newAround(t)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		want  string
		spoil func(*config.Config)
	}{
		{"listen.public", func(c *config.Config) { c.Listen.Public = taken.Addr().String() }},
		{"listen.internal", func(c *config.Config) { c.Listen.Internal = taken.Addr().String() }},
		{"make data folder", func(c *config.Config) { c.Data = filepath.Join("app_test.go", "data") }},
		{"31 bytes", func(c *config.Config) { c.LinkKey = "0123456789abcdef0123456789abcde" }},
		{"channel", func(c *config.Config) { c.Slack.Channel = "#ops" }},
		{"no http or https address", func(c *config.Config) { c.Services[0].Targets[0].URL = "ftp://pod" }},
		{"must not be negative", func(c *config.Config) { c.Capture.MaxBytes = -1 }},
		{"no metric name", func(c *config.Config) { c.Datadog.Metric = "{*}" }},
		{"no token and no user", func(c *config.Config) { c.Webhook.Tokens = nil }},
	} {
		cfg := w.config()
		cfg.Listen.Public, cfg.Listen.Internal = vacant(t), vacant(t)
		public, inside := cfg.Listen.Public, cfg.Listen.Internal
		tc.spoil(cfg)
		a, err := New(t.Context(), cfg, w.logger())
		if err == nil || !strings.Contains(err.Error(), tc.want) || a != nil {
			t.Errorf("New = %v, %v; want %q in the error", a, err, tc.want)
		}
		free(t, public, inside)
		st, err := store.Open(t.Context(), store.Options{Dir: w.dir})
		if err != nil {
			t.Errorf("%s: the folder is still taken: %v", tc.want, err)
			continue
		}
		st.Close()
	}

	st, err := store.Open(t.Context(), store.Options{Dir: w.dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), w.config(), w.logger()); err == nil || !strings.Contains(err.Error(), "another profbot is using it") {
		t.Errorf("New on a folder in use = %v", err)
	}
	st.Close()
	// And with all of that undone, it works.
	a, err := New(t.Context(), w.config(), w.logger())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	taken.Close()
	w.close()
	untilAlone(t, before)
}

// TestRun: Run works while Slack does not, and ends when it is told to.
func TestRun(t *testing.T) {
	w := newAround(t)
	w.slack.FailNext("auth.test", slacktest.Failure{Code: "invalid_auth"})
	ctx, cancel := context.WithCancel(t.Context())
	cfg := w.config()
	cfg.Listen.Public = vacant(t)
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg, w.logger()) }() // ended by cancel
	w.log.await(t, "Slack check")
	if status, _ := w.get("http://" + cfg.Listen.Public + "/healthz"); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	// A second one on the same folder says why it does not start.
	if err := Run(ctx, w.config(), w.logger()); err == nil || !strings.Contains(err.Error(), "another profbot is using it") {
		t.Errorf("second Run = %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	free(t, cfg.Listen.Public)
}

// TestRunEndsWhenAPartDies: a listener that breaks ends the whole.
func TestRunEndsWhenAPartDies(t *testing.T) {
	w := newAround(t)
	a := w.start()
	if err := a.inside.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-a.Failed(); err == nil || !strings.HasPrefix(err.Error(), "internal server: ") {
		t.Errorf("Failed = %v", err)
	}
}

// TestRawLimits: what the collector takes by default is what the analysis reads.
func TestRawLimits(t *testing.T) {
	w := newAround(t)
	if d := cmp.Diff([]int64{64 << 20, 64 << 20}, []int64{w.config().Capture.MaxRawBytes, profile.DefaultMaxRaw}); d != "" {
		t.Errorf("configured and analysed (-want +got):\n%s", d)
	}
}

// TestPolicy: what an operator writes for a service reaches its analysis.
func TestPolicy(t *testing.T) {
	cfg := &config.Config{Services: []config.Service{
		{Name: "live-api", Env: "prod", AppPrefixes: []string{"prod"}},
		{Name: "live-api", Env: "dev", AppPrefixes: []string{"dev"}},
		{Name: "chat", AppPrefixes: []string{"any"}, Routes: map[string]string{".Send": "POST /send"}},
	}}
	service := policy(cfg).Service
	for _, tc := range []struct {
		name, env string
		want      []string
	}{
		{"live-api", "prod", []string{"prod"}},
		{"live-api", "dev", []string{"dev"}},
		{"live-api", "", []string{"prod"}},
		{"live-api", "test", nil},
		{"chat", "prod", []string{"any"}},
		{"nobody", "", nil},
	} {
		prefixes, routes := service(tc.name, tc.env)
		if d := cmp.Diff(tc.want, prefixes); d != "" || (len(routes) == 1) != (tc.name == "chat") {
			t.Errorf("%s in %q: %v, %v", tc.name, tc.env, prefixes, routes)
		}
	}
}
