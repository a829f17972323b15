package slackbot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

// join makes the bot a member of a channel that it is configured to tell
// incidents in, and reports whether it is one now. It is tried once: a channel
// that has sent the bot away does not want it.
func (b *Bot) join(ctx context.Context, channel string) bool {
	if !slices.Contains(b.everyChannel(), channel) {
		return false
	}
	b.mu.Lock()
	tried := b.joined[channel]
	b.joined[channel] = true
	b.mu.Unlock()
	if tried {
		return false
	}
	err := b.attempt(ctx, "conversations.join", channel, callTimeout, func(ctx context.Context) error {
		_, _, _, err := b.api.JoinConversationContext(ctx, channel)
		return err
	})
	if err == nil {
		b.log.InfoContext(ctx, "joined a channel", "channel", channel)
		return true
	}
	if !err.refused() { // nobody has decided: that was no try
		b.mu.Lock()
		delete(b.joined, channel)
		b.mu.Unlock()
	}
	b.log.WarnContext(ctx, "could not join a channel", "channel", channel, "error", err)
	return false
}

// gone says in a few words why nothing can be told in a channel; "" when err is
// about something else.
func gone(err error) string {
	switch code(err) {
	case "is_archived":
		return "is archived"
	case "channel_not_found":
		return "cannot be found; if it is private, type /invite and the bot's name there"
	case "not_in_channel":
		return "does not have the bot in it; type /invite and the bot's name there"
	}
	return ""
}

// moved is a step's effect when the message is not where it should be: its Ref
// is "channel/" and why, such as "C0123456789/is archived".
func moved(step string) string { return step + "-moved" }

// noting is render with where the message should have been.
func noting(render func(u Update, clicks bool) Message, from incident.Effect) func(u Update, clicks bool) Message {
	channel, why, ok := strings.Cut(from.Ref, "/")
	if !ok {
		return render
	}
	return func(u Update, clicks bool) Message {
		m := render(u, clicks)
		note := words(fmt.Sprintf(" %s.", why))
		m.Blocks = append(slices.Clip(m.Blocks), rich(line(words("Told here, since "), slack.NewRichTextSectionChannelElement(channel, nil), note)))
		return m
	}
}
