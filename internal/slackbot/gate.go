package slackbot

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gaps keep the calls of one kind apart: a little more than what Slack allows,
// which leaves room for a process that has just died and for people. A kind
// that is not here has no gate.
var gaps = map[string]time.Duration{
	"chat.postMessage":             time.Second, // counted by channel, the others by workspace
	"chat.update":                  1250 * time.Millisecond,
	"conversations.history":        1250 * time.Millisecond,
	"conversations.replies":        1250 * time.Millisecond,
	"files.getUploadURLExternal":   625 * time.Millisecond,
	"files.completeUploadExternal": 625 * time.Millisecond,
	"files.info":                   625 * time.Millisecond,
}

// patience is how long a call stands in line. Whoever would have to wait for
// longer is told when to come back, since somebody's worker stands there.
const patience = 5 * time.Second

// gate lets calls through one by one, each kind at the rate that Slack allows,
// before Slack has to refuse any. Who waits goes in the order of [turn].
type gate struct {
	mu    sync.Mutex // protects doors, and all that is in them
	doors map[string]*door
}

type door struct {
	gap  time.Duration
	open time.Time // when the next call may pass
	next time.Time // the next time to hand out to who is sent away
	line []*turn   // those who wait here
}

// turn is somebody's place in a line: what is final goes before progress, and
// an older incident before a newer one, so that nobody waits for ever. The
// answers to people come first.
type turn struct {
	progress bool
	since    time.Time // when the incident was opened; zero for a person's wish
}

func (a *turn) before(b *turn) bool {
	if a.progress != b.progress {
		return b.progress
	}
	return a.since.Before(b.since)
}

type turnKey struct{}

// inLine gives the calls of ctx their place in the lines.
func inLine(ctx context.Context, t turn) context.Context { return context.WithValue(ctx, turnKey{}, t) }

// lineOf is the place of ctx, and whether it is an incident's.
func lineOf(ctx context.Context) (turn, bool) {
	t, ok := ctx.Value(turnKey{}).(turn)
	return t, ok
}

// door is that of a kind of call about an object; nil when it has none. Must be
// called with mu held.
func (g *gate) door(method, object string) *door {
	gap := gaps[method]
	if gap == 0 {
		return nil
	}
	if method == "chat.postMessage" {
		method += " " + object
	}
	d := g.doors[method]
	if d == nil {
		d = &door{gap: gap}
		g.doors[method] = d
	}
	return d
}

// pass waits for a call's turn. A positive later says that the line is too
// long, and when to come back.
func (g *gate) pass(ctx context.Context, method, object string, now func() time.Time) (later time.Duration, err error) {
	place, _ := lineOf(ctx)
	me, end := &place, now().Add(patience)
	if t, ok := ctx.Deadline(); ok && t.Before(end) {
		end = t
	}
	for {
		wait, later := g.step(me, method, object, now(), end)
		if wait <= 0 {
			return later, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			g.leave(me, method, object)
			return 0, context.Cause(ctx)
		}
	}
}

// step lets me through, sends it away, or says how long to wait in line.
func (g *gate) step(me *turn, method, object string, now, end time.Time) (wait, later time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.door(method, object)
	if d == nil {
		return 0, 0
	}
	ahead, at := 0, -1
	for i, t := range d.line {
		switch {
		case t == me:
			at = i
		case t.before(me), at < 0 && !me.before(t): // of equals, who came first
			ahead++
		}
	}
	mine := d.open
	if mine.Before(now) {
		mine = now
	}
	mine = mine.Add(time.Duration(ahead) * d.gap)
	passes := !mine.After(now)
	if !passes && !mine.After(end) {
		if at < 0 {
			d.line = append(d.line, me)
		}
		return mine.Sub(now), 0
	}
	if at >= 0 {
		d.line = slices.Delete(d.line, at, at+1)
	}
	if !passes {
		return 0, d.away(now)
	}
	d.open = now.Add(d.gap)
	return 0, 0
}

// leave takes one who gives up out of the line.
func (g *gate) leave(me *turn, method, object string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.door(method, object); d != nil {
		d.line = slices.DeleteFunc(d.line, func(t *turn) bool { return t == me })
	}
}

// free reports whether a call would pass at once.
func (g *gate) free(method, object string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.door(method, object)
	return d == nil || len(d.line) == 0 && !d.open.After(now)
}

// refused remembers that Slack refused a call for after, and says when to come
// back.
func (g *gate) refused(method, object string, now time.Time, after time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.door(method, object)
	if d == nil {
		return after
	}
	if open := now.Add(after); open.After(d.open) {
		d.open = open
	}
	return d.away(now)
}

// away hands out the next time that nobody was given yet. Must be called with
// the gate's mu held.
func (d *door) away(now time.Time) time.Duration {
	if first := d.open.Add(time.Duration(len(d.line)) * d.gap); d.next.Before(first) {
		d.next = first
	}
	wait := d.next.Sub(now)
	d.next = d.next.Add(d.gap)
	return max(wait, time.Millisecond)
}
