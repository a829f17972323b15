package doctor

import (
	"context"

	"github.com/profbot/profbot/internal/slackbot"
)

func (w *walk) slack(ctx context.Context) {
	c := w.Config.Slack
	bot, err := slackbot.New(slackbot.Options{Token: c.Token.Reveal(), Channel: c.Channel, Channels: c.Channels, APIURL: c.APIURL, Logger: w.Logger, Now: w.Now})
	if err != nil {
		w.result("Slack", "settings", "", err, "")
		return
	}
	in := bot.Inspect(ctx)
	for _, f := range in.Found {
		w.result("Slack", f.What, f.Note, f.Err, "")
	}
	if in.Dated {
		w.clocks = append(w.clocks, clock{"Slack", in.Skew})
	}
}
