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
	e, err := scanDoc[incident.Effect](l.s.db.QueryRowContext(ctx, `SELECT doc FROM effect WHERE incident = ? AND step = ?`, l.id, step))
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		return e, fmt.Errorf("load effect %q: %w", step, err)
	}
	return e, nil
}

// Save stores the effect of a step. It is on disk when Save returns.
func (l *Ledger) Save(ctx context.Context, step string, e incident.Effect) error {
	doc, err := encode(e)
	if err != nil {
		return err
	}
	if _, err := l.s.db.ExecContext(ctx, `INSERT INTO effect (incident, step, doc) VALUES (?, ?, ?) ON CONFLICT (incident, step) DO UPDATE SET doc = excluded.doc`,
		l.id, step, doc); err != nil {
		return fmt.Errorf("save effect %q: %w", step, err)
	}
	return nil
}
