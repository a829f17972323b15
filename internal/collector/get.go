package collector

import (
	"bufio"
	"bytes"
	"compress/gzip"
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

// get asks for one profile and reads it within the limits.
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
	p.Started = time.Now()
	resp, err := c.client.Do(req)
	if err != nil {
		return p, transportError(outer, ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return p, statusError(resp, u.Path)
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
		return p, &Error{What: incident.OutcomeTooLarge, Words: fmt.Sprintf("more than the limit of %d bytes", c.opt.MaxBytes)}
	}
	p.Data, p.RawBytes, err = vet(data, c.opt.MaxRawBytes)
	return p, err
}

// vet makes sure that the bytes are a whole profile within the raw limit, and
// compresses them when they came raw. It never holds the raw bytes of a
// compressed profile in memory.
func vet(data []byte, maxRaw int64) (gz []byte, raw int64, err error) {
	if len(data) == 0 {
		return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "the answer is empty"}
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		if !looksLikeProfile(data) {
			return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "it begins with " + excerpt(data)}
		}
		if int64(len(data)) > maxRaw {
			return nil, 0, &Error{What: incident.OutcomeTooLarge, Words: fmt.Sprintf("more than the limit of %d bytes", maxRaw)}
		}
		var b bytes.Buffer
		zw := gzip.NewWriter(&b)
		_, werr := zw.Write(data)
		if err := errors.Join(werr, zw.Close()); err != nil {
			return nil, 0, fmt.Errorf("compress profile: %w", err) // a bytes.Buffer does not fail
		}
		return b.Bytes(), int64(len(data)), nil
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "it is no whole gzip stream"}
	}
	br := bufio.NewReader(io.LimitReader(zr, maxRaw+1))
	head, err := br.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "it is no whole gzip stream"}
	}
	if !looksLikeProfile(head) {
		return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "it unpacks to " + excerpt(head)}
	}
	raw, err = io.Copy(io.Discard, br)
	switch {
	case err != nil:
		return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "the profile is cut off", retry: true}
	case raw > maxRaw:
		return nil, 0, &Error{What: incident.OutcomeTooLarge, Words: fmt.Sprintf("it unpacks to more than the limit of %d bytes", maxRaw)}
	}
	return data, raw, nil
}

// looksLikeProfile tells a profile's first bytes from text: the first field of
// a profile.proto message is sample_type (1) or, in other writers' order, one
// of the other length-delimited fields, and its length fits.
func looksLikeProfile(head []byte) bool {
	if len(head) < 2 {
		return false
	}
	field, wire := head[0]>>3, head[0]&7
	switch {
	case field < 1 || field > 15:
		return false
	case wire == 2: // sample_type, sample, mapping, location, function, string_table, period_type, comment
		return field <= 6 || field == 11 || field == 13
	case wire == 0: // drop_frames, keep_frames, time, duration, period, default_sample_type
		return field >= 7
	}
	return false
}

// transportError tells apart why there is no answer. outer is the caller's
// context, ctx the one with the time limit.
func transportError(outer, ctx context.Context, err error) error {
	if outer.Err() != nil {
		return canceled(outer)
	}
	if ctx.Err() != nil {
		return &Error{What: incident.OutcomeTimeout, Words: context.Cause(ctx).Error()}
	}
	// The address stands in the configuration, which people know; url.Error
	// would repeat it with the query.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{What: incident.OutcomeUnreachable, Words: "the connection ended in the middle of the answer", retry: true}
	}
	return &Error{What: incident.OutcomeUnreachable, Words: clean(err.Error()), retry: true}
}

func canceled(ctx context.Context) error {
	return &Error{What: incident.OutcomeCanceled, Words: context.Cause(ctx).Error()}
}

// statusError reads the target's words and tells what they mean.
func statusError(resp *http.Response, path string) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // best effort: the status is what counts
	words := excerptText(body)
	text := strings.ToLower(string(body))
	e := &Error{What: incident.OutcomeTargetError, Status: resp.StatusCode, Words: fmt.Sprintf("HTTP %d: %s", resp.StatusCode, words)}
	switch {
	case strings.Contains(text, "already in use"):
		e.What, e.retry = incident.OutcomeBusy, true
		e.Words = words
	case strings.Contains(text, "exceeds server's writetimeout"):
		e.writeTimeout = true
		e.Words = words
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		e.What = incident.OutcomeDenied
		e.Words = fmt.Sprintf("HTTP %d: check authorization in the service's configuration", resp.StatusCode)
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed:
		e.What = incident.OutcomeNoPprof
		e.Words = fmt.Sprintf("HTTP %d at %s: import net/http/pprof in the service and check the path", resp.StatusCode, path)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.What = incident.OutcomeNoPprof
		e.Words = fmt.Sprintf("HTTP %d: it points elsewhere, and redirects are not followed", resp.StatusCode)
	case resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests:
		e.retry = true
	}
	return e
}
