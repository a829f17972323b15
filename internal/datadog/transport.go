package datadog

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
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

// diverted hands calls to Options.DryRun. Its answers have nothing in them.
type diverted struct{ c *Client }

// notMade is the header of such an answer.
const notMade = "Profbot-Dry-Run"

func (d diverted) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	d.c.opt.DryRun(Call{Method: r.Method, Path: r.URL.RequestURI(), Body: d.c.secret.Replace(withoutHeaders(string(bytes.TrimSpace(body))))})
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}, notMade: {"true"}}, Body: io.NopCloser(strings.NewReader("{}")), Request: r,
	}, nil
}

// withoutHeaders hides the values of a webhook's headers in a body: what people
// added there may be a secret, unless it is a variable.
func withoutHeaders(body string) string {
	var fields map[string]any
	if json.Unmarshal([]byte(body), &fields) != nil {
		return body
	}
	text, _ := fields["custom_headers"].(string)
	var headers map[string]string
	if json.Unmarshal([]byte(text), &headers) != nil {
		return body
	}
	for k, v := range headers {
		if !strings.Contains(v, "$") {
			headers[k] = "[...]"
		}
	}
	hidden, err := json.Marshal(headers)
	if err != nil {
		return body
	}
	fields["custom_headers"] = string(hidden)
	// As the client writes it, keys in order and nothing escaped for HTML.
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(fields) != nil {
		return body
	}
	return strings.TrimSpace(out.String())
}
