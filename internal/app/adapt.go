package app

import (
	"context"
	"errors"
	"time"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/metrics"
	"github.com/profbot/profbot/internal/pipeline"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/store"
	"github.com/profbot/profbot/internal/web"
)

// The edges do not import the pipeline and the pipeline imports no edge; here
// their types meet.

type puller struct {
	c *collector.Collector
	m *metrics.Metrics
}

func (p puller) Pull(ctx context.Context, t incident.Target, k incident.Kind, window time.Duration) (pipeline.Pulled, error) {
	got, err := p.c.Pull(ctx, t, k, window)
	p.m.Asked(t.Service, got.Asked)
	return pipeline.Pulled{Data: got.Data, Window: got.Window, Started: got.Started, Asked: got.Asked}, err
}

type teller struct {
	bot *slackbot.Bot
	st  *store.Store
	m   *metrics.Metrics
}

func (t teller) Publish(ctx context.Context, id string, u pipeline.Update) error {
	if of := u.Incident.Alert.Verifies; of != "" {
		return t.bot.PublishProof(ctx, t.st.Ledger(id), t.st.Ledger(of), slackbot.Update(u))
	}
	return t.bot.Publish(ctx, watch(t.st.Ledger(id), t.m, u.Incident.Opened), slackbot.Update(u))
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

// verify asks the pipeline, and says what cannot be done in the page's words.
func (a *App) verify(ctx context.Context, id, by string) (incident.Receipt, error) {
	rec, err := a.pipeline.Verify(ctx, id, by)
	if errors.Is(err, pipeline.ErrNothingToVerify) {
		return incident.Receipt{Action: incident.ActionRecord, Reason: err.Error()}, nil
	}
	return rec, err
}

// sources are what is read for the metrics when somebody asks for them.
func sources(st *store.Store, pull *collector.Collector, targets []incident.Target) metrics.Sources {
	return metrics.Sources{
		Stored: func(ctx context.Context) (metrics.Stored, error) {
			s, err := st.Stats(ctx)
			return metrics.Stored(s), err
		},
		CPUProfiles: func() (running, limit int) {
			cpu := pull.State().CPU
			return cpu.Running, cpu.Most
		},
		Breakers: func() int {
			open, now := 0, time.Now()
			for _, s := range pull.State().Services {
				if s.Resting.After(now) {
					open++
				}
			}
			return open
		},
		Pods: func() map[string]int {
			n := map[string]int{}
			for _, t := range targets {
				n[t.Service]++
			}
			return n
		},
	}
}
