package slackbot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// scopesHeader carries the scopes of the token with every answer.
const scopesHeader = "X-OAuth-Scopes"

// Found is one thing that [Bot.Inspect] looked at.
type Found struct {
	What string // "token", "scopes", `channel "ops"`
	Note string // what is there, in a few plain words
	Err  error  // what is wrong and what to do; nil when it is good
}

// Inspection is what a walk through the workspace finds.
type Inspection struct {
	Found []Found
	// Skew is how far Slack's clock is ahead of this machine's, to a second;
	// meaningful when Dated is true.
	Skew  time.Duration
	Dated bool
}

// Check asks Slack whether the token works, whether it has the scopes that
// telling an incident needs, and whether the bot is in every configured
// channel. Its error says what to do, for everything that is wrong at once.
func (b *Bot) Check(ctx context.Context) error {
	var errs []error
	for _, f := range b.Inspect(ctx).Found {
		errs = append(errs, f.Err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check slack: %w", err)
	}
	return nil
}

// need is a scope that something cannot do without.
type need struct {
	reason string
	oneOf  []string
}

// needsAsked are the scopes without which people cannot ask. What rights of
// user groups need is said when somebody asks.
var needsAsked = []need{
	{"take /profbot", []string{"commands"}},
	{"take commands that begin with its name", []string{"app_mentions:read"}},
	{"take commands in direct messages", []string{"im:history"}},
	{"answer full members of the workspace only", []string{"users:read"}},
}

// Inspect is [Bot.Check] with what is good as well, in the order in which a
// person would look. It posts nothing.
func (b *Bot) Inspect(ctx context.Context) Inspection {
	var in Inspection
	add := func(what, note string, err error) { in.Found = append(in.Found, Found{what, note, err}) }
	var who *slack.AuthTestResponse
	err := b.call(ctx, "auth.test", "", callTimeout, func(ctx context.Context) (err error) {
		who, err = b.api.AuthTestContext(ctx)
		return err
	})
	if err != nil {
		add("token", "", err)
		return in // every other call would say the same
	}
	add("token", fmt.Sprintf("@%s in workspace %s", who.User, who.Team), nil)
	if at, err := http.ParseTime(who.Header.Get("Date")); err == nil {
		in.Skew, in.Dated = at.Sub(b.now()).Round(time.Second), true
	}

	needs := []need{
		{"post and edit messages", []string{"chat:write"}},
		{"share the flame graph", []string{"files:write"}},
		{"see whether the flame graph was shared", []string{"files:read"}},
	}
	if b.asked {
		needs = append(needs, needsAsked...)
	}
	var channels []Found
	for _, id := range b.everyChannel() {
		f, history := b.inspectChannel(ctx, id)
		channels = append(channels, f)
		needs = append(needs, history...)
	}
	missing := lacking(scopesOf(who.Header), needs)
	for _, err := range missing {
		add("scopes", "", err)
	}
	if len(missing) == 0 {
		add("scopes", "all that telling an incident needs", nil)
	}
	in.Found = append(in.Found, channels...)
	return in
}

// inspectChannel looks at one channel, and says which scope is needed in it.
func (b *Bot) inspectChannel(ctx context.Context, id string) (Found, []need) {
	var ch *slack.Channel
	err := b.call(ctx, "conversations.info", id, callTimeout, func(ctx context.Context) (err error) {
		ch, err = b.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
		return err
	})
	if err != nil {
		return Found{What: "channel " + id, Err: err}, nil
	}
	f := Found{What: fmt.Sprintf("channel #%s (%s)", ch.Name, id), Note: "the bot is in it"}
	switch {
	case ch.IsArchived:
		f.Err = fmt.Errorf("channel %q (%s): %s", ch.Name, id, advice("is_archived", ""))
	case !ch.IsMember && !ch.IsIM:
		f.Err = fmt.Errorf("channel %q (%s): %s", ch.Name, id, advice("not_in_channel", ""))
	}
	history := "channels:history"
	if ch.IsPrivate {
		history = "groups:history"
	}
	return f, []need{{fmt.Sprintf("find the bot's own messages in channel %q again after a crash", ch.Name), []string{history}}}
}

func scopesOf(h http.Header) []string {
	var scopes []string
	for s := range strings.SplitSeq(h.Get(scopesHeader), ",") {
		if s = strings.TrimSpace(s); s != "" {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// lacking says what scopes do not cover. A token that does not say what it may
// gets the benefit of the doubt.
func lacking(scopes []string, needs []need) []error {
	var errs []error
	for _, n := range needs {
		if len(scopes) == 0 || slices.ContainsFunc(n.oneOf, func(s string) bool { return slices.Contains(scopes, s) }) {
			continue
		}
		errs = append(errs, fmt.Errorf("the bot token lacks the scope %s, needed to %s: add it to the app and install it to the workspace again",
			strings.Join(n.oneOf, " or "), n.reason))
	}
	return errs
}
