package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

const (
	ratesTimeout = 8 * time.Second
	// shortestRates is the least time that requests are counted over: traces
	// are counted by tens of seconds and come some seconds late.
	shortestRates = 2 * time.Minute
)

// rates asks for the requests of the service's endpoints while it was
// profiled. They are kept with the incident, so that a report that is begun
// anew says the same. No answer is an answer too: the report does without.
func (p *Pipeline) rates(ctx context.Context, inc incident.Incident, captures []incident.Capture) (incident.Rates, error) {
	if inc.Rates != nil {
		return *inc.Rates, nil
	}
	if p.Monitoring == nil {
		return incident.Rates{}, nil
	}
	now := p.Now()
	window := shortestRates
	hot, metered, requests := 0, 0, 0.0
	for _, c := range captures {
		if c.Kind != incident.KindCPU || c.Role != incident.RoleHot || c.Status != incident.CaptureStored {
			continue
		}
		window = max(window, now.Sub(c.Started))
		hot++
		if c.Load.Requests > 0 {
			metered++
			requests += c.Load.Requests
		}
	}
	if hot == 0 {
		return incident.Rates{}, nil // nothing that could be divided by them
	}
	key := inc.Alert.Key
	var r incident.Rates
	found, err := within(ctx, ratesTimeout, func(ctx context.Context) (map[string]float64, error) {
		return p.Monitoring.EndpointRates(ctx, key.Service, key.Env, window)
	})
	switch {
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case err != nil:
		p.Logger.WarnContext(ctx, "endpoint rates unknown", "incident", inc.ID, "error", err)
		r.Failure = fmt.Sprintf("the requests of the endpoints could not be read (%v)", err)
	case len(found) > 0:
		r.PerSecond = found
		// The traces count the whole service, and the profiles are of some of
		// its pods.
		r.Part, r.Basis = 1, "all pods of the service were profiled"
		if f := inc.Fleet; f != nil && hot < f.Pods {
			r.Part, r.Basis = float64(hot)/float64(f.Pods), fmt.Sprintf("the requests are taken to be spread evenly over the service's %d pods", f.Pods)
			if metered == hot && f.Requests > 0 {
				r.Part, r.Basis = min(1, requests/f.Requests), fmt.Sprintf("the profiled pods served %.0f %% of the service's requests when they were chosen", 100*min(1, requests/f.Requests))
			}
		}
	}
	return p.Store.SetRates(ctx, inc.ID, r)
}

// rateOf gives the analysis the requests of an endpoint that the profiled pods
// serve.
func rateOf(r incident.Rates) func(endpoint string) (float64, bool) {
	if len(r.PerSecond) == 0 {
		return nil
	}
	return func(endpoint string) (float64, bool) {
		v, ok := incident.RateOf(r.PerSecond, endpoint)
		return v * r.Part, ok
	}
}
