package slackbot

import (
	"sync"
	"time"
)

// pace keeps the edits of one message apart. It knows what this process has
// sent: after a restart the first edit goes out at once.
type pace struct {
	every time.Duration

	mu   sync.Mutex // protects last
	last map[string]time.Time
}

// delay is how long the next edit of a message has to wait; 0 for not at all.
func (p *pace) delay(message string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.last[message]
	if !ok {
		return 0
	}
	return max(0, p.every-now.Sub(last))
}

// edited remembers an edit, and forgets those that hold up nothing any more.
func (p *pace) edited(message string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m, at := range p.last {
		if now.Sub(at) >= p.every {
			delete(p.last, m)
		}
	}
	p.last[message] = now
}
