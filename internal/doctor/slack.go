package doctor

import (
	"cmp"
	"context"

	"github.com/profbot/profbot/internal/slackbot"
)

func (w *walk) slack(ctx context.Context) {
	c := w.Config.Slack
	bot, err := slackbot.New(slackbot.Options{Token: c.Token.Reveal(), Channel: c.Channel, Channels: c.Channels, APIURL: c.APIURL, Logger: w.Logger, Now: w.Now})
	if err != nil {
		w.result("Slack", "settings", "", err, "correct it below slack in the configuration")
		return
	}
	in := bot.Inspect(ctx)
	for _, f := range in.Found {
		next := f.Next
		if f.Err != nil {
			next = cmp.Or(next, server{"slack.com", c.APIURL, "slack.api_url"}.reach(f.Err))
		}
		w.result("Slack", f.What, f.Note, f.Err, next)
	}
	if in.Dated {
		w.clocks = append(w.clocks, clock{"Slack", in.Skew})
	}
}
