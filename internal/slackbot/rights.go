package slackbot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/slackbot/receive"
)

// May is one thing that a right allows.
type May string

// What a right can allow. Looking needs none: every full member of the
// workspace may ask for lists, reasons and the status.
const (
	MayCapture May = "capture" // profile a service, also to compare
	MayVerify  May = "verify"  // prove a fix
	MayMute    May = "mute"    // keep a service's alerts from being profiled, and lift that
	MayDigest  May = "digest"  // give a channel a weekly digest, and take it away
)

// Everything lists all that rights can allow.
var Everything = []May{MayCapture, MayVerify, MayMute, MayDigest}

// Right allows some people something. What is empty does not narrow it: a
// Right with Services alone allows everybody everything with them.
type Right struct {
	Users    []string // ids of people, "U..."
	Groups   []string // ids of user groups, "S..."
	Channels []string // ids of the channels it can be asked for in
	Services []string // names, or patterns such as "live-*"
	May      []May
}

func (r Right) check() error {
	for _, s := range r.Services {
		if _, err := path.Match(s, ""); err != nil {
			return fmt.Errorf("services: %q is no pattern: %w", s, err)
		}
	}
	for _, m := range r.May {
		if !slices.Contains(Everything, m) {
			return fmt.Errorf("may: %q is not known: it can be capture, verify, mute and digest", m)
		}
	}
	return nil
}

// about reports whether the right is about a deed, whoever does it where.
func (r Right) about(m May, service string) bool {
	return (len(r.May) == 0 || slices.Contains(r.May, m)) &&
		(len(r.Services) == 0 || slices.ContainsFunc(r.Services, func(p string) bool { ok, _ := path.Match(p, service); return ok }))
}

// allowed reports whether the person may do something with a service ("" for
// none) in a channel. Its error says why not and whom to ask.
func (d *Desk) allowed(ctx context.Context, user, channel string, m May, service string) error {
	if len(d.opt.Rights) == 0 {
		return nil
	}
	var ask []span // who has the right
	var elsewhere []span
	var failure error
	for _, r := range d.opt.Rights {
		if !r.about(m, service) {
			continue
		}
		in, err := d.has(ctx, user, r)
		if err != nil {
			failure = err
		}
		if here := len(r.Channels) == 0 || slices.Contains(r.Channels, channel); in && here {
			return nil
		} else if in {
			for _, c := range r.Channels {
				elsewhere = append(elsewhere, slack.NewRichTextSectionChannelElement(c, nil))
			}
			continue
		}
		for _, u := range r.Users {
			ask = append(ask, slack.NewRichTextSectionUserElement(u, nil))
		}
		for _, g := range r.Groups {
			ask = append(ask, slack.NewRichTextSectionUserGroupElement(g))
		}
	}
	what := []span{words("You may not " + m.words(service) + ": ")}
	switch {
	case failure != nil:
		return refuse(append(what, words(fmt.Sprintf("profbot could not look who is in the user group (%s). Try again, or ask who runs profbot.", clean(failure.Error(), 300))))...)
	case len(elsewhere) > 0:
		return refuse(append(append(what, words("you may in ")), append(listed(elsewhere), words("."))...)...)
	case len(ask) > 0:
		return refuse(append(append(what, words("ask ")), append(listed(ask), words(", who may."))...)...)
	}
	return refuse(append(what, words("nobody may. Ask who runs profbot for an entry in slack.rights."))...)
}

// listed parts names by commas; of many, some do.
func listed(names []span) []span {
	var out []span
	for i, n := range names[:min(len(names), 8)] {
		if i > 0 {
			out = append(out, words(", "))
		}
		out = append(out, n)
	}
	return out
}

// words says what is not allowed.
func (m May) words(service string) string {
	switch m {
	case MayCapture:
		return "profile " + service
	case MayVerify:
		return "verify fixes of " + service
	case MayMute:
		return "mute " + service
	}
	return "set this channel's digest"
}

// has reports whether a right is a person's.
func (d *Desk) has(ctx context.Context, user string, r Right) (bool, error) {
	if len(r.Users)+len(r.Groups) == 0 || slices.Contains(r.Users, user) {
		return true, nil
	}
	var errs []error
	for _, g := range r.Groups {
		members, err := d.members(ctx, g)
		if err == nil && slices.Contains(members, user) {
			return true, nil
		}
		errs = append(errs, err)
	}
	return false, errors.Join(errs...)
}

// people is what is known of the workspace's people.
type people struct {
	mu     sync.Mutex // protects both
	users  map[string]stored[*slack.User]
	groups map[string]stored[[]string]
}

// stored is an answer of Slack, for a while.
type stored[T any] struct {
	value T
	until time.Time
}

// peopleFor is how long an answer about people holds: who leaves the company
// or a group loses the rights after it.
const peopleFor = 5 * time.Minute

// remember returns an answer that still holds, or asks for it anew. Failures
// are not kept.
func remember[T any](mu *sync.Mutex, m *map[string]stored[T], key string, now time.Time, ask func() (T, error)) (T, error) {
	mu.Lock()
	s, ok := (*m)[key]
	mu.Unlock()
	if ok && now.Before(s.until) {
		return s.value, nil
	}
	v, err := ask()
	if err != nil {
		return v, err
	}
	mu.Lock()
	defer mu.Unlock()
	if *m == nil {
		*m = map[string]stored[T]{}
	}
	for k, s := range *m {
		if now.After(s.until) {
			delete(*m, k)
		}
	}
	(*m)[key] = stored[T]{v, now.Add(peopleFor)}
	return v, nil
}

func (d *Desk) members(ctx context.Context, group string) ([]string, error) {
	return remember(&d.people.mu, &d.people.groups, group, d.now(), func() (members []string, err error) {
		err = d.call(ctx, "usergroups.users.list", group, callTimeout, func(ctx context.Context) error {
			members, err = d.api.GetUserGroupMembersContext(ctx, group)
			return err
		})
		return members, err
	})
}

// member reports whether who asked is a full member of a workspace that is
// served. Everybody else gets nothing, and when it is not known that is nobody.
func (d *Desk) member(ctx context.Context, r receive.Request) error {
	teams := d.opt.Teams
	if len(teams) == 0 {
		self, err := d.whoAmI(ctx)
		if err != nil {
			return fmt.Errorf("profbot could not ask Slack which workspace it is in, so it answers nobody: try again: %w", err)
		}
		teams = []string{self.team}
	}
	const outside = "profbot answers full members of its own workspace only: ask a colleague there"
	if !slices.Contains(teams, r.Team) || r.UserTeam != "" && !slices.Contains(teams, r.UserTeam) {
		return errors.New(outside)
	}
	u, err := remember(&d.people.mu, &d.people.users, r.User, d.now(), func() (u *slack.User, err error) {
		err = d.call(ctx, "users.info", r.User, callTimeout, func(ctx context.Context) error {
			u, err = d.api.GetUserInfoContext(ctx, r.User)
			return err
		})
		return u, err
	})
	switch {
	case err != nil:
		return fmt.Errorf("profbot could not ask Slack whether you are a full member of the workspace, so nothing was done: try again: %w", err)
	case u.IsRestricted || u.IsUltraRestricted:
		return errors.New("profbot does not answer guests: ask a full member of the workspace")
	case u.Deleted || u.IsBot || u.IsStranger,
		!slices.Contains(teams, u.TeamID) && !slices.ContainsFunc(u.Enterprise.Teams, func(t string) bool { return slices.Contains(teams, t) }):
		return errors.New(outside)
	}
	return nil
}
