package slackbot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slack-go/slack"
)

// scopesHeader carries the scopes of the token with every answer.
const scopesHeader = "X-OAuth-Scopes"

// Check asks Slack whether the token works, whether it has the scopes that
// telling an incident needs, and whether the bot is in every configured
// channel. Its error says what to do, for everything that is wrong at once.
func (b *Bot) Check(ctx context.Context) error {
	var scopes []string
	err := b.call(ctx, "auth.test", "", callTimeout, func(ctx context.Context) error {
		resp, err := b.api.AuthTestContext(ctx)
		if err == nil {
			for s := range strings.SplitSeq(resp.Header.Get(scopesHeader), ",") {
				if s = strings.TrimSpace(s); s != "" {
					scopes = append(scopes, s)
				}
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("check slack: %w", err)
	}
	var errs []error
	need := func(reason string, oneOf ...string) {
		if len(scopes) == 0 || slices.ContainsFunc(oneOf, func(s string) bool { return slices.Contains(scopes, s) }) {
			return // a token that does not say what it may gets the benefit of the doubt
		}
		errs = append(errs, fmt.Errorf("the bot token lacks the scope %s, needed to %s: add it to the app and install it to the workspace again",
			strings.Join(oneOf, " or "), reason))
	}
	need("post and edit messages", "chat:write")
	need("share the flame graph", "files:write")
	need("see whether the flame graph was shared", "files:read")
	channels := slices.Collect(maps.Values(b.channels))
	channels = append(channels, b.channel)
	slices.Sort(channels)
	for _, id := range slices.Compact(channels) {
		var ch *slack.Channel
		err := b.call(ctx, "conversations.info", id, callTimeout, func(ctx context.Context) (err error) {
			ch, err = b.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: id})
			return err
		})
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case ch.IsArchived:
			errs = append(errs, fmt.Errorf("channel %q (%s): %s", ch.Name, id, advice("is_archived", "")))
		case !ch.IsMember && !ch.IsIM:
			errs = append(errs, fmt.Errorf("channel %q (%s): %s", ch.Name, id, advice("not_in_channel", "")))
		}
		history := "channels:history"
		if ch.IsPrivate {
			history = "groups:history"
		}
		need(fmt.Sprintf("find the bot's own messages in channel %q again after a crash", ch.Name), history)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check slack: %w", err)
	}
	return nil
}
