package incident_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

// TestSpikesPassed holds what the profiles saw against the alert's value and
// against the load when the pods were chosen.
func TestSpikesPassed(t *testing.T) {
	const (
		byPod     = "avg(last_5m):avg:container.cpu.usage{service:live-api} by {pod_name} > 1500000000"
		byService = "avg(last_5m):avg:container.cpu.usage{service:live-api} by {service,env} > 1500000000"
		last5m    = "container.cpu.usage over pod_name:p was > 1500000000.0 on average during the last 5m"
	)
	of := func(status, query string) incident.Alert {
		return incident.Alert{Pod: "p", Status: status, Query: query}
	}
	says := func(was string) string {
		return "p used 0.30 cores while it was profiled, " + was + ": the spike had already passed"
	}
	for _, tc := range []struct {
		name    string
		load    float64
		alert   incident.Alert
		seen    float64
		samples int64
		want    string
	}{
		{"clearly below the load", 2.9, incident.Alert{}, 0.3, 900, says("2.90 cores when it was chosen")},
		{"a little below half", 2, incident.Alert{}, 0.9, 2700, "p used 0.90 cores while it was profiled, 2.00 cores when it was chosen: the spike had already passed"},
		{"a little below half, by few samples", 2, incident.Alert{}, 0.9, 27, ""},
		{"more than half", 2, incident.Alert{}, 1.1, 3300, ""},
		{"idle", 2, incident.Alert{}, 0, 0, "p used 0.00 cores while it was profiled, 2.00 cores when it was chosen: the spike had already passed"},
		{"never busy", 0.04, incident.Alert{}, 0, 0, ""},
		{"load unknown", 0, incident.Alert{}, 0.3, 900, ""},

		{"the alert says cores", 0, of("2.5 cores > 1.5", ""), 0.3, 900, says("2.50 cores by the alert")},
		{"calm when it was chosen already", 0.3, of("2.5 cores > 1.5", ""), 0.3, 900, says("2.50 cores by the alert")},
		{"the alert and the load", 2.9, of("2.5 cores > 1.5", ""), 0.3, 900, says("2.50 cores by the alert")},
		{"the alert is past, and not by half", 0.3, of("2.5 cores > 1.5", ""), 1.3, 3900, ""},
		{"millicores at the end", 0, of("CPU was > 1500 millicores (2500 millicores)", ""), 0.3, 900, says("2.50 cores by the alert")},
		{"a metric of nanocores", 0, of(last5m+" (2500000000.0)", byPod), 0.3, 900, says("2.50 cores by the alert")},
		{"with an exponent", 0, of(last5m+" (2.5e+09)", byPod), 0.3, 900, says("2.50 cores by the alert")},
		{"no value: more than the threshold", 0, of(last5m, byPod), 0.3, 900, says("over 1.50 cores by the alert")},
		{"no value, and not below half of the threshold", 0, of(last5m, byPod), 0.9, 2700, ""},

		{"the alert has no unit", 0, of("was > 1.5 (2.5)", ""), 0.3, 900, ""},
		{"nor has its metric", 0, of("was > 1.5 (2.5)", "avg(last_5m):avg:my.cpu{service:live-api} by {pod_name} > 1.5"), 0.3, 900, ""},
		{"a percentage of the limit", 0, of("was > 80.0 (250.0)", "avg(last_5m):avg:container.cpu.usage{a:b} by {pod_name} / avg:container.cpu.limit{a:b} by {pod_name} * 100 > 80"), 0.3, 900, ""},
		{"a change", 0, of("was > 1500000000.0 (2500000000.0)", "change(avg(last_5m),last_5m):avg:container.cpu.usage{a:b} by {pod_name} > 1500000000"), 0.3, 900, ""},
		{"a sum over time", 0, of(last5m+" (2500000000.0)", "sum(last_5m):avg:container.cpu.usage{a:b} by {pod_name} > 1500000000"), 0.3, 900, ""},
		{"a sum with the sidecars", 0, of(last5m+" (2500000000.0)", "avg(last_5m):sum:container.cpu.usage{a:b} by {pod_name} > 1500000000"), 0.3, 900, ""},
		{"a number with commas", 0, of("was > 1,500,000,000 (2,500,000,000)", byPod), 0.3, 900, ""},
		{"of another pod", 0, incident.Alert{Pod: "q", Status: "2.5 cores > 1.5"}, 0.3, 900, ""},
		{"of another namespace's pod", 0, incident.Alert{Pod: "p", Namespace: "gift", Status: "2.5 cores > 1.5"}, 0.3, 900, ""},
		{"of no pod", 0, incident.Alert{Status: "2.5 cores > 1.5"}, 0.3, 900, ""},
		{"the mean of the service's pods", 0, incident.Alert{Status: last5m + " (2500000000.0)", Query: byService}, 0.3, 900, "the hot pods used 0.30 cores each on average while they were profiled, 2.50 cores by the alert: the spike had already passed"},
		{"which is still so", 0, incident.Alert{Status: last5m + " (2500000000.0)", Query: byService}, 2, 6000, ""},
		{"the mean of a host's pods", 0, incident.Alert{Status: last5m + " (2500000000.0)", Query: "avg(last_5m):avg:container.cpu.usage{service:live-api} by {host} > 1500000000"}, 0.3, 900, ""},
		{"a fix is profiled when it is calm", 2.9, incident.Alert{Verifies: "i1"}, 0.3, 900, ""},
	} {
		c := incident.Capture{Pod: "p", Namespace: "live", Kind: incident.KindCPU, Window: 30 * time.Second, Load: incident.PodLoad{Pod: "p", Cores: tc.load}}
		var want []string
		if tc.want != "" {
			want = []string{tc.want}
		}
		got := incident.SpikesPassed(incident.Incident{Alert: tc.alert}, []incident.Capture{c}, []incident.Seen{{Pod: "p", Cores: tc.seen, Samples: tc.samples}})
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
}

// TestSpikesPassedByTheMonitor: what the monitor is set to counts before the
// query in the alert, which may be an old or a templated one.
func TestSpikesPassedByTheMonitor(t *testing.T) {
	inc := incident.Incident{
		Alert:   incident.Alert{Pod: "p", Status: "was > 1500000000 (2500000000)", Query: "$ALERT_QUERY"},
		Monitor: &incident.Monitor{Query: "avg(last_5m):max:kubernetes.cpu.usage.total{*} by {kube_namespace, pod_name} > 1500000000"},
	}
	captures := []incident.Capture{{Pod: "p", Kind: incident.KindCPU}, {Pod: "q", Kind: incident.KindCPU, Load: incident.PodLoad{Cores: 2}}}
	got := incident.SpikesPassed(inc, captures, []incident.Seen{{Pod: "p", Cores: 0.3, Samples: 900}, {Pod: "q", Cores: 0.2, Samples: 600}, {Pod: "stranger"}})
	want := []string{
		"p used 0.30 cores while it was profiled, 2.50 cores by the alert: the spike had already passed",
		"q used 0.20 cores while it was profiled, 2.00 cores when it was chosen: the spike had already passed",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
