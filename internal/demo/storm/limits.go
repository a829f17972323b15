package storm

import (
	"sync"
	"time"
)

// rates are what Slack documents: a message a second in a channel with short
// bursts; tier 3 for edits and tier 4 for files, a minute.
var rates = map[string]struct {
	perSecond, burst float64
}{
	"chat.postMessage":             {1, 5},
	"chat.update":                  {50.0 / 60, 10},
	"files.getUploadURLExternal":   {100.0 / 60, 20},
	"files.completeUploadExternal": {100.0 / 60, 20},
	"files.info":                   {100.0 / 60, 20},
}

// limits are Slack's limits. There is one channel, so that a method's limit is
// the channel's. Methods are safe for concurrent use.
type limits struct {
	now func() time.Time

	mu     sync.Mutex // protects the fields below
	tokens map[string]float64
	at     map[string]time.Time
	no     int
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, tokens: map[string]float64{}, at: map[string]time.Time{}}
}

// take takes a place for a call, or says how long until there is one.
func (l *limits) take(method, _ string) time.Duration {
	rate, ok := rates[method]
	if !ok {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	have, seen := l.tokens[method]
	if !seen {
		have = rate.burst
	} else {
		have = min(rate.burst, have+now.Sub(l.at[method]).Seconds()*rate.perSecond)
	}
	l.at[method] = now
	if have < 1 {
		l.tokens[method] = have
		l.no++
		return time.Duration((1 - have) / rate.perSecond * float64(time.Second))
	}
	l.tokens[method] = have - 1
	return 0
}

func (l *limits) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.no
}
