package incident_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

func TestMeasureOf(t *testing.T) {
	for _, tc := range []struct {
		metric, query, title string
		want                 incident.Measure
	}{
		{"container.cpu.usage", "", "", incident.MeasureCPU},
		{"container.memory.usage", "", "", incident.MeasureMemory},
		{"container.memory.working_set", "", "", incident.MeasureMemory},
		{"kubernetes.memory.rss", "", "", incident.MeasureMemory},
		{"kubernetes.memory.usage_pct", "", "", incident.MeasureMemory},
		{"system.mem.pct_usable", "", "", incident.MeasureMemory},
		{"runtime.go.mem_stats.heap_alloc", "", "", incident.MeasureMemory},
		{"runtime.go.mem_stats.heap_inuse", "", "", incident.MeasureMemory},
		{"process_resident_memory_bytes", "", "", incident.MeasureMemory},
		{"container_memory_working_set_bytes", "", "", incident.MeasureMemory},
		{"go_memstats_heap_inuse_bytes", "", "", incident.MeasureMemory},
		{"kubernetes.containers.last_state.terminated.oomkilled", "", "", incident.MeasureMemory},
		{"docker.mem.rss", "", "", incident.MeasureMemory},
		{"kubernetes.cpu.usage.total", "", "", incident.MeasureCPU},
		{"container.cpu.throttled.periods", "", "", incident.MeasureCPU},
		{"runtime.go.num_cpu", "", "", incident.MeasureCPU},
		{"trace.http.request.duration", "", "", incident.MeasureCPU},
		{"", "avg(last_5m):avg:container.memory.rss{service:live-api} by {pod_name} > 2000000000", "", incident.MeasureMemory},
		{"", "avg(last_5m):avg:container.cpu.usage{service:memory-cache} by {pod_name} > 1.5", "", incident.MeasureCPU},
		{"", "avg(last_5m):avg:container.memory.usage{service:cpu-worker} > 2e9", "", incident.MeasureMemory},
		{"", "avg(last_5m):sum:trace.http.request.hits{service:mem-api}.as_rate() > 9", "", incident.MeasureCPU},
		{"", "", "[P2] Memory of live-api is high", incident.MeasureMemory},
		{"", "", "[P1] live-api was OOMKilled", incident.MeasureMemory},
		{"", "", "RSS across live-api pods", incident.MeasureMemory},
		{"", "", "CPU of memory-cache is high", incident.MeasureCPU},
		{"", "", "latency across members in the room", incident.MeasureCPU},
		{"", "", "match scores are late", incident.MeasureCPU},
		{"", "", "", incident.MeasureCPU},
		// The metric counts more than what people wrote above it.
		{"container.cpu.usage", "", "memory pressure", incident.MeasureCPU},
	} {
		if got := incident.MeasureOf(incident.Alert{Metric: tc.metric, Query: tc.query, Title: tc.title}); got != tc.want {
			t.Errorf("%q %q %q = %q, want %q", tc.metric, tc.query, tc.title, got, tc.want)
		}
	}
}

func TestMeasureText(t *testing.T) {
	for _, tc := range []struct {
		of   incident.Measure
		v    float64
		want string
	}{
		{"", 2.9, "2.90 cores"},
		{incident.MeasureCPU, 0.304, "0.30 cores"},
		{incident.MeasureMemory, 2.5 * (1 << 30), "2.5 GiB"},
		{incident.MeasureMemory, 300 << 20, "300.0 MiB"},
		{incident.MeasureMemory, 2048, "2.0 KiB"},
		{incident.MeasureMemory, 1 << 41, "2.0 TiB"},
		{incident.MeasureMemory, 17, "17 B"},
	} {
		if got := tc.of.Text(tc.v); got != tc.want {
			t.Errorf("%q of %v = %q, want %q", tc.of, tc.v, got, tc.want)
		}
	}
}

// TestChooseByMemory: the unit is bytes, and loads in cores count for nothing.
func TestChooseByMemory(t *testing.T) {
	loads := []incident.PodLoad{{Pod: "a", Bytes: 1 << 30, Cores: 9}, {Pod: "b", Bytes: 3 << 30}, {Pod: "c", Bytes: 1 << 20}}
	picks, says := incident.Choose(pods("a", "b", "c"), loads, incident.Ask{Hot: 1, Control: true, Measure: incident.MeasureMemory})
	const want = "chose b (hot: 3.0 GiB, hottest of 3 by memory), c (control: 1.0 MiB, the coolest of the others)"
	if says != want || len(picks) != 2 || picks[0].Load.Bytes != 3<<30 {
		t.Errorf("%q, %+v", says, picks)
	}
	if _, says := incident.Choose(pods("a"), nil, incident.Ask{Measure: incident.MeasureMemory}); !strings.Contains(says, "memory has no data") {
		t.Errorf("without loads: %q", says)
	}
}

func TestNext(t *testing.T) {
	loads := []incident.PodLoad{{Pod: "a", Cores: 2.9}, {Pod: "b", Cores: 0.4}, {Pod: "c", Cores: 1.1}, {Pod: "stranger", Cores: 9}}
	for _, tc := range []struct {
		taken string
		want  string // "" for none
	}{{"", "a"}, {"a", "c"}, {"ac", "b"}, {"abc", "d"}, {"abcd", ""}} {
		got, load, ok := incident.Next(pods("d", "c", "b", "a"), loads, incident.MeasureCPU, func(t incident.Target) bool { return strings.Contains(tc.taken, t.Pod) })
		if got.Pod != tc.want || ok != (tc.want != "") || load.Cores > 0 && load.Pod != got.Pod {
			t.Errorf("beside %q: %q, %+v, %t; want %q", tc.taken, got.Pod, load, ok, tc.want)
		}
	}
}

func TestPlan(t *testing.T) {
	k := func(names ...incident.Kind) []incident.Kind { return names }
	for _, tc := range []struct {
		name    string
		of      incident.Measure
		role    incident.Role
		refuses []incident.Kind
		want    []incident.Kind
	}{
		{"CPU", incident.MeasureCPU, incident.RoleHot, nil, k("allocs-before", "mutex-before", "block-before", "cpu", "mutex", "block", "allocs-after", "goroutine")},
		{"to compare", incident.MeasureCPU, incident.RoleControl, nil, k("allocs-before", "cpu", "allocs-after", "goroutine")},
		{"memory", incident.MeasureMemory, incident.RoleHot, nil, k("heap-before", "mutex-before", "block-before", "cpu", "mutex", "block", "heap", "goroutine")},
		{"switched off", "", incident.RoleHot, k(incident.KindAllocsAfter, incident.KindMutex, incident.KindBlock), k("cpu", "goroutine")},
		{"all switched off", "", incident.RoleControl, k(incident.KindAllocsBefore, incident.KindCPU, incident.KindGoroutine), nil},
	} {
		got := incident.Plan(tc.of, tc.role, tc.refuses)
		if !slices.Equal(got, tc.want) { // none is none, however it is written
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		for i, kind := range got {
			if b := kind.Before(); b != "" && slices.Index(got, b) > i {
				t.Errorf("%s: %s comes before %s", tc.name, kind, b)
			}
		}
	}
	if p := incident.KindHeapBefore.Profile() + incident.KindAllocsAfter.Profile() + incident.KindCPU.Profile(); p != "heapallocscpu" {
		t.Errorf("profiles: %s", p)
	}
}

func TestCost(t *testing.T) {
	asked, pods := incident.Cost([]incident.Capture{
		{Pod: "a", Kind: incident.KindCPU, Asked: 33 * time.Second}, {Pod: "a", Kind: incident.KindGoroutine}, {Pod: "b", Kind: incident.KindCPU, Asked: 30 * time.Second}, {Pod: "c", Kind: incident.KindCPU},
	})
	if asked != 63*time.Second || pods != 2 {
		t.Errorf("%s of %d pods", asked, pods)
	}
}
