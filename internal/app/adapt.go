package app

import (
	"context"
	"time"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/web"
)

// The edges do not import the pipeline and the pipeline imports no edge; here
// their types meet.

type puller struct{ c *collector.Collector }

func (p puller) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (pipeline.Pulled, error) {
	got, err := p.c.Pull(ctx, t, k, window)
	return pipeline.Pulled{Data: got.Data, Window: got.Window, Started: got.Started}, err
}

type teller struct {
	bot *slackbot.Bot
	st  *store.Store
}

func (t teller) Publish(ctx context.Context, id string, u pipeline.Update) error {
	return t.bot.Publish(ctx, t.st.Ledger(id), slackbot.Update(u))
}

func alerts(st *store.Store) func(context.Context, int) ([]web.Received, error) {
	return func(ctx context.Context, limit int) ([]web.Received, error) {
		rows, err := st.Alerts(ctx, limit)
		out := make([]web.Received, len(rows))
		for i, r := range rows {
			out[i] = web.Received(r)
		}
		return out, err
	}
}
