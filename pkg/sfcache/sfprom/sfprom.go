// Package sfprom exports the counts of sfcache's caches to Prometheus.
//
//	prometheus.MustRegister(
//		sfprom.NewCollector("lists", lists.Stats),
//		sfprom.NewCollector("gifts", gifts.Stats),
//	)
//
// Every field of [sfcache.Stats] is a metric, told apart by the label cache.
// What to look at first:
//
//	rate(sfcache_loads_total[5m])                        follows expiries, not requests
//	rate(sfcache_decode_seconds_total[5m])               processors busy with decoding
//	rate(sfcache_decode_seconds_saved_total[5m])         and those that would be, without the cache
//	sum without (tier) (rate(sfcache_oversize_total[5m]))  should be 0
//	rate(sfcache_remote_errors_total[5m])                Redis was done without
//
// It is a module of its own, so that a service which uses sfcache without
// Prometheus does not depend on it.
package sfprom

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/profbot/profbot/pkg/sfcache"
)

// metric is one of a cache's time series.
type metric struct {
	name  string
	tier  string // label, "" for none
	help  string
	kind  prometheus.ValueType
	value func(s *sfcache.Stats) float64
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

const (
	helpHits     = "Values found, by tier. In the tiers other than hold they were decoded."
	helpOversize = "Values too large for a tier, which were not stored there."
)

// metrics are all of them. Those of one name have one help.
var metrics = []metric{
	{"hits_total", "hold", helpHits, counter, func(s *sfcache.Stats) float64 { return float64(s.HoldHits) }},
	{"hits_total", "local", helpHits, counter, func(s *sfcache.Stats) float64 { return float64(s.LocalHits) }},
	{"hits_total", "remote", helpHits, counter, func(s *sfcache.Stats) float64 { return float64(s.RemoteHits) }},
	{"loads_total", "", "Keys that a loader was called for.", counter, func(s *sfcache.Stats) float64 { return float64(s.Loads) }},
	{"load_errors_total", "", "Loads that failed, without those that found that there is no value.", counter, func(s *sfcache.Stats) float64 { return float64(s.LoadErrors) }},
	{"loads_not_found_total", "", "Loads that found that there is no value.", counter, func(s *sfcache.Stats) float64 { return float64(s.NotFound) }},
	{"load_seconds_total", "", "Time spent in loaders.", counter, func(s *sfcache.Stats) float64 { return s.LoadTime.Seconds() }},
	{"flights_total", "", "Flights begun for keys that were not at hand, or wanted a refresh.", counter, func(s *sfcache.Stats) float64 { return float64(s.Flights) }},
	{"shared_callers_total", "", "Callers who got the result of a flight or a decode that another one began.", counter, func(s *sfcache.Stats) float64 { return float64(s.SharedCallers) }},
	{"stale_served_total", "", "Values served after their time, while a new one was got or since there was none to be had.", counter, func(s *sfcache.Stats) float64 { return float64(s.StaleServed) }},
	{"refreshes_total", "", "Refreshes started in the background.", counter, func(s *sfcache.Stats) float64 { return float64(s.Refreshes) }},
	{"decodes_total", "", "Values decoded.", counter, func(s *sfcache.Stats) float64 { return float64(s.Decodes) }},
	{"decoded_bytes_total", "", "Bytes decoded.", counter, func(s *sfcache.Stats) float64 { return float64(s.DecodedBytes) }},
	{"decode_seconds_total", "", "Time spent on decoding.", counter, func(s *sfcache.Stats) float64 { return s.DecodeTime.Seconds() }},
	{"decode_seconds_saved_total", "", "Time that hits in the hold and shared callers would have spent on decoding, at the mean of those that did.", counter, func(s *sfcache.Stats) float64 { return s.DecodeTimeSaved.Seconds() }},
	{"undecodable_total", "", "Stored bytes that could not be decoded and counted as absent.", counter, func(s *sfcache.Stats) float64 { return float64(s.Undecodable) }},
	{"encode_errors_total", "", "Values that could not be encoded.", counter, func(s *sfcache.Stats) float64 { return float64(s.EncodeErrors) }},
	{"oversize_total", "hold", helpOversize, counter, func(s *sfcache.Stats) float64 { return float64(s.TooLarge) }},
	{"oversize_total", "local", helpOversize, counter, func(s *sfcache.Stats) float64 { return float64(s.Oversize) }},
	{"evictions_total", "", "Values pushed out of the hold.", counter, func(s *sfcache.Stats) float64 { return float64(s.Evicted) }},
	{"held_bytes", "", "Size of the values in the hold now.", gauge, func(s *sfcache.Stats) float64 { return float64(s.HeldBytes) }},
	{"held_values", "", "Values in the hold now.", gauge, func(s *sfcache.Stats) float64 { return float64(s.HeldValues) }},
	{"loads_refused_total", "", "Loaded values stored nowhere, since their key was written meanwhile.", counter, func(s *sfcache.Stats) float64 { return float64(s.Refused) }},
	{"leases_total", "", "Loads made as the one process that may.", counter, func(s *sfcache.Stats) float64 { return float64(s.Leases) }},
	{"lease_waits_total", "", "Flights that waited for the load of another process.", counter, func(s *sfcache.Stats) float64 { return float64(s.LeaseWaits) }},
	{"remote_errors_total", "", "Calls of the remote tier that failed.", counter, func(s *sfcache.Stats) float64 { return float64(s.RemoteErrors) }},
	{"remote_rests_total", "", "Calls of the remote tier that were not made, after failures in a row.", counter, func(s *sfcache.Stats) float64 { return float64(s.RemoteRests) }},
	{"invalidations_total", "", "Keys dropped because another process wrote them.", counter, func(s *sfcache.Stats) float64 { return float64(s.Invalidations) }},
	{"missed_total", "", "Times that the local tiers were dropped, since messages of other processes may be lost.", counter, func(s *sfcache.Stats) float64 { return float64(s.Missed) }},
}

type collector struct {
	stats func() sfcache.Stats
	descs []*prometheus.Desc // of metrics, in order

	mu    sync.Mutex    // protects saved, and the order of stats and saved
	saved time.Duration // the most that was exported
}

// NewCollector returns a collector for one cache, whose Stats method stats is.
// name is the value of the label cache; collectors with different names go
// into one registry. It may collect after the cache's Close.
func NewCollector(name string, stats func() sfcache.Stats) prometheus.Collector {
	c := &collector{stats: stats}
	for _, m := range metrics {
		labels := prometheus.Labels{"cache": name}
		if m.tier != "" {
			labels["tier"] = m.tier
		}
		c.descs = append(c.descs, prometheus.NewDesc("sfcache_"+m.name, m.help, nil, labels))
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		descs <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.snapshot()
	for i, m := range metrics {
		out <- prometheus.MustNewConstMetric(c.descs[i], m.kind, m.value(&s))
	}
}

// snapshot is the cache's Stats with DecodeTimeSaved never less than it was. It
// is an estimate that falls when decoding gets faster, and Prometheus takes a
// counter that falls for a process that began again.
func (c *collector) snapshot() sfcache.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats()
	c.saved = max(c.saved, s.DecodeTimeSaved)
	s.DecodeTimeSaved = c.saved
	return s
}
