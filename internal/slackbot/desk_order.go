package slackbot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/command"
	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/spelling"
)

// order is a capture that a person wants.
type order struct {
	Service, Env, Pod string
	incident.Order
	note string // what else there is to say of it
}

// words is the order as it would be typed.
func (o order) words() string {
	var kinds []string
	for _, k := range o.Kinds {
		kinds = append(kinds, k.Profile())
	}
	out := cmp.Or(strings.Join(kinds, "+"), "profile") + " " + o.Service
	if o.Env != "" {
		out += " env=" + o.Env
	}
	if o.Window > 0 {
		out += " " + o.Window.String()
	}
	if o.Pod != "" {
		out += " pod=" + o.Pod
	}
	if o.Pods > 0 {
		out += fmt.Sprintf(" pods=%d", o.Pods)
	}
	if o.Against != "" {
		out += " against " + o.Against
	}
	return out
}

// place hands in an order that the person may make, and says what happens.
func (t *talk) place(ctx context.Context, k Known, o order) (result, error) {
	res := result{service: k.Service}
	if err := t.allowed(ctx, t.r.User, t.where(), MayCapture, k.Service); err != nil {
		return res, err
	}
	at, elsewhere := t.target(ctx)
	giveBack, err := t.take(ctx, t.r.User, k.Service)
	if err != nil {
		return res, err
	}
	o.Service, o.Env = k.Service, k.Env
	id := "slack/" + t.r.ID // of the cycle too: what is asked for twice is done twice
	receipt, err := t.back.Accept(ctx, incident.Alert{
		Source: "slack", ID: id, Cycle: id, Key: incident.Key{Service: o.Service, Env: o.Env}, Transition: incident.TransitionTriggered,
		Title: o.words(), At: t.now(), Pod: o.Pod, RequestedBy: t.r.User, Order: &o.Order, Place: at,
	})
	if err == nil && (receipt.Action != incident.ActionCapture || receipt.Incident == "") {
		err = errors.New(cmp.Or(receipt.Reason, "nothing was begun, and there is no reason given: see /profbot status"))
	}
	if err != nil {
		giveBack()
		return res, err
	}
	res.incident = receipt.Incident
	res.msg = t.begun(k, o, receipt, at, elsewhere)
	return res, nil
}

// begun says what was begun, and where the result will be.
func (t *talk) begun(k Known, o order, receipt incident.Receipt, at incident.Place, elsewhere []span) Message {
	pods := count(cmp.Or(o.Pods, t.opt.Pods), "pod")
	switch {
	case o.Pod != "":
		pods = o.Pod
	case k.Pods > 0:
		pods = count(min(cmp.Or(o.Pods, t.opt.Pods), k.Pods), "pod")
	}
	var kinds []string
	for _, kind := range o.Kinds {
		kinds = append(kinds, kind.Profile())
	}
	what := pods + ", " + cmp.Or(o.Window, t.opt.Window).String()
	if len(kinds) > 0 {
		what = strings.Join(kinds, ", ") + " of " + what
	}
	first := []span{words("⏳ "), strong("Profiling " + serviceName(k.Service, k.Env) + ":"), words(" " + what + ".")}
	if o.note != "" {
		first = append(first, words(" "+o.note))
	}
	switch {
	case len(elsewhere) > 0:
		first = append(append(first, words(" ")), elsewhere...)
	case at.Thread != "":
		first = append(first, words(" The result comes into this thread."))
	case at.Channel != "":
		first = append(first, words(" The result comes into this channel."))
	default:
		first = append(first, words(" The result comes into "), slack.NewRichTextSectionChannelElement(t.channelFor(incident.Alert{Key: incident.Key{Service: k.Service}}), nil), words("."))
	}
	m := speak(first...)
	if s := small(cond(receipt.Reason != "", asSentence(receipt.Reason)), "incident "+receipt.Incident); s != nil {
		m.Blocks = append(m.Blocks, s)
	}
	return m
}

func cond(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}

// serviceName is "live-api (prod)".
func serviceName(name, env string) string {
	return service(incident.Incident{Alert: incident.Alert{Key: incident.Key{Service: name, Env: env}}})
}

// where is the channel that the person asked in; "" in the app's home.
func (t *talk) where() string {
	if t.r.View != nil && t.r.Channel == "" {
		return readPlace(t.r.View.Private).Channel
	}
	return t.r.Channel
}

// target is where the result belongs: the thread that the person is in, or the
// channel, when the bot can tell something there. Otherwise it is where the
// service's incidents are told, and the spans say so.
func (t *talk) target(ctx context.Context) (incident.Place, []span) {
	channel := t.where()
	if t.r.Kind == receive.Mention || t.r.Kind == receive.Click {
		return incident.Place{Channel: channel, Thread: cond(channel != "", t.root())}, nil
	}
	if channel == "" {
		return incident.Place{}, nil
	}
	why := t.room(ctx, channel)
	if why == "" {
		return incident.Place{Channel: channel, Thread: t.r.Thread}, nil
	}
	return incident.Place{}, []span{words("The result comes where the service's incidents are told, since " + why)}
}

// rooms is what is known of channels.
type rooms struct {
	mu       sync.Mutex // protects channels
	channels map[string]stored[*slack.Channel]
}

// room says why the bot cannot tell an incident in a channel, and what would
// help; "" when it can, or when that is not known: then the attempt will tell.
func (d *Desk) room(ctx context.Context, id string) string {
	name := "profbot"
	if self, err := d.whoAmI(ctx); err == nil {
		name = self.name
	}
	ch, err := remember(&d.rooms.mu, &d.rooms.channels, id, d.now(), func() (ch *slack.Channel, err error) {
		err = d.call(ctx, "conversations.info", id, callTimeout, func(ctx context.Context) error {
			ch, err = d.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
			return err
		})
		if err == nil && !ch.IsArchived && !ch.IsMember && !ch.IsIM {
			err = errNotIn // ask again next time: it may have been invited
		}
		return ch, err
	})
	switch {
	case errors.Is(err, errNotIn):
		return fmt.Sprintf("@%s is not in this channel: type /invite @%s here to have it here next time.", name, name)
	case code(err) == "channel_not_found" && strings.HasPrefix(id, "D"):
		return "profbot cannot write into a conversation of others: write to @" + name + " itself, or ask in a channel."
	case code(err) == "channel_not_found":
		return fmt.Sprintf("@%s cannot see this channel: type /invite @%s here to have it here next time.", name, name)
	case code(err) == "missing_scope":
		return "the app may not look whether it is in this channel: install it again from the manifest that profbot ships."
	case err == nil && ch.IsArchived:
		return "this channel is archived."
	}
	return ""
}

var errNotIn = errors.New("not a member")

// service is the one that is meant: its name in any case, and its env where
// that can be only one.
func (t *talk) service(ctx context.Context, name, env string) (Known, error) {
	known, err := t.back.Services(ctx)
	if err != nil {
		return Known{}, fmt.Errorf("profbot does not know its services at the moment: %w", err)
	}
	return pick(known, name, env)
}

func pick(known []Known, name, env string) (Known, error) {
	var same []Known
	for _, k := range known {
		if strings.EqualFold(k.Service, name) {
			same = append(same, k)
		}
	}
	fits := slices.DeleteFunc(slices.Clone(same), func(k Known) bool { return env != "" && k.Env != "" && !strings.EqualFold(k.Env, env) })
	switch {
	case len(fits) == 1 || len(fits) > 1 && env != "":
		k := fits[0]
		k.Env = cmp.Or(k.Env, env)
		return k, nil
	case len(same) > 0:
		var envs []string
		for _, k := range same {
			envs = append(envs, cmp.Or(k.Env, "any"))
		}
		if len(fits) > 1 {
			return Known{}, fmt.Errorf("the service %s runs in several envs: add one, such as env=%s (it has %s)", same[0].Service, envs[0], strings.Join(envs, ", "))
		}
		return Known{}, fmt.Errorf("the service %s has no env %q: it has %s", same[0].Service, clean(env, 60), strings.Join(envs, ", "))
	case len(known) == 0:
		return Known{}, errors.New("profbot knows no service: list one under services in its configuration, or let Kubernetes find them")
	}
	says := fmt.Sprintf("there is no service %q.", clean(name, 80))
	if near := nearest(known, name); len(near) > 0 {
		says += " Did you mean " + strings.Join(near, " or ") + "?"
	}
	all := names(known)
	if len(all) <= 10 {
		says += " Known are " + strings.Join(all, ", ") + "."
	} else {
		says += fmt.Sprintf(" Known are %s and %d more: see /profbot services.", strings.Join(all[:10], ", "), len(all)-10)
	}
	return Known{}, errors.New(says + " A service is known when it is in the configuration or its pods were found")
}

// names lists each service once.
func names(known []Known) []string {
	var out []string
	for _, k := range known {
		out = append(out, k.Service)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// nearest lists up to three services whose names are like what was typed.
func nearest(known []Known, typed string) []string {
	typed = strings.ToLower(cut(typed, 80))
	type near struct {
		name string
		far  int
	}
	var found []near
	for _, n := range names(known) {
		low := strings.ToLower(n)
		far := spelling.Distance(low, typed)
		if typed != "" && (strings.Contains(low, typed) || strings.Contains(typed, low)) {
			far = 1
		}
		if far <= max(2, len(typed)/3) {
			found = append(found, near{n, far})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.far - b.far })
	var out []string
	for _, n := range found[:min(len(found), 3)] {
		out = append(out, n.name)
	}
	return out
}

// ordered is a command's order.
func ordered(c command.Command) order {
	o := order{Pod: c.Pod, Order: incident.Order{Window: c.Window, Pods: c.Pods}}
	if c.Kind != "" {
		o.Kinds = []incident.Kind{c.Kind}
	}
	return o
}
