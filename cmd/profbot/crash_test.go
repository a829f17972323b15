package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/webhook"
)

// The kill points. Each is a moment that the stand-ins see from outside: a
// call of profbot before or after it took effect.
var killPoints = []struct {
	name string
	// at is "slack:before:METHOD", "slack:after:METHOD", "datadog", "event:before",
	// "event:after", "pprof:PATH", or "accepted".
	at  string
	nth int // the how manieth time, from 1
}{
	{"after the 202", "accepted", 1},
	{"before the first message is posted", "slack:before:chat.postMessage", 1},
	{"after the first message was posted, before its answer", "slack:after:chat.postMessage", 1},
	{"while asking Datadog", "datadog", 1},
	{"while pulling the first allocs", "pprof:/debug/pprof/allocs", 1},
	{"while pulling CPU, allocs stored", "pprof:/debug/pprof/profile", 1},
	{"while pulling the second allocs, CPU stored", "pprof:/debug/pprof/allocs", 3},
	{"while pulling mutex", "pprof:/debug/pprof/mutex", 1},
	{"while pulling goroutines", "pprof:/debug/pprof/goroutine", 1},
	{"before an edit", "slack:before:chat.update", 1},
	{"after an edit", "slack:after:chat.update", 1},
	{"before asking where to upload", "slack:before:files.getUploadURLExternal", 1},
	{"after asking where to upload", "slack:after:files.getUploadURLExternal", 1},
	{"before the upload", "slack:before:upload", 1},
	{"after the upload", "slack:after:upload", 1},
	{"before the share", "slack:before:files.completeUploadExternal", 1},
	{"after the share, before its answer", "slack:after:files.completeUploadExternal", 1},
	{"before the share of the difference", "slack:before:files.completeUploadExternal", 2},
	{"after the share of the difference, before its answer", "slack:after:files.completeUploadExternal", 2},
	{"while waiting for the share", "slack:after:files.info", 1},
	{"before the details", "slack:before:chat.postMessage", 2},
	{"after the details, before the answer", "slack:after:chat.postMessage", 2},
	{"before the event is posted", "event:before", 1},
	{"after the event was posted, before its answer", "event:after", 1},
}

// TestKilledAtAnyMoment kills a real profbot at each point with SIGKILL,
// starts it again, and looks at what people see: the incident is told to its
// end, in one message, with each picture once, and no profile that was stored is
// pulled a second time.
func TestKilledAtAnyMoment(t *testing.T) {
	for _, p := range killPoints {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, p.at, p.nth)
			first := w.serve()
			w.arm(first)
			w.alert(first)
			if p.at == "accepted" {
				first.kill()
			}
			first.untilKilled(t)
			stored, before := w.stored(), len(w.pulled())

			second := w.serve()
			w.untilTold(second)
			second.stop()

			w.looks(t, second)
			for _, r := range w.pulled()[before:] {
				if stored[r] {
					t.Errorf("%s was stored before the kill and pulled again", r)
				}
			}
		})
	}
}

// world is everything around one profbot.
type world struct {
	t     *testing.T
	dir   string
	slack *slacktest.Server
	dd    *datadogtest.Server
	front *httptest.Server // before dd
	pods  []*pproftest.Server

	at  string
	nth int
	env []string // more of profbot's environment

	mu    sync.Mutex // protects the fields below
	seen  int
	armed *process
	pulls []string // "POD PATH", each as it came
	posts int      // events that Datadog took
}

const (
	crashChannel = "C0PROFBOT0"
	crashToken   = "0123456789abcdef-crash"
)

func newWorld(t *testing.T, at string, nth int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), at: at, nth: nth}
	var err error
	w.slack, err = slacktest.NewServer(slacktest.Options{
		Token:  "xoxb-crash",
		Before: func(method string) { w.pass("slack:before:" + method) },
		After:  func(method string) { w.pass("slack:after:" + method) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.slack.Close() })
	w.dd = datadogtest.New(datadogtest.Options{
		APIKey: "api", AppKey: "app", OnQuery: func() { w.pass("datadog") },
		Loads: func(string, string) map[string]float64 { return map[string]float64{"pod-0": 0.9, "pod-1": 0.1} },
	})
	t.Cleanup(w.dd.Close)
	w.front = httptest.NewServer(http.HandlerFunc(w.datadog))
	t.Cleanup(w.front.Close)
	cpu, err := os.ReadFile("../../internal/analysis/testdata/corpus/only-live-std.cpu.pb.gz")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		p := pproftest.New()
		p.ServeCPU(cpu)
		p.OnRequest(func(path string) {
			w.mu.Lock()
			w.pulls = append(w.pulls, fmt.Sprintf("pod-%d %s", i, path))
			w.mu.Unlock()
			w.pass("pprof:" + path)
		})
		t.Cleanup(p.Close)
		w.pods = append(w.pods, p)
	}
	return w
}

// datadog passes calls on to the stand-in, and sees the events. What was to
// come from a process that is dead by then never arrives.
func (w *world) datadog(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/api/v1/events" {
		w.dd.Config.Handler.ServeHTTP(rw, r)
		return
	}
	if w.pass("event:before") {
		return
	}
	answer := httptest.NewRecorder()
	w.dd.Config.Handler.ServeHTTP(answer, r)
	if answer.Code/100 == 2 {
		w.mu.Lock()
		w.posts++
		w.mu.Unlock()
	}
	w.pass("event:after")
	for k, v := range answer.Header() {
		rw.Header()[k] = v
	}
	rw.WriteHeader(answer.Code)
	_, _ = answer.Body.WriteTo(rw) // a caller that is gone is what the test is about
}

// pass is called by the stand-ins at every point; the armed process does not
// survive the one that the test is about. It reports whether this was it.
func (w *world) pass(point string) bool {
	w.mu.Lock()
	victim := w.armed
	if point != w.at || victim == nil {
		w.mu.Unlock()
		return false
	}
	w.seen++
	if w.seen != w.nth {
		w.mu.Unlock()
		return false
	}
	w.armed = nil
	w.mu.Unlock()
	victim.kill()
	return true
}

func (w *world) arm(p *process) {
	w.mu.Lock()
	w.armed = p
	w.mu.Unlock()
}

func (w *world) pulled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.pulls...)
}

// process is one profbot serve.
type process struct {
	w      *world
	cmd    *exec.Cmd
	public string
	inside string
	done   chan struct{} // closed when it has ended

	mu  sync.Mutex // protects out
	out bytes.Buffer
}

var upLine = regexp.MustCompile(`msg="profbot is up" public=(\S+) internal=(\S+)`)

// serve starts profbot on the world's data folder and waits until it is up.
func (w *world) serve() *process {
	w.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{w: w, cmd: exec.Command(exe, "serve"), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "PROFBOT_TEST_MAIN=1",
		"PROFBOT_LISTEN_PUBLIC=127.0.0.1:0", "PROFBOT_LISTEN_INTERNAL=127.0.0.1:0", "PROFBOT_DATA="+w.dir,
		"PROFBOT_SLACK_TOKEN="+w.slack.Token(), "PROFBOT_SLACK_CHANNEL="+crashChannel, "PROFBOT_SLACK_API_URL="+w.slack.URL(),
		"PROFBOT_DATADOG_API_KEY=api", "PROFBOT_DATADOG_APP_KEY=app", "PROFBOT_DATADOG_API_URL="+w.front.URL,
		"PROFBOT_WEBHOOK_TOKENS="+crashToken, "PROFBOT_CAPTURE_CPU=1s", "PROFBOT_CAPTURE_PODS=1",
		fmt.Sprintf(`PROFBOT_SERVICES=[{name: live-api, targets: [{pod: pod-0, url: %q}, {pod: pod-1, url: %q}]}]`, w.pods[0].PprofURL(), w.pods[1].PprofURL()))
	p.cmd.Env = append(p.cmd.Env, w.env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	up := make(chan []string, 1)
	go func() { // ends with the process
		defer close(p.done)
		in := bufio.NewScanner(stderr)
		for in.Scan() {
			p.mu.Lock()
			p.out.WriteString(in.Text() + "\n")
			p.mu.Unlock()
			if m := upLine.FindStringSubmatch(in.Text()); m != nil {
				up <- m[1:]
			}
		}
		_ = p.cmd.Wait() // killed, most of the time
	}()
	w.t.Cleanup(p.kill)
	select {
	case addresses := <-up:
		p.public, p.inside = addresses[0], addresses[1]
	case <-p.done:
		w.t.Fatalf("profbot did not start\n%s", p.log())
	case <-time.After(60 * time.Second):
		w.t.Fatalf("profbot is not up\n%s", p.log())
	}
	return p
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.done
}

// stop asks the process to end, as a deployment does.
func (p *process) stop() {
	p.w.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.w.t.Errorf("stop: %v", err)
	}
	select {
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			p.w.t.Errorf("profbot ended with %d\n%s", code, p.log())
		}
	case <-time.After(45 * time.Second):
		p.w.t.Errorf("profbot did not end\n%s", p.log())
	}
}

func (w *world) alert(p *process) {
	w.t.Helper()
	e := webhook.Example{Service: "live-api", Monitor: "1234", MonitorName: "CPU", Transition: "triggered", Cycle: "c1", EventID: "e1", Value: "1", Threshold: "0.5", At: time.Now()}
	req, err := e.Request(w.t.Context(), p.public+"/webhooks/datadog", crashToken)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, p.log())
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
		w.t.Fatalf("status %s, %v: %s", resp.Status, err, body)
	}
}

// stored reads which requests the stored captures stand for. The process is
// dead, so its folder is free.
func (w *world) stored() map[string]bool {
	w.t.Helper()
	st, err := store.Open(context.Background(), store.Options{Dir: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}
	defer st.Close()
	incs, err := st.Incidents(context.Background(), 10)
	if err != nil || len(incs) != 1 {
		w.t.Fatalf("%d incidents, %v: the accepted alert is lost", len(incs), err)
	}
	captures, err := st.Captures(context.Background(), incs[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]bool{}
	allocs := map[string]int{}
	for _, c := range captures {
		if c.Status != incident.CaptureStored {
			continue
		}
		switch c.Kind {
		case incident.KindCPU:
			out[c.Pod+" /debug/pprof/profile"] = true
		case incident.KindGoroutine:
			out[c.Pod+" /debug/pprof/goroutine"] = true
		case incident.KindMutexBefore, incident.KindBlockBefore:
			out[c.Pod+" /debug/pprof/"+c.Kind.Profile()] = true
		case incident.KindMutex, incident.KindBlock: // nothing was in the ones before: not asked for
		default: // both allocs have one path: neither may be asked for when both are there
			if allocs[c.Pod]++; allocs[c.Pod] == 2 {
				out[c.Pod+" /debug/pprof/allocs"] = true
			}
		}
	}
	return out
}

// untilTold waits until the database says that everything was told.
func (w *world) untilTold(p *process) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "profbot.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeoutCause(w.t.Context(), 120*time.Second, errors.New("not told in time"))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var open int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM incident WHERE told < rev OR status NOT IN ('done', 'failed')`).Scan(&open); err == nil && open == 0 {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("%v\n%s\n%s", context.Cause(ctx), w.slack.Text(crashChannel), p.log())
		case <-p.done:
			w.t.Fatalf("profbot ended by itself\n%s", p.log())
		case <-tick.C:
		}
	}
}

// untilKilled waits until the process has died at the point that was armed.
func (p *process) untilKilled(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(90 * time.Second):
		t.Fatalf("profbot never came to this point\n%s", p.log())
	}
}

// file is the name of a file that was shared.
func (w *world) file(id string) string {
	for _, f := range w.slack.Files() {
		if f.ID == id {
			return f.Name
		}
	}
	return "no file"
}

// looks checks what people see in the end.
func (w *world) looks(t *testing.T, p *process) {
	t.Helper()
	roots := w.slack.Messages(crashChannel)
	if len(roots) != 1 {
		t.Fatalf("%d root messages\n%s\n%s", len(roots), w.slack.Text(crashChannel), p.log())
	}
	thread := w.slack.Thread(crashChannel, roots[0].TS)
	var kinds []string
	for _, m := range thread {
		switch {
		case len(m.Files) > 0:
			kinds = append(kinds, w.file(m.Files[0]))
		case m.ThreadTS == "":
			kinds = append(kinds, "root")
		default:
			kinds = append(kinds, "details")
		}
	}
	if d := cmp.Diff([]string{"root", "flame.png", "difference.png", "details"}, kinds); d != "" {
		t.Errorf("the thread (-want +got):\n%s\n%s", d, w.slack.Text(crashChannel))
	}
	w.pictured(t)
	w.mu.Lock()
	posts := w.posts
	w.mu.Unlock()
	if posts != 1 {
		t.Errorf("%d events on the timeline, want 1\n%s", posts, p.log())
	}
	st, err := store.Open(context.Background(), store.Options{Dir: w.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	incs, err := st.Incidents(context.Background(), 10)
	if err != nil || len(incs) != 1 || incs[0].Status != incident.StatusDone {
		t.Fatalf("incidents %+v, %v", incs, err)
	}
	captures, err := st.Captures(context.Background(), incs[0].ID)
	if err != nil || len(captures) != len(incident.Plan("", incident.RoleHot, nil))+len(incident.Plan("", incident.RoleControl, nil)) {
		t.Fatalf("%d captures, %v", len(captures), err)
	}
	for _, c := range captures {
		if c.Status != incident.CaptureStored {
			t.Errorf("%s of %s: %s (%s)", c.Kind, c.Pod, c.Status, c.Detail)
		}
		if _, err := st.Blob(c.Incident, c.Blob); err != nil && c.Outcome != incident.OutcomeEmpty {
			t.Error(err)
		}
	}
	if strings.Contains(p.log(), crashToken) || strings.Contains(p.log(), w.slack.Token()) {
		t.Error("a secret stands in the log")
	}
}

// pictured checks that each picture of an incident is shown once.
func (w *world) pictured(t *testing.T) {
	t.Helper()
	shares := map[string]int{}
	for _, f := range w.slack.Files() {
		shares[f.Name] += f.Shares
	}
	if d := cmp.Diff(map[string]int{"flame.png": 1, "difference.png": 1}, shares); d != "" {
		t.Errorf("how often pictures are shown (-want +got):\n%s", d)
	}
}
