package collector

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// breakers leave services alone that do not answer: either they are in
// trouble, which pulls do not make better, or the pulls are the trouble.
type breakers struct {
	failures int           // in a row that open a breaker
	coolOff  time.Duration // length of the first rest

	mu       sync.Mutex // protects the fields below and every breaker
	services map[service]*breaker
	era      int // counts the openings
}

// breaker is one service that has failed; one that answers has none. It is
// closed, open for a rest, or, when the rest is over, half open: one pull
// tries, and its end closes or opens it again.
type breaker struct {
	row    int       // failures in a row
	last   string    // the last of them
	until  time.Time // end of the rest; zero when closed
	rest   time.Duration
	trying bool // half open, and a trial runs
	era    int  // of its last opening; 0 when closed
}

// longestRest is how much longer than the first rest others may become.
const longestRest = 16

// trial is the part of one pull in a breaker's life.
type trial struct {
	of  service
	era int // of the opening after which it is the trial; 0 when closed
}

// check refuses a pull while the service rests or is being tried.
func (b *breakers) check(of service) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.checkLocked(of)
}

func (b *breakers) checkLocked(of service) error {
	s := b.services[of]
	if s == nil || s.until.IsZero() {
		return nil
	}
	var next string
	switch {
	case time.Now().Before(s.until):
		next = "next try after " + minute(s.until)
	case s.trying:
		next = "one pull is trying now"
	default:
		return nil
	}
	failed := fmt.Sprintf("%d pulls in a row failed, the last", s.row)
	if s.row == 1 {
		failed = "the last pull failed"
	}
	return &Error{What: incident.OutcomeResting, Words: fmt.Sprintf("%s with %q; %s", failed, s.last, next), neutral: true}
}

// minute is when a minute begins at which t has passed.
func minute(t time.Time) string {
	return t.Add(time.Minute - 1).Truncate(time.Minute).UTC().Format("15:04 UTC")
}

// admit is check for a pull that begins now. done must be called at its end.
func (b *breakers) admit(of service) (trial, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkLocked(of); err != nil {
		return trial{}, err
	}
	s := b.services[of]
	if s == nil || s.until.IsZero() {
		return trial{of: of}, nil
	}
	s.trying = true
	return trial{of, s.era}, nil
}

// done tells how an admitted pull ended. One that began before the service
// was left alone says nothing about it any more. When that changes whether the
// service is left alone, change says how, for the log.
func (b *breakers) done(t trial, err error) (change string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.services[t.of]
	if s != nil && s.era != t.era || s == nil && t.era != 0 {
		return ""
	}
	e, _ := errors.AsType[*Error](err)
	switch {
	case e != nil && e.neutral:
		if s != nil {
			s.trying = false // another may try
		}
		return ""
	case e == nil || !e.trouble():
		delete(b.services, t.of)
		if t.era != 0 {
			return "it answers again"
		}
		return ""
	case s == nil:
		s = &breaker{}
		b.services[t.of] = s
	}
	s.row++
	s.last = e.Error()
	if s.row < b.failures && !s.trying {
		return ""
	}
	b.era++
	s.era, s.trying = b.era, false
	s.rest = min(max(b.coolOff, 2*s.rest), longestRest*b.coolOff)
	s.until = time.Now().Add(s.rest)
	return fmt.Sprintf("left alone for %s after %d failures in a row", s.rest, s.row)
}
