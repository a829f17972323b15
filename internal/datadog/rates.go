package datadog

import (
	"context"
	"fmt"
	"time"
)

// maxEndpoints is how many endpoints are asked for, the busiest first: a
// tracer that puts ids into resource names has no end of them.
const maxEndpoints = 200

// EndpointRates returns the requests a second of a service's endpoints, all
// pods together, over the last window (0 means Options.Window). The names are
// the values of the tag resource_name, which Datadog writes in its own way,
// such as "get_/live/list" for GET /live/list: [incident.RateOf] looks them up.
// The busiest 200 are returned. It is empty when Options.Endpoints is, and
// when the metric has no data. Time limits and errors are those of
// [Client.PodLoad].
func (c *Client) EndpointRates(ctx context.Context, service, env string, window time.Duration) (map[string]float64, error) {
	metric := c.opt.Endpoints
	if metric == "" {
		return nil, nil
	}
	scope, err := scope(service, env)
	if err != nil {
		return nil, err
	}
	query := fmt.Sprintf("top(sum:%s{%s} by {resource_name}.as_rate(), %d, 'mean', 'desc')", metric, scope, maxEndpoints)
	all, err := c.series(ctx, metric, query, "resource_name", window)
	if err != nil {
		return nil, err
	}
	// A counter has no value where nothing was counted. So each series is
	// averaged over the points of the fullest, not over its own.
	points := 0
	for _, s := range all {
		points = max(points, s.values)
	}
	out := make(map[string]float64, len(all))
	for _, s := range all {
		if rate := s.sum / float64(points); rate > 0 {
			out[s.name] += rate
		}
	}
	return out, nil
}
