// Package collector pulls profiles from net/http/pprof endpoints of other
// people's production processes, and so takes care: bounded time, bytes and
// samples, one CPU profile per process at a time and few of a service or a
// node, no address outside the allowed networks, no redirects, and every
// failure told apart and in the target's own words.
//
// Start with [New] and [Collector.Pull]. How a pull goes: it waits for a place
// in a budget (budget.go, turn.go), asks the service's breaker (breaker.go),
// confirms that the pod is still itself, dials what the networks allow
// (network.go, transport.go), reads within limits (get.go), and looks at what
// came (body.go, scan.go). Credentials never leave through an error
// (secret.go).
package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Options configure a [Collector]. The zero value is right.
type Options struct {
	MaxBytes    int64 // of one profile as sent, compressed; 0 means 64 MiB
	MaxRawBytes int64 // of one profile decompressed; 0 means 64 MiB: parsed it takes about five times that
	// MaxSamples bounds a profile's samples, and likewise its locations, its
	// functions and its strings; 0 means 1,000,000. What these hold, such as
	// the frames of all stacks, may be 16 times as many.
	MaxSamples int

	// Simultaneous is how many CPU profiles run at once, and how many pulls of
	// other kinds beside them; 0 means 4.
	Simultaneous int
	PerService   int // of each of the two, for one service and env; 0 means no bound
	PerNode      int // CPU profiles at once on one node; 0 means no bound
	// Jitter is how much later than it could a CPU profile starts at most, so
	// that the pods of a storm do not start as one; 0 means not at all.
	Jitter time.Duration
	// Random picks the jitter from [0, n) for n > 0; nil means at random.
	Random func(n time.Duration) time.Duration

	// Failures in a row of one service and env, and it is left alone for
	// CoolOff, then tried once, then left alone for twice as long; the longest
	// rest is 16 times the first. 0 means 10, and one minute.
	Failures int
	CoolOff  time.Duration

	Slack time.Duration // time a target gets beyond the window; 0 means 15 s
	Idle  time.Duration // longest silence in the middle of an answer; 0 means 5 s

	// Networks may be dialled; nil means the private networks, that of
	// carriers, unique local addresses and this machine. Link-local and
	// metadata addresses are refused whatever stands here.
	Networks []netip.Prefix
	Resolver *net.Resolver // of host names; nil means the system's
	// TLS are the settings that [incident.Target.TLS] names. A target without
	// a name gets the system's authorities and no certificate.
	TLS map[string]*tls.Config
	// Via opens the ways to targets that are not dialled directly. The round
	// tripper is used for one request, after which its idle connections are
	// closed; what it dials is its own business, not that of Networks.
	Via map[incident.Via]func(incident.Target) (http.RoundTripper, error)
	// Confirm makes sure that a target is still the pod that was chosen, right
	// before it is dialled; nil means that it is. An error that has a method
	// Outcome() (incident.Outcome, string) is reported as it says.
	Confirm func(context.Context, incident.Target) error

	// Observe is called at the end of every pull, by its goroutine; nil
	// observes nothing.
	Observe func(Observation)
	Logger  *slog.Logger // nil discards
	// Transport dials the targets in place of the collector's own, which
	// keeps no connections, uses no proxy and keeps to Networks and TLS.
	Transport http.RoundTripper

	// dial replaces the dialler for tests without a network.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Observation is one pull, for metrics.
type Observation struct {
	Service  string
	Env      string
	Kind     incident.Kind
	Outcome  incident.Outcome
	Waited   time.Duration // for places in budgets and for the jitter
	Took     time.Duration // all the rest: confirming, dialling, sampling, reading
	Asked    time.Duration // as in [Profile]
	Bytes    int64         // of the profile, compressed; 0 for a failure
	RawBytes int64         // decompressed; 0 for a failure
}

// Collector pulls profiles. It is safe for concurrent use.
type Collector struct {
	opt      Options
	guard    *guard
	clients  map[string]*http.Client // by the name of their TLS settings; read-only
	breakers *breakers
	turns    *turns  // for CPU profiles
	quick    *budget // for all other kinds
}

// New returns a Collector. It fails on limits below zero.
func New(opt Options) (*Collector, error) {
	if min(opt.MaxBytes, opt.MaxRawBytes, int64(opt.MaxSamples), int64(opt.Simultaneous), int64(opt.PerService), int64(opt.PerNode), int64(opt.Failures)) < 0 ||
		min(opt.Jitter, opt.CoolOff, opt.Slack, opt.Idle) < 0 {
		return nil, errors.New("new collector: limits must not be negative")
	}
	orDefault(&opt.MaxBytes, 64<<20)
	orDefault(&opt.MaxRawBytes, 64<<20)
	orDefault(&opt.MaxSamples, 1_000_000)
	orDefault(&opt.Simultaneous, 4)
	orDefault(&opt.Failures, 10)
	orDefault(&opt.CoolOff, time.Minute)
	orDefault(&opt.Slack, 15*time.Second)
	orDefault(&opt.Idle, 5*time.Second)
	if opt.Random == nil {
		opt.Random = rand.N[time.Duration]
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Networks == nil {
		opt.Networks = slices.Clone(privateNetworks)
	}
	c := &Collector{
		opt:      opt,
		guard:    &guard{allowed: opt.Networks},
		clients:  map[string]*http.Client{},
		breakers: &breakers{failures: opt.Failures, coolOff: opt.CoolOff, services: map[service]*breaker{}},
		turns:    &turns{budget: newBudget(opt.Simultaneous, opt.PerService, opt.PerNode), kept: map[string]*keptTurn{}},
		quick:    newBudget(opt.Simultaneous, opt.PerService, 0),
	}
	c.clients[""] = c.client(nil)
	for name, cfg := range opt.TLS {
		if cfg == nil {
			return nil, fmt.Errorf("new collector: TLS settings %q are nil", name)
		}
		c.clients[name] = c.client(cfg)
	}
	return c, nil
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Profile is one profile as pulled. With an error only Asked is of use.
type Profile struct {
	Data     []byte        // gzipped: as the target sent it, or by us when it sent it raw
	RawBytes int64         // decompressed size
	Samples  int           // how many it holds; a pod that does nothing has a CPU profile without any
	Window   time.Duration // what a CPU profile really sampled; 0 for other kinds
	Started  time.Time     // when the target was asked
	Took     time.Duration // from then to its last byte
	// Asked is how long the target sampled its CPU for this pull, as far as it
	// can be known from here: the window, or, of an attempt that failed or was
	// canceled, the time from the request to its end, at most the window. The
	// attempts are summed up. 0 for other kinds, and for a target that was
	// never asked.
	Asked time.Duration
}

// Pull takes one profile of one target. window is how long a CPU profile
// samples, rounded up to whole seconds, at least one (net/http/pprof takes no
// less: "seconds=0.5" silently becomes 30); other kinds ignore it. Errors are
// of type [*Error]; Profile.Asked is returned with them.
//
// A CPU profile waits for its turn: one at a time of a pod, and as many of a
// service, of a node and in all as the options say. [incident.KindAllocsBefore]
// waits for the same turn, and the pod's CPU profile goes on with it if it is
// asked for at once: else the two might be far apart. All other kinds wait for
// places of their own, never behind a CPU profile. ctx ends every wait.
//
// A target whose WriteTimeout is shorter than the window is asked again for
// half, until it agrees; Profile.Window says what it sampled.
func (c *Collector) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (Profile, error) {
	q := &pull{c: c, target: t, kind: k, secrets: secretsOf(t.Authorization), begun: time.Now()}
	p, err := q.run(ctx, window)
	c.observe(q, p, err)
	if err != nil {
		return Profile{Asked: p.Asked}, err
	}
	return p, nil
}

func (c *Collector) observe(q *pull, p Profile, err error) {
	if c.opt.Observe == nil {
		return
	}
	o := Observation{
		Service: q.target.Service, Env: q.target.Env, Kind: q.kind, Outcome: incident.OutcomeStored,
		Waited: q.waited, Took: time.Since(q.begun) - q.waited, Asked: p.Asked,
		Bytes: int64(len(p.Data)), RawBytes: p.RawBytes,
	}
	if e, ok := errors.AsType[*Error](err); ok {
		o.Outcome, o.Bytes, o.RawBytes = e.What, 0, 0
	}
	c.opt.Observe(o)
}

// pull is one call of Pull. It belongs to one goroutine.
type pull struct {
	c       *Collector
	target  incident.Target
	kind    incident.Kind
	secrets secrets // of the target
	begun   time.Time
	waited  time.Duration
}

func (q *pull) run(ctx context.Context, window time.Duration) (p Profile, err error) {
	path, err := pathOf(q.kind)
	if err != nil {
		return Profile{}, err
	}
	base, err := url.Parse(q.target.URL)
	if err != nil || base.Hostname() == "" || base.Scheme != "http" && base.Scheme != "https" {
		return Profile{}, &Error{What: incident.OutcomeUnreachable, Words: "the configured address is no http or https address"}
	}
	base.User, base.RawQuery, base.Fragment = nil, "", ""
	if err := q.refused(path, base); err != nil {
		return Profile{}, err
	}
	of := service{q.target.Service, q.target.Env}
	if err := q.c.breakers.check(of); err != nil {
		return Profile{}, err // without waiting for a place first
	}
	end, err := q.wait(ctx, of, base)
	if err != nil {
		return Profile{}, canceled(ctx, q.secrets)
	}
	defer func() { end(err == nil) }()
	trial, err := q.c.breakers.admit(of)
	if err != nil {
		return Profile{}, err // it failed while this one waited
	}
	defer func() {
		if change := q.c.breakers.done(trial, err); change != "" {
			q.c.opt.Logger.WarnContext(ctx, "breaker of a service", "service", of.name, "env", of.env, "change", change)
		}
	}()

	u := base.JoinPath(path)
	if q.kind != incident.KindCPU {
		return q.get(ctx, u, 0)
	}
	var asked time.Duration
	for seconds := int(max(1, (window+time.Second-1)/time.Second)); ; seconds /= 2 { // ends: at one second
		u.RawQuery = fmt.Sprintf("seconds=%d", seconds)
		p, err = q.get(ctx, u, time.Duration(seconds)*time.Second)
		asked += p.Asked
		p.Asked = asked
		if e, ok := errors.AsType[*Error](err); !ok || !e.writeTimeout || seconds == 1 {
			return p, err
		}
		q.c.opt.Logger.InfoContext(ctx, "target's WriteTimeout is shorter than the window, asking for half", "pod", q.target.Pod, "seconds", seconds)
	}
}

// refused says what is not asked for at all.
func (q *pull) refused(path string, base *url.URL) error {
	for _, k := range q.target.Refuses {
		if p, err := pathOf(k); err == nil && p == path {
			words := fmt.Sprintf("the pod's owner has switched off %s profiles", path)
			if q.target.Found != "" {
				words += " (" + clean(q.target.Found) + ")"
			}
			return &Error{What: incident.OutcomeRefused, Words: words}
		}
	}
	if q.target.Via != incident.ViaDirect {
		return nil
	}
	// The kernel is given the plain form of such an address, so that a check
	// of what is dialled would never see this one.
	if a, err := netip.ParseAddr(base.Hostname()); err == nil && a.Is4In6() {
		return &Error{What: incident.OutcomeRefused, Words: fmt.Sprintf("address %s is an IPv4 address in disguise: write it plainly", a)}
	}
	return nil
}

func pathOf(k incident.Kind) (string, error) {
	switch name := k.Profile(); name {
	case "cpu":
		return "profile", nil
	case "allocs", "goroutine", "heap", "mutex", "block":
		return name, nil
	}
	return "", &Error{What: incident.OutcomeTargetError, Words: fmt.Sprintf("no way to pull kind %q is known", clean(string(k)))}
}
