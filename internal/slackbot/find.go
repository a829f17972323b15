package slackbot

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/slack-go/slack"
)

// How far the search for a message of unknown fate goes.
const (
	// findBefore and findAfter allow for a clock that differs from Slack's and
	// for a request that took its time.
	findBefore = 5 * time.Minute
	findAfter  = time.Hour
	findLimit  = 200 // messages a page; Slack advises no more
	findPages  = 25
)

// find returns the timestamp of the bot's own message that match accepts, or
// "" when there is none: among the channel's messages around a time, or among
// the replies to parent.
func (b *Bot) find(ctx context.Context, channel, parent string, around time.Time, match func(slack.Message) bool) (string, error) {
	return b.search(ctx, channel, parent, around.Add(-findBefore), around.Add(findAfter), match)
}

// search is find between two times.
func (b *Bot) search(ctx context.Context, channel, parent string, from, to time.Time, match func(slack.Message) bool) (string, error) {
	self, err := b.whoAmI(ctx)
	if err != nil {
		return "", err
	}
	params := slack.GetConversationHistoryParameters{
		ChannelID: channel, Limit: findLimit, IncludeAllMetadata: true,
		Oldest: stamp(from), Latest: stamp(to),
	}
	for range findPages {
		page, next, err := b.page(ctx, parent, params)
		switch code(err) {
		case "thread_not_found":
			return "", nil // posting will say so again
		case "missing_scope", "not_in_channel":
			// A message that is there twice is better than none.
			b.log.WarnContext(ctx, "cannot look whether a message is already there, sending it again", "channel", channel, "error", err)
			return "", nil
		}
		if err != nil {
			return "", err
		}
		for _, m := range page {
			if m.User == self.user && match(m) {
				return m.Timestamp, nil
			}
		}
		if next == "" {
			return "", nil
		}
		params.Cursor = next
	}
	return "", fmt.Errorf("look for a message in %q: more than %d messages since %s", channel, findPages*findLimit, from.Format(time.RFC3339))
}

// page is one page of a channel or, with a parent, of a thread.
func (b *Bot) page(ctx context.Context, parent string, p slack.GetConversationHistoryParameters) (messages []slack.Message, next string, err error) {
	if parent != "" {
		err = b.call(ctx, "conversations.replies", p.ChannelID, callTimeout, func(ctx context.Context) error {
			messages, _, next, err = b.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
				ChannelID: p.ChannelID, Timestamp: parent, Cursor: p.Cursor, Limit: p.Limit, IncludeAllMetadata: true,
			})
			return err
		})
		return messages, next, err
	}
	err = b.call(ctx, "conversations.history", p.ChannelID, callTimeout, func(ctx context.Context) error {
		resp, err := b.api.GetConversationHistoryContext(ctx, &p)
		if err == nil {
			messages, next = resp.Messages, resp.ResponseMetaData.NextCursor
		}
		return err
	})
	return messages, next, err
}

// stamp is a time as Slack writes the timestamps of messages.
func stamp(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) + ".000000" }

// identity is who the bot is in Slack.
type identity struct {
	user, name string // its id, and what people write behind the @
	team       string // id of its workspace
	enterprise string // id of the organisation; "" for none
}

// whoAmI is the bot's own identity. Two callers at once may both ask: the
// answer is the same.
func (b *Bot) whoAmI(ctx context.Context) (identity, error) {
	b.mu.Lock()
	self := b.self
	b.mu.Unlock()
	if self.user != "" {
		return self, nil
	}
	err := b.call(ctx, "auth.test", "", callTimeout, func(ctx context.Context) error {
		resp, err := b.api.AuthTestContext(ctx)
		if err == nil {
			self = identity{user: resp.UserID, name: resp.User, team: resp.TeamID, enterprise: resp.EnterpriseID}
		}
		return err
	})
	if err != nil {
		return identity{}, err
	}
	b.mu.Lock()
	b.self = self
	b.mu.Unlock()
	return self, nil
}
