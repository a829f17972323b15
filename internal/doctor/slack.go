package doctor

import (
	"cmp"
	"context"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/slackbot"
)

func (w *walk) slack(ctx context.Context) {
	c := w.Config.Slack
	opt := app.BotOptions(w.Config)
	opt.Logger, opt.Now = w.Logger, w.Now
	bot, err := slackbot.New(opt)
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
