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

const (
	// gateGap keeps calls apart once Slack has refused one for its rate: about
	// what it allows of messages in one channel, and of edits.
	gateGap = time.Second
	// gateFor is for how long after the last refusal.
	gateFor = time.Minute
)

// gate keeps a storm from knocking on a door that is shut: when Slack has
// refused one call of a kind for its rate, those of all incidents pass one by
// one for a while, and who comes too early is told when its turn is, without
// asking Slack.
type gate struct {
	mu    sync.Mutex // protects doors
	doors map[string]*door
}

type door struct {
	open    time.Time // when the next call may pass
	next    time.Time // the next turn to hand out
	limited time.Time // until when calls are kept apart
}

// pass lets a call pass, or says how long until its turn.
func (g *gate) pass(kind string, now time.Time) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[kind]
	if d == nil || now.After(d.limited) {
		delete(g.doors, kind)
		return 0
	}
	if !now.Before(d.open) {
		d.open = now.Add(gateGap)
		return 0
	}
	return d.turn(now)
}

// refused remembers that Slack refused a call for after, and says when its turn
// is.
func (g *gate) refused(kind string, now time.Time, after time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[kind]
	if d == nil {
		d = &door{}
		g.doors[kind] = d
	}
	if open := now.Add(after); open.After(d.open) {
		d.open = open
	}
	d.limited = d.open.Add(gateFor)
	return d.turn(now)
}

// turn hands out the next turn. Must be called with the gate's mu held.
func (d *door) turn(now time.Time) time.Duration {
	if d.next.Before(d.open) {
		d.next = d.open
	}
	wait := d.next.Sub(now)
	d.next = d.next.Add(gateGap)
	return wait
}
