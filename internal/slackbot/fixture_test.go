package slackbot_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

const channel = "C0PROFBOT0"

// ledger keeps effects in memory as the store keeps them on disk: they outlive
// the process that saved them.
type ledger struct {
	mu      sync.Mutex // protects effects
	effects map[string]incident.Effect
	// point is called before and after every save; nil does nothing.
	point func(name string)
}

func newLedger() *ledger { return &ledger{effects: map[string]incident.Effect{}} }

func (l *ledger) Load(ctx context.Context, step string) (incident.Effect, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.effects[step], context.Cause(ctx)
}

func (l *ledger) Save(ctx context.Context, step string, e incident.Effect) error {
	if l.point != nil {
		l.point("before save " + step)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	l.effects[step] = e
	l.mu.Unlock()
	if l.point != nil {
		l.point("after save " + step)
	}
	return context.Cause(ctx)
}

func (l *ledger) all() map[string]incident.Effect {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.effects)
}

// newBot returns a bot that talks to s without a network.
func newBot(t *testing.T, s *slacktest.Server, change ...func(*slackbot.Options)) *slackbot.Bot {
	t.Helper()
	opt := slackbot.Options{Token: s.Token(), Channel: channel, APIURL: s.URL(), HTTPClient: s.Client()}
	for _, c := range change {
		c(&opt)
	}
	b, err := slackbot.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// share is k of n with its Wilson interval.
func share(k, n int64) analysis.Share {
	const z = 1.96
	p, nf := float64(k)/float64(n), float64(n)
	mid := (p + z*z/(2*nf)) / (1 + z*z/nf)
	half := z / (1 + z*z/nf) * math.Sqrt(p*(1-p)/nf+z*z/(4*nf*nf))
	return analysis.Share{Part: p, Low: max(0, mid-half), High: min(1, mid+half), Samples: k, Of: n}
}

var opened = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

func anIncident(status incident.Status) incident.Incident {
	return incident.Incident{
		ID: "inc-7f3a", Status: status, Opened: opened,
		Alert: incident.Alert{
			Source: "datadog", ID: "evt-1", Key: incident.Key{Service: "live-api", Env: "prod", Monitor: "4242"},
			Title: "[P2] [Triggered] CPU of live-api is high", Status: "container.cpu.usage 1.72 cores > 1.5",
			URL: "https://app.datadoghq.com/event/event?id=1", At: opened,
		},
	}
}

const choice = "chose live-api-7d9f-x2 (hot: 1.72 cores, hottest of 6 by container.cpu.usage), " +
	"live-api-7d9f-k8 (hot: 1.61 cores, second of 6 by container.cpu.usage), live-api-7d9f-c4 (control: 0.31 cores, the coolest of the others)"

// captures are the plan of three pods, with each pod's first done stored.
func captures(done int) []incident.Capture {
	var out []incident.Capture
	for _, p := range []struct {
		pod  string
		role incident.Role
		why  string
	}{
		{"live-api-7d9f-x2", incident.RoleHot, "1.72 cores, hottest of 6 by container.cpu.usage"},
		{"live-api-7d9f-k8", incident.RoleHot, "1.61 cores, second of 6 by container.cpu.usage"},
		{"live-api-7d9f-c4", incident.RoleControl, "0.31 cores, the coolest of the others"},
	} {
		for i, k := range incident.CPUPlan {
			c := incident.Capture{Incident: "inc-7f3a", Pod: p.pod, Kind: k, Role: p.role, Why: p.why, Status: incident.CaptureWaiting}
			if k == incident.KindCPU {
				c.Window = 30 * time.Second
			}
			if i < done {
				c.Status, c.Outcome = incident.CaptureStored, incident.OutcomeStored
				c.Bytes = int64(4321 * (i + 1) * (i + 2))
			}
			out = append(out, c)
		}
	}
	return out
}

func aReport() *analysis.Report {
	return &analysis.Report{
		Version: analysis.ReportVersion, Service: "live-api", Samples: 9204, CPU: 92 * time.Second, Window: 30 * time.Second,
		Pods: []analysis.Pod{
			{Name: "live-api-7d9f-x2", Samples: 4810, CPU: 48 * time.Second, Window: 30 * time.Second, Cores: 1.6, Decode: share(2300, 4810)},
			{Name: "live-api-7d9f-k8", Samples: 4394, CPU: 44 * time.Second, Window: 30 * time.Second, Cores: 1.46, Decode: share(2105, 4394)},
			{Name: "live-api-7d9f-c4", Control: true, Samples: 905, CPU: 9 * time.Second, Window: 30 * time.Second, Cores: 0.3, Decode: share(401, 905)},
		},
		Endpoints: []analysis.Endpoint{
			{
				Name: "GET /live/list", Handler: "example.com/live/api.(*API).LiveList", How: "label:endpoint", Share: share(4012, 9204),
				Decode: share(2487, 4012), Encode: share(410, 4012), IO: share(220, 4012),
				Codecs: []analysis.Codec{
					{
						Name: "encoding/json", Direction: analysis.Decode, Share: share(2487, 4012), Entry: "encoding/json.Unmarshal",
						Caller: "example.com/live/store.(*catalog).rooms", CallerFile: "store/catalog.go", CallerLine: 88,
					},
					{Name: "encoding/json", Direction: analysis.Encode, Share: share(410, 4012), Entry: "encoding/json.Marshal"},
				},
				Sources: []analysis.Source{{Kind: analysis.SourceCache, Via: "freecache + go-redis", Evidence: "sibling", Share: share(2450, 2487)}},
				Verdict: analysis.Verdict{
					Rule: analysis.RuleCacheDecode, Flagged: true, Title: "decodes cached bytes again and again",
					Why:  "62 % (60-63 %) of its CPU is encoding/json decoding (2487 of 4012 samples; the rule asks for a lower bound of 25 %); 99 % of those are cached bytes from freecache + go-redis.",
					Next: "Put load and decode at (*catalog).rooms (catalog.go:88) behind one pkg/sfcache flight, so that concurrent callers share one load and one decoded value.",
				},
				Gain: &analysis.Gain{
					Flight: analysis.Saving{Endpoint: analysis.Range{Low: 0.02, High: 0.31}}, HoldTime: 100 * time.Millisecond,
					Hold: analysis.Saving{Endpoint: analysis.Range{Low: 0.43, High: 0.45}, Process: analysis.Range{Low: 0.19, High: 0.21}, Cores: analysis.Range{Low: 0.58, High: 0.64}},
				},
			},
			{
				Name: "GET /gift/list", Handler: "example.com/live/api.(*API).GiftList", How: "label:endpoint", Share: share(1990, 9204),
				Decode: share(955, 1990), Encode: share(130, 1990), IO: share(90, 1990),
				Codecs:  []analysis.Codec{{Name: "encoding/json", Direction: analysis.Decode, Share: share(955, 1990), Entry: "encoding/json.Unmarshal"}},
				Sources: []analysis.Source{{Kind: analysis.SourceCache, Via: "go-redis", Evidence: "sibling", Share: share(955, 955)}},
				Verdict: analysis.Verdict{
					Rule: analysis.RuleCacheDecode, Flagged: true, Title: "decodes cached bytes again and again",
					Why:  "48 % (46-50 %) of its CPU is encoding/json decoding (955 of 1990 samples; the rule asks for a lower bound of 25 %); 100 % of those are cached bytes from go-redis.",
					Next: "Put load and decode at (*catalog).gifts (catalog.go:131) behind one pkg/sfcache flight, so that concurrent callers share one load and one decoded value.",
				},
			},
			{
				Name: "POST /room/enter", How: "label:endpoint", Share: share(610, 9204), Decode: share(41, 610), Encode: share(22, 610), IO: share(300, 610),
				Verdict: analysis.Verdict{Rule: analysis.RuleNone, Title: "not dominated by decoding or encoding", Why: "Decoding is 6.7 %."},
			},
		},
		Other: []analysis.Part{{Name: "garbage collection", Share: share(1410, 9204)}, {Name: "server I/O", Share: share(702, 9204)}, {Name: "scheduler", Share: share(480, 9204)}},
		Findings: []analysis.Finding{{
			Rule: analysis.RuleRegexpCompile, Severity: analysis.SeverityHigh, Endpoint: "POST /room/enter", Title: "compiles regular expressions in requests",
			Why:      "9.0 % (7.0-12 %) of its CPU is compiling regular expressions (55 of 610 samples; the rule asks for a lower bound of 1.0 %).",
			Next:     "At (*API).Enter (enter.go:31), compile the expression once, in a package variable with regexp.MustCompile: it is safe for concurrent use.",
			Evidence: []analysis.Evidence{{What: "compiles", Func: "example.com/live/api.(*API).Enter", File: "api/enter.go", Line: 31, Via: "regexp.MustCompile", Share: share(55, 610)}},
		}},
		Notes: []string{"the goroutine profile of live-api-7d9f-c4 was not used"},
	}
}

// states are the updates of one incident from beginning to end.
func states() []slackbot.Update {
	capturing := anIncident(incident.StatusCapturing)
	capturing.Choice = choice
	reporting := capturing
	reporting.Status = incident.StatusReporting
	done := capturing
	done.Status, done.Finished = incident.StatusDone, opened.Add(41*time.Second)
	return []slackbot.Update{
		{Incident: anIncident(incident.StatusAccepted)},
		{Incident: capturing, Captures: captures(0)},
		{Incident: capturing, Captures: captures(2)},
		{Incident: reporting, Captures: captures(4)},
		{
			Incident: done, Captures: captures(4), Report: aReport(), Picture: aPicture(),
			ReportURL: "https://profbot.example.com/r/abc", FlameURL: "https://profbot.example.com/r/abc/flame.html",
		},
	}
}

func doneState() slackbot.Update { return states()[4] }

// failedState is an incident whose pods could not be profiled.
func failedState() slackbot.Update {
	inc := anIncident(incident.StatusFailed)
	inc.Choice = choice
	cs := captures(0)
	reasons := map[string][2]string{
		"live-api-7d9f-x2": {string(incident.OutcomeBusy), "Could not enable CPU profiling: cpu profiling already in use"},
		"live-api-7d9f-k8": {string(incident.OutcomeNoPprof), "404 page not found"},
		"live-api-7d9f-c4": {string(incident.OutcomeUnreachable), "connection refused"},
	}
	inc.Failure = "no CPU profile of a hot pod could be used"
	sep := ": "
	for i := range cs {
		c := &cs[i]
		why := reasons[c.Pod]
		if c.Kind != incident.KindCPU && c.Pod == "live-api-7d9f-x2" {
			c.Status, c.Outcome, c.Bytes = incident.CaptureStored, incident.OutcomeStored, 4321
			continue
		}
		c.Status, c.Outcome, c.Detail = incident.CaptureFailed, incident.Outcome(why[0]), why[1]
		inc.Failure += fmt.Sprintf("%s%s of %s: %s (%s)", sep, c.Kind, c.Pod, c.Outcome, c.Detail)
		sep = "; "
	}
	return slackbot.Update{Incident: inc, Captures: cs}
}

// aPicture is a small PNG that looks a little like a flame graph.
var aPicture = sync.OnceValue(func() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 640, 200))
	for y := range 200 {
		for x := range 640 {
			c := color.RGBA{250, 247, 240, 255}
			if depth := (199 - y) / 20; x < 620-depth*55 && (y%20) != 0 {
				c = color.RGBA{uint8(205 + depth*5), uint8(90 + x/10), uint8(40 + depth*6), 255}
			}
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
})
