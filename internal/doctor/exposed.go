package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/incident"
)

// usual are the ports that balancers and ingresses are mostly led to.
var usual = []string{"80", "443", "8000", "8080", "8443"}

// exposed warns where strangers reach a pod's pprof.
func (w *walk) exposed(ctx context.Context, what string, t incident.Target) {
	x, err := w.fleet.Collector.Expose(ctx, t)
	r := exposure(t, x, err)
	r.Area, r.What = areaPull, what
	w.tell(r)
}

// exposure is what a knock as a stranger says, after a pull that worked. What
// a stranger can do: read the names of functions and endpoints and the command
// line, and keep the CPU profiler busy or the process slow.
func exposure(t incident.Target, x collector.Exposure, err error) Result {
	const own = "serve pprof on a port of its own, with one line of pkg/pprofserve (docs/adopt-pprofserve.md), and take net/http/pprof out of the public one"
	port := portOf(t)
	switch {
	case errors.Is(err, collector.ErrNotDirect):
		return Result{State: Skipped, Note: "who else reaches its pprof cannot be tried from here: profbot goes through the API server"}
	case err != nil:
		e, _ := errors.AsType[*collector.Error](err)
		if e != nil && e.What == incident.OutcomeDenied {
			return Result{Note: "pprof lets no stranger in: it asks for a certificate"}
		}
		return Result{State: Skipped, Note: fmt.Sprintf("whether a stranger gets in is not known: %v", err)}
	case x.Open && x.Public && x.Shared:
		return Result{
			State: Bad, Note: fmt.Sprintf("pprof is open to the world: %s is a public address, port %s serves the service too, and nobody is asked who he is", x.Address, port),
			Next: "at once let no request below /debug/pprof through from outside (balancer, ingress); then " + own,
		}
	case x.Open && x.Public:
		return Result{
			State: Bad, Note: fmt.Sprintf("pprof is open to the world: %s is a public address, and nobody is asked who he is", x.Address),
			Next: fmt.Sprintf("at once close port %s to the outside (firewall, security group); then set pprofserve.Options.Token in the service and authorization: Bearer TOKEN of the service %s here", port, t.Service),
		}
	case x.Open && x.Shared:
		return Result{
			State: Warning, Note: fmt.Sprintf("pprof answers anybody on port %s, which serves something else too: if that is what users call, through a balancer or an ingress, they reach /debug/pprof as well", port),
			Next: own + "; until then refuse /debug/pprof at the balancer or ingress",
		}
	case x.Open && t.Authorization != "":
		return Result{
			State: Warning, Note: "pprof answers without the credentials that the configuration sends, so they keep nobody out",
			Next: "set pprofserve.Options.Token in the service, or the check in the proxy before it, to the configured token",
		}
	case x.Open && slices.Contains(usual, port):
		return Result{
			State: Warning, Note: fmt.Sprintf("pprof answers anybody on port %s, which is where services are usually called: if this one is, whoever calls it reaches /debug/pprof as well", port),
			Next: own + "; until then refuse /debug/pprof at the balancer or ingress",
		}
	case x.Open && x.Address.IsLoopback():
		return Result{Note: "pprof asks for no token, and is asked at this machine's own address"}
	case x.Open:
		return Result{Note: fmt.Sprintf("pprof asks for no token, at the private address %s: whoever is in that network reaches port %s, unless a NetworkPolicy says no", x.Address, port)}
	}
	return Result{Note: "pprof lets no stranger in"}
}

func portOf(t incident.Target) string {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		return "?"
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
