package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/doctor"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// TestDoctor runs profbot doctor against a Slack, a Datadog, a pod and a
// cluster of its own, in which all is well. A script breaks it by its
// configuration.
func TestDoctor(t *testing.T) {
	cpu, err := os.ReadFile("../../internal/analysis/testdata/corpus/only-live-std.cpu.pb.gz")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/doctor",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			slack, err := slacktest.NewServer(slacktest.Options{Token: "xoxb-doctor"})
			if err != nil {
				return err
			}
			e.Defer(func() { _ = slack.Close() })
			dd := datadogtest.New(datadogtest.Options{
				APIKey: "api", AppKey: "app", Loads: func(string, string) map[string]float64 { return map[string]float64{"live-api-0": 1} },
			})
			e.Defer(dd.Close)
			pod := pproftest.New()
			pod.ServeCPU(cpu)
			e.Defer(pod.Close)
			cluster := kubetest.New(t, kubetest.Options{Rules: kubetest.Rules(t, "../../deploy/kubernetes/base/rbac.yaml")})
			_, port, _ := strings.Cut(strings.TrimPrefix(pod.URL, "http://"), ":")
			for name, at := range map[string]string{"chat-0": port, "chat-1": "seventy"} {
				cluster.Put(&corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{
						Name: name, Namespace: "live", Labels: map[string]string{"tags.datadoghq.com/service": "chat"},
						Annotations: map[string]string{"profbot.io/scrape": "true", "profbot.io/port": at},
					},
					Status: corev1.PodStatus{PodIP: "127.0.0.1", PodIPs: []corev1.PodIP{{IP: "127.0.0.1"}}, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
				})
			}
			e.Values["pod"] = pod
			e.Setenv("KUBECONFIG_OF_CLUSTER", cluster.Kubeconfig())
			for key, value := range map[string]string{
				"SLACK_API_URL": slack.URL(), "DATADOG_API_URL": dd.URL, "DATA": e.WorkDir + "/data",
				"SERVICES": fmt.Sprintf(`[{name: live-api, targets: [{pod: live-api-0, url: %q}]}]`, pod.PprofURL()),
			} {
				e.Setenv("PROFBOT_"+key, value)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// exits CODE COMMAND... runs a command that ends with the code.
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				code := 0
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					e, ok := errors.AsType[*exec.ExitError](err)
					if !ok {
						ts.Fatalf("%v", err)
					}
					code = e.ExitCode()
				}
				if strconv.Itoa(code) != args[0] {
					ts.Fatalf("exit code %d", code)
				}
			},
			// asked N says how often the pod was asked for anything.
			"asked": func(ts *testscript.TestScript, _ bool, args []string) {
				if all := ts.Value("pod").(*pproftest.Server).Requests(); strconv.Itoa(len(all)) != args[0] {
					ts.Fatalf("the pod was asked for %q", all)
				}
			},
		},
	})
}

// TestDoctorPrints has what depends on time and terminals.
func TestDoctorPrints(t *testing.T) {
	results := []doctor.Result{
		{Area: "Slack", State: doctor.Good, What: "token", Note: "@profbot in workspace Test", Took: 2300 * time.Millisecond},
		{Area: "Slack", State: doctor.Bad, What: "channel #ops-alerts-of-the-whole-company (C0PROFBOT0)", Note: "@profbot is\x1b[31m not\nin it", Next: "type in #ops: /invite @profbot", Took: 999 * time.Millisecond},
		{Area: "Clock", State: doctor.Skipped, What: "skew", Note: "nobody was reached"},
		{Area: "Clock", State: doctor.Warning, What: "größe", Note: "wide", Next: "look"},
	}
	var plain, colourful bytes.Buffer
	for _, p := range []*printer{newPrinter(&plain), {out: &colourful, colour: true}} {
		for _, r := range results {
			if err := p.result(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := `Slack
  ✓ token                         @profbot in workspace Test (2.3 s)
  ✗ channel #ops-alerts-of-the-whole-company (C0PROFBOT0)
                                  @profbot is[31m not in it
                                  → type in #ops: /invite @profbot

Clock
  - skew                          nobody was reached
  ! größe                         wide
                                  → look
`
	if plain.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", plain.String(), want)
	}
	for _, w := range []string{"\x1b[1mSlack\x1b[0m\n", "  \x1b[32m✓\x1b[0m token", "  \x1b[31m✗\x1b[0m channel", "  \x1b[33m!\x1b[0m größe", "  \x1b[2m-\x1b[0m skew"} {
		if !strings.Contains(colourful.String(), w) {
			t.Errorf("no %q in %q", w, colourful.String())
		}
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !newPrinter(terminal).colour {
		t.Error("no colour on a terminal")
	}
	t.Setenv("NO_COLOR", "1")
	if newPrinter(terminal).colour {
		t.Error("NO_COLOR is not respected")
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if newPrinter(terminal).colour {
		t.Error("colour on a dumb terminal")
	}
}
