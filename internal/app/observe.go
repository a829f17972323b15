package app

import (
	"context"
	"database/sql"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/metrics"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/store"
)

// Neither the pipeline nor an edge knows of metrics: what passes between them
// is counted here.

// watchedStore counts alerts, and incidents and captures that come to an end.
type watchedStore struct {
	*store.Store
	m *metrics.Metrics
}

func (s watchedStore) Accept(ctx context.Context, a incident.Alert, action incident.Action, reason string, coolDown time.Duration, enqueue func(context.Context, *sql.Tx, incident.Unit) error) (incident.Receipt, error) {
	rec, err := s.Store.Accept(ctx, a, action, reason, coolDown, enqueue)
	s.m.Alert(rec, err)
	return rec, err
}

func (s watchedStore) PutCapture(ctx context.Context, c incident.Capture, enqueue func(context.Context, *sql.Tx, incident.Unit) error) error {
	err := s.Store.PutCapture(ctx, c, enqueue)
	if err == nil && c.Status.Final() {
		s.m.Capture(c)
	}
	return err
}

func (s watchedStore) StandIn(ctx context.Context, failed incident.Capture, captures []incident.Capture, says string, enqueue func(context.Context, *sql.Tx, incident.Unit) error) (bool, error) {
	done, err := s.Store.StandIn(ctx, failed, captures, says, enqueue)
	if err == nil && done {
		s.m.Capture(failed)
	}
	return done, err
}

func (s watchedStore) Finish(ctx context.Context, id string, rep *analysis.Report, failure string) error {
	err := s.Store.Finish(ctx, id, rep, failure)
	switch {
	case err != nil:
	case rep == nil:
		s.m.Finished(incident.StatusFailed)
	default:
		s.m.Finished(incident.StatusDone)
	}
	return err
}

// watchedLedger sees when a step is done for the first time, which is when
// people see it for the first time. The steps are on disk, so an incident
// counts once however often profbot starts again. It is for one publishing,
// which is one goroutine.
type watchedLedger struct {
	slackbot.Ledger
	m      *metrics.Metrics
	opened time.Time
	done   map[string]bool
}

func watch(l slackbot.Ledger, m *metrics.Metrics, opened time.Time) watchedLedger {
	return watchedLedger{l, m, opened, map[string]bool{}}
}

func (l watchedLedger) Load(ctx context.Context, step string) (incident.Effect, error) {
	e, err := l.Ledger.Load(ctx, step)
	if err == nil {
		l.done[step] = e.State == incident.EffectDone
	}
	return e, err
}

func (l watchedLedger) Save(ctx context.Context, step string, e incident.Effect) error {
	err := l.Ledger.Save(ctx, step, e)
	if err != nil || e.State != incident.EffectDone || l.done[step] {
		return err
	}
	l.done[step] = true
	switch step {
	case slackbot.StepMessage:
		l.m.FirstMessage(time.Since(l.opened))
	case slackbot.StepDetails:
		l.m.Verdict(time.Since(l.opened))
	}
	return nil
}
