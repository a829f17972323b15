package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Name is a DNS name that resolves to the pods of a service.
type Name struct {
	Service string
	Env     string // "" is every one
	// Name is host:port, looked up as address records, or the name of SRV
	// records such as _pprof._tcp.live-api.live.svc.cluster.local, which have
	// the ports.
	Name string
	// Scheme is http or https; "" means http. Addresses are dialled as they
	// were resolved, and the Host header is the address too; what an https pod's
	// certificate says is told by TLS (tls.server_name).
	Scheme        string
	Path          string // of the pprof index; "" means /debug/pprof
	Namespace     string
	Authorization string
	TLS           string
}

// DNSOptions configure a [DNS]. Zero fields mean the defaults.
type DNSOptions struct {
	Names    []Name
	Resolver *net.Resolver // default the system's
	Timeout  time.Duration // of all that is looked up for one name; default 3 s
	TTL      time.Duration // how long an answer counts; default 10 s
	Max      int           // addresses of one name, others are left out; default 200
}

// DNS finds pods by names. It is safe for concurrent use. What a name resolves
// to has no identity that could be confirmed: an answer counts for moments
// only, and one that is older is never used in place of a failed one.
type DNS struct {
	opt   DNSOptions
	names []*name
}

type name struct {
	Name
	host, port string // for address records; "" for SRV

	turn chan struct{} // has one place: filled by who looks up or reads what is below
	till time.Time     // the answer counts until then
	pods []incident.Target
	err  error
}

// errorTTL keeps a storm of alerts from becoming one of failing lookups.
const errorTTL = 2 * time.Second

// NewDNS checks the names. It looks nothing up yet.
func NewDNS(opt DNSOptions) (*DNS, error) {
	opt.Resolver = cmp.Or(opt.Resolver, net.DefaultResolver)
	opt.Timeout, opt.TTL, opt.Max = cmp.Or(opt.Timeout, 3*time.Second), cmp.Or(opt.TTL, 10*time.Second), cmp.Or(opt.Max, 200)
	d := &DNS{opt: opt}
	for _, n := range opt.Names {
		x := &name{Name: n, turn: make(chan struct{}, 1)}
		if n.Service == "" {
			return nil, fmt.Errorf("dns name %q needs a service", n.Name)
		}
		if n.Scheme != "" && n.Scheme != "http" && n.Scheme != "https" {
			return nil, fmt.Errorf("service %q: the scheme %q is neither http nor https", n.Service, n.Scheme)
		}
		if n.Path != "" && (n.Path[0] != '/' || path.Clean(n.Path) != cmp.Or(strings.TrimRight(n.Path, "/"), "/")) {
			return nil, fmt.Errorf("service %q: %q is no path such as /debug/pprof", n.Service, n.Path)
		}
		var err error
		if x.host, x.port, err = SplitName(n.Name); err != nil {
			return nil, fmt.Errorf("service %q: dns: %w", n.Service, err)
		}
		d.names = append(d.names, x)
	}
	return d, nil
}

// SplitName takes apart a name of address records; for that of SRV records,
// which begins with _, host and port are "".
func SplitName(name string) (host, port string, err error) {
	if strings.HasPrefix(name, "_") {
		return "", "", nil
	}
	host, port, err = net.SplitHostPort(name)
	number, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || number == 0 || host == "" || strings.ContainsAny(host, "/@ ") {
		return "", "", fmt.Errorf("%q is neither host:port nor the name of SRV records such as _pprof._tcp.live-api.live.svc", name)
	}
	return host, strconv.FormatUint(number, 10), nil
}

// Services lists the services that have names, by name.
func (d *DNS) Services(context.Context) ([]string, error) {
	var out []string
	for _, n := range d.names {
		out = append(out, n.Service)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Pods looks up the names of a service, or remembers what they resolved to
// moments ago. A pod is called by the first label of its SRV record's target,
// which is a StatefulSet's pod's name, or else by its address. A name that
// resolves to nothing is an error, unless another one of the service has pods.
func (d *DNS) Pods(ctx context.Context, service, env string) ([]incident.Target, error) {
	var out []incident.Target
	var envs, services []string
	var errs []error
	known := false
	for _, n := range d.names {
		services = append(services, n.Service)
		switch {
		case n.Service != service:
			continue
		case env != "" && n.Env != "" && n.Env != env:
			envs = append(envs, n.Env)
			continue
		}
		known = true
		pods, err := d.resolve(ctx, n)
		if err != nil {
			errs = append(errs, err)
		}
		out = append(out, pods...)
	}
	switch {
	case len(out) > 0:
		return out, nil
	case known:
		return nil, errors.Join(errs...)
	case len(envs) > 0:
		return nil, Unknown("service %q has no dns name in env %q; configured: %s", service, env, Names(envs))
	case len(services) == 0:
		return nil, Unknown("service %q has no dns name: none are configured", service)
	}
	return nil, Unknown("service %q has no dns name; configured: %s", service, Names(services))
}

// resolve gives what counts of a name, looking it up where that is old.
func (d *DNS) resolve(ctx context.Context, n *name) ([]incident.Target, error) {
	select {
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if time.Now().Before(n.till) {
		return slices.Clone(n.pods), n.err
	}
	limited, cancel := context.WithTimeoutCause(ctx, d.opt.Timeout, fmt.Errorf("no answer within %s", d.opt.Timeout))
	defer cancel()
	pods, err := d.lookup(limited, n)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // says nothing of the name
	}
	n.pods, n.err, n.till = pods, nil, time.Now().Add(d.opt.TTL)
	if err != nil {
		n.pods, n.err, n.till = nil, fmt.Errorf("service %q: dns name %q: %w", n.Service, n.Name.Name, plain(limited, err)), time.Now().Add(errorTTL)
	}
	return slices.Clone(n.pods), n.err
}

// plain is what is the matter with a lookup, without server and name.
func plain(ctx context.Context, err error) error {
	e, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && e.IsNotFound:
		return errors.New("it does not exist, or has no records of this kind")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case ok && e.IsTimeout:
		return errors.New("the name server does not answer")
	case ok:
		return errors.New(e.Err)
	}
	return err
}

func (d *DNS) lookup(ctx context.Context, n *name) ([]incident.Target, error) {
	if n.host != "" {
		addresses, err := d.addresses(ctx, n.host)
		if err != nil {
			return nil, err
		}
		var out []incident.Target
		for _, a := range addresses[:min(len(addresses), d.opt.Max)] {
			out = append(out, n.target(a.String(), a, n.port))
		}
		return out, nil
	}
	_, records, err := d.opt.Resolver.LookupSRV(ctx, "", "", n.Name.Name)
	if err != nil {
		return nil, err
	}
	records = slices.DeleteFunc(records, func(r *net.SRV) bool { return r.Port == 0 || r.Target == "." })
	slices.SortFunc(records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	records = records[:min(len(records), d.opt.Max)]
	found := make([][]netip.Addr, len(records))
	failed := make([]error, len(records))
	var wg sync.WaitGroup
	places := make(chan struct{}, 8) // as many questions at once as a name server takes without noticing
	for i, r := range records {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			found[i], failed[i] = d.addresses(ctx, r.Target)
		})
	}
	wg.Wait()
	var out []incident.Target
	for i, r := range records {
		if len(found[i]) > 0 {
			pod, _, _ := strings.Cut(r.Target, ".")
			t := n.target(pod, found[i][0], strconv.Itoa(int(r.Port)))
			if !slices.ContainsFunc(out, func(o incident.Target) bool { return o.URL == t.URL }) {
				out = append(out, t)
			}
		}
	}
	if len(out) == 0 {
		return nil, cmp.Or(errors.Join(failed...), errors.New("its records name no pods"))
	}
	return out, nil
}

// addresses are those of a host, at least one. A pod with addresses of both
// families has one of each, so one family is all: the older, where it is there.
func (d *DNS) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	all, err := d.opt.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i] = all[i].Unmap()
	}
	slices.SortFunc(all, netip.Addr.Compare) // IPv4 first
	all = slices.DeleteFunc(slices.Compact(all), func(a netip.Addr) bool { return a.IsUnspecified() || a.IsMulticast() })
	if len(all) == 0 {
		return nil, errors.New("it has no address that could be a pod's")
	}
	if other := slices.IndexFunc(all, func(a netip.Addr) bool { return a.Is4() != all[0].Is4() }); other > 0 {
		all = all[:other]
	}
	return all, nil
}

func (n *name) target(pod string, a netip.Addr, port string) incident.Target {
	u := url.URL{Scheme: cmp.Or(n.Scheme, "http"), Host: net.JoinHostPort(a.String(), port), Path: cmp.Or(strings.TrimRight(n.Path, "/"), "/debug/pprof")}
	return incident.Target{
		Service: n.Service, Env: n.Env, Namespace: n.Namespace, Pod: pod, URL: u.String(),
		Authorization: n.Authorization, TLS: n.TLS, Found: "dns name " + n.Name.Name,
	}
}
