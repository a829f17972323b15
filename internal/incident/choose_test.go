package incident_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

func pods(names ...string) []incident.Target {
	var out []incident.Target
	for _, n := range names {
		out = append(out, incident.Target{Service: "live-api", Pod: n})
	}
	return out
}

func TestChoose(t *testing.T) {
	loads := []incident.PodLoad{{Pod: "b", Cores: 0.9}, {Pod: "c", Cores: 0.5}, {Pod: "a", Cores: 0.1}}
	for _, tc := range []struct {
		name  string
		pods  []incident.Target
		loads []incident.PodLoad
		ask   incident.Ask
		want  []string // role:pod
		says  []string
	}{
		{
			"hottest first, coolest as control", pods("a", "b", "c"), loads,
			incident.Ask{Hot: 1, Control: true},
			[]string{"hot:b", "control:a"},
			[]string{"0.90 cores, hottest of 3 by CPU", "0.10 cores, the coolest"},
		},
		{"two hot", pods("a", "b", "c"), loads, incident.Ask{Hot: 2, Control: true}, []string{"hot:b", "hot:c", "control:a"}, nil},
		{
			"the alert's pod wins over the hottest", pods("a", "b", "c"), loads,
			incident.Ask{AlertPod: "c", Hot: 2, Control: true},
			[]string{"hot:c", "control:a"},
			[]string{"named by the alert"},
		},
		{
			"a pod nobody knows is never chosen", pods("a", "b", "c"), loads,
			incident.Ask{AlertPod: "evil", Hot: 1},
			[]string{"hot:b"},
			[]string{`the alert names pod "evil", which is not a known pod`},
		},
		{"a load of an unknown pod is ignored", pods("a", "c"), loads, incident.Ask{Hot: 1, Control: true}, []string{"hot:c", "control:a"}, nil},
		{
			"no loads: by name, and it says why", pods("c", "a", "b"), nil,
			incident.Ask{Hot: 1, Control: true, NoLoads: "the metric is silent"},
			[]string{"hot:a", "control:c"},
			[]string{"first by name", "the metric is silent", "load unknown"},
		},
		{"control prefers a known load", pods("a", "b", "z"), loads, incident.Ask{Hot: 1, Control: true}, []string{"hot:b", "control:a"}, nil},
		{"one pod has no control", pods("b"), loads, incident.Ask{Hot: 2, Control: true}, []string{"hot:b"}, nil},
		{"zero hot means one", pods("a", "b"), loads, incident.Ask{}, []string{"hot:b"}, nil},
		{
			"one name in several envs is one pod, and the first is meant",
			[]incident.Target{{Pod: "b", Env: "prod"}, {Pod: "b", Env: "staging"}, {Pod: "c", Env: "prod"}},
			loads,
			incident.Ask{Hot: 2, Control: true},
			[]string{"hot:b", "hot:c"},
			[]string{"hottest of 2", `pod "b" is known in several envs`},
		},
		{"no pods", nil, loads, incident.Ask{Hot: 1}, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			picks, says := incident.Choose(tc.pods, tc.loads, tc.ask)
			var got []string
			for _, p := range picks {
				got = append(got, string(p.Role)+":"+p.Target.Pod)
				if p.Target.Env == "staging" {
					t.Errorf("%q of the later env was taken", p.Target.Pod)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("picks (-want +got):\n%s", d)
			}
			for _, s := range tc.says {
				if !strings.Contains(says, s) {
					t.Errorf("sentence %q does not say %q", says, s)
				}
			}
		})
	}
}

func TestDecide(t *testing.T) {
	fired := incident.Alert{Key: incident.Key{Service: "live-api"}, Transition: incident.TransitionTriggered}
	with := func(f func(*incident.Alert)) incident.Alert { a := fired; f(&a); return a }
	for _, tc := range []struct {
		name  string
		alert incident.Alert
		want  incident.Action
	}{
		{"triggered", fired, incident.ActionCapture},
		{"re-triggered", with(func(a *incident.Alert) { a.Transition = incident.TransitionRetriggered }), incident.ActionCapture},
		{"warn", with(func(a *incident.Alert) { a.Transition = incident.TransitionWarn }), incident.ActionCapture},
		{"recovered", with(func(a *incident.Alert) { a.Transition = incident.TransitionRecovered }), incident.ActionResolve},
		{"no data", with(func(a *incident.Alert) { a.Transition = incident.TransitionNoData }), incident.ActionRecord},
		{"unknown", with(func(a *incident.Alert) { a.Transition = incident.TransitionUnknown }), incident.ActionRecord},
		{"zero", with(func(a *incident.Alert) { a.Transition = "" }), incident.ActionRecord},
		{"test wins over triggered", with(func(a *incident.Alert) { a.Test = true }), incident.ActionRecord},
		{"verify a fix", with(func(a *incident.Alert) { a.Verifies = "x1" }), incident.ActionCapture},
		{"no service", with(func(a *incident.Alert) { a.Key.Service = "" }), incident.ActionRecord},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, why := incident.Decide(tc.alert)
			if got != tc.want || why == "" {
				t.Errorf("Decide = %q, %q; want %q and a reason", got, why, tc.want)
			}
		})
	}
}
