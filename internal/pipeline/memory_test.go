package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

func memoryAlert() incident.Alert {
	a := alert("m1", incident.TransitionTriggered)
	a.Title, a.Metric, a.Query = "Memory of live-api", "container.memory.usage", "avg(last_5m):avg:container.memory.usage{service:live-api} by {pod_name} > 2e9"
	return a
}

// TestMemoryAlert: pods are chosen by memory, heaps are pulled, and the report
// speaks of memory first.
func TestMemoryAlert(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, three(), onePod)
		w.bytes = map[string]float64{"pod-0": 2.5 * (1 << 30), "pod-1": 1 << 20, "pod-2": 1 << 30}
		w.start()
		rec, err := w.p.Accept(t.Context(), memoryAlert())
		if err != nil {
			t.Fatal(err)
		}
		u := w.untilFinal(t, rec.Incident)
		if want := "chose pod-0 (hot: 2.5 GiB, hottest of 3 by memory), pod-1 (control: 1.0 MiB, the coolest of the others)"; u.Incident.Choice != want {
			t.Errorf("choice = %q, want %q", u.Incident.Choice, want)
		}
		if d := cmp.Diff([]incident.Measure{incident.MeasureMemory}, w.asks); d != "" || u.Incident.Measure != incident.MeasureMemory {
			t.Errorf("measure %q, asked (-want +got):\n%s", u.Incident.Measure, d)
		}
		var hot []string
		for _, what := range w.asked() {
			if kind, ok := strings.CutPrefix(what, "pod-0 "); ok {
				hot = append(hot, kind)
			}
		}
		if d := cmp.Diff([]string{"heap-before", "mutex-before", "block-before", "cpu", "heap", "goroutine"}, hot); d != "" {
			t.Errorf("pulled (-want +got):\n%s", d)
		}
		r := u.Report
		if u.Incident.Status != incident.StatusDone || r.Focus != analysis.KindHeap || r.Heap == nil || r.Heap.Live == 0 || r.Pictured() != analysis.KindHeap {
			t.Fatalf("%s, %q: %+v", u.Incident.Status, u.Incident.Failure, r)
		}
		if !strings.Contains(r.Headline(), "live") || len(r.Lead()) == 0 || len(r.Endpoints) == 0 || strings.Contains(strings.Join(r.Notes, "\n"), "spike") {
			t.Errorf("%q, lead %+v, notes %q", r.Headline(), r.Lead(), r.Notes)
		}
		page, err := w.st.Blob(rec.Incident, pipeline.BlobFlame)
		if heap, cpu := strings.Index(string(page), `"name":"heap"`), strings.Index(string(page), `"name":"CPU"`); err != nil || heap < 0 || heap > cpu {
			t.Errorf("tabs of the page: heap at %d, CPU at %d, %v", heap, cpu, err)
		}
	})
}

// TestMemoryWithoutCPU: a pod that gives no CPU profile still tells its heap.
func TestMemoryWithoutCPU(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, map[string]float64{"pod-0": 0.9}, onePod)
		w.cluster.fails["pod-0 cpu"] = []error{refusal{incident.OutcomeDenied, "HTTP 403", false, 0}}
		w.start()
		rec, err := w.p.Accept(t.Context(), memoryAlert())
		if err != nil {
			t.Fatal(err)
		}
		u := w.untilFinal(t, rec.Incident)
		if u.Incident.Status != incident.StatusDone || u.Report.Pictured() != analysis.KindHeap || len(u.Report.Endpoints) > 0 || len(u.Picture) == 0 {
			t.Errorf("%s, %q", u.Incident.Status, u.Incident.Failure)
		}
		c := w.captures(rec.Incident)
		if d := c["pod-0 heap"].Started.Sub(c["pod-0 heap-before"].Finished); d < 30*time.Second {
			t.Errorf("the two heaps are %s apart", d)
		}
	})
}

// TestMemoryOfABusyPod: a busy CPU profiler neither delays the heap nor brings
// in a pod that has less of it; a pod that is gone is stood in for.
func TestMemoryOfABusyPod(t *testing.T) {
	for _, tc := range []struct {
		fail  refusal
		asked map[string]int
	}{
		{busy, map[string]int{"pod-0": 1}},
		{refusal{incident.OutcomeGone, "gone", false, 0}, map[string]int{"pod-0": 1, "pod-2": 1}},
	} {
		t.Run(string(tc.fail.what), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, three(), onePod, func(o *pipeline.Options) { o.Policy.NoControl = true })
				w.bytes = map[string]float64{"pod-0": 2.5 * (1 << 30), "pod-1": 1 << 20, "pod-2": 1 << 30}
				w.cluster.fails["pod-0 cpu"] = []error{tc.fail}
				w.start()
				rec, err := w.p.Accept(t.Context(), memoryAlert())
				if err != nil {
					t.Fatal(err)
				}
				u := w.untilFinal(t, rec.Incident)
				if d := cmp.Diff(tc.asked, w.cpuAsked()); d != "" || u.Report == nil || u.Report.Pictured() != analysis.KindHeap {
					t.Errorf("%s, %q, CPU profiles asked for (-want +got):\n%s", u.Incident.Status, u.Incident.Choice, d)
				}
			})
		})
	}
}

// TestSpikePassed: what the profile saw is held against the load when the pod
// was chosen. The profile of the tests has some cores of CPU in its window.
func TestSpikePassed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		load   float64
		status string
		pod    string
		says   string // "" for nothing
	}{
		{"calm by now", 40, "", "", " cores while it was profiled, 40.00 cores when it was chosen: the spike had already passed"},
		{"as it was", 1, "", "", ""},
		{"by the alert's value", 0, "container.cpu.usage 40.5 cores > 1.5", "pod-0", "40.50 cores by the alert: the spike had already passed"},
		{"by the alert's value, and calm when it was chosen", 1, "container.cpu.usage 40.5 cores > 1.5", "pod-0", "40.50 cores by the alert: the spike had already passed"},
		{"the alert's value is of no pod", 0, "container.cpu.usage 40.5 cores > 1.5", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, map[string]float64{"pod-0": tc.load}, onePod)
				w.start()
				a := alert("e1", incident.TransitionTriggered)
				a.Status, a.Pod = tc.status, tc.pod
				rec, err := w.p.Accept(t.Context(), a)
				if err != nil {
					t.Fatal(err)
				}
				u := w.untilFinal(t, rec.Incident)
				notes := strings.Join(u.Report.Notes, "\n")
				if !strings.Contains(notes, tc.says) || (tc.says == "") == strings.Contains(notes, "the spike had already passed") {
					t.Errorf("notes = %q, want %q in them; %.2f cores were seen", notes, tc.says, u.Report.Pods[0].Cores)
				}
			})
		})
	}
}
