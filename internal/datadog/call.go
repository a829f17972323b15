package datadog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	api "github.com/DataDog/datadog-api-client-go/v2/api/datadog"
)

// maxWords is how much of an answer that is an error is quoted, in bytes.
const maxWords = 300

// operation is one kind of call.
type operation struct {
	name string // of the API, for logs and rate limits: "QueryMetrics"
	// doing is what a failure is a failure of: "ask Datadog for container.cpu.usage".
	doing string
	// permission is what the application key needs; "" when the API key alone
	// is needed.
	permission string
}

// failure is a failed call in words that say what to do.
type failure struct {
	status int // 0 when there was no answer
	words  string
	next   string // what to do, step by step
}

func (f *failure) Error() string { return f.words }

// Next is what to do about an error of this package, step by step and in one
// line. It is "" when Datadog was not reached: then it is about the way there.
func Next(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.next
	}
	if l, ok := errors.AsType[later](err); ok {
		return fmt.Sprintf("run it again in %s; if that does not help, another user of the organisation's API uses the limit up: look at the metric datadog.apis.usage.per_org", l.after)
	}
	return ""
}

// later is an error that says when to come back.
type later struct {
	after time.Duration
	words string
}

func (l later) Error() string { return l.words }

// RetryAfter is how long to wait before the next call.
func (l later) RetryAfter() time.Duration { return l.after }

// statusOf is the status that a call failed with; 0 when it had no answer.
func statusOf(err error) int {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.status
	}
	return 0
}

// call makes one call with everything that all have in common: the rate
// limit, the time limit, the log, and the words of a failure.
func call[T any](ctx context.Context, c *Client, op operation, f func(context.Context) (T, *http.Response, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	var none T
	if ctx.Err() != nil {
		return none, fmt.Errorf("%s: %w", op.doing, context.Cause(ctx))
	}
	if err := c.limits.take(op.name, c.opt.Now()); err != nil {
		return none, fmt.Errorf("%s: %w", op.doing, err)
	}
	v, hr, err := f(c.context(context.WithValue(ctx, operationKey{}, op.name)))
	if hr != nil {
		_ = hr.Body.Close() // read by the client
		c.opt.Logger.DebugContext(ctx, "called Datadog", "operation", op.name, "status", hr.StatusCode,
			"limit", hr.Header.Get("X-RateLimit-Name"), "remaining", hr.Header.Get("X-RateLimit-Remaining"))
	}
	if hr != nil && hr.Header.Get(notMade) != "" && c.opt.DryRun != nil {
		return v, nil // whatever the client misses in the answer
	}
	if err != nil {
		return none, fmt.Errorf("%s: %w", op.doing, c.explain(ctx, op, hr, err))
	}
	return v, nil
}

// explain turns a failed call into words that say what to do.
func (c *Client) explain(ctx context.Context, op operation, hr *http.Response, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	answer, ok := errors.AsType[api.GenericOpenAPIError](err)
	if hr == nil || !ok {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the address and its long query
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return errors.New("the connection was closed before the answer was complete")
		}
		return err
	}
	words := c.quote(errorWords(answer.ErrorBody))
	keys := "datadog.api_key"
	if op.permission != "" {
		keys = fmt.Sprintf("datadog.api_key, datadog.app_key (scope %s)", op.permission)
	}
	f := &failure{status: hr.StatusCode, next: "look at https://status.datadoghq.com, and run it again"}
	const between = "something between here and Datadog answers in its place: leave datadog.api_url empty, set datadog.site to the site in the address of your Datadog pages, and look at HTTPS_PROXY"
	switch status := hr.StatusCode; {
	case status == http.StatusForbidden && op.permission != "" && strings.Contains(words, "permission authorization"):
		f.next = c.grant(op.permission)
		f.words = fmt.Sprintf("HTTP 403: datadog.app_key, or the role of its owner, lacks the permission %s; it says %q", op.permission, words)
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		f.next = c.renew(op.permission)
		f.words = fmt.Sprintf("HTTP %d: check %s and datadog.site; it says %q", status, keys, words)
	case status == http.StatusTooManyRequests:
		reset := hr.Header.Get("X-RateLimit-Reset")
		f.words = fmt.Sprintf("HTTP 429: the rate limit %q is used up for %s s", hr.Header.Get("X-RateLimit-Name"), cmp.Or(reset, "?"))
		if n, err := strconv.Atoi(reset); err == nil && n >= 0 {
			return later{min(time.Duration(min(n, 1<<30))*time.Second, maxReset), f.words}
		}
	case status >= 300 && status < 400:
		f.next = between
		f.words = fmt.Sprintf("HTTP %d: redirects are not followed, since the keys would go along; check datadog.site and datadog.api_url", status)
	case status < 300 && json.Valid(answer.ErrorBody):
		// Not quoted: what it is made of may be somebody's secret.
		f.next = between
		f.words = "the answer is not understood: it is JSON of another shape"
	case status < 300:
		f.next = between
		f.words = fmt.Sprintf("the answer is not understood: it begins with %q", words)
	case status == http.StatusBadRequest:
		f.next = "compare datadog.metric and datadog.memory with their names on " + c.site() + "/metric/summary"
		f.words = fmt.Sprintf("HTTP %d: %q", status, words)
	case status < 500:
		f.next = between
		f.words = fmt.Sprintf("HTTP %d: %q", status, words)
	default:
		f.words = fmt.Sprintf("HTTP %d: %q", status, words)
	}
	return f
}

// keysPage is where an organisation's keys are: kind is "api" or "application".
func (c *Client) keysPage(kind string) string {
	return c.site() + "/organization-settings/" + kind + "-keys"
}

// grant is the next step where the application key lacks a permission.
func (c *Client) grant(permission string) string {
	return fmt.Sprintf("open %s, choose the key of datadog.app_key, and under Scope add %s; where it has no scopes, give a role of its owner that permission", c.keysPage("application"), permission)
}

// renew is the next step where Datadog knows a key not at all: the application
// key when a permission is needed, else the API key.
func (c *Client) renew(permission string) string {
	if permission == "" {
		return fmt.Sprintf("open %s, copy a key into datadog.api_key (PROFBOT_DATADOG_API_KEY) and restart profbot; if your Datadog pages are at another address than %s, set datadog.site to theirs: datadoghq.eu, us3.datadoghq.com, us5.datadoghq.com, ap1.datadoghq.com, ...",
			c.keysPage("api"), c.site())
	}
	return fmt.Sprintf("open %s, make a key with the scopes timeseries_query, monitors_read and events_read, put it into datadog.app_key (PROFBOT_DATADOG_APP_KEY) and restart profbot; it must be of the API key's organisation", c.keysPage("application"))
}

// errorWords is what an answer that is an error says, without the JSON around
// it where that is Datadog's own: {"errors":["..."]}.
func errorWords(body []byte) string {
	var answer struct{ Errors []string }
	if json.Unmarshal(body, &answer) == nil && len(answer.Errors) > 0 {
		return strings.Join(answer.Errors, "; ")
	}
	return string(body)
}

// quote shortens what Datadog says and takes the keys out of it.
func (c *Client) quote(words string) string {
	// Valid first: taking bytes out of a text could put a key together.
	words = c.secret.Replace(strings.ToValidUTF8(words, "\uFFFD"))
	return strings.ToValidUTF8(words[:min(len(words), maxWords)], "")
}

// replacer takes keys and secrets out of texts, as they are and as JSON writes
// them.
func replacer(opt Options) *strings.Replacer {
	var pairs []string
	for _, s := range append([]string{opt.APIKey, opt.AppKey}, opt.Secrets...) {
		if s == "" {
			continue
		}
		pairs = append(pairs, s, "[...]")
		if quoted, err := json.Marshal(s); err == nil && string(quoted[1:len(quoted)-1]) != s {
			pairs = append(pairs, string(quoted[1:len(quoted)-1]), "[...]")
		}
	}
	return strings.NewReplacer(pairs...)
}
