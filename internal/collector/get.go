package collector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// get asks for one profile and reads it within the limits. It takes at most
// window and the slack, from confirming to the last byte.
func (q *pull) get(outer context.Context, u *url.URL, window time.Duration) (p Profile, err error) {
	opt := &q.c.opt
	wait := window + opt.Slack
	ctx, cancel := context.WithTimeoutCause(outer, wait, fmt.Errorf("no complete answer within %s", wait))
	defer cancel()
	client, done, err := q.reach(ctx)
	if err != nil {
		if outer.Err() != nil { // its own words would be those of the time limit within
			err = canceled(outer, q.secrets)
		}
		return p, err
	}
	defer done()

	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	ctx = context.WithValue(ctx, pullKey{}, ctx)
	p.Started = time.Now()
	started := p.Started
	var asked atomic.Pointer[time.Time] // when the request was written; nil: it was not
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(w httptrace.WroteRequestInfo) {
		if w.Err == nil {
			asked.Store(new(time.Now()))
		}
	}})
	if window > 0 {
		defer func() {
			p.Window = window
			if p.Asked = window; err != nil {
				p.Asked = 0
				if at := asked.Load(); at != nil {
					p.Asked = min(window, time.Since(*at))
				}
			}
		}()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return p, &Error{What: incident.OutcomeUnreachable, Words: "the configured address cannot be asked"}
	}
	req.Header.Set("User-Agent", "profbot")
	req.Header.Set("Accept-Encoding", "identity") // what comes is compressed already
	if q.target.Authorization != "" {
		req.Header.Set("Authorization", q.target.Authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		return p, q.noAnswer(outer, ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// An error has few words: if they do not come soon, it goes without.
		defer time.AfterFunc(opt.Idle, func() { giveUp(errors.New("its words do not come")) }).Stop()
		err := statusError(resp, u, q.secrets)
		if outer.Err() != nil {
			return p, canceled(outer, q.secrets)
		}
		return p, err
	}
	if resp.ContentLength > opt.MaxBytes {
		return p, &Error{What: incident.OutcomeTooLarge, Words: fmt.Sprintf("it announces %d bytes, the limit is %d", resp.ContentLength, opt.MaxBytes)}
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" && e != "gzip" && e != "x-gzip" {
		return p, &Error{What: incident.OutcomeNotProfile, Words: fmt.Sprintf("it is encoded with %q, which was not asked for", q.secrets.quote(e))}
	}
	// A target may answer at once and say no more until the window is over.
	patience := func() time.Duration { return max(0, window-time.Since(started)) + opt.Idle }
	body := &steady{r: resp.Body, patience: patience, timer: time.AfterFunc(patience(), func() {
		giveUp(fmt.Errorf("nothing came for %s in the middle of the answer", opt.Idle))
	})}
	defer body.timer.Stop()
	data, err := io.ReadAll(io.LimitReader(body, opt.MaxBytes+1))
	if err != nil {
		return p, q.brokenOff(outer, ctx, err, len(data))
	}
	p.Took = time.Since(p.Started)
	if int64(len(data)) > opt.MaxBytes {
		return p, &Error{What: incident.OutcomeTooLarge, Words: fmt.Sprintf("it sends more than the limit of %d bytes", opt.MaxBytes)}
	}
	p.Data, p.RawBytes, p.Samples, err = vet(data, q.kind, limits{raw: opt.MaxRawBytes, samples: opt.MaxSamples}, q.secrets)
	return p, err
}

// steady puts the timer off while bytes come.
type steady struct {
	r        io.Reader
	timer    *time.Timer
	patience func() time.Duration // from now on
}

func (s *steady) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if n > 0 && err == nil {
		s.timer.Reset(s.patience())
	}
	return n, err
}

// ended tells whether a time limit or the caller ended an exchange. outer is
// the caller's context, ctx the one with the limits.
func (q *pull) ended(outer, ctx context.Context, got int) *Error {
	switch {
	case outer.Err() != nil:
		return canceled(outer, q.secrets)
	case ctx.Err() == nil:
		return nil
	}
	e := &Error{What: incident.OutcomeTimeout, Words: context.Cause(ctx).Error()}
	if got > 0 {
		e.Words += fmt.Sprintf(", after %d bytes", got)
	}
	return e
}

// netHTTP takes off what net/http puts before an error, which depends on the
// moment and tells people nothing.
var netHTTP = strings.NewReplacer("net/http: HTTP/1.x transport connection broken: ", "", "readLoopPeekFailLocked: ", "")

// noAnswer tells apart why there is no answer.
func (q *pull) noAnswer(outer, ctx context.Context, err error) error {
	if e := q.ended(outer, ctx, 0); e != nil {
		return e
	}
	// url.Error would repeat the address, which people find in their
	// configuration.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if _, ok := errors.AsType[outcome](err); ok && q.target.Via != incident.ViaDirect {
		return q.said(err, nil) // the way knows what is in it
	}
	words := q.secrets.quote(netHTTP.Replace(err.Error()))
	e := &Error{What: incident.OutcomeUnreachable, Words: words}
	if r, ok := errors.AsType[*refusal](err); ok {
		return &Error{What: incident.OutcomeRefused, Words: clean(r.words), neutral: true}
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case untrusted, unknown:
		e.Words = "its certificate is not trusted: " + words
	case noTLS, strings.Contains(words, "HTTP response to HTTPS client"):
		e.Words = "it does not speak TLS: " + words
	case strings.Contains(words, "tls: certificate required"), strings.Contains(words, "tls: bad certificate"), strings.Contains(words, "tls: unknown certificate"):
		e.What, e.Words = incident.OutcomeDenied, "it wants another client certificate: check tls in the service's configuration ("+words+")"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Words, e.retry = "the connection was closed without an answer", true
	case !network && !strings.Contains(words, "tls: "):
		e.What, e.Words = incident.OutcomeNoPprof, "its answer is no HTTP: "+words
	default:
		e.retry = !strings.Contains(words, "tls: ")
	}
	return e
}

// brokenOff tells apart why an answer did not come to its end.
func (q *pull) brokenOff(outer, ctx context.Context, err error, got int) error {
	if e := q.ended(outer, ctx, got); e != nil {
		return e
	}
	e := &Error{What: incident.OutcomeUnreachable, Words: q.secrets.quote(err.Error()), retry: true}
	_, network := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Words = fmt.Sprintf("the connection was closed in the middle of the answer, after %d bytes", got)
	case !network:
		e.What, e.Words = incident.OutcomeNotProfile, "the answer is damaged: "+e.Words
	}
	return e
}
