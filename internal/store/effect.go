package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/profbot/profbot/internal/incident"
)

// Ledger is the memory of the effects of one incident.
type Ledger struct {
	s  *Store
	id string
}

// Ledger returns the ledger of incident id.
func (s *Store) Ledger(id string) *Ledger { return &Ledger{s, id} }

// Load returns the effect of a step; the zero Effect when it was never begun.
func (l *Ledger) Load(ctx context.Context, step string) (incident.Effect, error) {
	return l.s.Effect(ctx, l.id, step)
}

// Save stores the effect of a step. It is on disk when Save returns.
func (l *Ledger) Save(ctx context.Context, step string, e incident.Effect) error {
	return l.s.SaveEffect(ctx, l.id, step, e)
}

// Effect returns the effect of a step of an incident; the zero Effect when it
// was never begun.
func (s *Store) Effect(ctx context.Context, id, step string) (incident.Effect, error) {
	e, err := scanDoc[incident.Effect](s.read.QueryRowContext(ctx, `SELECT doc FROM effect WHERE incident = ? AND step = ?`, id, step))
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		return e, fmt.Errorf("load effect %q: %w", step, err)
	}
	return e, nil
}

// SaveEffect stores the effect of a step. It is on disk when SaveEffect returns.
func (s *Store) SaveEffect(ctx context.Context, id, step string, e incident.Effect) error {
	doc, err := encode(e)
	if err != nil {
		return err
	}
	return s.put(ctx, fmt.Sprintf("save effect %q", step),
		`INSERT INTO effect (incident, step, doc) VALUES (?, ?, ?) ON CONFLICT (incident, step) DO UPDATE SET doc = excluded.doc`, id, step, doc)
}
