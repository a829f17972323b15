package slackbot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

// The buttons of the app's home. ActionProfile is the shortcut's id too.
const (
	ActionProfile = "desk:profile"
	ActionStatus  = "desk:status"
	ActionRefresh = "desk:refresh"
)

const (
	homeRows   = 8 // of a list
	homeWeek   = 7 * 24 * time.Hour
	viewedFor  = 15 * time.Minute // a home is kept fresh for so long after it was opened
	mostViewed = 20               // of so many people at once
	homeEvery  = 30 * time.Second
)

// viewers are who has opened the home of late.
type viewers struct {
	mu   sync.Mutex // protects open
	open map[string]*viewer
}

type viewer struct {
	talk *talk
	at   time.Time // when the home was opened; protected by the viewers' mu

	mu   sync.Mutex // protects seen, and lets one publish at a time: the newest is the last
	seen [32]byte   // what the home says, as last sent
}

// home shows the app's home to the person, as it is now.
func (t *talk) home(ctx context.Context) {
	t.viewers.mu.Lock()
	if t.viewers.open == nil {
		t.viewers.open = map[string]*viewer{}
	}
	v := t.viewers.open[t.r.User]
	if v == nil {
		v = &viewer{talk: t}
		if len(t.viewers.open) < mostViewed {
			t.viewers.open[t.r.User] = v
		}
	}
	v.at = t.now()
	t.viewers.mu.Unlock()
	v.publish(ctx)
}

// refreshHomes shows what has changed to those who have opened the home of late.
func (d *Desk) refreshHomes(ctx context.Context) {
	d.viewers.mu.Lock()
	var open []*viewer
	for user, v := range d.viewers.open {
		if d.now().Sub(v.at) > viewedFor {
			delete(d.viewers.open, user)
			continue
		}
		open = append(open, v)
	}
	d.viewers.mu.Unlock()
	for _, v := range open {
		v.publish(ctx)
	}
}

// publish sends the home unless it says what it said.
func (v *viewer) publish(ctx context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.talk
	view := t.homeOf(ctx)
	data, err := json.Marshal(view)
	if err != nil {
		panic(fmt.Sprintf("slackbot: a view that is no JSON: %v", err)) // plain data always is
	}
	sum := sha256.Sum256(data)
	if v.seen == sum {
		return
	}
	err = t.call(ctx, "views.publish", t.r.User, callTimeout, func(ctx context.Context) error {
		_, err := t.api.PublishViewContext(ctx, slack.PublishViewContextRequest{UserID: t.r.User, View: view})
		return err
	})
	if err != nil {
		t.log.WarnContext(ctx, "the app's home was not shown", "user", t.r.User, "error", err)
		return
	}
	v.seen = sum
}

// homeOf is the home as it is now. What cannot be looked up is said in its place.
func (t *talk) homeOf(ctx context.Context) slack.HomeTabViewRequest {
	if err := t.member(ctx, t.r); err != nil {
		return homeView(trouble(err).Blocks)
	}
	var h homeData
	var err error
	note := func(what string, err error) {
		if err != nil {
			h.trouble = append(h.trouble, what+" cannot be shown at the moment: "+clean(err.Error(), 300))
		}
	}
	h.state, err = t.back.Status(ctx)
	note("What runs", err)
	h.recent, err = t.back.History(ctx, "", homeRows)
	note("The recent incidents", err)
	h.known, err = t.known(ctx)
	note("The services", err)
	h.worst, err = t.back.Offenders(ctx, t.now().Add(-homeWeek))
	note("The worst of the week", err)
	h.may = t.rightsOf(ctx)
	return homeView(renderHome(h))
}

// rightsOf says what a person may do, in whichever channel.
func (t *talk) rightsOf(ctx context.Context) []string {
	if len(t.opt.Rights) == 0 {
		return []string{"profile, verify and mute every service, and set the digest of a channel, as every full member of the workspace may"}
	}
	var out []string
	for _, r := range t.opt.Rights {
		if in, err := t.has(ctx, t.r.User, r); err != nil || !in {
			continue
		}
		var may []string
		for _, m := range Everything {
			if len(r.May) == 0 || slices.Contains(r.May, m) {
				may = append(may, string(m))
			}
		}
		s := strings.Join(may, ", ") + ": " + cmp.Or(strings.Join(r.Services, ", "), "every service")
		if len(r.Channels) > 0 {
			s += ", in " + count(len(r.Channels), "channel")
		}
		out = append(out, s)
	}
	return out
}

// homeData is what the home shows.
type homeData struct {
	state   State
	recent  []Past
	known   []Known
	worst   []Offender
	may     []string
	trouble []string
}

func homeView(blocks []slack.Block) slack.HomeTabViewRequest {
	return slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: blocks}}
}

func renderHome(h homeData) []slack.Block {
	// A home takes more than a message does: each list is bounded instead.
	var blocks []slack.Block
	add := func(b slack.Block) { blocks = append(blocks, b) }
	profile := slack.NewButtonBlockElement(ActionProfile, "", plainText("Profile a service", 75))
	profile.Style = slack.StylePrimary
	add(slack.NewActionBlock("desk:home", profile,
		slack.NewButtonBlockElement(ActionStatus, "", plainText("Status", 75)),
		slack.NewButtonBlockElement(ActionRefresh, "", plainText("Refresh", 75))))
	if trouble := append(slices.Clone(h.state.Trouble), h.trouble...); len(trouble) > 0 {
		add(rich(line(strong("⚠️ Trouble")), list(texts(trouble, homeRows)...)))
	}
	section := func(title, none string, items []slack.RichTextElement, all int) {
		add(header(title))
		if len(items) == 0 {
			add(rich(line(words(none))))
			return
		}
		if more := all - len(items); more > 0 {
			items = append(items, line(words(fmt.Sprintf("and %s more", thousands(int64(more))))))
		}
		add(rich(list(items...)))
	}
	section("Running", "Nothing is being profiled.", pastLines(h.state.Running), len(h.state.Running))
	section("Recent incidents", "None yet.", pastLines(h.recent), 0)
	var worst []slack.RichTextElement
	for _, o := range h.worst[:min(len(h.worst), homeRows)] {
		worst = append(worst, offenderLine(o))
	}
	section("Most expensive endpoints of the week", "No endpoint was flagged within a week.", worst, len(h.worst))
	var services []slack.RichTextElement
	for _, k := range verdictsFirst(h.known)[:min(len(h.known), 2*homeRows)] {
		services = append(services, knownLine(k))
	}
	section("Services", "None is known: list them in the configuration, or let Kubernetes find them.", services, len(h.known))
	var may []slack.RichTextElement
	for _, s := range h.may[:min(len(h.may), homeRows)] {
		may = append(may, line(words(clean(s, 300))))
	}
	section("You may", "Look at everything, and profile nothing: ask who runs profbot for an entry in slack.rights.", may, len(h.may))
	add(small("Or type /profbot cpu SERVICE in a channel; /profbot help lists the rest", "profbot "+h.state.Version))
	return blocks
}

// pastLines are incidents as the items of a list.
func pastLines(all []Past) []slack.RichTextElement {
	var out []slack.RichTextElement
	for _, p := range all[:min(len(all), homeRows)] {
		out = append(out, pastLine(p, true))
	}
	return out
}

// verdictsFirst orders services by what was found last: people look for that,
// and find the others in the form.
func verdictsFirst(known []Known) []Known {
	out := slices.Clone(known)
	opened := func(k Known) time.Time {
		if k.Last == nil {
			return time.Time{}
		}
		return k.Last.Incident.Opened
	}
	slices.SortStableFunc(out, func(a, b Known) int { return opened(b).Compare(opened(a)) })
	return out
}

// offenderLine is an expensive endpoint as one item of a list.
func offenderLine(o Offender) slack.RichTextElement {
	spans := []span{strong(clean(o.Endpoint, 150)), words(" of " + serviceName(o.Service, o.Env) + ": " + percent(o.Share.Part) + " of its CPU, " + clean(o.Verdict, 150))}
	if o.Cores > 0 {
		spans = append(spans, words(fmt.Sprintf(", %.2g cores", o.Cores)))
	}
	if o.Proven != "" {
		spans = append(spans, words(" — ✅ "+clean(o.Proven, 150)))
	}
	return line(append(spans, words(" · "), mono(clean(o.Incident, 60)))...)
}
