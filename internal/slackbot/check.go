package slackbot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	What string // "token", "scopes", "channel #ops (C0123456789)"
	Note string // what is there, in a few plain words
	Err  error  // what is wrong; nil when it is good
	// Next is what to do about Err, step by step and in one line; "" when Slack
	// was not reached: then it is about the way there.
	Next string
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
		switch {
		case f.Err != nil && f.Next != "":
			errs = append(errs, fmt.Errorf("%s: %w: %s", f.What, f.Err, f.Next))
		case f.Err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", f.What, f.Err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check slack: %w", err)
	}
	return nil
}

// need is a scope that something cannot do without.
type need struct {
	reason, scope string
}

// needsAsked are the scopes without which people cannot ask. What rights of
// user groups need is said when somebody asks.
var needsAsked = []need{
	{"take /profbot", "commands"},
	{"take commands that begin with its name", "app_mentions:read"},
	{"take commands in direct messages", "im:history"},
	{"answer full members of the workspace only", "users:read"},
}

// Inspect is [Bot.Check] with what is good as well, in the order in which a
// person would look. It posts nothing.
func (b *Bot) Inspect(ctx context.Context) Inspection {
	var in Inspection
	add := func(what, note string) { in.Found = append(in.Found, Found{What: what, Note: note}) }
	var who *slack.AuthTestResponse
	err := b.call(ctx, "auth.test", "", callTimeout, func(ctx context.Context) (err error) {
		who, err = b.api.AuthTestContext(ctx)
		return err
	})
	if err != nil {
		in.Found = append(in.Found, Found{What: "token", Err: bare(err), Next: next(err)})
		return in // every other call would say the same
	}
	add("token", fmt.Sprintf("@%s in workspace %s", who.User, who.Team))
	if at, err := http.ParseTime(who.Header.Get("Date")); err == nil {
		in.Skew, in.Dated = at.Sub(b.now()).Round(time.Second), true
	}

	needs := []need{
		{"post and edit messages", "chat:write"},
		{"share the flame graph", "files:write"},
		{"see whether the flame graph was shared", "files:read"},
	}
	if b.asked {
		needs = append(needs, needsAsked...)
	}
	var channels []Found
	for _, id := range b.everyChannel() {
		f, history := b.inspectChannel(ctx, id, "@"+who.User, slices.Contains(scopesOf(who.Header), "channels:join"))
		channels = append(channels, f)
		needs = append(needs, history...)
	}
	missing := lacking(scopesOf(who.Header), needs)
	in.Found = append(in.Found, missing...)
	if len(missing) == 0 {
		add("scopes", "all that telling an incident needs")
	}
	in.Found = append(in.Found, channels...)
	return in
}

// inspectChannel looks at one channel as bot ("@profbot"), which may join public
// ones or not, and says which scope is needed in it.
func (b *Bot) inspectChannel(ctx context.Context, id, bot string, joins bool) (Found, []need) {
	var ch *slack.Channel
	err := b.call(ctx, "conversations.info", id, callTimeout, func(ctx context.Context) (err error) {
		ch, err = b.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
		return err
	})
	if err != nil {
		f := Found{What: "channel " + id, Err: bare(err), Next: next(err)}
		if code(err) == "channel_not_found" {
			f.Next = fmt.Sprintf("if the channel is private, type in it: /invite %s; if not, copy the id at the end of the channel's About tab into %s", bot, b.keyOf(id))
		}
		return f, nil
	}
	f := Found{What: fmt.Sprintf("channel #%s (%s)", ch.Name, id), Note: bot + " is in it"}
	switch {
	case ch.IsArchived:
		f.Err = errors.New("it is archived: nothing can be posted there")
		f.Next = fmt.Sprintf("unarchive #%s in its settings in Slack, or put another channel's id into %s", ch.Name, b.keyOf(id))
	case !ch.IsMember && !ch.IsIM && !ch.IsPrivate && joins:
		f.Note = bot + " joins it when there is something to tell"
	case !ch.IsMember && !ch.IsIM:
		f.Err = fmt.Errorf("%s is not in it", bot)
		f.Next = fmt.Sprintf("type in #%s: /invite %s", ch.Name, bot)
	}
	history := "channels:history"
	if ch.IsPrivate {
		history = "groups:history"
	}
	return f, []need{{fmt.Sprintf("find the bot's own messages in channel %q again after a crash", ch.Name), history}}
}

// keyOf is where a channel is configured.
func (b *Bot) keyOf(id string) string {
	if id == b.channel {
		return "slack.channel"
	}
	for _, service := range slices.Sorted(maps.Keys(b.channels)) {
		if b.channels[service] == id {
			return "slack.channels." + service
		}
	}
	for i, r := range b.routes {
		if r.Channel == id {
			return fmt.Sprintf("slack.routes[%d].channel", i)
		}
	}
	return "slack.channels"
}

// bare is err without its advice, in place of which there is Found.Next.
func bare(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		without := *e
		without.Advice = ""
		return &without
	}
	return err
}

const (
	theApp    = "at https://api.slack.com/apps open the app, "
	reinstall = "Install App, Reinstall to Workspace, and put the new Bot User OAuth Token into slack.token (PROFBOT_SLACK_TOKEN) and restart profbot"
)

// next is what a person does about a call that failed, step by step; "" when
// Slack was not reached.
func next(err error) string {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return ""
	}
	refused, _ := errors.AsType[slack.SlackErrorResponse](err)
	status, _ := errors.AsType[slack.StatusCodeError](err)
	switch {
	case e.Code == "invalid_auth" || e.Code == "not_authed" || e.Code == "not_allowed_token_type":
		return theApp + "OAuth & Permissions, copy the Bot User OAuth Token (xoxb-...) into slack.token (PROFBOT_SLACK_TOKEN) and restart profbot"
	case e.Code == "token_revoked" || e.Code == "token_expired" || e.Code == "account_inactive" || e.Code == "org_login_required":
		return theApp + reinstall
	case e.Code == "missing_scope" && refused.Needed != "":
		return grant(refused.Needed)
	case e.Code == "missing_scope":
		return "at https://api.slack.com/apps open the app, App Manifest, paste deploy/slack/manifest.yaml, then Install App, Reinstall to Workspace"
	case e.Code == "team_access_not_granted" || e.Code == "ekm_access_denied" || e.Code == "access_denied" || e.Code == "no_permission":
		return "an admin of the Slack organisation adds the workspace to the app: Manage organisation, Integrations, Installed apps, the app, Add to more workspaces"
	case e.Code == "ratelimited":
		return fmt.Sprintf("run it again in %s; if that does not help, something else uses this token: give profbot an app of its own", e.after)
	case status.Code >= 500 || e.Code == "internal_error" || e.Code == "fatal_error" || e.Code == "service_unavailable" || e.Code == "request_timeout" || e.Code == "team_added_to_org":
		return "look at https://slack-status.com, and run it again"
	case e.Code != "" && e.Advice != "":
		return e.Advice
	case e.Code != "":
		return fmt.Sprintf("look up %s at https://docs.slack.dev/reference/methods/%s", e.Code, e.Call)
	case status.Code != 0, notSlack(err):
		return "something between here and Slack answers in its place: leave slack.api_url empty, and look at HTTPS_PROXY"
	}
	return ""
}

// notSlack tells whether there was an answer that is not Slack's JSON.
func notSlack(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, shape := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || shape
}

// grant is the next step where the token lacks a scope.
func grant(scope string) string {
	return theApp + fmt.Sprintf("OAuth & Permissions, Bot Token Scopes, Add an OAuth Scope %s, then ", scope) + "Install App, Reinstall to Workspace"
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
func lacking(scopes []string, needs []need) []Found {
	var out []Found
	for _, n := range needs {
		if len(scopes) == 0 || slices.Contains(scopes, n.scope) {
			continue
		}
		out = append(out, Found{
			What: "scope " + n.scope, Next: grant(n.scope),
			Err: fmt.Errorf("the token lacks it; it is needed to %s", n.reason),
		})
	}
	return out
}
