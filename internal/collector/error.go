package collector

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/profbot/profbot/internal/incident"
)

// Error is why a profile could not be pulled. It holds no secret: requests are
// never part of it, and what a target echoes of its Authorization is removed.
type Error struct {
	What   incident.Outcome
	Words  string // the target's own words, or ours about the connection: one printable line
	Status int    // HTTP status; 0 when there was no answer, or one of 200 that is no profile

	retry        bool
	writeTimeout bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.What, e.Words) }

// Outcome is the error as the thread shows it.
func (e *Error) Outcome() (incident.Outcome, string) { return e.What, e.Words }

// Retryable reports whether the same question may be answered a moment later.
func (e *Error) Retryable() bool { return e.retry }

const (
	wordLimit    = 200     // characters quoted of a target's answer
	excerptBytes = 2 << 10 // bytes looked at for them
	redacted     = "[...]" // stands where a target echoed a secret
)

// secretsOf lists what must not be quoted of an Authorization header: the
// whole, and the credentials without their scheme.
func secretsOf(authorization string) []string {
	if authorization == "" {
		return nil
	}
	secrets := []string{authorization}
	if _, credentials, ok := strings.Cut(authorization, " "); ok && strings.TrimSpace(credentials) != "" {
		secrets = append(secrets, strings.TrimSpace(credentials))
	}
	return secrets
}

// excerpt quotes the beginning of an answer.
func excerpt(b []byte, secrets []string) string {
	s := string(b)
	for _, secret := range secrets {
		s = strings.ReplaceAll(s, secret, redacted)
	}
	if s = clean(s); s == "" {
		return "(no text)"
	}
	return s
}

// clean makes one printable line of at most wordLimit characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > wordLimit {
		s = string(r[:wordLimit]) + "…"
	}
	return s
}
