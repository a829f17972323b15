package slackbot_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
)

// namedStates are the incidents that look different from one another: every
// stage, every verdict, every way to fail, and every kind of order.
func namedStates() map[string]slackbot.Update {
	st := states()
	analysed := failedState()
	analysed.Captures = captures(4)
	analysed.Incident.Failure = "the profiles could not be analysed: no CPU samples type"
	noPods := slackbot.Update{Incident: anIncident(incident.StatusFailed)}
	noPods.Incident.Failure = `no pods are known for service "live-api"`
	recoveredFailed := failedState()
	recoveredFailed.Incident.Recovered = opened.Add(40 * time.Second)
	out := map[string]slackbot.Update{
		"1-accepted": st[0], "2-chosen": st[1], "2-capturing": st[2], "2-pulling": pullingState(), "3-reporting": st[3], "4-done": st[4], "5-recovered": recoveredState(),
		"5-recovered-failed": recoveredFailed,
		"6-quiet":            quietState(), "6-finding": findingState(), "7-failed": failedState(), "8-not-analysed": analysed, "9-no-pods": noPods,
		"4-fleet": fleetState(), "4-memory": memoryState(), "4-no-cpu": noCPUState(), "4-difference": differenceState(), "4-no-report": noReportState(),
	}
	for name, change := range map[string]func(e *analysis.Endpoint){
		"one":      func(*analysis.Endpoint) {},
		"database": func(e *analysis.Endpoint) { e.Verdict.Title = "decodes the same database results again and again" },
		"request": func(e *analysis.Endpoint) {
			e.Verdict = analysis.Verdict{Rule: analysis.RuleDecode, Title: "decodes request bodies", Why: "62 % of its CPU is encoding/json decoding.", Next: "Make the body smaller or the codec faster at (*API).Post (post.go:12)."}
		},
		"encode": func(e *analysis.Endpoint) {
			e.Verdict = analysis.Verdict{Rule: analysis.RuleEncode, Flagged: true, Title: "encodes its replies again and again", Why: "51 % of its CPU is encoding/json encoding.", Next: "Share the encoded bytes at (*API).LiveList (list.go:20)."}
			e.Encode, e.Gain = share(2046, 4012), nil
		},
		"compress": func(e *analysis.Endpoint) {
			e.Verdict = analysis.Verdict{Rule: analysis.RuleCompress, Flagged: true, Title: "compresses again and again", Why: "38 % of its CPU is compression.", Next: "Keep the compressed bytes at (*API).LiveList (list.go:24)."}
			e.Compress, e.Gain = share(1524, 4012), nil
			e.Codecs = []analysis.Codec{{Name: "compress/gzip", Direction: analysis.Compress, Share: share(1524, 4012), Entry: "compress/gzip.(*Writer).Write", Caller: "example.com/live/api.(*API).LiveList", CallerFile: "api/list.go", CallerLine: 24}}
		},
		"few": func(e *analysis.Endpoint) {
			e.Verdict = analysis.Verdict{Rule: analysis.RuleFewSamples, Title: "too few samples to say", Why: "12 samples were seen in it; the rules need 50.", Next: "Profile 2 min instead of 30 s, or 9 pods instead of 2."}
			e.Share.Samples = 12
		},
	} {
		u := quietState()
		u.Report.Endpoints = append(aReport().Endpoints[:1], u.Report.Endpoints...)
		change(&u.Report.Endpoints[0])
		out["6-verdict-"+name] = u
	}
	for _, o := range []incident.Outcome{
		incident.OutcomeBusy, incident.OutcomeNoPprof, incident.OutcomeDenied, incident.OutcomeUnreachable, incident.OutcomeTimeout, incident.OutcomeTooLarge, incident.OutcomeNotProfile,
		incident.OutcomeTargetError, incident.OutcomeGone, incident.OutcomeMoved, incident.OutcomeRefused, incident.OutcomeResting, incident.OutcomeCanceled, incident.OutcomeEmpty,
	} {
		u := failedState()
		for i := range u.Captures {
			c := &u.Captures[i]
			c.Status, c.Outcome, c.Detail = incident.CaptureFailed, o, "what the target said"
		}
		u.Incident.Failure = "no CPU profile of a hot pod could be used"
		out["7-failed-"+strings.ReplaceAll(string(o), " ", "-")] = u
	}
	for name, u := range orders() {
		out["order-"+name] = u
	}
	return out
}

// pullingState is one whose CPU profiles are being taken.
func pullingState() slackbot.Update {
	u := states()[1]
	for i := range u.Captures {
		c := &u.Captures[i]
		switch c.Kind {
		case incident.KindAllocsBefore:
			c.Status, c.Outcome, c.Started, c.Finished = incident.CaptureStored, incident.OutcomeStored, opened.Add(time.Second), opened.Add(2*time.Second)
		case incident.KindCPU:
			c.Status, c.Started = incident.CapturePulling, opened.Add(2*time.Second)
			if c.Pod == "live-api-7d9f-k8" {
				c.Started = opened.Add(5 * time.Second)
			}
		}
	}
	return u
}

// recoveredState is a finished incident whose monitor has recovered.
func recoveredState() slackbot.Update {
	u := doneState()
	u.Incident.Recovered = opened.Add(7 * time.Minute)
	return u
}

// quietState is a finished incident without a finding.
func quietState() slackbot.Update {
	u := doneState()
	r := aReport()
	r.Endpoints = r.Endpoints[2:]
	r.Endpoints[0].Verdict.Next = ""
	r.Findings = nil
	u.Report, u.ReportURL, u.FlameURL = r, "", ""
	return u
}

// findingState is one in which no endpoint is flagged and something else is
// wrong.
func findingState() slackbot.Update {
	u := quietState()
	u.Report.Findings = append(aReport().Findings, analysis.Finding{
		Rule: analysis.RuleGC, Severity: analysis.SeverityMedium, Title: "the process is busy with its own garbage",
		Why: "31 % (30-32 %) of the process's CPU is allocation and the collector.", Next: "At (*API).Enter (enter.go:31), allocate less: 60 % of the bytes come from there.",
	})
	return u
}

// differenceState is a finished incident that was compared with its control pod.
func differenceState() slackbot.Update {
	u := doneState()
	u.Diff = &incident.Difference{Against: "live-api-7d9f-c4, a cool pod of the same time", Picture: aPicture(), Lines: []string{
		"GET /live/list grew: 12 % → 44 % of the CPU", "encoding/json decoding grew: 18 % → 48 %", "garbage collection grew: 9.1 % → 15 %",
		"server I/O shrank: 21 % → 7.6 %", "scheduler shrank: 8.0 % → 5.2 %", "POST /room/enter shrank: 9.0 % → 6.6 %",
	}}
	return u
}

// noReportState is done and its report is not kept any more.
func noReportState() slackbot.Update {
	u := doneState()
	u.Report, u.Picture = nil, nil
	return u
}

// ordered makes an update one that a person asked for.
func ordered(u slackbot.Update, o incident.Order) slackbot.Update {
	a := &u.Incident.Alert
	a.Source, a.Title, a.Status, a.URL, a.Key.Monitor, a.RequestedBy, a.Order = "slack", "", "", "", "", "U0ADA0000", &o
	return u
}

// orders are captures that people asked for.
func orders() map[string]slackbot.Update {
	cpu := incident.Order{Kinds: []incident.Kind{incident.KindCPU}, Window: time.Minute, Pods: 2}
	accepted := ordered(states()[0], cpu)
	everything := ordered(doneState(), incident.Order{})
	everything.Incident.Alert.RequestedBy = "Rosa" // from a page, where nobody has an id
	one := ordered(doneState(), incident.Order{Kinds: []incident.Kind{incident.KindCPU, incident.KindHeap}})
	one.Incident.Alert.Pod = "live-api-7d9f-x2"
	compared := ordered(differenceState(), incident.Order{Against: "inc-6c11", Kinds: cpu.Kinds})
	refused := ordered(failedState(), incident.Order{Kinds: []incident.Kind{incident.KindHeap}})
	for i := range refused.Captures {
		c := &refused.Captures[i]
		c.Kind, c.Window, c.Status, c.Outcome, c.Detail = incident.KindHeap, 0, incident.CaptureFailed, incident.OutcomeRefused, "the owner has switched off heap profiles"
	}
	refused.Incident.Failure = "no profile that was asked for could be taken"
	out := map[string]slackbot.Update{
		"1-accepted": accepted, "2-pulling": ordered(pullingState(), cpu), "4-done": ordered(doneState(), cpu), "4-pod": one, "4-anything": everything, "4-compared": compared, "7-refused": refused,
	}
	for _, k := range []incident.Kind{incident.KindHeap, incident.KindAllocsAfter, incident.KindGoroutine, incident.KindMutex, incident.KindBlock} {
		out["4-"+k.Profile()] = alone(k)
	}
	nothing := alone(incident.KindMutex)
	nothing.Report.Findings, nothing.Picture = nil, nil
	out["4-nothing"] = nothing
	return out
}

// alone is an order of one kind that is not CPU.
func alone(k incident.Kind) slackbot.Update {
	u := ordered(doneState(), incident.Order{Kinds: []incident.Kind{k}, Pods: 1})
	u.Captures = nil
	for _, c := range captures(4)[:2] {
		if c.Kind, c.Window = k.Before(), 0; c.Kind != "" || len(u.Captures) > 0 {
			u.Captures = append(u.Captures, c)
		}
	}
	last := captures(4)[0]
	last.Kind = k
	u.Captures = append(u.Captures[:min(len(u.Captures), 1)], last)
	f := map[string]analysis.Finding{
		"heap":      {Rule: analysis.RuleHeap, Title: "what lives in the heap", Why: "943.7 MB live, allocated at 83 places.", Evidence: holders, Next: "See who keeps what (*cache).Put (cache.go:61) allocates."},
		"allocs":    noCPUState().Report.Findings[0],
		"goroutine": noCPUState().Report.Findings[1],
		"mutex": {
			Rule: analysis.RuleLock, Severity: analysis.SeverityMedium, Title: "waits long for a lock", Why: "Goroutines waited 41 s for it in 30 s.", Next: "Hold it for less at (*cache).Put (cache.go:61).",
			Evidence: []analysis.Evidence{{What: "holds the lock", Func: "example.com/live/store.(*cache).Put", File: "store/cache.go", Line: 61, Share: share(410, 500), Value: 41e9, Unit: "nanoseconds"}},
		},
		"block": {
			Rule: analysis.RuleWaiting, Severity: analysis.SeverityInfo, Title: "who waits", Why: "Goroutines waited 12 s in 30 s.", Next: "See what (*catalog).rooms (catalog.go:88) waits for.",
			Evidence: []analysis.Evidence{{What: "waits", Func: "example.com/live/store.(*catalog).rooms", File: "store/catalog.go", Line: 88, Share: share(300, 500), Value: 12e9, Unit: "nanoseconds"}},
		},
	}[k.Profile()]
	if f.Severity == "" {
		f.Severity = analysis.SeverityInfo
	}
	u.Report = &analysis.Report{
		Version: analysis.ReportVersion, Service: "live-api", Kinds: []analysis.Kind{analysis.Kind(k.Profile())}, Findings: []analysis.Finding{f},
		Notes: []string{fmt.Sprintf("There is no CPU profile: this is what the %s profile shows alone.", k.Profile())},
	}
	return u
}
