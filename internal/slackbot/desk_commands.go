package slackbot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/command"
)

// How much a list shows.
const (
	historyRows = 10
	whyRows     = 10
)

// perform does what a command says.
func (t *talk) perform(ctx context.Context, c command.Command) (result, error) {
	switch c.Verb {
	case command.Open:
		if t.r.Trigger == "" { // a form needs a command or a click
			return result{msg: renderHelp(command.HelpText("", t.prefix()))}, nil
		}
		return result{silent: true}, t.form(ctx, incident.Place{Channel: t.r.Channel})
	case command.Help:
		return result{msg: renderHelp(command.HelpText(c.Subject, t.prefix()))}, nil
	case command.Capture, command.Diff:
		return t.capture(ctx, c)
	case command.Verify:
		return t.verify(ctx, c.Subject)
	case command.History:
		return t.history(ctx, c)
	case command.Services:
		known, err := t.known(ctx)
		return result{msg: renderServices(known)}, err
	case command.Status:
		msg, err := t.status(ctx)
		return result{msg: msg}, err
	case command.Why:
		received, err := t.back.Why(ctx, c.Subject, whyRows)
		if errors.Is(err, incident.ErrNotFound) {
			err = nil // nothing was received
		}
		return result{msg: renderWhy(c.Subject, received)}, err
	case command.Mute:
		return t.mute(ctx, c.Service, c.Env, c.For)
	case command.Unmute:
		return t.unmute(ctx, c)
	case command.Digest:
		return t.digest(ctx, c.Subject)
	}
	return result{}, fmt.Errorf("profbot does not know how to do %q: see /profbot help", clean(string(c.Verb), 40))
}

// known are the services with what was found last.
func (t *talk) known(ctx context.Context) ([]Known, error) {
	known, err := t.back.Services(ctx)
	if err != nil {
		return nil, err
	}
	latest, err := t.back.Latest(ctx)
	for i, k := range known {
		if last, ok := latest[k.Service]; ok {
			known[i].Last = &last
		}
	}
	return known, err
}

// capture profiles a service, and compares it when that is what is wanted.
func (t *talk) capture(ctx context.Context, c command.Command) (result, error) {
	k, err := t.service(ctx, c.Service, c.Env)
	if err != nil {
		return result{}, err
	}
	o := ordered(c)
	if c.Verb == command.Diff {
		if err := t.against(ctx, &o, k, t.now().Add(-c.Since)); err != nil {
			return result{service: k.Service}, err
		}
	}
	return t.place(ctx, k, o)
}

// against makes an order compare with the latest incident before a time.
func (t *talk) against(ctx context.Context, o *order, k Known, before time.Time) error {
	past, err := t.back.Baseline(ctx, k.Service, k.Env, before)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return fmt.Errorf("there is no profile of %s from before %s to compare with. Take one now with /profbot cpu %s, and compare later",
			serviceName(k.Service, k.Env), before.UTC().Format("2006-01-02 15:04 UTC"), k.Service)
	case err != nil:
		return err
	}
	o.Against = past.Incident.ID
	o.note = fmt.Sprintf("It is compared with incident %s, from %s ago.", past.Incident.ID, soon(t.now().Sub(past.Incident.Opened)))
	return nil
}

// inThread reports whether a thread may say which incident is meant.
func (t *talk) inThread() bool { return t.r.Thread != "" }

// complete takes what a command does not name from the incident whose thread
// the person is in.
func (t *talk) complete(ctx context.Context, c *command.Command) error {
	id, err := t.back.Find(ctx, incident.Place{Channel: t.r.Channel, Thread: t.r.Thread})
	if err == nil && id == "" {
		err = fmt.Errorf("this is no incident's thread, so name what you mean: %s%s live-api. %sservices lists what there is", t.prefix(), strings.TrimSpace(c.String()), t.prefix())
	}
	if err != nil {
		return err
	}
	u, err := t.show(ctx, id)
	key := u.Incident.Alert.Key
	switch c.Verb {
	case command.Verify:
		c.Subject = u.Incident.ID
	case command.Why:
		c.Subject = key.Service
	default:
		c.Service, c.Env = key.Service, cmp.Or(c.Env, key.Env)
	}
	return err
}

// show is an incident, or a problem that says why there is none.
func (t *talk) show(ctx context.Context, id string) (Update, error) {
	u, err := t.back.Show(ctx, id)
	if errors.Is(err, incident.ErrNotFound) {
		return u, fmt.Errorf("incident %s is not kept any more, or never was: /profbot history SERVICE lists those that are, and /profbot cpu SERVICE takes a new profile", clean(id, 60))
	}
	return u, err
}

// verify profiles an incident's service again, to prove a fix.
func (t *talk) verify(ctx context.Context, id string) (result, error) {
	u, err := t.show(ctx, id)
	if err != nil {
		return result{}, err
	}
	key := u.Incident.Alert.Key
	res := result{service: key.Service}
	if err := t.allowed(ctx, t.r.User, t.where(), MayVerify, key.Service); err != nil {
		return res, err
	}
	giveBack, err := t.take(ctx, t.r.User, key.Service)
	if err != nil {
		return res, err
	}
	receipt, err := t.back.Verify(ctx, u.Incident.ID, t.r.User)
	if err == nil && receipt.Incident == "" {
		err = errors.New(cmp.Or(receipt.Reason, "the verification was not begun, and there is no reason given: see /profbot status"))
	}
	if err != nil {
		giveBack()
		return res, err
	}
	res.incident = receipt.Incident
	res.msg = speak(words("🔎 "), strong("Verifying the fix:"), words(fmt.Sprintf(" %s is profiled again and compared with incident %s. The result comes into that incident's thread.",
		serviceName(key.Service, key.Env), u.Incident.ID)))
	return res, nil
}

func (t *talk) history(ctx context.Context, c command.Command) (result, error) {
	k, err := t.service(ctx, c.Service, c.Env)
	if err != nil && c.Env == "" { // of several envs, all are meant
		known, kerr := t.back.Services(ctx)
		for _, other := range known {
			if kerr == nil && strings.EqualFold(other.Service, c.Service) {
				k, err = Known{Service: other.Service}, nil
			}
		}
	}
	if err != nil {
		return result{}, err
	}
	past, err := t.back.History(ctx, k.Service, historyRows)
	return result{service: k.Service, msg: renderHistory(k.Service, past)}, err
}

// status is how profbot is, and what is muted.
func (t *talk) status(ctx context.Context) (Message, error) {
	state, err := t.back.Status(ctx)
	if err != nil {
		return Message{}, err
	}
	mutes, err := t.back.Mutes(ctx)
	return renderStatus(state, mutes, t.now()), err
}

// mute keeps a service's alerts from being profiled for a while.
func (t *talk) mute(ctx context.Context, name, env string, span time.Duration) (result, error) {
	k, err := t.service(ctx, name, env)
	if err != nil {
		return result{}, err
	}
	res := result{service: k.Service}
	if err := t.allowed(ctx, t.r.User, t.where(), MayMute, k.Service); err != nil {
		return res, err
	}
	until := t.now().Add(span)
	if err := t.back.Mute(ctx, incident.Mute{Service: k.Service, Env: env, Until: until, By: t.r.User, At: t.now()}); err != nil {
		return res, err
	}
	res.msg = speak(words("🔕 "), strong("Muted "+serviceName(k.Service, env)+" until "), moment(until), words(fmt.Sprintf(" (%s). Its alerts are recorded and not profiled; what a person asks for is done. End it with ", soon(span))), mono("/profbot unmute "+k.Service), words("."))
	return res, nil
}

func (t *talk) unmute(ctx context.Context, c command.Command) (result, error) {
	res := result{service: c.Service}
	if err := t.allowed(ctx, t.r.User, t.where(), MayMute, c.Service); err != nil {
		return res, err
	}
	mutes, err := t.back.Mutes(ctx)
	if err != nil {
		return res, err
	}
	lifted := 0
	for _, m := range mutes {
		if !strings.EqualFold(m.Service, c.Service) || c.Env != "" && m.Env != "" && m.Env != c.Env {
			continue
		}
		if err := t.back.Mute(ctx, incident.Mute{Service: m.Service, Env: m.Env, Until: t.now(), By: t.r.User, At: t.now()}); err != nil {
			return res, err
		}
		lifted++
	}
	if lifted == 0 {
		var muted []string
		for _, m := range mutes {
			muted = append(muted, serviceName(m.Service, m.Env))
		}
		return res, fmt.Errorf("%s is not muted. Muted: %s", clean(c.Service, 80), cmp.Or(strings.Join(muted, ", "), "nothing"))
	}
	res.msg = speak(words("🔔 "), strong(clean(c.Service, 80)+" is not muted any more."), words(" Its next alert is profiled."))
	return res, nil
}
