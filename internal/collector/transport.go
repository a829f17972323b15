package collector

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// client asks directly dialled targets with one set of TLS settings.
func (c *Collector) client(cfg *tls.Config) *http.Client {
	if c.opt.Transport != nil {
		return clientOf(c.opt.Transport)
	}
	return clientOf(c.transport(cfg))
}

func clientOf(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: rt,
		// Only listed targets are dialled, so an answer that points elsewhere
		// is an error and not an instruction.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport is for asking each pod rarely: no connection outlives its answer,
// no proxy from the environment stands between, and HTTP/2 is not spoken, so
// that the end of a request is the end of a connection, which every target
// notices.
func (c *Collector) transport(cfg *tls.Config) *http.Transport {
	dial := (&net.Dialer{Timeout: 3 * time.Second, Resolver: c.opt.Resolver, ControlContext: c.guard.control}).DialContext
	if c.opt.dial != nil {
		dial = c.opt.dial
	}
	t := &http.Transport{
		DialContext:            untilPullEnds(dial),
		TLSHandshakeTimeout:    3 * time.Second,
		DisableKeepAlives:      true,
		DisableCompression:     true, // profiles are compressed already
		MaxResponseHeaderBytes: 64 << 10,
	}
	if cfg != nil {
		t.TLSClientConfig = cfg.Clone()
	}
	return t
}

// pullKey is the key of a pull's context within the contexts that come from it.
type pullKey struct{}

// untilPullEnds ends dialling, and what was dialled, with the pull that it is
// for. A transport dials and shakes hands without regard to the request's
// context, since another request might use the connection: here none will,
// and a canceled pull must leave nothing behind.
func untilPullEnds(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		pull, ok := ctx.Value(pullKey{}).(context.Context)
		if !ok {
			pull = ctx
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(pull, func() { cancel(context.Cause(pull)) })()
		conn, err := dial(ctx, network, address)
		if err == nil {
			context.AfterFunc(pull, func() { _ = conn.Close() }) // every pull's context ends
		}
		return conn, err
	}
}

// reach confirms the target and returns the client that leads to it; done is
// called after the answer.
func (q *pull) reach(ctx context.Context) (client *http.Client, done func(), err error) {
	if q.c.opt.Confirm != nil {
		if err := q.confirm(ctx); err != nil {
			return nil, nil, err
		}
	}
	via := q.target.Via
	if via == incident.ViaDirect {
		client := q.c.clients[q.target.TLS]
		if client == nil {
			return nil, nil, &Error{What: incident.OutcomeUnreachable, Words: fmt.Sprintf("its TLS settings %q are not known", clean(q.target.TLS)), neutral: true}
		}
		return client, func() {}, nil
	}
	open := q.c.opt.Via[via]
	if open == nil {
		return nil, nil, &Error{What: incident.OutcomeUnreachable, Words: fmt.Sprintf("it is reached by %s, which is not set up", clean(string(via))), neutral: true}
	}
	rt, err := open(q.target)
	if err != nil {
		return nil, nil, q.said(err, &Error{What: incident.OutcomeUnreachable, Words: fmt.Sprintf("no way to it by %s: %s", clean(string(via)), q.secrets.quote(err.Error())), retry: true})
	}
	client = clientOf(rt)
	return client, client.CloseIdleConnections, nil
}

// confirmIn bounds the asking whether a pod is still itself: what knows is a
// cache, or the API server nearby.
const confirmIn = 5 * time.Second

func (q *pull) confirm(outer context.Context) error {
	ctx, cancel := context.WithTimeoutCause(outer, confirmIn, fmt.Errorf("no answer within %s", confirmIn))
	defer cancel()
	err := q.c.opt.Confirm(ctx, q.target)
	switch {
	case err == nil:
		return nil
	case outer.Err() != nil:
		return canceled(outer, q.secrets)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return q.said(err, &Error{What: incident.OutcomeDiscovery, Words: "not asked, since whether it is still the chosen pod is not known: " + q.secrets.quote(err.Error()), retry: true})
}
