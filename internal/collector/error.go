package collector

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/profbot/profbot/internal/incident"
)

// Error is why a profile could not be pulled. It names no secret: headers and
// queries are never part of it.
type Error struct {
	What   incident.Outcome
	Words  string // the target's own words, or ours about the connection
	Status int    // HTTP status; 0 when there was no answer

	retry        bool
	writeTimeout bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.What, e.Words) }

// Outcome is the error as the thread shows it.
func (e *Error) Outcome() (incident.Outcome, string) { return e.What, e.Words }

// Retryable reports whether the same question may be answered a moment later.
func (e *Error) Retryable() bool { return e.retry }

// wordLimit bounds what is quoted of a target's answer.
const wordLimit = 200

// excerpt quotes the beginning of bytes that are no profile.
func excerpt(b []byte) string { return fmt.Sprintf("%q", excerptText(b)) }

func excerptText(b []byte) string {
	s := clean(string(b[:min(len(b), 4*wordLimit)]))
	if s == "" {
		return "(no text)"
	}
	return s
}

// clean makes one printable line of at most wordLimit characters.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > wordLimit {
		s = string([]rune(s)[:wordLimit]) + "…"
	}
	return s
}
