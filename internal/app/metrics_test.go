package app

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// metric reads one series of a profbot; -1 when it is not there.
func (w *around) metric(a *App, series string) float64 {
	w.t.Helper()
	status, body := w.get(a.InternalURL() + "/metrics")
	if status != http.StatusOK {
		w.t.Fatalf("/metrics: %d %s", status, body)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// TestMetricsMove: what happens to an incident is counted, once however often
// profbot starts again.
func TestMetricsMove(t *testing.T) {
	w := newAround(t)
	a := w.start()
	for series, want := range map[string]float64{
		"profbot_store_up": 1,
		`profbot_discovered_pods{service="live-api"}`:          2,
		`profbot_incidents_unfinished{status="capturing"}`:     0,
		"profbot_incidents_opened_total":                       0,
		"profbot_oldest_unfinished_incident_age_seconds":       0,
		`profbot_alerts_total{action="capture"}`:               -1,
		`profbot_outbound_requests_total{peer="no one"}`:       -1,
		`profbot_captures_unfinished{status="waiting"}`:        0,
		`profbot_cpu_profiling_seconds_total{service="other"}`: -1,
	} {
		if got := w.metric(a, series); got != want {
			t.Errorf("at first %s = %v, want %v", series, got, want)
		}
	}
	if status, _ := w.get(a.PublicURL() + "/metrics"); status != http.StatusNotFound {
		t.Errorf("the public door shows metrics: %d", status)
	}
	w.alert(a, "triggered", "e0", "a-wrong-token-of-some-length")
	for range 2 {
		w.alert(a, "triggered", "e1", hookToken)
	}
	w.untilSlack("the details are there", func() bool {
		roots := w.slack.Messages(channel)
		return len(roots) == 1 && whole(w.slack.Thread(channel, roots[0].TS))
	})
	w.alert(a, "recovered", "e2", hookToken)
	w.untilSlack("the recovery is told", func() bool { return strings.Contains(w.slack.Text(channel), "also sent to the channel") })
	const posts = `profbot_outbound_requests_total{code="200",operation="chat.postMessage",peer="slack"}`
	for end := time.Now().Add(time.Minute); w.metric(a, posts) < 3 && time.Now().Before(end); { // counted when its answer has arrived
	}
	for series, want := range map[string]float64{
		`profbot_webhook_requests_total{code="401"}`:                                                 1,
		`profbot_webhook_requests_total{code="202"}`:                                                 1,
		`profbot_alerts_total{action="capture"}`:                                                     1,
		`profbot_alerts_total{action="repeated"}`:                                                    1,
		`profbot_alerts_total{action="resolve"}`:                                                     1,
		"profbot_incidents_opened_total":                                                             1,
		`profbot_incidents_finished_total{status="done"}`:                                            1,
		"profbot_first_message_seconds_count":                                                        1,
		"profbot_verdict_seconds_count":                                                              1,
		`profbot_captures_total{kind="cpu",outcome="stored"}`:                                        2,
		`profbot_captures_total{kind="goroutine",outcome="stored"}`:                                  2,
		`profbot_cpu_profiling_seconds_total{service="live-api"}`:                                    2,
		`profbot_pull_wait_seconds_count{profile="cpu"}`:                                             2,
		`profbot_pull_duration_seconds_count{outcome="stored",profile="allocs"}`:                     4,
		`profbot_outbound_requests_total{code="200",operation="chat.postMessage",peer="slack"}`:      3,
		`profbot_outbound_requests_total{code="200",operation="upload",peer="slack"}`:                2,
		`profbot_outbound_request_duration_seconds_count{operation="chat.postMessage",peer="slack"}`: 3,
	} {
		if got := w.metric(a, series); got != want {
			t.Errorf("%s = %v, want %v", series, got, want)
		}
	}
	for _, series := range []string{
		"profbot_profile_bytes_total", "profbot_database_bytes", "profbot_first_message_seconds_sum",
		`profbot_outbound_requests_total{code="200",operation="v1/query",peer="datadog"}`,
	} {
		if got := w.metric(a, series); got <= 0 {
			t.Errorf("%s = %v, want more than 0", series, got)
		}
	}
	if t.Failed() {
		_, body := w.get(a.InternalURL() + "/metrics")
		t.Log(body)
	}

	// The next process tells the rest of the incident and counts nothing again.
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	a = w.start()
	w.alert(a, "triggered", "e3", hookToken) // joins the incident
	for series, want := range map[string]float64{
		`profbot_alerts_total{action="record"}`: 1, "profbot_incidents_opened_total": 0, "profbot_first_message_seconds_count": 0, "profbot_verdict_seconds_count": 0,
	} {
		if got := w.metric(a, series); got != want {
			t.Errorf("after a restart %s = %v, want %v", series, got, want)
		}
	}
}
