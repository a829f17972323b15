package metrics

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/version"
)

// Sources are asked at every scrape. One that is nil leaves its metrics out.
type Sources struct {
	// Stored reads the store; it gets two seconds.
	Stored func(ctx context.Context) (Stored, error)
	// CPUProfiles are those that run in targets, and how many may.
	CPUProfiles func() (running, limit int)
	// Breakers is how many services are left alone for a while.
	Breakers func() int
	// Pods are the pods that may be profiled, by service.
	Pods func() map[string]int
	// Heard is when what discovery knows was last known to be up to date.
	Heard func() time.Time
}

// Stored is what the store holds of work that is not done.
type Stored struct {
	Unfinished    map[incident.Status]int
	Oldest        time.Time // when the oldest unfinished incident was opened; zero when there is none
	Untold        int       // incidents of which not everything was told
	Captures      map[incident.CaptureStatus]int
	DatabaseBytes int64
}

// sampler asks the sources.
type sampler struct{ src Sources }

// Describe implements [prometheus.Collector].
func (s *sampler) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		buildInfo, storeUp, incidentsOpen, incidentsUntold, oldestIncident, capturesOpen, databaseBytes,
		cpuRunning, cpuLimit, breakersOpen, discoveredPods, discoveryAge,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *sampler) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	v, revision := version.Get()
	gauge(buildInfo, 1, v, revision, runtime.Version())
	if s.src.Stored != nil {
		s.stored(gauge)
	}
	if s.src.CPUProfiles != nil {
		running, limit := s.src.CPUProfiles()
		gauge(cpuRunning, float64(running))
		gauge(cpuLimit, float64(limit))
	}
	if s.src.Breakers != nil {
		gauge(breakersOpen, float64(s.src.Breakers()))
	}
	if s.src.Pods != nil {
		s.pods(gauge)
	}
	if s.src.Heard != nil {
		if t := s.src.Heard(); !t.IsZero() {
			gauge(discoveryAge, max(0, time.Since(t).Seconds()))
		}
	}
}

func (s *sampler) stored(gauge func(*prometheus.Desc, float64, ...string)) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 2*time.Second, errors.New("database did not answer within 2s"))
	defer cancel()
	st, err := s.src.Stored(ctx)
	if err != nil {
		gauge(storeUp, 0)
		return
	}
	gauge(storeUp, 1)
	// All of them, so that one which is not there reads 0 and not nothing.
	for _, status := range []incident.Status{incident.StatusAccepted, incident.StatusCapturing, incident.StatusReporting} {
		gauge(incidentsOpen, float64(st.Unfinished[status]), string(status))
	}
	for _, status := range []incident.CaptureStatus{incident.CaptureWaiting, incident.CapturePulling} {
		gauge(capturesOpen, float64(st.Captures[status]), string(status))
	}
	age := 0.0
	if !st.Oldest.IsZero() {
		age = max(0, time.Since(st.Oldest).Seconds())
	}
	gauge(oldestIncident, age)
	gauge(incidentsUntold, float64(st.Untold))
	gauge(databaseBytes, float64(st.DatabaseBytes))
}

// pods gives the services with most pods a series each, and the rest one.
func (s *sampler) pods(gauge func(*prometheus.Desc, float64, ...string)) {
	pods := s.src.Pods()
	services := slices.SortedFunc(maps.Keys(pods), func(a, b string) int {
		if pods[a] != pods[b] {
			return pods[b] - pods[a]
		}
		return cmp.Compare(a, b)
	})
	rest := 0
	var seen names
	for i, service := range services {
		if label := seen.bound(service); i < maxNames && label != other {
			gauge(discoveredPods, float64(pods[service]), label)
		} else {
			rest += pods[service]
		}
	}
	if rest > 0 {
		gauge(discoveredPods, float64(rest), other)
	}
}
