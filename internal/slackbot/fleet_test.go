package slackbot_test

import (
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
)

// fleetState is a finished incident with all that a fleet adds: the monitor, a
// pod that stands in for a busy one, requests, the cost, and a spike that had
// passed.
func fleetState() slackbot.Update {
	u := doneState()
	critical, warning := 1.5, 1.2
	u.Incident.Monitor = &incident.Monitor{
		ID: "4242", Name: "CPU of live-api is high", Query: "avg(last_5m):avg:container.cpu.usage{service:live-api} by {pod_name} > 1.5", Critical: &critical, Warning: &warning,
	}
	u.Incident.Choice += "; live-api-7d9f-b1's CPU profiler is taken by another profiler, so live-api-7d9f-k8 was profiled in its place"
	busy := captures(4)[:4]
	for i := range busy {
		c := &busy[i]
		c.Pod, c.Why = "live-api-7d9f-b1", "1.72 cores, hottest of 6 by container.cpu.usage"
		if c.Kind == incident.KindCPU {
			c.Status, c.Outcome, c.Detail, c.Tries = incident.CaptureFailed, incident.OutcomeBusy, "Could not enable CPU profiling: cpu profiling already in use", 1
		}
	}
	for i := range u.Captures {
		c := &u.Captures[i]
		if c.Kind == incident.KindCPU {
			c.Asked = 30 * time.Second
			c.Load = incident.PodLoad{Pod: c.Pod, Cores: 1.7}
			if c.Pod == "live-api-7d9f-k8" {
				c.For, c.Load.Cores, c.Asked = "live-api-7d9f-b1", 3.4, 33*time.Second
			}
		}
	}
	u.Captures = append(busy, u.Captures...)
	r := u.Report
	r.Endpoints[0].Rate, r.Endpoints[0].CPUPerRequest = 1230, 12300*time.Microsecond
	r.Endpoints[1].Rate, r.Endpoints[1].CPUPerRequest = 310, 980*time.Microsecond
	r.Pods[1].Cores = 0.3
	r.Profiling = share(9, 9204)
	r.Notes = append(r.Notes, "live-api-7d9f-k8 used 0.30 cores while it was profiled, 3.40 cores when it was chosen: the spike had already passed",
		"the requests of the endpoints are from Datadog's traces; the requests are taken to be spread evenly over the service's 6 pods")
	return u
}

var holders = []analysis.Evidence{
	{What: "allocated what lives", Func: "example.com/live/store.(*cache).Put", File: "store/cache.go", Line: 61, Share: share(512, 900), Value: 512 << 20, Unit: "bytes"},
	{What: "allocated what lives", Func: "example.com/live/api.decode", File: "api/decode.go", Line: 22, Via: "encoding/json.Unmarshal", Share: share(210, 900), Value: 210 << 20, Unit: "bytes"},
}

// memoryState is a finished incident about memory.
func memoryState() slackbot.Update {
	u := doneState()
	u.Incident.Alert.Title, u.Incident.Alert.Status = "[P2] [Triggered] Memory of live-api is high", "container.memory.usage 2.5 GB > 2 GB"
	u.Incident.Measure = incident.MeasureMemory
	u.Incident.Choice = "chose live-api-7d9f-x2 (hot: 2.4 GiB, hottest of 6 by container.memory.usage), live-api-7d9f-c4 (control: 1.1 GiB, the coolest of the others)"
	u.Captures = nil
	for _, c := range captures(4) {
		switch {
		case c.Pod == "live-api-7d9f-k8":
			continue
		case c.Kind == incident.KindAllocsBefore:
			c.Kind = incident.KindHeapBefore
		case c.Kind == incident.KindAllocsAfter:
			c.Kind = incident.KindHeap
		case c.Kind == incident.KindCPU:
			c.Asked = 30 * time.Second
		}
		c.Why = "2.4 GiB, hottest of 6 by container.memory.usage"
		u.Captures = append(u.Captures, c)
	}
	r := aReport()
	r.Focus, r.Heap = analysis.KindHeap, &analysis.HeapSize{Pods: 1, Live: 900 << 20, Before: 600 << 20, Window: 31 * time.Second}
	r.Pods = append(r.Pods[:1], r.Pods[2])
	grown := analysis.Finding{
		Rule: analysis.RuleHeapGrowth, Severity: analysis.SeverityMedium, Title: "the live heap grows",
		Why:  "From 629.1 MB to 943.7 MB, 50 % more (at least 41 %; the rule asks for a lower bound of 10 %) in 31s: 608.9 MB a minute.",
		Next: "See who keeps what (*cache).Put (cache.go:61) allocates: 83 % of the growth is from there. A cache that fills looks the same once; take a third snapshot later.",
	}
	for _, e := range holders {
		e.What, e.Value, e.Share = "allocated what stays", e.Value/3, share(83, 100)
		grown.Evidence = append(grown.Evidence, e)
	}
	live := analysis.Finding{
		Rule: analysis.RuleHeap, Severity: analysis.SeverityInfo, Title: "what lives in the heap", Evidence: holders,
		Why:  "943.7 MB live, allocated at 83 places; 629.1 MB were live 31s before.",
		Next: "See who keeps what (*cache).Put (cache.go:61) allocates, and whether all of it has to live: 57 % of the live heap is from there.",
	}
	r.Findings = append([]analysis.Finding{grown, live}, r.Findings...)
	u.Report = r
	return u
}

// noCPUState is a finished incident whose pods gave no CPU profile.
func noCPUState() slackbot.Update {
	u := doneState()
	for i := range u.Captures {
		if c := &u.Captures[i]; c.Kind == incident.KindCPU && c.Role == incident.RoleHot {
			c.Status, c.Outcome, c.Detail, c.Tries = incident.CaptureFailed, incident.OutcomeBusy, "Could not enable CPU profiling: cpu profiling already in use", 2
		}
	}
	u.Report = &analysis.Report{
		Version: analysis.ReportVersion, Service: "live-api", Kinds: []analysis.Kind{analysis.KindAllocs, analysis.KindGoroutine},
		Findings: []analysis.Finding{
			{
				Rule: analysis.RuleAllocation, Severity: analysis.SeverityInfo, Title: "where memory is allocated",
				Why:  "612.0 MB were allocated at 212 places; without a CPU profile nothing says what that costs.",
				Next: "Take a CPU profile beside it. The first place to look at is decode (decode.go:22).",
				Evidence: []analysis.Evidence{
					{What: "allocates", Func: "example.com/live/api.decode", File: "api/decode.go", Line: 22, Via: "encoding/json.Unmarshal", Share: share(402, 612), Value: 402 << 20, Unit: "bytes"},
				},
			},
			{
				Rule: analysis.RuleGoroutines, Severity: analysis.SeverityInfo, Title: "what the goroutines do",
				Why: "412 goroutines, 40 of them in the application's code; no place holds most of them and 100 or more a pod.", Next: "Take a CPU profile beside it to see what they cost.",
				Evidence: []analysis.Evidence{{What: "is there", Func: "example.com/live/store.(*catalog).rooms", File: "store/catalog.go", Line: 88, Share: share(11, 40), Value: 11, Unit: "goroutines"}},
			},
		},
		Notes: []string{
			"There is no CPU profile: this is what the allocs and goroutine profiles show alone. Endpoints and their shares need one.",
			"cpu of live-api-7d9f-x2: profiler busy (Could not enable CPU profiling: cpu profiling already in use)",
		},
	}
	return u
}
