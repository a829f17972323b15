package slackbot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// buttonMute is how long the button in a thread mutes for.
const buttonMute = 2 * time.Hour

// click does what a button asks for. Buttons of an incident carry its id.
func (t *talk) click(ctx context.Context) {
	switch t.r.Action {
	case ActionFlame, ActionService, actionKinds:
		return // opens a page by itself, or is part of a form
	case ActionRefresh:
		t.home(ctx)
	case ActionProfile:
		t.act(ctx, "open the form", func(ctx context.Context) (result, error) {
			return result{silent: true}, t.form(ctx, incident.Place{})
		})
	case ActionStatus:
		t.act(ctx, "status", func(ctx context.Context) (result, error) {
			msg, err := t.status(ctx)
			return result{msg: msg}, err
		})
	case ActionHeap, ActionGoroutine, ActionAgain, ActionCompare, ActionMute, ActionWhy, ActionVerify:
		t.act(ctx, clickWords[t.r.Action]+" "+t.r.Value, t.incidentClick)
	default:
		t.act(ctx, "click on "+t.r.Action, func(context.Context) (result, error) {
			return result{}, errors.New("profbot does not know this button any more: type /profbot for a form, or /profbot help")
		})
	}
}

// clickWords say for the audit log what a button asks for.
var clickWords = map[string]string{
	ActionHeap: "heap again, of incident", ActionGoroutine: "goroutine again, of incident", ActionAgain: "profile again, of incident",
	ActionCompare: "compare, of incident", ActionMute: "mute for 2h, of incident", ActionWhy: "why, of incident", ActionVerify: "verify",
}

func (t *talk) incidentClick(ctx context.Context) (result, error) {
	u, err := t.show(ctx, t.r.Value)
	if err != nil {
		return result{}, err
	}
	inc := u.Incident
	key := inc.Alert.Key
	switch t.r.Action {
	case ActionVerify:
		return t.verify(ctx, inc.ID)
	case ActionMute:
		return t.mute(ctx, key.Service, key.Env, buttonMute)
	case ActionWhy:
		received, err := t.back.Why(ctx, inc.Alert.ID, 1)
		if errors.Is(err, incident.ErrNotFound) {
			err = nil // the alert is pruned before its incident
		}
		return result{service: key.Service, msg: renderReasons(u, received)}, err
	}
	k, err := t.service(ctx, key.Service, key.Env)
	if err != nil {
		return result{service: key.Service}, err
	}
	o := order{}
	switch t.r.Action {
	case ActionHeap:
		o.Kinds = []incident.Kind{incident.KindHeap}
	case ActionGoroutine:
		o.Kinds = []incident.Kind{incident.KindGoroutine}
	case ActionCompare:
		past, err := t.back.Baseline(ctx, k.Service, k.Env, inc.Opened)
		switch {
		case errors.Is(err, incident.ErrNotFound):
			o.Against, o.note = inc.ID, "Nothing older is kept, so it is compared with this incident."
		case err != nil:
			return result{service: key.Service}, err
		default:
			o.Against, o.note = past.Incident.ID, fmt.Sprintf("It is compared with incident %s, from %s before this one.", past.Incident.ID, soon(inc.Opened.Sub(past.Incident.Opened)))
		}
	}
	return t.place(ctx, k, o)
}
