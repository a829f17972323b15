package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	wire "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/profbot/profbot/internal/incident"
)

const (
	forwardTimeout = 10 * time.Second // for the API server and the node to open the way
	pingPeriod     = 10 * time.Second // keeps balancers between from closing a way on which a profile is awaited
)

// PortForward is the way to a pod through its portforward subresource: the
// node connects to the port inside the pod, so that pprof may listen on
// localhost alone. Every request has a connection of its own, which ends with
// its answer or with its context, which should end some time.
func (f *Finder) PortForward(t incident.Target) (http.RoundTripper, error) {
	if t.UID == "" {
		return nil, &Error{What: incident.OutcomeUnreachable, Words: "the target is no pod of the cluster"}
	}
	var config *tls.Config
	if f.opt.TLS != nil && strings.HasPrefix(t.URL, "https:") {
		var err error
		if config, err = f.opt.TLS(t); err != nil {
			return nil, err
		}
	}
	return &forward{finder: f, target: t, config: config}, nil
}

// forward sends requests through port-forwards.
type forward struct {
	finder *Finder
	target incident.Target
	config *tls.Config // nil for the system's authorities; never changed
}

// RoundTrip has a transport for each request, because one that is shared dials
// and shakes hands without regard to the request's context.
func (w *forward) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	return (&http.Transport{
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			conn, err := w.finder.dial(ctx, w.target, port)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		},
		TLSClientConfig:        w.config,
		TLSHandshakeTimeout:    3 * time.Second,
		DisableKeepAlives:      true,
		DisableCompression:     true, // profiles are compressed already
		MaxResponseHeaderBytes: 64 << 10,
	}).RoundTrip(req)
}

// dial opens a connection to a port of a pod. Errors are of type [*Error].
func (f *Finder) dial(ctx context.Context, t incident.Target, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, forwardTimeout, fmt.Errorf("no way to the pod within %s", forwardTimeout))
	defer cancel()
	to := f.client.Post().Namespace(t.Namespace).Resource("pods").Name(t.Pod).SubResource("portforward").URL()
	conn, err := f.upgrade(ctx, to)
	if err != nil {
		return nil, f.forwardWords(timedOut(ctx, err), t)
	}
	streams, err := spdy.NewClientConnectionWithPings(conn, pingPeriod)
	if err != nil {
		_ = conn.Close()
		return nil, f.forwardWords(timedOut(ctx, err), t)
	}
	// Opening streams takes no context.
	opening := context.AfterFunc(ctx, func() { _ = streams.Close() })
	c, err := newForwarded(streams, port)
	if !opening() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = streams.Close()
		return nil, f.forwardWords(timedOut(ctx, err), t)
	}
	return c, nil
}

func (f *Finder) forwardWords(err error, t incident.Target) error {
	if apierrors.IsNotFound(err) {
		return &Error{What: incident.OutcomeGone, Words: "the pod does not exist any more", err: err}
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return inWords(err, f.access("create", "portforward", t.Namespace))
}

// upgrade asks for SPDY, by POST, which needs one permission: create. The same
// through a websocket would need get too (and since Kubernetes 1.35 both).
// The connection lives on when ctx ends.
func (f *Finder) upgrade(ctx context.Context, to *url.URL) (net.Conn, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	req.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	req.Header.Set(httpstream.HeaderProtocolVersion, wire.PortForwardV1Name)
	resp, err := f.upgrading.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if body, ok := resp.Body.(io.ReadWriteCloser); ok && resp.StatusCode == http.StatusSwitchingProtocols && strings.EqualFold(resp.Header.Get(httpstream.HeaderUpgrade), spdy.HeaderSpdy31) {
		return upgraded{body}, nil
	}
	defer resp.Body.Close()
	begin, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return nil, err
	}
	if status, ok := statusIn(begin); ok {
		status.Code = int32(resp.StatusCode)
		return nil, &apierrors.StatusError{ErrStatus: status}
	}
	return nil, &Error{
		What: incident.OutcomeUnreachable, retry: true,
		Words: fmt.Sprintf("in place of a port-forward the API server, or what stands before it, gives HTTP %d: %s (where SPDY cannot pass, kubernetes.reach has to be pod-ip or proxy)", resp.StatusCode, clean(string(begin))),
	}
}

// upgraded is the connection beneath an upgraded request.
type upgraded struct{ io.ReadWriteCloser }

func (upgraded) LocalAddr() net.Addr              { return address("profbot") }
func (upgraded) RemoteAddr() net.Addr             { return address("API server") }
func (upgraded) SetDeadline(time.Time) error      { return errNoDeadline }
func (upgraded) SetReadDeadline(time.Time) error  { return errNoDeadline }
func (upgraded) SetWriteDeadline(time.Time) error { return errNoDeadline }

var errNoDeadline = errors.New("connections through the API server have no deadlines: they end when they are closed")

type address string

func (address) Network() string  { return "portforward" }
func (a address) String() string { return string(a) }

// forwarded is a connection to a port inside a pod.
type forwarded struct {
	httpstream.Stream // data
	upgraded          // for addresses and deadlines alone

	streams httpstream.Connection
	// trouble gets what the node says on the error stream, "" for nothing, once
	// that stream ends, which it does at the latest when streams is closed.
	trouble chan string
	port    string
}

func newForwarded(streams httpstream.Connection, port string) (*forwarded, error) {
	h := http.Header{}
	h.Set(corev1.PortHeader, port)
	h.Set(corev1.PortForwardRequestIDHeader, "0")
	h.Set(corev1.StreamType, corev1.StreamTypeError)
	complaints, err := streams.CreateStream(h)
	if err != nil {
		return nil, err
	}
	_ = complaints.Close() // nothing is ever sent on it
	h.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := streams.CreateStream(h)
	if err != nil {
		return nil, err
	}
	c := &forwarded{Stream: data, streams: streams, trouble: make(chan string, 1), port: port}
	go func() { // ends with the error stream
		said, _ := io.ReadAll(io.LimitReader(complaints, maxStatus)) // best effort: a broken stream says nothing
		c.trouble <- string(said)
	}()
	return c, nil
}

// Read prefers what the node says to the bare end of the stream.
func (c *forwarded) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	if n > 0 || err == nil {
		return n, err
	}
	select {
	case said := <-c.trouble:
		if c.trouble <- ""; said != "" {
			return 0, &Error{What: incident.OutcomeUnreachable, Words: fmt.Sprintf("the pod does not answer at port %s of its localhost: %s", c.port, clean(said)), retry: true}
		}
	case <-time.After(time.Second):
	}
	return 0, err
}

// Write and Close choose between the two that are embedded.
func (c *forwarded) Write(p []byte) (int, error) { return c.Stream.Write(p) }

// Close ends the streams and the connection that carries them.
func (c *forwarded) Close() error { return c.streams.Close() }
