package metrics

import "github.com/prometheus/client_golang/prometheus"

// Buckets in seconds.
var (
	untilMessage = []float64{0.5, 1, 2, 5, 10, 30, 60, 300, 900}
	untilVerdict = []float64{15, 30, 45, 60, 90, 120, 180, 300, 600, 1800, 3600}
	ofRequest    = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15}
	ofPull       = []float64{0.05, 0.25, 1, 2.5, 5, 15, 30, 45, 60, 120, 300, 600}
)

// counts are the metrics that events move.
type counts struct {
	webhookRequests *prometheus.CounterVec
	alerts          *prometheus.CounterVec

	incidentsOpened   prometheus.Counter
	incidentsFinished *prometheus.CounterVec
	firstMessage      prometheus.Histogram
	verdict           prometheus.Histogram

	captures     *prometheus.CounterVec
	profileBytes prometheus.Counter
	cpuProfiling *prometheus.CounterVec
	pullWait     *prometheus.HistogramVec
	pullDuration *prometheus.HistogramVec

	outboundRequests *prometheus.CounterVec
	outboundDuration *prometheus.HistogramVec
	rateRemaining    *prometheus.GaugeVec
}

func newCounts(f factory) counts {
	return counts{
		webhookRequests: f.counters("webhook_requests_total", "Requests to the webhook, by the status of the answer.", "code"),
		alerts:          f.counters("alerts_total", "Alerts that were understood, by what became of them: capture (profiled), resolve, record (kept with the reason), repeated (a second delivery), failed (not stored, so Datadog sends it again).", "action"),

		incidentsOpened:   f.counter("incidents_opened_total", "Incidents opened."),
		incidentsFinished: f.counters("incidents_finished_total", "Incidents that came to an end: done (with a report) or failed (nothing to analyse).", "status"),
		firstMessage:      f.histogram("first_message_seconds", "Time from an incident's opening to its message in Slack.", untilMessage),
		verdict:           f.histogram("verdict_seconds", "Time from an incident's opening to its verdict in Slack.", untilVerdict),

		captures:     f.counters("captures_total", "Profiles asked for, by kind and by how that ended.", "kind", "outcome"),
		profileBytes: f.counter("profile_bytes_total", "Bytes of stored profiles, compressed."),
		cpuProfiling: f.counters("cpu_profiling_seconds_total", "CPU profiling asked of targets, in seconds of their time. This is what profbot costs them.", "service"),
		pullWait:     f.histograms("pull_wait_seconds", "Time that a pull waited for its turn (capture.simultaneous, per_service, per_node, jitter), by profile.", ofPull, "profile"),
		pullDuration: f.histograms("pull_duration_seconds", "Time that a pull took from its turn on, a CPU profile's window in it, by profile and by how it ended.", ofPull, "profile", "outcome"),

		outboundRequests: f.counters("outbound_requests_total", "Requests to Slack and Datadog, by operation and status; error where there was no answer.", "peer", "operation", "code"),
		outboundDuration: f.histograms("outbound_request_duration_seconds", "Time until Slack or Datadog began to answer.", ofRequest, "peer", "operation"),
		rateRemaining:    f.gauges("datadog_ratelimit_remaining", "What Datadog said last is left of a rate limit.", "limit"),
	}
}

// The metrics that are read when somebody asks for them.
var (
	buildInfo = desc("build_info", "1, with what this profbot was built from.", "version", "revision", "goversion")

	storeUp         = desc("store_up", "1 when the database answered, else 0 and the metrics read from it are missing.")
	incidentsOpen   = desc("incidents_unfinished", "Incidents under way, by where they stand.", "status")
	incidentsUntold = desc("incidents_untold", "Incidents of which Slack does not show everything yet.")
	oldestIncident  = desc("oldest_unfinished_incident_age_seconds", "Age of the oldest incident under way; 0 when there is none.")
	capturesOpen    = desc("captures_unfinished", "Profiles waiting to be pulled and being pulled: the depth of the queue.", "status")
	databaseBytes   = desc("database_bytes", "Size of the database, without the profiles beside it.")
	cpuRunning      = desc("cpu_profiles_running", "CPU profiles running in targets now.")
	cpuLimit        = desc("cpu_profiles_limit", "CPU profiles that may run at once: capture.simultaneous.")
	breakersOpen    = desc("breakers_open", "Services that are left alone for a while, since too many pulls have failed.")
	discoveredPods  = desc("discovered_pods", "Pods that may be profiled.", "service")
	discoveryAge    = desc("discovery_age_seconds", "Age of what discovery knows of its pods; about 0 while its source answers.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+name, help, labels, nil)
}
