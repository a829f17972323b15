package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Accept stores an alert and what becomes of it, in one transaction: a new
// incident with its first job, the recovery of an open one, or only the
// reason why nothing is done. When it returns without error the alert is safe
// and may be acknowledged.
//
// action and reason are what the alert leads to as far as others know, as from
// [incident.Decide]. The store adds what only it can know:
//
// An alert whose Source and ID were accepted before changes nothing and gets
// the receipt of the first delivery with Repeated set. A firing alert of a
// key and cycle that opened an incident less than coolDown ago joins it.
func (s *Store) Accept(ctx context.Context, a incident.Alert, action incident.Action, reason string, coolDown time.Duration, enqueue Enqueue) (incident.Receipt, error) {
	var rec incident.Receipt
	err := s.safely(ctx, "accept alert", func(tx *sql.Tx) error {
		id := a.Source + "/" + a.ID
		prev, err := scanDoc[incident.Receipt](tx.QueryRowContext(ctx, `SELECT receipt FROM alert WHERE id = ?`, id))
		if err == nil {
			rec, rec.Repeated = prev, true
			return nil
		}
		if !errors.Is(err, incident.ErrNotFound) {
			return err
		}
		err = nil // not found: this is the first delivery
		rec.Action, rec.Reason = action, reason
		switch action {
		case incident.ActionCapture:
			err = s.openIncident(ctx, tx, a, coolDown, &rec, enqueue)
		case incident.ActionResolve:
			err = s.resolveIncident(ctx, tx, a, &rec, enqueue)
		}
		if err != nil {
			return err
		}
		doc, err := encode(a)
		if err != nil {
			return err
		}
		receipt, err := encode(rec)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO alert (id, received, doc, receipt) VALUES (?, ?, ?, ?)`,
			id, s.now().UnixMilli(), doc, receipt)
		return err
	})
	return rec, err
}

// openIncident opens an incident for a, or joins a young one of the same cycle.
func (s *Store) openIncident(ctx context.Context, tx *sql.Tx, a incident.Alert, coolDown time.Duration, rec *incident.Receipt, enqueue Enqueue) error {
	now := s.now()
	young, err := scanDoc[incident.Incident](tx.QueryRowContext(ctx,
		`SELECT doc FROM incident WHERE service = ? AND env = ? AND monitor = ? AND cycle = ? AND opened > ? ORDER BY opened DESC LIMIT 1`,
		a.Key.Service, a.Key.Env, a.Key.Monitor, a.Cycle, now.Add(-coolDown).UnixMilli()))
	if err == nil {
		rec.Action, rec.Incident = incident.ActionRecord, young.ID
		rec.Reason = fmt.Sprintf("incident %s of the same monitor cycle is younger than the cool-down of %s: joined, not profiled again before %s",
			young.ID, coolDown, young.Opened.Add(coolDown).UTC().Format(time.RFC3339))
		return nil
	}
	if !errors.Is(err, incident.ErrNotFound) {
		return err
	}
	inc := incident.Incident{
		ID:     strings.ToLower(rand.Text()[:12]), // 60 random bits: short enough to say aloud
		Alert:  a,
		Status: incident.StatusAccepted,
		Opened: now,
	}
	doc, err := encode(inc)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx,
		`INSERT INTO incident (id, service, env, monitor, cycle, status, opened, doc, rev, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 0)`,
		inc.ID, a.Key.Service, a.Key.Env, a.Key.Monitor, a.Cycle, inc.Status, now.UnixMilli(), doc); err != nil {
		return err
	}
	rec.Incident = inc.ID
	return enqueue(ctx, tx, incident.Unit{Incident: inc.ID})
}

// resolveIncident marks the open incidents of a's cycle as recovered: a cycle
// that outlasts the cool-down has several. Default payloads carry no cycle and
// no env, and an empty one matches any; without a cycle only the latest is
// believed to be meant. The receipt names the latest.
func (s *Store) resolveIncident(ctx context.Context, tx *sql.Tx, a incident.Alert, rec *incident.Receipt, enqueue Enqueue) error {
	incs, err := queryDocs[incident.Incident](ctx, tx,
		`SELECT doc FROM incident WHERE service = ? AND monitor = ? AND recovered = 0
		 AND cycle NOT LIKE 'verify/%'
		 AND (cycle = ? OR cycle = '' OR ? = '') AND (env = ? OR env = '' OR ? = '') ORDER BY cycle = ? DESC, opened DESC`,
		a.Key.Service, a.Key.Monitor, a.Cycle, a.Cycle, a.Key.Env, a.Key.Env, a.Cycle)
	if err != nil {
		return err
	}
	if len(incs) == 0 {
		rec.Action, rec.Reason = incident.ActionRecord, "the monitor recovered, and no open incident belongs to this cycle"
		return nil
	}
	rec.Incident = incs[0].ID
	for i, inc := range incs {
		if i > 0 && (a.Cycle == "" || inc.Alert.Cycle != a.Cycle) {
			break
		}
		inc.Recovered = s.now()
		if err := putIncident(ctx, tx, inc); err != nil {
			return err
		}
		if err := enqueue(ctx, tx, incident.Unit{Incident: inc.ID}); err != nil {
			return err
		}
	}
	return nil
}

// Received is one stored alert with what became of it.
type Received struct {
	Alert   incident.Alert   `json:"alert"`
	Receipt incident.Receipt `json:"receipt"`
	At      time.Time        `json:"at"`
}

// Alerts returns the most recent alerts, newest first.
func (s *Store) Alerts(ctx context.Context, limit int) ([]Received, error) {
	return queryDocs[Received](ctx, s.read, selectReceived+` ORDER BY received DESC, rowid DESC LIMIT ?`, limit)
}

const selectReceived = `SELECT json_object('alert', json(doc), 'receipt', json(receipt), 'at',
	strftime('%Y-%m-%dT%H:%M:%fZ', received / 1000.0, 'unixepoch')) FROM alert`
