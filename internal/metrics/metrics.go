// Package metrics counts what profbot does, for the people who run it.
// list.go is the list of all metrics; docs/metrics.md is made from it. It is
// the one package that knows the Prometheus library: others call a method of
// [Metrics] when something happens, or give a function in [Sources] that is
// asked when somebody scrapes.
//
// Labels have few values, whatever happens: sets that the code knows, and
// names of services up to a limit, from which on they count as "other".
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/profbot/profbot/internal/incident"
)

const (
	namespace = "profbot_"
	// maxNames is how many values a label may have whose values others choose.
	maxNames = 200
	other    = "other"
)

// Metrics counts. All methods may be called by many goroutines at once.
type Metrics struct {
	registry *prometheus.Registry
	counts   counts

	services   names // of the label service
	operations names // of the label operation
	limits     names // of the label limit
}

// New returns Metrics that ask src. src is kept.
func New(src Sources) *Metrics {
	reg := prometheus.NewRegistry()
	m := &Metrics{registry: reg, counts: newCounts(factory{reg})}
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&sampler{src},
	)
	return m
}

// Handler serves the metrics in the formats of Prometheus and OpenMetrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		// A scrape that fails in part is worth having: store_up tells.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// Alert counts an alert that was understood, and what became of it.
func (m *Metrics) Alert(rec incident.Receipt, err error) {
	action := string(rec.Action)
	switch {
	case err != nil:
		action = "failed"
	case rec.Repeated:
		action = "repeated"
	case rec.Action == incident.ActionCapture:
		m.counts.incidentsOpened.Inc()
	}
	m.counts.alerts.WithLabelValues(action).Inc()
}

// Finished counts an incident that came to its end.
func (m *Metrics) Finished(s incident.Status) {
	m.counts.incidentsFinished.WithLabelValues(string(s)).Inc()
}

// FirstMessage notes how long after its opening an incident was told of.
func (m *Metrics) FirstMessage(d time.Duration) { m.counts.firstMessage.Observe(d.Seconds()) }

// Verdict notes how long after its opening an incident's verdict was told.
func (m *Metrics) Verdict(d time.Duration) { m.counts.verdict.Observe(d.Seconds()) }

// Capture counts a capture that is final.
func (m *Metrics) Capture(c incident.Capture) {
	m.counts.captures.WithLabelValues(string(c.Kind), string(c.Outcome)).Inc()
	m.counts.profileBytes.Add(float64(max(0, c.Bytes)))
}

// Asked counts how long a service's pod was asked to profile its CPU.
func (m *Metrics) Asked(service string, d time.Duration) {
	if d > 0 {
		m.counts.cpuProfiling.WithLabelValues(m.services.bound(service)).Add(d.Seconds())
	}
}

// Pulled notes how long one pull waited and took.
func (m *Metrics) Pulled(k incident.Kind, o incident.Outcome, waited, took time.Duration) {
	m.counts.pullWait.WithLabelValues(k.Profile()).Observe(waited.Seconds())
	m.counts.pullDuration.WithLabelValues(k.Profile(), string(o)).Observe(took.Seconds())
}

// Webhook counts what next answers.
func (m *Metrics) Webhook(next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerCounter(m.counts.webhookRequests, next)
}

// Transport counts the requests that go through next to a peer, "slack" or
// "datadog".
func (m *Metrics) Transport(peer string, next http.RoundTripper) http.RoundTripper {
	return transport{m, peer, next}
}

type transport struct {
	m    *Metrics
	peer string
	next http.RoundTripper
}

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	op := t.m.operations.bound(operation(req.URL.Path))
	start := time.Now()
	resp, err := t.next.RoundTrip(req)
	t.m.counts.outboundDuration.WithLabelValues(t.peer, op).Observe(time.Since(start).Seconds())
	if err != nil {
		t.m.counts.outboundRequests.WithLabelValues(t.peer, op, "error").Inc()
		return resp, err
	}
	t.m.counts.outboundRequests.WithLabelValues(t.peer, op, strconv.Itoa(resp.StatusCode)).Inc()
	if left, err := strconv.ParseFloat(resp.Header.Get("X-Ratelimit-Remaining"), 64); err == nil && t.peer == "datadog" {
		limit := resp.Header.Get("X-Ratelimit-Name")
		t.m.counts.rateRemaining.WithLabelValues(t.m.limits.bound(limit)).Set(left)
	}
	return resp, nil
}

// operation names what a path asks for, without the ids in it: Slack's
// /api/chat.postMessage is chat.postMessage, Datadog's /api/v1/monitor/12 is
// v1/monitor. Anything else is an upload's address, which is made up anew for
// each.
func operation(path string) string {
	_, rest, ok := strings.Cut(path, "/api/")
	if !ok {
		return "upload"
	}
	parts := strings.Split(rest, "/")
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

// names keeps a label from having more than maxNames values.
type names struct {
	mu   sync.Mutex // protects seen
	seen map[string]struct{}
}

// bound returns the value to use for name: itself, or "other".
func (n *names) bound(name string) string {
	name = strings.ToValidUTF8(name, "?") // else the library panics
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.seen[name]; ok {
		return name
	}
	if len(n.seen) >= maxNames {
		return other
	}
	if n.seen == nil {
		n.seen = map[string]struct{}{}
	}
	n.seen[name] = struct{}{}
	return name
}
