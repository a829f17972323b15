package slackbot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// illAfter is for how long calls fail before it is called trouble: one that
	// fails now and then is mended by the next try.
	illAfter = time.Minute
	// probeEvery is how often Slack is asked whether it takes calls again, for
	// all incidents together.
	probeEvery = 30 * time.Second
	// waitsFor is how long a failure and a waiting incident count without
	// another try: longer than the pause between two.
	waitsFor = 10 * time.Minute
)

// health knows which calls fail, since when, and how many incidents wait for
// them. It learns from the calls of incidents alone: what a person asks for may
// fail for the person's own reasons.
type health struct {
	log *slog.Logger

	mu      sync.Mutex // protects all below
	ills    map[string]*ill
	waiting map[string]time.Time // incident -> its last try
	worked  time.Time            // when a call worked last
	probe   time.Time            // when one may be made next, while nothing works
}

// ill is a kind of call that fails.
type ill struct {
	since  time.Time
	last   time.Time
	words  string // of the last failure
	tries  int
	sure   bool // it will not mend by itself
	logged bool
}

// allCalls is the kind that fails when the whole workspace does.
const allCalls = ""

func newHealth(log *slog.Logger) *health {
	return &health{log: log, ills: map[string]*ill{}, waiting: map[string]time.Time{}}
}

// bad reports whether it is trouble by now, and no mishap.
func (i *ill) bad(now time.Time) bool {
	return i.sure || i.tries > 3 && now.Sub(i.since) >= illAfter
}

// closed reports whether Slack's answer is about the app and its token: then it
// is the same for every call.
func closed(code string) bool {
	switch code {
	case "invalid_auth", "not_authed", "not_allowed_token_type", "token_revoked", "token_expired", "account_inactive", "org_login_required",
		"team_access_not_granted", "ekm_access_denied", "access_denied":
		return true
	}
	return false
}

// aboutOne reports whether Slack's answer is about one message or file, and
// not about what the bot may do.
func aboutOne(code string) bool {
	switch code {
	case "message_not_found", "thread_not_found", "invalid_thread_ts", "file_not_found", "edit_window_closed", "cant_update_message",
		"msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "too_many_blocks":
		return true
	}
	return false
}

// kindOf is what fails together: messages by their channel.
func kindOf(method, object string) string {
	if method == "chat.postMessage" || method == "chat.update" {
		return method + " in " + object
	}
	return method
}

// ask says for how long not to make a call, since nothing works at present, and
// why. One call of all incidents is let through now and then.
func (h *health) ask(now time.Time) (wait time.Duration, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.ills[allCalls]
	if all == nil || !all.bad(now) {
		return 0, ""
	}
	if !h.probe.After(now) {
		h.probe = now.Add(probeEvery)
		return 0, ""
	}
	// A little later than the probe, so that those who wait learn from it.
	return h.probe.Sub(now) + time.Second, all.text(allCalls)
}

// took remembers how a call ended: well, or with fail.
func (h *health) took(ctx context.Context, method, object string, now time.Time, fail *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kind := kindOf(method, object)
	switch {
	case fail == nil:
		h.worked = now
		h.wellLocked(ctx, now, allCalls, kind)
	case aboutOne(fail.Code):
		h.wellLocked(ctx, now, allCalls, kind)
	case fail.Code == "ratelimited":
		h.wellLocked(ctx, now, allCalls)
		if h.ills[kind] == nil {
			h.log.InfoContext(ctx, "slack asks to wait", "what", kind, "for", fail.after.String())
		}
		h.illLocked(ctx, now, kind, fail, false)
	case closed(fail.Code):
		h.illLocked(ctx, now, allCalls, fail, true)
		h.probe = now.Add(probeEvery)
	case fail.refused():
		h.wellLocked(ctx, now, allCalls)
		h.illLocked(ctx, now, kind, fail, true)
	default:
		h.illLocked(ctx, now, allCalls, fail, false)
		h.illLocked(ctx, now, kind, fail, false)
		if h.ills[allCalls].bad(now) {
			h.probe = now.Add(probeEvery)
		}
	}
}

func (h *health) illLocked(ctx context.Context, now time.Time, kind string, fail *Error, sure bool) {
	i := h.ills[kind]
	if i == nil {
		i = &ill{since: now}
		h.ills[kind] = i
	}
	i.last, i.words, i.sure = now, fail.Error(), sure
	i.tries++
	all := h.ills[allCalls]
	if i.logged || !i.bad(now) || kind != allCalls && all != nil && all.bad(now) {
		return
	}
	i.logged = true
	h.log.ErrorContext(ctx, "telling does not work", "what", cmp.Or(kind, "slack"), "since", i.since, "error", fail)
}

func (h *health) wellLocked(ctx context.Context, now time.Time, kinds ...string) {
	for _, kind := range kinds {
		if i := h.ills[kind]; i != nil && i.logged {
			h.log.InfoContext(ctx, "telling works again", "what", cmp.Or(kind, "slack"), "after", now.Sub(i.since).Round(time.Second).String(), "waiting", len(h.waiting))
		}
		delete(h.ills, kind)
	}
}

// tried remembers whether an incident waits after a try to tell it.
func (h *health) tried(id string, now time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, id)
	if err != nil { // those that nobody tries any more are forgotten by Trouble
		h.waiting[id] = now
	}
}

// workedSince reports whether any call worked after a time.
func (h *health) workedSince(t time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.worked.After(t)
}

func (i *ill) text(kind string) string {
	since := i.since.UTC().Format("2 Jan 15:04 MST")
	if kind == allCalls {
		return fmt.Sprintf("Slack does not take anything since %s: %s", since, i.words)
	}
	return fmt.Sprintf("%s does not work since %s: %s", kind, since, i.words)
}

// Trouble says what does not work in telling incidents, since when, why, and
// how many incidents wait, one line for each kind of call; nil when all is
// well. It knows what this process has seen.
func (b *Bot) Trouble() []string {
	h, now := b.health, b.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.waiting, func(_ string, last time.Time) bool { return now.Sub(last) > waitsFor })
	maps.DeleteFunc(h.ills, func(_ string, i *ill) bool { return now.Sub(i.last) > waitsFor })
	kinds := slices.Sorted(maps.Keys(h.ills))
	if all := h.ills[allCalls]; all != nil && all.bad(now) {
		kinds = []string{allCalls}
	}
	var out []string
	for _, kind := range kinds {
		if i := h.ills[kind]; i.bad(now) {
			out = append(out, i.text(kind))
		}
	}
	if n := len(h.waiting); n > 0 && len(out) > 0 {
		out[len(out)-1] += "; " + count(n, "incident") + map[bool]string{true: " waits", false: " wait"}[n == 1]
	}
	return out
}

// notAsked is the error of a call that was not made; why is "" when it is
// others' turn.
func notAsked(method, object, why string, after time.Duration) *Error {
	if why != "" {
		return &Error{Call: method, Object: object, after: after, err: errors.New("not asked: " + why)}
	}
	return &Error{Call: method, Object: object, Code: "ratelimited", Advice: advice("ratelimited", ""), after: after, err: errors.New("not asked yet: others wait for their turn")}
}
