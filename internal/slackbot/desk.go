package slackbot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/command"
	"github.com/profbot/profbot/internal/slackbot/receive"
)

// DeskOptions configure a [Desk]. The zero value is good for a workspace whose
// members trust each other.
type DeskOptions struct {
	// Teams are the ids of the workspaces whose members are served; empty
	// means the one that the app is installed in.
	Teams []string
	// Rights say who may do what; empty means that every full member may do
	// everything.
	Rights []Right
	Limits Limits
	Digest Schedule
	// Window and Pods are what an order gets that names none: what people are
	// told, and what the form has at first. 0 means 30 s, and 1.
	Window time.Duration
	Pods   int
}

// Desk answers people: commands, mentions, clicks, the form and the app's
// home. It is the [receive.Handler] of every way in.
//
// What is asked for is done beside the acknowledgement, which waits for it: a
// person sees the answer at once when it is ready by then, and later in the same
// place when it is not. Whatever changes something is acknowledged when it is on
// disk, unless that takes longer than Slack waits.
type Desk struct {
	*Bot
	back Backend
	opt  DeskOptions

	people  people
	rooms   rooms
	limits  limiter
	viewers viewers

	ctx  context.Context // of the work; ends when [Desk.Stop] has lost its patience
	stop context.CancelCauseFunc
	work sync.WaitGroup // what is under way; Add only with mu held and stopped false
	free chan struct{}  // a place for each thing under way
	busy chan struct{}  // and for each that is only told that there is none

	mu      sync.Mutex // protects stopped
	stopped bool
}

var _ receive.Handler = (*Desk)(nil)

const (
	// deskPlaces is how much may be under way at once: people are few, and what
	// they ask for takes milliseconds where Slack and the disk are well.
	deskPlaces = 32
	workTime   = 60 * time.Second // of one request: Slack may ask to wait for half of it
)

// How long an acknowledgement waits for its answer. Slack gives three seconds.
// A look can be had anew: its answer may as well follow. What was acknowledged
// and is not on disk would be lost with the process, and a form and a menu have
// no other way to be answered.
const (
	patienceLook = 150 * time.Millisecond
	patienceDeed = 2 * time.Second
)

// NewDesk returns the desk of a bot's workspace. [Desk.Stop] ends it.
func NewDesk(b *Bot, back Backend, opt DeskOptions) (*Desk, error) {
	if opt.Digest.Zone == nil {
		opt.Digest.Zone = time.UTC
	}
	for i, r := range opt.Rights {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("right %d: %w", i+1, err)
		}
	}
	opt.Window, opt.Pods = cmp.Or(opt.Window, 30*time.Second), max(opt.Pods, 1)
	opt.Limits.User, opt.Limits.Service = cmp.Or(opt.Limits.User, 20), cmp.Or(opt.Limits.Service, 12)
	d := &Desk{Bot: b, back: back, opt: opt, free: make(chan struct{}, deskPlaces), busy: make(chan struct{}, deskPlaces)}
	d.ctx, d.stop = context.WithCancelCause(context.Background())
	return d, nil
}

// Handle acknowledges a request. See [receive.Handler].
func (d *Desk) Handle(ctx context.Context, r receive.Request) receive.Reply {
	var patience time.Duration
	var late any // the acknowledgement when the answer is not ready by then
	t := &talk{Desk: d, r: r, first: make(chan any, 1)}
	work := t.nothing
	switch r.Kind {
	case receive.Command:
		patience, work = patienceLook, t.command
		if c, _ := command.Parse(r.Text); c.Verb.Changes() {
			patience = patienceDeed
		}
		late = ephemeral(say("One moment: the answer to \"" + cmp.Or(clean(r.Text, 200), "profbot") + "\" follows here."))
	case receive.Mention:
		patience, work = patienceDeed, t.command
	case receive.Click, receive.Shortcut:
		patience, work = patienceDeed, t.click
	case receive.Submit:
		patience, work = patienceDeed, t.submit
		late = viewNotice("profbot", say("This takes longer than usual. The answer follows in the channel; /profbot status says what is being profiled."))
	case receive.Suggest:
		patience, work, late = patienceDeed, t.suggest, noOptions
	case receive.Home:
		work = t.home
	}
	if !d.begin(t, work, d.free) {
		return d.turnAway(ctx, t, late)
	}
	if patience == 0 {
		t.leave()
		return receive.Reply{}
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case body := <-t.first:
		return receive.Reply{Body: body}
	case <-timer.C:
	case <-ctx.Done():
	}
	if body, ok := t.leave(); ok {
		return receive.Reply{Body: body}
	}
	return receive.Reply{Body: late}
}

// turnAway answers that there is too much to do: in the acknowledgement, and where
// that shows nothing beside it.
func (d *Desk) turnAway(ctx context.Context, t *talk, late any) receive.Reply {
	d.log.WarnContext(ctx, "slack request refused: too much is under way, or profbot stops", "kind", t.r.Kind, "user", t.r.User)
	busy := say("profbot has too much to do at the moment: try again in a few seconds.")
	switch t.r.Kind {
	case receive.Command:
		return receive.Reply{Body: ephemeral(busy)}
	case receive.Submit:
		return receive.Reply{Body: viewErrors{blockService: busy.Text}}
	case receive.Mention, receive.Click, receive.Shortcut:
		if !d.begin(t, func(ctx context.Context) { t.answer(ctx, busy, true) }, d.busy) {
			d.log.ErrorContext(ctx, "a person was not answered", "user", t.r.User, "channel", t.r.Channel, "answer", busy.Text)
		}
	}
	return receive.Reply{Body: late}
}

// begin does the work of a request beside, unless there is no place for it.
func (d *Desk) begin(t *talk, work func(context.Context), places chan struct{}) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return false
	}
	select {
	case places <- struct{}{}:
	default:
		return false
	}
	d.work.Go(func() {
		defer func() { <-places }()
		ctx, cancel := context.WithTimeoutCause(d.ctx, workTime, fmt.Errorf("not done within %s", workTime))
		defer cancel()
		work(ctx)
		t.put(nil) // who still waits gets an empty acknowledgement
	})
	return true
}

// Stop takes nothing new and waits for what is under way, until ctx ends: then
// it is cut off.
func (d *Desk) Stop(ctx context.Context) {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	done := make(chan struct{})
	go func() { d.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		d.log.WarnContext(ctx, "answers in slack are cut off", "reason", context.Cause(ctx))
	}
	d.stop(errors.New("profbot stops"))
	<-done
}

// talk is one request under way.
type talk struct {
	*Desk
	r     receive.Request
	first chan any // holds the acknowledgement's body when it is ready

	mu   sync.Mutex // protects gone
	gone bool       // the acknowledgement was sent, or its body is in first
}

// put makes body the acknowledgement. It reports false when that is gone.
func (t *talk) put(body any) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return false
	}
	t.gone = true
	t.first <- body
	return true
}

// leave says that the acknowledgement is not waited for any more. What was put
// in the same instant is returned.
func (t *talk) leave() (body any, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return <-t.first, true
	}
	t.gone = true
	return nil, false
}

func (t *talk) nothing(ctx context.Context) {
	t.log.WarnContext(ctx, "slack request of an unknown kind", "kind", t.r.Kind)
}

// result is what came of a deed.
type result struct {
	msg      Message
	service  string // whom it was about; "" for none
	incident string // what was begun; "" for none
	silent   bool   // it is answered already
}

// command does what was typed.
func (t *talk) command(ctx context.Context) {
	c, err := command.Parse(t.r.Text)
	what := cmp.Or(c.String(), "open the form")
	if err != nil {
		what = t.r.Text
	}
	t.act(ctx, what, func(ctx context.Context) (result, error) {
		e, ok := errors.AsType[*command.Error](err)
		switch {
		case ok && e.Missing && t.inThread(): // the thread says what is meant
			if err := t.complete(ctx, &c); err != nil {
				return result{}, err
			}
		case ok:
			return result{}, refuse(words(asSentence(e.Problem)+" Try "), mono(t.prefix()+e.Try), words("."))
		case err != nil:
			return result{}, err
		}
		return t.perform(ctx, c)
	})
}

// prefix is what a person writes before a command here.
func (t *talk) prefix() string {
	if t.r.Kind != receive.Mention {
		return "/profbot "
	}
	t.Bot.mu.Lock()
	defer t.Bot.mu.Unlock()
	return "@" + cmp.Or(t.self.name, "profbot") + " "
}

// act does one deed, if the person may ask for something at all, writes it
// down, and answers.
func (t *talk) act(ctx context.Context, what string, do func(context.Context) (result, error)) {
	var res result
	err := t.member(ctx, t.r)
	if err == nil {
		res, err = do(ctx)
	}
	t.note(ctx, what, res, err)
	if t.r.Kind != receive.Command {
		t.put(nil) // it is done, and the answer takes another way
	}
	switch {
	case err != nil:
		t.answer(ctx, trouble(err), true)
	case !res.silent:
		t.answer(ctx, res.msg, false)
	}
}

// note writes to the audit log. What cannot be written there is in the log.
func (t *talk) note(ctx context.Context, what string, res result, err error) {
	d := incident.Deed{
		At: t.now(), User: t.r.User, Name: clean(t.r.UserName, 80), Team: cmp.Or(t.r.UserTeam, t.r.Team), Channel: t.where(),
		What: clean(what, 300), Service: res.service, Incident: res.incident,
	}
	level := slog.LevelInfo
	if err != nil {
		d.Refused, level = clean(err.Error(), maxSentence), slog.LevelWarn
	}
	t.log.Log(ctx, level, "asked in slack", "user", d.User, "name", d.Name, "channel", d.Channel, "what", d.What, "service", d.Service, "incident", d.Incident, "refused", d.Refused)
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), callTimeout, fmt.Errorf("not done within %s", callTimeout))
	defer cancel() // what took too long is noted too
	if err := t.back.Note(ctx, d); err != nil {
		t.log.ErrorContext(ctx, "the audit log could not be written", "user", d.User, "what", d.What, "error", err)
	}
}

// answerable reports whether an answer may be sent to an address: Slack's own,
// or that of the API in its place.
func (b *Bot) answerable(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User != nil {
		return false
	}
	return u.Scheme == "https" && u.Host == "hooks.slack.com" || u.Scheme == b.apiURL.Scheme && u.Host == b.apiURL.Host
}
