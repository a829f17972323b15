package doctor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/doctor"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

const (
	channel = "C0PROFBOT0"
	token   = "xoxb-doctor-hunter2"
	apiKey  = "dd-api-hunter2"
	appKey  = "dd-app-hunter2"
)

// world is everything that a walk looks at.
type world struct {
	slack slacktest.Options
	dd    datadogtest.Options
	pod   *pproftest.Server
	env   []string
	opt   doctor.Options

	noDatadog bool // no keys are configured
	// prepare is called with the stand-ins before the walk; nil does nothing.
	prepare func(*slacktest.Server, *datadogtest.Server)
	results []doctor.Result // of the walk
	replace []string        // old and new, of what differs from run to run
}

// walk returns one line for each result, in which what differs from run to
// run is replaced.
func (w *world) walk(t *testing.T) (lines []string, bad int) {
	t.Helper()
	w.slack.Token = token
	slack, err := slacktest.NewServer(w.slack)
	if err != nil {
		t.Fatal(err)
	}
	defer slack.Close()
	w.dd.APIKey, w.dd.AppKey = apiKey, appKey
	if w.dd.Loads == nil {
		w.dd.Loads = func(string, string) map[string]float64 { return map[string]float64{"a": 1} }
	}
	dd := datadogtest.New(w.dd)
	defer dd.Close()
	if w.prepare != nil {
		w.prepare(slack, dd)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	env := append([]string{
		"PROFBOT_LISTEN_URL=https://profbot.example.com", "PROFBOT_DATA=" + dir, "PROFBOT_SLACK_TOKEN=" + token, "PROFBOT_SLACK_CHANNEL=" + channel,
		"PROFBOT_SLACK_API_URL=" + slack.URL(), "PROFBOT_WEBHOOK_TOKENS=0123456789abcdef",
	}, w.env...)
	if !w.noDatadog {
		env = append([]string{"PROFBOT_DATADOG_API_KEY=" + apiKey, "PROFBOT_DATADOG_APP_KEY=" + appKey, "PROFBOT_DATADOG_API_URL=" + dd.URL}, env...)
	}
	if w.pod != nil {
		env = append(env, fmt.Sprintf(`PROFBOT_SERVICES=[{name: live-api, targets: [{pod: a, url: %q}]}]`, w.pod.PprofURL()))
	}
	w.opt.Config, err = config.Load("", env)
	if err != nil {
		t.Fatal(err)
	}
	w.opt.Tell = func(r doctor.Result) {
		w.results = append(w.results, r)
		if r.Next == "" && (r.State == doctor.Warning || r.State == doctor.Bad) {
			t.Errorf("%s / %s: %s: there is no next step", r.Area, r.What, r.Note)
		}
		lines = append(lines, fmt.Sprintf("%s %s / %s: %s -> %s", r.State, r.Area, r.What, r.Note, r.Next))
	}
	bad = doctor.Walk(t.Context(), w.opt)
	replace := append([]string{dir, "DATA", dd.URL, "DATADOG", slack.URL(), "SLACK"}, w.replace...)
	for i, l := range lines {
		l = strings.NewReplacer(replace...).Replace(l)
		lines[i] = regexp.MustCompile(`[0-9.]+ GiB`).ReplaceAllString(l, "N GiB")
		if strings.Contains(l, "hunter2") {
			t.Errorf("a secret stands in %q", l)
		}
	}
	return lines, bad
}

// holds checks that each of want is the beginning and the end ("..." between)
// of one line.
func holds(t *testing.T, lines []string, want ...string) {
	t.Helper()
	for _, w := range want {
		head, tail, _ := strings.Cut(w, "...")
		found := false
		for _, l := range lines {
			found = found || strings.HasPrefix(l, head) && strings.Contains(l[len(head):], tail)
		}
		if !found {
			t.Errorf("no line is %q in\n%s", w, strings.Join(lines, "\n"))
		}
	}
}

func newPod(t *testing.T, m pproftest.Mode) *pproftest.Server {
	t.Helper()
	p := pproftest.New()
	t.Cleanup(p.Close)
	p.SetMode(m)
	cpu, err := os.ReadFile("../analysis/testdata/corpus/only-live-std.cpu.pb.gz")
	if err != nil {
		t.Fatal(err)
	}
	p.ServeCPU(cpu)
	return p
}

func TestGood(t *testing.T) {
	w := &world{pod: newPod(t, pproftest.Real)}
	lines, bad := w.walk(t)
	if bad != 0 {
		t.Errorf("%d things are bad", bad)
	}
	holds(t, lines,
		"good Configuration / values: every key is understood",
		"good Storage / folder: DATA can be written to",
		"good Storage / room: N GiB free",
		"good Slack / token: @profbot in workspace Test",
		"good Slack / scopes: all",
		"good Slack / channel #ops-alerts (C0PROFBOT0): @profbot is in it",
		"good Pods / services: live-api",
		"good Datadog / API key: valid at datadoghq.com",
		"good Datadog / app key, timeseries_query: may choose the hot pods",
		"good Datadog / container.cpu.usage: has data of 1 pod of live-api",
		"skipped Datadog / webhook: ...--url",
		"good Test pull / live-api, pod a: goroutines and a second of CPU pulled",
		"good Test pull / live-api, pod a: pprof asks for no token, and is asked at this machine's own address",
		"good Clock / Slack: agrees",
		"good Clock / Datadog: agrees",
	)
	for _, l := range lines {
		if !strings.HasPrefix(l, "good") && !strings.HasPrefix(l, "skipped") {
			t.Error(l)
		}
	}
	if n := len(w.pod.Requests()); n != 4 { // two pulls, two knocks
		t.Errorf("the pod was asked %d times: %q", n, w.pod.Requests())
	}
}

// TestBad has one thing wrong in each case, and what is said about it.
func TestBad(t *testing.T) {
	for _, tc := range []struct {
		name string
		w    world
		mode pproftest.Mode
		want []string
	}{
		{name: "no scope", w: world{slack: slacktest.Options{Scopes: []string{"chat:write", "files:write", "channels:read", "channels:history"}}}, want: []string{"bad Slack / scope files:read: ...Add an OAuth Scope files:read"}},
		{name: "not in the channel", w: world{slack: slacktest.Options{Scopes: []string{"chat:write", "channels:read"}, Channels: []slacktest.Channel{{ID: channel, Name: "ops", Outside: true}}}}, want: []string{"bad Slack / channel #ops (C0PROFBOT0): ...type in #ops: /invite @profbot"}},
		{name: "wrong Slack token", w: world{env: []string{"PROFBOT_SLACK_TOKEN=xoxb-other"}}, want: []string{"bad Slack / token: ...invalid_auth -> at https://api.slack.com/apps"}},
		{name: "wrong Datadog key", w: world{env: []string{"PROFBOT_DATADOG_API_KEY=other"}}, want: []string{"bad Datadog / API key: ...datadog.api_key"}},
		{name: "no pprof", mode: pproftest.NoPprof, want: []string{"bad Test pull / live-api, pod a: no pprof: ...docs/adopt-pprofserve.md"}},
		{name: "busy", mode: pproftest.Page, want: []string{"bad Test pull / live-api, pod a: not a profile"}},
		{name: "unknown service", w: world{opt: doctor.Options{Service: "chat"}}, want: []string{"bad Test pull / chat: ...known are live-api"}},
		{name: "clock", w: world{opt: doctor.Options{Now: func() time.Time { return time.Now().Add(4 * time.Minute) }}}, want: []string{"bad Clock / Slack: this machine's clock is ...fast -> set it by NTP"}},
		{name: "data folder", w: world{env: []string{"PROFBOT_DATA=/dev/null/x"}}, want: []string{"bad Storage / folder: ...not a directory -> set data to a folder: a file stands in its way"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.w.pod = newPod(t, tc.mode)
			lines, bad := tc.w.walk(t)
			if bad == 0 {
				t.Error("nothing is bad")
			}
			holds(t, lines, tc.want...)
		})
	}
}

func TestRemarks(t *testing.T) {
	w := &world{
		pod: newPod(t, pproftest.Real),
		dd: datadogtest.Options{
			Permissions: []string{"events_read", "timeseries_query"},
			Loads:       func(string, string) map[string]float64 { return nil },
		},
		opt: doctor.Options{URL: "https://profbot.example.com"},
	}
	lines, bad := w.walk(t)
	if bad != 0 {
		t.Errorf("%d things are bad", bad)
	}
	holds(t, lines,
		"warning Datadog / app key, monitors_read: cannot show the monitor's name...add monitors_read",
		"warning Datadog / container.cpu.usage: has no data of pods of live-api",
		"warning Datadog / webhook: ...",
	)
	w = &world{noDatadog: true, pod: newPod(t, pproftest.Real), opt: doctor.Options{NoPull: true}}
	lines, _ = w.walk(t)
	holds(t, lines, "skipped Datadog / keys: none", "skipped Test pull / pods: not asked for")
	if n := len(w.pod.Requests()); n != 0 {
		t.Errorf("the pod was asked: %q", w.pod.Requests())
	}
}

// TestShared is about a service that serves pprof on its own port, as a blank
// import of net/http/pprof does.
func TestShared(t *testing.T) {
	real := newPod(t, pproftest.Real)
	shared := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
			real.Config.Handler.ServeHTTP(rw, r)
			return
		}
		fmt.Fprintln(rw, "hello from the shop")
	}))
	defer shared.Close()
	services := func(authorization string) string {
		return fmt.Sprintf(`PROFBOT_SERVICES=[{name: shop, authorization: %q, targets: [{pod: s, url: %q}]}]`, authorization, shared.URL+"/debug/pprof")
	}
	lines, bad := (&world{env: []string{services("")}}).walk(t)
	if bad != 0 {
		t.Errorf("%d things are bad", bad)
	}
	holds(t, lines, "warning Test pull / shop, pod s: pprof answers anybody on port ...which serves something else too")

	real.Require("Bearer hunter2hunter2")
	lines, _ = (&world{env: []string{services("Bearer hunter2hunter2")}}).walk(t)
	holds(t, lines, "good Test pull / shop, pod s: pprof lets no stranger in")
}

func TestKubernetes(t *testing.T) {
	pod := newPod(t, pproftest.Real)
	port := intstr.Parse(pod.URL[strings.LastIndexByte(pod.URL, ':')+1:])
	add := func(s *kubetest.Server, name string, annotations map[string]string) {
		s.Put(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "live", Labels: map[string]string{"tags.datadoghq.com/service": "live-api"}, Annotations: annotations},
			Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app"}}},
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, PodIP: "127.0.0.1", PodIPs: []corev1.PodIP{{IP: "127.0.0.1"}},
				Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			},
		})
	}
	kubeconfig := func(s *kubetest.Server) []string {
		return []string{"PROFBOT_KUBERNETES_ENABLED=true", "PROFBOT_KUBERNETES_KUBECONFIG=" + s.Kubeconfig()}
	}
	s := kubetest.New(t, kubetest.Options{Rules: kubetest.Rules(t, filepath.FromSlash("../../deploy/kubernetes/base/rbac.yaml"))})
	add(s, "live-api-0", map[string]string{"profbot.io/scrape": "true", "profbot.io/port": port.String()})
	add(s, "live-api-1", map[string]string{"profbot.io/scrape": "true", "profbot.io/port": "seventy"})
	lines, bad := (&world{env: kubeconfig(s)}).walk(t)
	if bad != 0 {
		t.Errorf("%d things are bad:\n%s", bad, strings.Join(lines, "\n"))
	}
	holds(t, lines,
		"good Kubernetes / pods: 1 pod may be profiled",
		"good Kubernetes / permissions: all",
		"warning Kubernetes / pod live/live-api-1: ...seventy",
		"good Pods / services: live-api",
		"good Test pull / live-api, pod live-api-0: goroutines and a second of CPU pulled",
	)

	nobody := kubetest.New(t, kubetest.Options{Rules: kubetest.Rules(t, filepath.FromSlash("../../deploy/kubernetes/base/rbac.yaml"))[:0]})
	lines, bad = (&world{env: kubeconfig(nobody)}).walk(t)
	if bad == 0 {
		t.Error("nothing is bad")
	}
	holds(t, lines, "bad Kubernetes / pods: ...verbs: [list, watch, get]} -> kubectl apply -f deploy/kubernetes/base/rbac.yaml", "skipped Kubernetes / pods: ", "skipped Pods / services: ")
}
