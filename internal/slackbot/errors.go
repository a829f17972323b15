package slackbot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// Error is a call to Slack that did not work.
type Error struct {
	Call   string // the method: "chat.postMessage"
	Object string // what it was about, such as a channel id; may be ""
	// Code is Slack's word for it, such as "not_in_channel"; "" when Slack
	// gave none (no answer, or an answer of another kind).
	Code string
	// Advice says what to do about it, in one sentence; "" when nobody can do
	// anything but try again.
	Advice string
	after  time.Duration
	err    error
}

// Error says what was called, what came back and what to do.
func (e *Error) Error() string {
	s := "slack " + e.Call
	if e.Object != "" {
		s += fmt.Sprintf(" for %q", e.Object)
	}
	s += ": " + e.err.Error()
	if e.Advice != "" {
		s += ": " + e.Advice
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// RetryAfter is how long Slack asks to wait before the next try; 0 when it
// did not ask.
func (e *Error) RetryAfter() time.Duration { return e.after }

// refused reports whether Slack understood the request and will give the same
// answer to the same request again.
func (e *Error) refused() bool {
	switch e.Code {
	case "", "ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org":
		return false
	}
	return true
}

// code is Slack's word for err; "" when err is not Slack's.
func code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// advice says in one sentence what to do about one of Slack's errors.
func advice(code, needed string) string {
	switch code {
	case "not_in_channel":
		return "invite the bot to the channel (type /invite and the bot's name there); with the bot scope channels:join it joins public ones by itself"
	case "channel_not_found":
		return "use the channel's id, and if the channel is private invite the bot to it (type /invite and the bot's name there)"
	case "is_archived":
		return "the channel is archived: bring it back or configure another one"
	case "invalid_auth", "not_authed":
		return "the bot token is wrong: copy the Bot User OAuth Token from the app's OAuth & Permissions page"
	case "token_revoked", "token_expired", "account_inactive", "org_login_required":
		return "the bot token does not work any more: install the app to the workspace again and configure the new token"
	case "missing_scope":
		if needed != "" {
			return fmt.Sprintf("add the bot scope %s to the app and install it to the workspace again", needed)
		}
		return "a bot scope is missing: compare the app with the manifest that profbot ships and install it again"
	case "no_permission", "restricted_action", "restricted_action_thread_only_channel", "restricted_action_read_only_channel":
		return "the workspace does not let apps do this in this channel: ask an admin, or configure another channel"
	case "ekm_access_denied", "team_access_not_granted", "access_denied":
		return "the workspace does not give the app access: ask an admin"
	case "file_uploads_disabled", "file_uploads_except_images_disabled", "storage_limit_reached":
		return "the workspace takes no files: ask an admin"
	case "msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "too_many_blocks":
		return "Slack did not take the form of the message: please report this with the message"
	case "message_not_found", "thread_not_found":
		return "the message was deleted"
	case "ratelimited":
		return "too many requests: profbot waits and tries again"
	}
	return ""
}

// defaultRetryAfter is used when Slack says "too many" without saying how long.
const defaultRetryAfter = 30 * time.Second

// call makes one call when its turn has come, and not while Slack takes nothing
// at all. A public channel that the bot is not in yet is joined on the way.
func (b *Bot) call(ctx context.Context, method, object string, timeout time.Duration, f func(ctx context.Context) error) error {
	_, telling := lineOf(ctx)
	if telling {
		if wait, why := b.health.ask(b.now()); wait > 0 {
			return notAsked(method, object, why, wait)
		}
	}
	later, err := b.gate.pass(ctx, method, object, b.now)
	switch {
	case err != nil:
		return err
	case later > 0:
		return notAsked(method, object, "", later)
	}
	fail := b.attempt(ctx, method, object, timeout, f)
	if fail != nil && fail.Code == "not_in_channel" && b.join(ctx, object) {
		fail = b.attempt(ctx, method, object, timeout, f)
	}
	if telling && ctx.Err() == nil {
		b.health.took(ctx, method, object, b.now(), fail)
	}
	if fail != nil {
		return fail
	}
	return nil
}

// attempt runs one request with a deadline and gives its error a common form;
// nil when it worked.
func (b *Bot) attempt(ctx context.Context, method, object string, timeout time.Duration, f func(ctx context.Context) error) *Error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	err := f(ctx)
	if err == nil {
		return nil
	}
	e := &Error{Call: method, Object: object}
	// The address of an upload is itself a secret, and the others say nothing
	// that the method does not say.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if s, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		e.Code, e.Advice = s.Err, advice(s.Err, s.Needed)
		if len(s.ResponseMetadata.Messages) > 0 {
			err = fmt.Errorf("%w (%s)", err, strings.Join(s.ResponseMetadata.Messages, "; "))
		}
		if s.Err == "ratelimited" {
			e.after = defaultRetryAfter
		}
	}
	if r, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		e.Code, e.after = "ratelimited", max(r.RetryAfter, time.Second)
	} else if s, ok := errors.AsType[slack.StatusCodeError](err); ok && s.Code == http.StatusTooManyRequests {
		e.Code, e.after = "ratelimited", defaultRetryAfter
	}
	if e.Code == "ratelimited" {
		e.after = b.gate.refused(method, object, b.now(), e.after)
	}
	// A proxy or a middlebox may echo what it was sent.
	if strings.Contains(err.Error(), b.token) {
		err = errors.New(strings.ReplaceAll(err.Error(), b.token, "[token]"))
		e.Code = strings.ReplaceAll(e.Code, b.token, "[token]")
	}
	e.err = err
	return e
}
