package datadog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/profbot/profbot/internal/incident"
)

// maxSeries is how many series of an answer are looked at, the largest first:
// more pods than any service that people choose from.
const maxSeries = 2000

// Query is the metric query for the CPU of a service's pods. It asks for all
// of them and not for the top ones, since the coolest is wanted too, to
// compare with.
func (c *Client) Query(service, env string) (string, error) {
	return c.query(c.opt.Metric, service, env)
}

func (c *Client) query(metric, service, env string) (string, error) {
	scope, err := scope(service, env)
	return fmt.Sprintf("avg:%s{%s} by {%s}", metric, scope, byPod), err
}

// byPod tells pods of one name apart by their namespace. A metric without it
// has N/A there.
const byPod = "kube_namespace,pod_name"

// PodLoad returns the mean CPU or memory of each pod of a service over the
// last window (0 means Options.Window), hottest first, with the rate of its
// requests if there is a metric for it. An empty env means any. No data is an
// empty list.
//
// An answer is used again for Options.Fresh, and callers with the same
// question at once share one call. It takes 10 seconds at most a metric, with
// one repetition when Datadog's rate limit or server asks for it; when the
// rate limit is known to be used up it fails at once and says until when.
// Errors have Datadog's words and never a key.
func (c *Client) PodLoad(ctx context.Context, service, env string, of incident.Measure, window time.Duration) ([]incident.PodLoad, error) {
	var metric string
	var per func(*v1.MetricsQueryUnit) (float64, error)
	switch of {
	case incident.MeasureCPU:
		metric, per = c.opt.Metric, coresPer
	case incident.MeasureMemory:
		metric, per = c.opt.Memory, bytesPer
	default:
		return nil, fmt.Errorf("no metric is known for %s", of)
	}
	query, err := c.query(metric, service, env)
	if err != nil {
		return nil, err
	}
	all, err := c.series(ctx, metric, query, "pod_name", window)
	if err != nil {
		return nil, err
	}
	out := make([]incident.PodLoad, 0, len(all))
	for _, s := range all {
		factor, err := per(s.unit)
		if err != nil {
			return nil, fmt.Errorf("ask Datadog for %s: %w", metric, err)
		}
		load, value := incident.PodLoad{Pod: s.name, Namespace: s.namespace}, s.mean()*factor
		if math.IsInf(value, 0) || math.IsNaN(value) {
			continue
		}
		if of == incident.MeasureMemory {
			load.Bytes = value
		} else {
			load.Cores = value
		}
		out = append(out, load)
	}
	if c.opt.Requests != "" && len(out) > 0 {
		// Nice to have: without it pods are chosen all the same.
		if err := c.requests(ctx, service, env, window, out); err != nil {
			c.opt.Logger.WarnContext(ctx, "request rates unknown", "service", service, "error", err)
		}
	}
	slices.SortFunc(out, func(a, b incident.PodLoad) int {
		return cmp.Or(cmp.Compare(b.Cores, a.Cores), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Namespace, b.Namespace))
	})
	return out, nil
}

// requests fills in the rates of requests.
func (c *Client) requests(ctx context.Context, service, env string, window time.Duration, loads []incident.PodLoad) error {
	scope, err := scope(service, env)
	if err != nil {
		return err
	}
	all, err := c.series(ctx, c.opt.Requests, fmt.Sprintf("sum:%s{%s} by {%s}.as_rate()", c.opt.Requests, scope, byPod), "pod_name", window)
	if err != nil {
		return err
	}
	rates := make(map[incident.PodID]float64, len(all))
	for _, s := range all {
		rates[incident.PodID{Namespace: s.namespace, Pod: s.name}] = s.mean()
	}
	pods := map[string]int{} // by name
	for _, l := range loads {
		pods[l.Pod]++
	}
	for i, l := range loads {
		rate, ok := rates[incident.PodID{Namespace: l.Namespace, Pod: l.Pod}]
		if !ok && pods[l.Pod] == 1 { // traces often lack the namespace
			rate = rates[incident.PodID{Pod: l.Pod}]
		}
		loads[i].Requests = rate
	}
	return nil
}

// series is one line of an answer: the values of one pod or endpoint.
type series struct {
	name      string
	namespace string // of a pod; "" when the metric does not tell
	sum       float64
	values    int                  // how many points have a value, 1 or more
	unit      *v1.MetricsQueryUnit // nil when the metric has none
}

func (s series) mean() float64 { return s.sum / float64(s.values) }

// series asks a query that is grouped by a tag, for the last window (0 means
// Options.Window).
func (c *Client) series(ctx context.Context, metric, query, tag string, window time.Duration) ([]series, error) {
	window = cmp.Or(window, c.opt.Window)
	op := operation{name: "QueryMetrics", doing: "ask Datadog for " + metric, permission: "timeseries_query"}
	key := fmt.Sprintf("query %s %s", window, query)
	return shared(ctx, c, key, op.doing, c.opt.Fresh, func(ctx context.Context) ([]series, error) {
		now := c.opt.Now()
		resp, err := call(ctx, c, op, func(ctx context.Context) (v1.MetricsQueryResponse, *http.Response, error) {
			return c.metrics.QueryMetrics(ctx, now.Add(-window).Unix(), now.Unix(), query)
		})
		if err != nil {
			return nil, err
		}
		if resp.GetStatus() == "error" || resp.GetError() != "" {
			return nil, fmt.Errorf("%s: it says %q", op.doing, c.quote(resp.GetError()))
		}
		out := seriesOf(resp.GetSeries(), tag)
		if len(out) > maxSeries {
			c.opt.Logger.WarnContext(ctx, "Datadog knows more than is looked at", "metric", metric, "series", len(out), "looked_at", maxSeries)
			out = out[:maxSeries]
		}
		return out, nil
	})
}

// seriesOf reads the series that have the tag and a value, largest first.
func seriesOf(all []v1.MetricsQueryMetadata, tag string) []series {
	out := make([]series, 0, len(all))
	for _, m := range all {
		s := series{name: tagOf(m, tag), namespace: tagOf(m, "kube_namespace")}
		for _, p := range m.GetPointlist() {
			// The last bucket is often not filled yet, and has no value.
			if len(p) > 1 && p[1] != nil {
				s.sum += *p[1]
				s.values++
			}
		}
		if units := m.GetUnit(); len(units) > 0 && units[0].GetName() != "" {
			s.unit = &units[0]
		}
		if s.name != "" && s.values > 0 && !math.IsInf(s.sum, 0) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b series) int {
		return cmp.Or(cmp.Compare(b.mean(), a.mean()), cmp.Compare(a.name, b.name), cmp.Compare(a.namespace, b.namespace))
	})
	return out
}

// tagOf is the value of a series's tag; "" when it has none, which Datadog
// calls N/A.
func tagOf(s v1.MetricsQueryMetadata, key string) string {
	for _, tag := range append(slices.Clone(s.GetTagSet()), strings.Split(s.GetScope(), ",")...) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(tag), key+":"); ok && v != "N/A" {
			return v
		}
	}
	return ""
}

// coresPer says how many cores one of the answer's unit is. The unit in the
// answer is believed, not the metric's name: integrations differ.
func coresPer(u *v1.MetricsQueryUnit) (float64, error) {
	if u == nil {
		return 0, errors.New("the metric has no unit; set it to nanocore or core in Datadog's metric summary")
	}
	switch u.GetName() {
	case "core":
		return 1, nil
	case "millicore":
		return 1e-3, nil
	case "microcore":
		return 1e-6, nil
	case "nanocore":
		return 1e-9, nil
	}
	// Datadog gives a unit's size in the base unit of its family: the core.
	if u.GetFamily() == "cpu" && u.GetScaleFactor() > 0 {
		return u.GetScaleFactor(), nil
	}
	return 0, fmt.Errorf("the metric's unit %q is no unit of CPU; core, millicore, microcore and nanocore are", u.GetName())
}

// bytesPer says how many bytes one of the answer's unit is.
func bytesPer(u *v1.MetricsQueryUnit) (float64, error) {
	if u == nil {
		return 0, errors.New("the metric has no unit; set it to byte in Datadog's metric summary")
	}
	switch u.GetName() {
	case "byte":
		return 1, nil
	case "kibibyte":
		return 1 << 10, nil
	case "mebibyte":
		return 1 << 20, nil
	case "gibibyte":
		return 1 << 30, nil
	case "tebibyte":
		return 1 << 40, nil
	}
	if u.GetFamily() == "bytes" && u.GetScaleFactor() > 0 {
		return u.GetScaleFactor(), nil
	}
	return 0, fmt.Errorf("the metric's unit %q is no unit of memory; byte, kibibyte, mebibyte and gibibyte are", u.GetName())
}
