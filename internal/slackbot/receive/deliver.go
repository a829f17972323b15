package receive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// ackTime is when an answer is given up: Slack waits three seconds for it, of
// which the network has its part.
const ackTime = 2500 * time.Millisecond

var errLate = errors.New("the answer to Slack is late")

// deliverer is what both ways in share: it has a request handled, once, and
// comes back in time for Slack.
type deliverer struct {
	handler Handler
	seen    Seen
	log     *slog.Logger
}

func newDeliverer(h Handler, s Seen, l *slog.Logger) (deliverer, error) {
	if h == nil || s == nil {
		return deliverer{}, errors.New("receive from slack: a handler and a memory of what was seen are required")
	}
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return deliverer{h, s, l}, nil
}

// deliver answers for a payload. Its error means that nothing was done, since
// what was seen could not be looked up, and that Slack may send it again.
func (d *deliverer) deliver(ctx context.Context, p decoded, retry int) (Reply, error) {
	r := p.request
	r.Retry = retry
	switch {
	case p.limited:
		d.log.WarnContext(ctx, "slack holds events of this workspace back: more than 30000 came within an hour")
		return Reply{}, nil
	case p.ignored != "":
		d.log.DebugContext(ctx, "slack payload ignored", "why", p.ignored)
		return Reply{}, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ackTime, errLate)
	defer cancel()
	if r.ID != "" {
		fresh, err := d.seen.Once(ctx, "slack "+string(r.Kind)+" "+r.ID)
		if err != nil {
			return Reply{}, fmt.Errorf("look up whether a %s was seen: %w", r.Kind, err)
		}
		if !fresh {
			d.log.DebugContext(ctx, "slack payload was handled before", "kind", r.Kind, "id", r.ID, "retry", retry)
			return Reply{}, nil
		}
	}
	// The handler may outlive the answer, but has been told: its context ended.
	done := make(chan Reply, 1)
	go func() {
		var reply Reply
		defer func() {
			if p := recover(); p != nil {
				d.log.ErrorContext(ctx, "slack handler panicked", "kind", r.Kind, "id", r.ID, "panic", p, "stack", string(debug.Stack()))
			}
			done <- reply
		}()
		reply = d.handler.Handle(ctx, r)
	}()
	select {
	case reply := <-done:
		return reply, nil
	case <-ctx.Done():
		d.log.WarnContext(ctx, "slack was answered without what the handler had to say", "kind", r.Kind, "id", r.ID, "error", context.Cause(ctx))
		return Reply{}, nil
	}
}
