package datadog

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// operationKey carries an operation's name to the transport.
type operationKey struct{}

func operationOf(ctx context.Context) string {
	name, _ := ctx.Value(operationKey{}).(string)
	return name
}

// limited bounds the answers, which the client reads whole, and reads what
// they say about rate limits: those of attempts that the client repeats too.
type limited struct{ c *Client }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.c.opt.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
		l.c.limits.learn(operationOf(r.Context()), resp.StatusCode, resp.Header, l.c.opt.Now())
	}
	return resp, err
}

// Call is a call that was not made; see Options.DryRun.
type Call struct {
	Method string
	Path   string // with the query
	Body   string // JSON, without secrets: [...] stands for each
}

// diverted hands calls to Options.DryRun, and answers with what they say as
// Datadog does.
type diverted struct{ c *Client }

func (d diverted) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	d.c.opt.DryRun(Call{Method: r.Method, Path: r.URL.RequestURI(), Body: d.c.secret.Replace(string(bytes.TrimSpace(body)))})
	if len(body) == 0 {
		body = []byte("{}")
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}
