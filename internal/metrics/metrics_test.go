package metrics_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/metrics"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

// full are sources that know everything.
func full() metrics.Sources {
	return metrics.Sources{
		Stored: func(context.Context) (metrics.Stored, error) {
			return metrics.Stored{
				Unfinished: map[incident.Status]int{incident.StatusCapturing: 2}, Oldest: time.Now().Add(-time.Hour), Untold: 3,
				Captures: map[incident.CaptureStatus]int{incident.CaptureWaiting: 7}, DatabaseBytes: 4096,
			}, nil
		},
		CPUProfiles: func() (int, int) { return 1, 4 },
		Breakers:    func() int { return 5 },
		Pods:        func() map[string]int { return map[string]int{"live-api": 3} },
		Heard:       func() time.Time { return time.Now().Add(-time.Minute) },
	}
}

// used are metrics of a profbot to which everything has happened.
func used(t *testing.T) *metrics.Metrics {
	t.Helper()
	m := metrics.New(full())
	m.Alert(incident.Receipt{Action: incident.ActionCapture, Incident: "i1"}, nil)
	m.Alert(incident.Receipt{Action: incident.ActionCapture, Incident: "i1", Repeated: true}, nil)
	m.Alert(incident.Receipt{}, errors.New("disk full"))
	m.Finished(incident.StatusDone)
	m.FirstMessage(time.Second)
	m.Verdict(time.Minute)
	m.Capture(incident.Capture{Kind: incident.KindCPU, Outcome: incident.OutcomeStored, Bytes: 1000})
	m.Capture(incident.Capture{Kind: incident.KindCPU, Outcome: incident.OutcomeBusy})
	m.Asked("live-api", 30*time.Second)
	m.Asked("live-api", 0)
	m.Pulled(incident.KindAllocsAfter, incident.OutcomeStored, 2*time.Second, 40*time.Millisecond)
	h := m.Webhook(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/datadog", http.NoBody))
	for _, c := range []struct{ peer, address string }{
		{"slack", "https://slack.com/api/chat.postMessage"},
		{"slack", "https://files.slack.com/upload/v1/ABC"},
		{"slack", "https://slack.com/api/fails"},
		{"datadog", "https://api.datadoghq.com/api/v1/monitor/12345"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := m.Transport(c.peer, answers{}).RoundTrip(req); err == nil {
			resp.Body.Close()
		}
	}
	return m
}

// answers stands for the network.
type answers struct{}

func (answers) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/fails") {
		return nil, errors.New("connection reset")
	}
	h := http.Header{}
	h.Set("X-RateLimit-Remaining", "42")
	h.Set("X-RateLimit-Name", "monitors")
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: http.NoBody, Request: req}, nil
}

// scrape returns what /metrics shows.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, body)
	}
	return string(body)
}

func TestValues(t *testing.T) {
	got := scrape(t, used(t))
	for _, want := range []string{
		`profbot_alerts_total{action="capture"} 1`,
		`profbot_alerts_total{action="repeated"} 1`,
		`profbot_alerts_total{action="failed"} 1`,
		`profbot_incidents_opened_total 1`,
		`profbot_incidents_finished_total{status="done"} 1`,
		`profbot_first_message_seconds_bucket{le="1"} 1`,
		`profbot_verdict_seconds_bucket{le="60"} 1`,
		`profbot_captures_total{kind="cpu",outcome="stored"} 1`,
		`profbot_captures_total{kind="cpu",outcome="profiler busy"} 1`,
		`profbot_profile_bytes_total 1000`,
		`profbot_cpu_profiling_seconds_total{service="live-api"} 30`,
		`profbot_pull_wait_seconds_sum{profile="allocs"} 2`,
		`profbot_pull_duration_seconds_bucket{outcome="stored",profile="allocs",le="0.05"} 1`,
		`profbot_webhook_requests_total{code="401"} 1`,
		`profbot_outbound_requests_total{code="200",operation="chat.postMessage",peer="slack"} 1`,
		`profbot_outbound_requests_total{code="200",operation="upload",peer="slack"} 1`,
		`profbot_outbound_requests_total{code="error",operation="fails",peer="slack"} 1`,
		`profbot_outbound_requests_total{code="200",operation="v1/monitor",peer="datadog"} 1`,
		`profbot_datadog_ratelimit_remaining{limit="monitors"} 42`,
		`profbot_store_up 1`,
		`profbot_incidents_unfinished{status="capturing"} 2`,
		`profbot_incidents_unfinished{status="reporting"} 0`,
		`profbot_incidents_untold 3`,
		`profbot_captures_unfinished{status="waiting"} 7`,
		`profbot_database_bytes 4096`,
		`profbot_cpu_profiles_running 1`,
		`profbot_cpu_profiles_limit 4`,
		`profbot_breakers_open 5`,
		`profbot_discovered_pods{service="live-api"} 3`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	for _, want := range []string{`profbot_oldest_unfinished_incident_age_seconds 36\d\d`, `profbot_discovery_age_seconds 6\d`, `profbot_build_info\{goversion="go`, `go_goroutines `, `process_resident_memory_bytes `} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(got) {
			t.Errorf("nothing like %q", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestSourcesMayBeMissing: what is not there is not shown, and a store that
// does not answer says so.
func TestSourcesMayBeMissing(t *testing.T) {
	if got := scrape(t, metrics.New(metrics.Sources{})); strings.Contains(got, "profbot_store_up") || strings.Contains(got, "profbot_breakers_open") || !strings.Contains(got, "profbot_build_info") {
		t.Errorf("without sources:\n%s", got)
	}
	got := scrape(t, metrics.New(metrics.Sources{
		Stored: func(context.Context) (metrics.Stored, error) { return metrics.Stored{Untold: 9}, errors.New("locked") },
		Heard:  func() time.Time { return time.Time{} },
	}))
	if !strings.Contains(got, "profbot_store_up 0") || strings.Contains(got, "profbot_incidents_untold") || strings.Contains(got, "discovery_age") {
		t.Errorf("with a store that does not answer:\n%s", got)
	}
}

// TestCardinality: many names make few series, and names that are no text do
// no harm.
func TestCardinality(t *testing.T) {
	src := full()
	pods := map[string]int{"\xff": 1000}
	for i := range 500 {
		pods[fmt.Sprintf("service-%d", i)] = 1
	}
	src.Pods = func() map[string]int { return pods }
	m := metrics.New(src)
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() { m.Asked(fmt.Sprintf("service-%d", i), time.Second) })
	}
	wg.Wait()
	m.Asked("\xff", time.Second)
	got := scrape(t, m)
	for _, name := range []string{"profbot_cpu_profiling_seconds_total", "profbot_discovered_pods"} {
		if n := strings.Count(got, "\n"+name+"{"); n != 201 {
			t.Errorf("%s has %d series", name, n)
		}
	}
	if !strings.Contains(got, `profbot_cpu_profiling_seconds_total{service="other"} 301`) || !strings.Contains(got, `profbot_discovered_pods{service="other"} 301`) {
		t.Error("the rest does not count as other")
	}
}

// TestList holds docs/metrics.md to the metrics, and the metrics to
// Prometheus's conventions.
func TestList(t *testing.T) {
	text := scrape(t, used(t))
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^# HELP (profbot_\S+) (.*)\n# TYPE \S+ (\S+)\n`).FindAllStringSubmatch(text, -1) {
		name, help, kind := m[1], m[2], m[3]
		sample := regexp.MustCompile(`(?m)^` + name + `(?:_bucket|_sum)?\{(.*)\} `).FindStringSubmatch(text)
		var labels []string
		if sample != nil {
			for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(sample[1], -1) {
				if l[1] != "le" {
					labels = append(labels, l[1])
				}
			}
		}
		if (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, kind)
		}
		if kind == "histogram" && !strings.HasSuffix(name, "_seconds") {
			t.Errorf("%s has no unit", name)
		}
		if !strings.HasSuffix(help, ".") || strings.Contains(help, "|") {
			t.Errorf("%s: the help is no sentence: %q", name, help)
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", name, kind, strings.Join(labels, ", "), help))
	}
	slices.Sort(rows)
	got := "# profbot's own metrics\n\nAt `/metrics` of the internal listener, beside those of the Go runtime (`go_*`) and of the process (`process_*`). Labels have few\n" +
		"values: sets that profbot knows, and at most 200 services, from which on they count as `other`. A metric without a source is\n" +
		"missing: `profbot_discovery_age_seconds`, for instance, where nothing is discovered. A test holds this list to the code; `make golden` rewrites it.\n\n" +
		"| metric | type | labels | meaning |\n|---|---|---|---|\n" + strings.Join(rows, "\n") + "\n"
	const file = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("docs/metrics.md is not what the code has (-file +code):\n%s", d)
	}
}
