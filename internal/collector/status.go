package collector

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// The words of net/http/pprof that decide what happens next.
const (
	wordsBusy         = "cpu profiling already in use"
	wordsWriteTimeout = "profile duration exceeds server's writetimeout"
)

// statusError reads the target's words and tells what they mean.
func statusError(resp *http.Response, u *url.URL, s secrets) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, excerptBytes)) // best effort: the status is what counts
	words := s.excerpt(body)
	lower := strings.ToLower(words)
	status := resp.StatusCode
	says := ""
	if len(body) > 0 {
		says = fmt.Sprintf(" (it says %q)", words)
	}
	e := &Error{What: incident.OutcomeTargetError, Status: status, Words: fmt.Sprintf("HTTP %d: %s", status, words), after: retryAfter(resp.Header)}
	switch {
	case status >= 400 && strings.Contains(lower, wordsBusy):
		e.What, e.Words, e.retry = incident.OutcomeBusy, words, true
	case status == http.StatusBadRequest && strings.Contains(lower, wordsWriteTimeout):
		e.Words, e.writeTimeout = words, true
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.What = incident.OutcomeDenied
		e.Words = fmt.Sprintf("HTTP %d: check authorization in the service's configuration%s", status, says)
	case status == http.StatusNotFound && resp.Header.Get("X-Go-Pprof") != "":
		e.What = incident.OutcomeNoPprof
		e.Words = fmt.Sprintf("HTTP 404: its pprof has no such profile%s", says)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusGone:
		e.What = incident.OutcomeNoPprof
		e.Words = fmt.Sprintf("HTTP %d at %s: import net/http/pprof in the service and check the path%s", status, s.quote(u.EscapedPath()), says)
	case status >= 300 && status < 400:
		e.What = incident.OutcomeNoPprof
		e.Words = fmt.Sprintf("HTTP %d: it points to %s, and redirects are not followed", status, elsewhere(resp, s))
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout || status == http.StatusTooManyRequests:
		e.retry = true
		if e.after > 0 {
			e.Words += fmt.Sprintf(" (it asks to wait %s)", e.after)
		}
	}
	return e
}

// elsewhere names the host that a redirect points to. The rest of the address
// may hold a session or a token.
func elsewhere(resp *http.Response, s secrets) string {
	to, err := resp.Location()
	if err != nil {
		return "nowhere"
	}
	return fmt.Sprintf("host %q", s.excerpt([]byte(to.Hostname())))
}

// retryAfter reads how long a target asks to wait, in seconds or until a time.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	var d time.Duration
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(n, 0), 3600)) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = time.Until(at).Round(time.Second)
	}
	return min(max(d, 0), time.Hour)
}
