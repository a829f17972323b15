// Package collector pulls profiles from net/http/pprof endpoints of other
// people's production processes, and so takes care: bounded time, bounded
// bytes, one CPU profile per process at a time, no redirects, and every
// failure told apart and in the target's own words.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/profbot/profbot/internal/incident"
)

// Options configure a [Collector]. The zero value is right.
type Options struct {
	MaxBytes     int64         // of one profile as sent, compressed; 0 means 64 MiB
	MaxRawBytes  int64         // of one profile decompressed; 0 means 64 MiB: parsed it takes about five times that
	Simultaneous int           // pulls at once over all targets; 0 means 4
	Slack        time.Duration // time a target gets beyond the window; 0 means 15 s
	Logger       *slog.Logger  // nil discards
	// Transport dials the targets; nil means one that keeps no connections
	// and uses no proxy, since pods are dialled directly.
	Transport http.RoundTripper
}

// Collector pulls profiles. It is safe for concurrent use.
type Collector struct {
	opt    Options
	client *http.Client
	budget *semaphore.Weighted

	mu sync.Mutex // protects profiling and the waiting of its turns
	// profiling has, by address, the pods whose CPU is being profiled or
	// waited for: a process can only run one CPU profile.
	profiling map[string]*turn
}

type turn struct {
	place   chan struct{} // has one place: filled while a profile runs
	waiting int           // callers that run or wait
}

// New returns a Collector.
func New(opt Options) (*Collector, error) {
	if opt.MaxBytes < 0 || opt.MaxRawBytes < 0 || opt.Simultaneous < 0 || opt.Slack < 0 {
		return nil, errors.New("new collector: limits must not be negative")
	}
	if opt.MaxBytes == 0 {
		opt.MaxBytes = 64 << 20
	}
	if opt.MaxRawBytes == 0 {
		opt.MaxRawBytes = 64 << 20
	}
	if opt.Simultaneous == 0 {
		opt.Simultaneous = 4
	}
	if opt.Slack == 0 {
		opt.Slack = 15 * time.Second
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Transport == nil {
		opt.Transport = newTransport()
	}
	return &Collector{
		opt: opt,
		client: &http.Client{
			Transport: opt.Transport,
			// Only listed targets are dialled, so an answer that points
			// elsewhere is an error and not an instruction.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		budget:    semaphore.NewWeighted(int64(opt.Simultaneous)),
		profiling: map[string]*turn{},
	}, nil
}

// newTransport is for asking each pod rarely: no connection outlives its
// answer, and no proxy from the environment stands between.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		DisableKeepAlives:      true,
		DisableCompression:     true, // profiles are compressed already
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Profile is one profile as pulled.
type Profile struct {
	Data     []byte        // gzipped: as the target sent it, or by us when it sent it raw
	RawBytes int64         // decompressed size
	Window   time.Duration // what a CPU profile really sampled; 0 for other kinds
	Started  time.Time     // when the target was asked
	Took     time.Duration // from then to its last byte
}

// Pull takes one profile of one target. window is how long a CPU profile
// samples, rounded up to whole seconds, at least one (net/http/pprof takes no
// less: "seconds=0.5" silently becomes 30); other kinds ignore it. Errors are
// of type [*Error].
//
// A CPU profile waits for other CPU profiles of the same address, and every
// pull for a place among those that run; ctx ends the wait. A target whose
// WriteTimeout is shorter than the window is asked again for half, until it
// agrees; Profile.Window says what it sampled.
func (c *Collector) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (Profile, error) {
	path, err := pathOf(k)
	if err != nil {
		return Profile{}, err
	}
	base, err := url.Parse(t.URL)
	if err != nil || base.Hostname() == "" || base.Scheme != "http" && base.Scheme != "https" {
		return Profile{}, &Error{What: incident.OutcomeUnreachable, Words: "the configured address is no http or https address"}
	}
	base.User, base.RawQuery, base.Fragment = nil, "", ""
	if k == incident.KindCPU {
		// Before the budget, so that those who wait for one pod do not keep
		// others from being pulled.
		done, err := c.turn(ctx, base.JoinPath(path).String())
		if err != nil {
			return Profile{}, canceled(ctx)
		}
		defer done()
	}
	if c.budget.Acquire(ctx, 1) != nil {
		return Profile{}, canceled(ctx)
	}
	defer c.budget.Release(1)

	seconds := int(max(1, (window+time.Second-1)/time.Second))
	for {
		u := *base.JoinPath(path)
		wait := c.opt.Slack
		if k == incident.KindCPU {
			u.RawQuery = fmt.Sprintf("seconds=%d", seconds)
			wait += time.Duration(seconds) * time.Second
		}
		p, err := c.get(ctx, &u, t.Authorization, wait)
		if k == incident.KindCPU {
			p.Window = time.Duration(seconds) * time.Second
			if e, ok := errors.AsType[*Error](err); ok && e.writeTimeout && seconds > 1 { // ends: seconds halves
				c.opt.Logger.InfoContext(ctx, "target's WriteTimeout is shorter than the window, asking for half", "pod", t.Pod, "seconds", seconds)
				seconds /= 2
				continue
			}
		}
		return p, err
	}
}

func pathOf(k incident.Kind) (string, error) {
	switch name := k.Profile(); name {
	case "cpu":
		return "profile", nil
	case "allocs", "goroutine", "heap", "mutex", "block":
		return name, nil
	}
	return "", &Error{What: incident.OutcomeTargetError, Words: fmt.Sprintf("no way to pull kind %q is known", k)}
}

// turn waits until no other CPU profile of the address runs from here. The
// returned function ends the turn.
func (c *Collector) turn(ctx context.Context, address string) (done func(), err error) {
	c.mu.Lock()
	t := c.profiling[address]
	if t == nil {
		t = &turn{place: make(chan struct{}, 1)}
		c.profiling[address] = t
	}
	t.waiting++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(c.profiling, address)
		}
	}
	select {
	case t.place <- struct{}{}:
		return func() { <-t.place; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
