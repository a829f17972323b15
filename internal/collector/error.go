package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/profbot/profbot/internal/incident"
)

// Error is why a profile could not be pulled. It holds no secret: requests are
// never part of it, and what a target echoes of its Authorization is removed.
type Error struct {
	What   incident.Outcome
	Words  string // the target's own words, or ours about the connection: one printable line
	Status int    // HTTP status; 0 when there was no answer, or one of 200 that is no profile

	after        time.Duration
	retry        bool
	writeTimeout bool
	neutral      bool // says nothing about the service
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.What, e.Words) }

// Outcome is the error as the thread shows it.
func (e *Error) Outcome() (incident.Outcome, string) { return e.What, e.Words }

// Retryable reports whether the same question may be answered a moment later.
func (e *Error) Retryable() bool { return e.retry }

// RetryAfter is how long the target asked to be left alone, at most an hour; 0
// when it did not.
func (e *Error) RetryAfter() time.Duration { return e.after }

// trouble reports whether the error is one of a service that does not answer
// as it should, or that pulls harm. A target that says no is well.
func (e *Error) trouble() bool {
	switch e.What {
	case incident.OutcomeTimeout, incident.OutcomeUnreachable:
		return true
	}
	return e.What == incident.OutcomeTargetError && (e.Status >= 500 || e.Status == http.StatusTooManyRequests)
}

func canceled(ctx context.Context, s secrets) *Error {
	return &Error{What: incident.OutcomeCanceled, Words: s.quote(context.Cause(ctx).Error()), neutral: true}
}

// outcome is an error of the caller's own functions that says what it is.
type outcome interface {
	error
	Outcome() (incident.Outcome, string)
}

// said is what an error of the caller's own functions says about itself, or e
// when it says nothing. Either way it is not the service's.
func (q *pull) said(err error, e *Error) *Error {
	if o, ok := errors.AsType[outcome](err); ok {
		what, words := o.Outcome()
		e = &Error{What: what, Words: q.secrets.quote(words)}
		var again interface{ Retryable() bool }
		if errors.As(err, &again) {
			e.retry = again.Retryable()
		}
	}
	e.neutral = true
	return e
}

const wordLimit = 200 // characters quoted of a target's answer

// clean makes one printable line of at most wordLimit characters.
func clean(s string) string { return cut(line(s)) }

// line makes one printable line.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

func cut(s string) string {
	if r := []rune(s); len(r) > wordLimit {
		return string(r[:wordLimit]) + "…"
	}
	return s
}
