package datadog

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxReset is how far away the end of a rate limit's period is believed to be.
// The longest that Datadog is known to have is an hour.
const maxReset = time.Hour

// limits remember what Datadog's answers say of its rate limits, so that a
// call that would be refused is not made. A limit has a name, and several
// operations may share it. The zero value knows none.
type limits struct {
	mu      sync.Mutex        // protects the fields below
	names   map[string]string // the limit of an operation
	windows map[string]window // by the limit's name
}

// window is the current period of a limit.
type window struct {
	remaining int
	reset     time.Time
}

// take asks for one call of an operation, and fails when the limit is known to
// be used up. What is taken is counted here too, since the answers of calls
// under way are not known yet.
func (l *limits) take(operation string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, ok := l.names[operation]
	w := l.windows[name]
	if !ok || !now.Before(w.reset) {
		return nil
	}
	if w.remaining <= 0 {
		wait := w.reset.Sub(now).Truncate(time.Second) + time.Second
		return later{wait, fmt.Sprintf("not asked, since Datadog's rate limit %q is used up until %s UTC (for %s)", name, w.reset.UTC().Format(time.TimeOnly), wait)}
	}
	w.remaining--
	l.windows[name] = w
	return nil
}

// learn reads the headers of an answer: X-RateLimit-Remaining, -Reset in
// seconds, and -Name, which some answers lack; then the operation's name
// stands for it. Headers that are absent or make no sense teach nothing.
func (l *limits) learn(operation string, status int, h http.Header, now time.Time) {
	seconds, err := strconv.Atoi(h.Get("X-RateLimit-Reset"))
	if err != nil || seconds < 0 {
		return
	}
	remaining, err := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	if status == http.StatusTooManyRequests {
		remaining, err = 0, nil
	}
	if err != nil || remaining < 0 {
		return
	}
	name := cmp.Or(h.Get("X-RateLimit-Name"), operation)
	if len(name) > 100 {
		return
	}
	reset := now.Add(min(time.Duration(min(seconds, 1<<30))*time.Second, maxReset))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names, l.windows = map[string]string{}, map[string]window{}
	}
	l.names[operation] = name
	// Answers may arrive in another order than that of the questions: within
	// one period the least counts. Whole seconds make its end uncertain by one.
	if w := l.windows[name]; now.Before(w.reset) && reset.Sub(w.reset).Abs() <= 2*time.Second {
		remaining = min(remaining, w.remaining)
	}
	// Names come from outside, and operations are few: forget what is over
	// before there are many.
	if len(l.windows) >= 64 {
		for n, w := range l.windows {
			if !now.Before(w.reset) {
				delete(l.windows, n)
			}
		}
		if len(l.windows) >= 64 {
			clear(l.windows)
		}
	}
	l.windows[name] = window{remaining, reset}
}
