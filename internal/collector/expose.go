package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Exposure is what a stranger gets of a target's pprof: somebody who reaches
// the port and has neither the Authorization nor the client certificate.
type Exposure struct {
	Open    bool       // pprof answers him
	Address netip.Addr // where
	Public  bool       // that is outside the private networks, so that the world may reach it
	Shared  bool       // the same port serves something else: who reaches that reaches pprof
}

// exposeIn bounds all of an Expose.
const exposeIn = 10 * time.Second

// ErrNotDirect says that a target is not dialled, so that nobody else's way to
// it can be tried from here.
var ErrNotDirect = errors.New("the target is not reached directly")

// Expose asks a target as a stranger would: for a profile that does not exist,
// which costs it nothing and which only pprof answers, and for its front page.
// Errors are of type [*Error], or [ErrNotDirect].
func (c *Collector) Expose(ctx context.Context, t incident.Target) (Exposure, error) {
	if t.Via != incident.ViaDirect {
		return Exposure{}, ErrNotDirect
	}
	outer := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, exposeIn, fmt.Errorf("no complete answer within %s", exposeIn))
	defer cancel()
	q := &pull{c: c, target: t, secrets: secretsOf(t.Authorization), begun: time.Now()}
	base, err := url.Parse(t.URL)
	if err != nil || base.Hostname() == "" {
		return Exposure{}, &Error{What: incident.OutcomeUnreachable, Words: "the configured address is no http or https address"}
	}
	base.User, base.RawQuery, base.Fragment = nil, "", ""
	if err := q.refused("", base); err != nil {
		return Exposure{}, err
	}
	if c.opt.Confirm != nil {
		if err := q.confirm(ctx); err != nil {
			return Exposure{}, err
		}
	}
	client := c.stranger(t.TLS)
	defer client.CloseIdleConnections()
	var x Exposure
	resp, err := q.knock(outer, ctx, client, base.JoinPath("profbot-doctor"), &x.Address)
	if err != nil {
		return x, err
	}
	// net/http/pprof answers "unknown profile"; one of Go before 1.10 does so
	// without the header.
	x.Open = resp.status == http.StatusNotFound && (resp.header.Get("X-Go-Pprof") != "" || strings.Contains(resp.body, "Unknown profile"))
	x.Public = x.Address.IsValid() && !slices.ContainsFunc(privateNetworks, func(p netip.Prefix) bool { return p.Contains(x.Address) })
	if !x.Open {
		return x, nil
	}
	root := *base
	root.Path, root.RawPath = "/", ""
	if resp, err = q.knock(outer, ctx, client, &root, nil); err != nil {
		return x, err
	}
	x.Shared = resp.other()
	return x, nil
}

// other tells whether a front page is that of something beside pprof. A port of
// pprof's own has nothing there, a hint to the index, or pprof itself. A
// redirect to a login, the asking for credentials, and an API's "not found" in
// JSON come from something that serves.
func (k knocked) other() bool {
	switch {
	case k.header.Get("X-Go-Pprof") != "", strings.Contains(k.body+k.header.Get("Location"), "/debug/pprof"):
		return false
	case k.status == http.StatusNotFound:
		return strings.Contains(k.header.Get("Content-Type"), "json")
	}
	return k.status/100 >= 2 && k.status/100 <= 4
}

// stranger is a client without a certificate of its own.
func (c *Collector) stranger(name string) *http.Client {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if of := c.opt.TLS[name]; of != nil {
		cfg = of.Clone()
		cfg.Certificates, cfg.GetClientCertificate = nil, nil
	}
	return c.client(cfg)
}

// knocked is the beginning of an answer.
type knocked struct {
	status int
	header http.Header
	body   string
}

// knock asks without credentials. at is where the address goes that was
// dialled; nil for nowhere.
func (q *pull) knock(outer, ctx context.Context, client *http.Client, u *url.URL, at *netip.Addr) (knocked, error) {
	if at != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			if ap, err := netip.ParseAddrPort(i.Conn.RemoteAddr().String()); err == nil {
				*at = ap.Addr().Unmap().WithZone("")
			}
		}})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return knocked{}, &Error{What: incident.OutcomeUnreachable, Words: "the configured address cannot be asked"}
	}
	req.Header.Set("User-Agent", "profbot")
	resp, err := client.Do(req)
	if err != nil {
		return knocked{}, q.noAnswer(outer, ctx, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, excerptBytes)) // its beginning is enough, or none
	return knocked{resp.StatusCode, resp.Header, string(body)}, nil
}
