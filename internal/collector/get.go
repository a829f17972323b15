package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// get asks for one profile and reads it within the limits. wait bounds all of
// it, from dialling to the last byte.
func (c *Collector) get(ctx context.Context, u *url.URL, authorization string, wait time.Duration) (p Profile, err error) {
	outer := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("no complete answer within %s", wait))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return p, &Error{What: incident.OutcomeUnreachable, Words: "the configured address cannot be asked"}
	}
	req.Header.Set("User-Agent", "profbot")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	secrets := secretsOf(authorization)
	p.Started = time.Now()
	resp, err := c.client.Do(req)
	if err != nil {
		return p, transportError(outer, ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return p, statusError(resp, u, secrets)
	}
	if resp.ContentLength > c.opt.MaxBytes {
		return p, &Error{What: incident.OutcomeTooLarge, Words: fmt.Sprintf("it announces %d bytes, the limit is %d", resp.ContentLength, c.opt.MaxBytes)}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, c.opt.MaxBytes+1))
	if err != nil {
		return p, transportError(outer, ctx, err)
	}
	p.Took = time.Since(p.Started)
	if int64(len(data)) > c.opt.MaxBytes {
		return p, &Error{What: incident.OutcomeTooLarge, Words: fmt.Sprintf("it sends more than the limit of %d bytes", c.opt.MaxBytes)}
	}
	p.Data, p.RawBytes, err = vet(data, c.opt.MaxRawBytes, secrets)
	return p, err
}

// transportError tells apart why there is no whole answer. outer is the
// caller's context, ctx the one with the time limit.
func transportError(outer, ctx context.Context, err error) error {
	if outer.Err() != nil {
		return canceled(outer)
	}
	if ctx.Err() != nil {
		return &Error{What: incident.OutcomeTimeout, Words: context.Cause(ctx).Error()}
	}
	e := &Error{What: incident.OutcomeUnreachable, retry: true}
	// url.Error would repeat the address, which people find in their
	// configuration.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	switch {
	case errors.Is(err, io.EOF):
		e.Words = "the connection was closed without an answer"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Words = "the connection was closed in the middle of the answer"
	default:
		e.Words = clean(err.Error())
	}
	return e
}

func canceled(ctx context.Context) error {
	return &Error{What: incident.OutcomeCanceled, Words: clean(context.Cause(ctx).Error())}
}

// The words of net/http/pprof that decide what happens next.
const (
	wordsBusy         = "cpu profiling already in use"
	wordsWriteTimeout = "profile duration exceeds server's writetimeout"
)

// statusError reads the target's words and tells what they mean.
func statusError(resp *http.Response, u *url.URL, secrets []string) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, excerptBytes)) // best effort: the status is what counts
	words := excerpt(body, secrets)
	lower := strings.ToLower(words)
	status := resp.StatusCode
	e := &Error{What: incident.OutcomeTargetError, Status: status, Words: fmt.Sprintf("HTTP %d: %s", status, words)}
	switch {
	case status == http.StatusInternalServerError && strings.Contains(lower, wordsBusy):
		e.What, e.Words, e.retry = incident.OutcomeBusy, words, true
	case status == http.StatusBadRequest && strings.Contains(lower, wordsWriteTimeout):
		e.Words, e.writeTimeout = words, true
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.What = incident.OutcomeDenied
		e.Words = fmt.Sprintf("HTTP %d: check authorization in the service's configuration", status)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		e.What = incident.OutcomeNoPprof
		e.Words = fmt.Sprintf("HTTP %d at %s: import net/http/pprof in the service and check the path", status, clean(u.EscapedPath()))
	case status >= 300 && status < 400:
		e.What = incident.OutcomeNoPprof
		e.Words = fmt.Sprintf("HTTP %d: it points to %s, and redirects are not followed", status, elsewhere(resp, secrets))
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		e.retry = true
	}
	return e
}

// elsewhere names the host that a redirect points to. The rest of the address
// may hold a session or a token.
func elsewhere(resp *http.Response, secrets []string) string {
	to, err := resp.Location()
	if err != nil {
		return "nowhere"
	}
	return fmt.Sprintf("host %q", excerpt([]byte(to.Hostname()), secrets))
}
