package slackbot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

// The steps of one incident that Slack can see, as the ledger knows them. The
// Ref of a message's effect is "channel/ts", that of a begun one the channel
// alone; picture.go says what the picture's is.
const (
	stepRoot    = "root"
	stepPicture = "picture"
	stepDiff    = "picture-diff" // what grew, beside the flame graph
	stepDetails = "details"
	stepProof   = "proof"     // of a verification: its only message
	stepOver    = "recovered" // said in the thread and the channel, when all is told
)

// Steps that others may look for in a ledger: an incident is told of for the
// first time when StepMessage is done, and its verdict when StepDetails is.
const (
	StepMessage = stepRoot
	StepDetails = stepDetails
)

// metadataEvent is the event type of the metadata on every message: how a
// message is found again after a crash between posting and remembering it.
const metadataEvent = "profbot_incident"

// deleted stands for the content of a message that somebody removed.
const deleted = "deleted"

// errDeleted says that somebody removed the thread. It is their wish: nothing
// more is told.
var errDeleted = errors.New("the incident's message was deleted in Slack")

// thread is one Publish under way.
type thread struct {
	*Bot
	led Ledger
	u   Update

	channel, ts string // of the thread, which the root message begins unless it has a place; set by root
}

// Publish brings the incident's thread to the state of u: the message itself
// and, when the incident is done, the picture and the details in its thread.
//
// It may be called any number of times and be killed at any instant. Content
// that Slack already has is not sent again. Progress that would come too soon
// after the last edit is left out; a final state waits and is always told. An
// error that has a RetryAfter method with a positive result says when the next
// try makes sense. A thread that somebody deleted stays deleted.
func (b *Bot) Publish(ctx context.Context, led Ledger, u Update) error {
	t := &thread{Bot: b, led: led, u: u}
	ctx = inLine(ctx, turn{since: u.Incident.Opened})
	err := t.root(ctx)
	if err == nil && u.Incident.Status == incident.StatusDone && u.Report != nil {
		err = t.pictures(ctx)
		// Without the picture the words are worth the more.
		if ctx.Err() == nil {
			err = errors.Join(err, t.details(ctx))
		}
	}
	if err == nil {
		err = t.recovered(ctx)
	}
	return t.told(ctx, err)
}

// told is how a publishing ends.
func (t *thread) told(ctx context.Context, err error) error {
	if errors.Is(err, errDeleted) {
		t.health.tried(t.u.Incident.ID, t.now(), nil)
		t.log.WarnContext(ctx, "incident not told any more", "incident", t.u.Incident.ID, "reason", err)
		return nil
	}
	t.health.tried(t.u.Incident.ID, t.now(), err)
	if err != nil {
		return fmt.Errorf("tell incident %q: %w", t.u.Incident.ID, err)
	}
	return nil
}

// root posts the incident's message or edits it: where it was asked for, if a
// person did.
func (t *thread) root(ctx context.Context) error {
	place := t.u.Incident.Alert.Place
	ref, err := t.progress(ctx, stepRoot, place.Channel, place.Thread, RenderRoot)
	t.in(ref, place.Thread)
	return err
}

// in sets the thread that the rest goes to: that of the message "channel/ts", or
// that of its parent.
func (t *thread) in(ref, parent string) {
	t.channel, t.ts, _ = strings.Cut(ref, "/")
	if parent != "" {
		t.ts = parent
	}
}

// recovered says in the channel, once, that the monitor has recovered and what
// was found: when everything else is told. Edits reach nobody's notifications.
func (t *thread) recovered(ctx context.Context) error {
	inc := t.u.Incident
	if inc.Recovered.IsZero() || !inc.Status.Final() || inc.Alert.Place.Thread != "" {
		return nil
	}
	e, err := t.led.Load(ctx, stepOver)
	if err != nil || e.State == incident.EffectDone {
		return err
	}
	_, err = t.post(ctx, stepOver, e, t.channel, t.ts, renderRecovered(t.u), "")
	return err
}

// progress posts the message that follows an incident's progress, or edits it,
// and returns its "channel/ts". An empty channel is the service's; when nothing
// can be told there at all, it goes to the channel for all services, and says so.
func (t *thread) progress(ctx context.Context, step, channel, parent string, render func(u Update, clicks bool) Message) (ref string, err error) {
	e, err := t.led.Load(ctx, step)
	if err != nil {
		return "", err
	}
	from, err := t.led.Load(ctx, moved(step))
	if err != nil {
		return "", err
	}
	where := noting(render, from)
	msg, digest := where(t.u, t.clicks), digestOf(where(stable(t.u), t.clicks))
	if e.State != incident.EffectDone {
		if channel == "" {
			channel = t.channelFor(t.u.Incident.Alert)
		}
		if e.Ref != "" {
			channel = e.Ref // where it was begun, whatever the configuration says by now
		}
		e, err = t.post(ctx, step, e, channel, parent, msg, digest)
		if why := gone(err); why != "" && parent == "" && channel != t.Bot.channel {
			t.log.WarnContext(ctx, "telling an incident in the channel for all", "incident", t.u.Incident.ID, "instead_of", channel, "error", err)
			from = incident.Effect{State: incident.EffectDone, Ref: channel + "/" + why, At: t.now()}
			if err := t.led.Save(ctx, moved(step), from); err != nil {
				return "", err
			}
			where = noting(render, from)
			msg, digest = where(t.u, t.clicks), digestOf(where(stable(t.u), t.clicks))
			e, err = t.post(ctx, step, incident.Effect{}, t.Bot.channel, parent, msg, digest)
		}
		if err != nil {
			return "", err
		}
	}
	switch e.Digest {
	case deleted:
		return e.Ref, errDeleted
	case digest:
		return e.Ref, nil
	}
	if ok, err := t.mayEdit(ctx, e.Ref); !ok {
		return e.Ref, err
	}
	return e.Ref, t.edit(ctx, step, e, msg, digest)
}

// mayEdit waits for the next edit's turn, or says that this edit can be left
// out: when something newer will come soon.
func (t *thread) mayEdit(ctx context.Context, ref string) (bool, error) {
	wait := t.edits.delay(ref, t.now())
	soon := wait <= 0 && t.gate.free("chat.update", "", t.now())
	if !soon && !t.u.Incident.Status.Final() && !t.lasts(wait+t.edits.every) {
		return false, nil
	}
	if wait <= 0 {
		return true, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// lasts reports whether a CPU profile will be under way for longer than d from
// now: nothing newer comes until then, so what there is to say is worth a wait.
func (t *thread) lasts(d time.Duration) bool {
	now := t.now()
	for _, c := range t.u.Captures {
		if c.Kind != incident.KindCPU || c.Status.Final() {
			continue
		}
		end := now.Add(c.Window)
		if !c.Started.IsZero() {
			end = c.Started.Add(c.Window)
		}
		if end.After(now.Add(d)) {
			return true
		}
	}
	return false
}

// details posts the report in words, or edits it.
func (t *thread) details(ctx context.Context) error {
	e, err := t.led.Load(ctx, stepDetails)
	if err != nil {
		return err
	}
	msg, digest := RenderDetails(t.u), digestOf(RenderDetails(stable(t.u)))
	if e.State != incident.EffectDone {
		if e, err = t.post(ctx, stepDetails, e, t.channel, t.ts, msg, digest); err != nil {
			return err
		}
	}
	if e.Digest == digest || e.Digest == deleted {
		return nil
	}
	err = t.edit(ctx, stepDetails, e, msg, digest)
	if errors.Is(err, errDeleted) {
		return nil // only the reply was
	}
	return err
}

// post brings a message into the world once. e is the step's effect so far:
// when it was begun before, Slack is searched for the message first, and the
// returned effect then has no digest, since what it says is not known.
func (t *thread) post(ctx context.Context, step string, e incident.Effect, channel, parent string, msg Message, digest string) (incident.Effect, error) {
	if e.State == incident.EffectBegun {
		ts, err := t.find(ctx, channel, parent, e.At, func(m slack.Message) bool {
			p := m.Metadata.EventPayload
			return m.Metadata.EventType == metadataEvent && p["incident"] == t.u.Incident.ID && p["step"] == step
		})
		if err != nil {
			return e, err
		}
		if ts != "" {
			e = incident.Effect{State: incident.EffectDone, Ref: channel + "/" + ts, At: t.now()}
			return e, t.led.Save(ctx, step, e)
		}
	}
	e = incident.Effect{State: incident.EffectBegun, Ref: channel, At: t.now()}
	if err := t.led.Save(ctx, step, e); err != nil {
		return e, err
	}
	where := slack.MsgOptionPost()
	if parent != "" {
		where = slack.MsgOptionCompose(where, slack.MsgOptionTS(parent))
	}
	if step == stepOver {
		where = slack.MsgOptionCompose(where, slack.MsgOptionBroadcast())
	}
	ts, err := t.send(ctx, "chat.postMessage", channel, step, where, msg)
	if code(err) == "thread_not_found" {
		return e, errDeleted
	}
	if err != nil {
		return e, err
	}
	e = incident.Effect{State: incident.EffectDone, Ref: channel + "/" + ts, Digest: digest, At: t.now()}
	return e, t.led.Save(ctx, step, e)
}

// edit replaces what a message says.
func (t *thread) edit(ctx context.Context, step string, e incident.Effect, msg Message, digest string) error {
	channel, ts, _ := strings.Cut(e.Ref, "/")
	t.edits.edited(e.Ref, t.now())
	ctx = inLine(ctx, turn{progress: !t.u.Incident.Status.Final(), since: t.u.Incident.Opened})
	_, err := t.send(ctx, "chat.update", channel, step, slack.MsgOptionUpdate(ts), msg)
	e.Digest, e.At = digest, t.now()
	switch code(err) {
	case "message_not_found":
		e.Digest = deleted
		if err := t.led.Save(ctx, step, e); err != nil {
			return err
		}
		return errDeleted
	case "edit_window_closed", "cant_update_message":
		// The workspace forbids it for good; the thread still tells the rest.
		t.log.WarnContext(ctx, "message stays as it is", "incident", t.u.Incident.ID, "step", step, "error", err)
		err = nil
	}
	if err != nil {
		return err
	}
	return t.led.Save(ctx, step, e)
}

// send posts or edits a message. When Slack refuses its form, which a
// workspace without a kind of block or a limit that nobody wrote down can
// cause, the same words go out in the plainest form there is.
func (t *thread) send(ctx context.Context, method, channel, step string, where slack.MsgOption, msg Message) (ts string, err error) {
	options := slack.MsgOptionCompose(where,
		slack.MsgOptionText(msg.Text, true),
		slack.MsgOptionDisableMarkdown(),
		slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{
			EventType:    metadataEvent,
			EventPayload: map[string]any{"incident": t.u.Incident.ID, "step": step},
		}))
	try := func(blocks []slack.Block) error {
		return t.call(ctx, method, channel, callTimeout, func(ctx context.Context) error {
			_, ts, _, err = t.api.SendMessageContext(ctx, channel, options, slack.MsgOptionBlocks(blocks...))
			if err == nil && ts == "" {
				err = errors.New("the answer has no timestamp")
			}
			return err
		})
	}
	err = try(msg.Blocks)
	switch code(err) {
	case "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "too_many_blocks":
		t.log.WarnContext(ctx, "sending a plain message instead", "incident", t.u.Incident.ID, "step", step, "error", err)
		err = try(plainest(msg))
	}
	return ts, err
}

// digestOf identifies what a message says.
func digestOf(m Message) string {
	data, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("slackbot: a message that is no JSON: %v", err)) // plain data always is
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// stable is u without what differs from call to call although nothing has
// changed: links carry their expiry.
func stable(u Update) Update {
	for _, s := range []*string{&u.ReportURL, &u.FlameURL} {
		if *s != "" {
			*s = "https://link"
		}
	}
	return u
}
