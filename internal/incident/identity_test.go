package incident_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

// placed are pods, written as "namespace/pod" or "pod".
func placed(names ...string) []incident.Target {
	var out []incident.Target
	for _, n := range names {
		namespace, pod, ok := strings.Cut(n, "/")
		if !ok {
			namespace, pod = "", n
		}
		out = append(out, incident.Target{Service: "live-api", Namespace: namespace, Pod: pod})
	}
	return out
}

// measured are loads of so many cores, written like pods.
func measured(cores map[string]float64) []incident.PodLoad {
	var out []incident.PodLoad
	for n, v := range cores {
		t := placed(n)[0]
		out = append(out, incident.PodLoad{Pod: t.Pod, Namespace: t.Namespace, Cores: v})
	}
	return out
}

// TestChooseByNamespace: a name alone is no pod, and what Slack is told of it.
func TestChooseByNamespace(t *testing.T) {
	two := placed("gift/a", "live/a", "live/b", "live/c")
	for _, tc := range []struct {
		name  string
		pods  []incident.Target
		loads map[string]float64
		ask   incident.Ask
		says  string
	}{
		{
			"pods of one name are two pods", two,
			map[string]float64{"gift/a": 0.1, "live/a": 2, "live/b": 1, "live/c": 0.5},
			incident.Ask{Hot: 2, Control: true},
			"chose live/a (hot: 2.00 cores, hottest of 4 by CPU), b (hot: 1.00 cores, second of 4 by CPU), gift/a (control: 0.10 cores, the coolest of the others)",
		},
		{
			"the metric does not tell", two,
			map[string]float64{"a": 2, "b": 1, "c": 0.5},
			incident.Ask{Hot: 1, Control: true},
			`chose b (hot: 1.00 cores, hottest of 4 by CPU), c (control: 0.50 cores, the coolest of the others); CPU does not tell which of several pods named "a" it is about, so their load is not known`,
		},
		{
			"nor does it of any", placed("gift/a", "live/a"),
			map[string]float64{"a": 2},
			incident.Ask{Hot: 1, Metric: "container.cpu.usage"},
			`chose gift/a (hot: first by name, load unknown); container.cpu.usage does not tell which of several pods named "a" it is about, so their load is not known`,
		},
		{
			"the metric knows two, the list one", placed("a", "b"),
			map[string]float64{"gift/a": 2, "live/a": 1, "live/b": 0.5},
			incident.Ask{Hot: 1},
			`chose b (hot: 0.50 cores, hottest of 2 by CPU); CPU does not tell which of several pods named "a" it is about, so their load is not known`,
		},
		{
			"the metric has the namespace of some series", placed("live/a", "live/b"),
			map[string]float64{"a": 9, "live/a": 1, "live/b": 2},
			incident.Ask{Hot: 1},
			"chose b (hot: 2.00 cores, hottest of 2 by CPU)",
		},
		{
			"the alert's namespace", two,
			map[string]float64{"gift/a": 9, "live/a": 2, "live/b": 1, "live/c": 0.5},
			incident.Ask{Hot: 1, Control: true, Namespace: "live"},
			`chose live/a (hot: 2.00 cores, hottest of 3 by CPU), c (control: 0.50 cores, the coolest of the others); only 3 of its 4 pods were looked at: those in namespace "live", which the alert names`,
		},
		{
			"and its pod", two,
			map[string]float64{"gift/a": 0.3, "live/a": 2},
			incident.Ask{Namespace: "gift", AlertPod: "a"},
			`chose gift/a (hot: named by the alert, 0.30 cores); only 1 of its 4 pods were looked at: those in namespace "gift", which the alert names`,
		},
		{
			"a namespace without pods", placed("live/a"),
			map[string]float64{"live/a": 2},
			incident.Ask{Namespace: "prod"},
			`chose a (hot: 2.00 cores, hottest of 1 by CPU); the alert names namespace "prod", where no pod of the service is known`,
		},
		{
			"pods whose namespace is not known", placed("a", "b"),
			map[string]float64{"live/a": 2, "live/b": 1},
			incident.Ask{Namespace: "live"},
			"chose a (hot: 2.00 cores, hottest of 2 by CPU)",
		},
		{
			"the alert's pod without a namespace", two,
			map[string]float64{"gift/a": 0.3, "live/a": 2},
			incident.Ask{AlertPod: "a"},
			`chose live/a (hot: named by the alert, 2.00 cores); the alert names pod "a" without its namespace, and several have one: the hottest was taken`,
		},
	} {
		picks, says := incident.Choose(tc.pods, measured(tc.loads), tc.ask)
		if says != tc.says {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, says, tc.says)
		}
		for _, p := range picks {
			if p.Load.Cores > 0 && p.Load.Namespace != p.Target.Namespace {
				t.Errorf("%s: %s has the load of %q", tc.name, p.Pod, p.Load.Namespace)
			}
		}
	}
}

// TestFind: a capture finds its own pod among others.
func TestFind(t *testing.T) {
	with := func(pods []incident.Target, uids ...string) []incident.Target {
		for i, u := range uids {
			pods[i].UID = u
		}
		return pods
	}
	for _, tc := range []struct {
		name string
		c    incident.Capture
		pods []incident.Target
		want incident.PodID // the zero value for none
	}{
		{"by its namespace", incident.Capture{Pod: "a", Namespace: "live"}, placed("gift/a", "live/a"), incident.PodID{Namespace: "live", Pod: "a"}},
		{"by its name in the incident", incident.Capture{Pod: "live/a", Namespace: "live"}, placed("gift/a", "live/a"), incident.PodID{Namespace: "live", Pod: "a"}},
		{"not in another namespace", incident.Capture{Pod: "a", Namespace: "live"}, placed("gift/a"), incident.PodID{}},
		{"by its UID, from before namespaces were kept", incident.Capture{Pod: "a", UID: "2"}, with(placed("gift/a", "live/a"), "1", "2"), incident.PodID{Namespace: "live", Pod: "a"}},
		{"the namesake of one that was replaced", incident.Capture{Pod: "a", Namespace: "live", UID: "9"}, with(placed("gift/a", "live/a"), "1", "2"), incident.PodID{Namespace: "live", Pod: "a"}},
		{"rather where the namespace is known", incident.Capture{Pod: "a", Namespace: "live"}, placed("a", "live/a"), incident.PodID{Namespace: "live", Pod: "a"}},
		{"where it is not known", incident.Capture{Pod: "a", Namespace: "live"}, placed("a"), incident.PodID{Pod: "a"}},
	} {
		got, ok := tc.c.Find(tc.pods)
		if d := cmp.Diff(tc.want, got.ID()); d != "" || ok != (tc.want != incident.PodID{}) {
			t.Errorf("%s: %t (-want +got):\n%s", tc.name, ok, d)
		}
	}
}
