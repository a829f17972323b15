package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/profbot/profbot/internal/incident"
)

// Proxy is the way to a pod through the API server's proxy, pods/proxy. The
// API server keeps profbot's credentials for itself, and with them everything
// that stands in the Authorization header, and it talks https without looking
// at certificates: so a target that wants a header or a certificate of profbot
// cannot be reached this way, and the error says so.
func (f *Finder) Proxy(t incident.Target) (http.RoundTripper, error) {
	if t.UID == "" {
		return nil, &Error{What: incident.OutcomeUnreachable, Words: "the target is no pod of the cluster"}
	}
	if t.Authorization != "" {
		return nil, &Error{What: incident.OutcomeDenied, Words: "the service has an authorization, which the API server's proxy does not pass on: use kubernetes.reach: pod-ip or port-forward"}
	}
	if f.opt.TLS != nil && strings.HasPrefix(t.URL, "https:") {
		config, err := f.opt.TLS(t)
		if err != nil {
			return nil, err
		}
		if config != nil && (len(config.Certificates) > 0 || config.GetClientCertificate != nil) {
			return nil, &Error{What: incident.OutcomeDenied, Words: "the service wants a certificate of profbot, which the API server's proxy does not pass on: use kubernetes.reach: pod-ip or port-forward"}
		}
	}
	return &proxy{finder: f, target: t}, nil
}

// proxy sends requests for a pod to the API server.
type proxy struct {
	finder *Finder
	target incident.Target
}

// RoundTrip gives the pod's answer. What the API server itself has to say in
// place of it is an error, of type [*Error].
func (p *proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	// With this header the request would go out as whoever the header says,
	// and the secret of a pod to the API server.
	if req.Header.Get("Authorization") != "" {
		return nil, &Error{What: incident.OutcomeDenied, Words: "an authorization cannot be sent through the API server's proxy"}
	}
	name := p.target.Pod + ":" + req.URL.Port()
	if req.URL.Scheme == "https" {
		name = "https:" + name
	}
	to := p.finder.client.Get().Namespace(p.target.Namespace).Resource("pods").Name(name).SubResource("proxy").URL()
	to = to.JoinPath(req.URL.EscapedPath())
	to.RawQuery = req.URL.RawQuery
	out := req.Clone(req.Context())
	out.URL, out.Host = to, ""
	resp, err := p.finder.through.RoundTrip(out)
	if err != nil {
		return nil, p.failed(req.Context(), err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	return p.tellApart(resp)
}

// maxStatus bounds what is read of an answer to see whose it is.
const maxStatus = 64 << 10

// tellApart gives the pod's answer back, and the API server's as an error.
func (p *proxy) tellApart(resp *http.Response) (*http.Response, error) {
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return resp, nil
	}
	begin, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		resp.Body.Close()
		return nil, p.failed(resp.Request.Context(), err)
	}
	status, ok := statusIn(begin)
	if !ok || !ours(status) {
		resp.Body = readCloser{io.MultiReader(bytes.NewReader(begin), resp.Body), resp.Body}
		return resp, nil
	}
	resp.Body.Close()
	status.Code = int32(resp.StatusCode)
	return nil, inProxyWords(&apierrors.StatusError{ErrStatus: status}, p.finder.access("get", "proxy", p.target.Namespace))
}

// inProxyWords also knows what happened between API server and pod.
func inProxyWords(err *apierrors.StatusError, a access) error {
	const dialled = "error trying to reach service: "
	if _, words, ok := strings.Cut(err.ErrStatus.Message, dialled); ok {
		return &Error{What: incident.OutcomeUnreachable, Words: "the API server cannot reach the pod: " + clean(words), retry: true, err: err}
	}
	if apierrors.IsNotFound(err) {
		return &Error{What: incident.OutcomeGone, Words: "the pod does not exist any more", err: err}
	}
	return inWords(err, a)
}

// failed is about a connection to the API server that broke. The end of the
// caller's context is the caller's to explain.
func (p *proxy) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return &Error{What: incident.OutcomeUnreachable, Words: "the API server does not answer: " + clean(err.Error()), retry: true, err: err}
}

type readCloser struct {
	io.Reader
	io.Closer
}
