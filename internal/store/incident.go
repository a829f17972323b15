package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// Incident returns one incident and the revision of it that was read, or
// [incident.ErrNotFound]. Both come from one statement: a document older than
// its revision would let Told record a change as told that nobody looked at.
func (s *Store) Incident(ctx context.Context, id string) (incident.Incident, int64, error) {
	var rev int64
	inc, err := scanDoc[incident.Incident](s.read.QueryRowContext(ctx, `SELECT doc, rev FROM incident WHERE id = ?`, id), &rev)
	if err != nil {
		return inc, 0, fmt.Errorf("read incident %q: %w", id, err)
	}
	return inc, rev, nil
}

// Incidents returns the most recent incidents, newest first.
func (s *Store) Incidents(ctx context.Context, limit int) ([]incident.Incident, error) {
	return queryDocs[incident.Incident](ctx, s.read, `SELECT doc FROM incident ORDER BY opened DESC LIMIT ?`, limit)
}

// putIncident writes inc and raises its revision.
func putIncident(ctx context.Context, tx *sql.Tx, inc incident.Incident) error {
	doc, err := encode(inc)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE incident SET doc = ?, status = ?, recovered = ?, rev = rev + 1 WHERE id = ?`,
		doc, inc.Status, millis(inc.Recovered), inc.ID)
	return err
}

// change reads an incident, lets f change it and writes it, within tx. Other
// changes (a recovery) may have come since the caller read it, so f must set
// only what the caller's step decides.
func change(ctx context.Context, tx *sql.Tx, id string, f func(*incident.Incident)) error {
	inc, err := scanDoc[incident.Incident](tx.QueryRowContext(ctx, `SELECT doc FROM incident WHERE id = ?`, id))
	if err != nil {
		return err
	}
	f(&inc)
	return putIncident(ctx, tx, inc)
}

// Plan stores which captures an incident needs and queues one job per pod. The
// incident becomes capturing. Planning an incident that is past
// [incident.StatusAccepted] does nothing.
func (s *Store) Plan(ctx context.Context, id string, choice incident.Choice, captures []incident.Capture, enqueue Enqueue) error {
	return s.inTx(ctx, "plan captures", func(tx *sql.Tx) error {
		var status incident.Status
		if err := tx.QueryRowContext(ctx, `SELECT status FROM incident WHERE id = ?`, id).Scan(&status); err != nil {
			return err
		}
		if status != incident.StatusAccepted {
			return nil
		}
		if err := addCaptures(ctx, tx, id, 0, captures, enqueue); err != nil {
			return err
		}
		return change(ctx, tx, id, func(inc *incident.Incident) {
			inc.Status, inc.Choice, inc.Waiting = incident.StatusCapturing, choice.Says, nil
			inc.Measure, inc.Monitor, inc.Fleet = choice.Measure, choice.Monitor, &choice.Fleet
		})
	})
}

// Await notes what an accepted incident waits for: that is news for its
// thread. It does nothing when that is noted already, or when the incident is
// past [incident.StatusAccepted].
func (s *Store) Await(ctx context.Context, id string, w incident.Waiting) error {
	return s.inTx(ctx, "note waiting", func(tx *sql.Tx) error {
		inc, err := scanDoc[incident.Incident](tx.QueryRowContext(ctx, `SELECT doc FROM incident WHERE id = ?`, id))
		if err != nil || inc.Status != incident.StatusAccepted || inc.Waiting != nil {
			return err
		}
		inc.Waiting = &w
		return putIncident(ctx, tx, inc)
	})
}

// addCaptures inserts captures from place seq of the incident's order on, and
// queues one job for each of their pods.
func addCaptures(ctx context.Context, tx *sql.Tx, id string, seq int, captures []incident.Capture, enqueue Enqueue) error {
	queued := map[string]bool{}
	for i, c := range captures {
		doc, err := encode(c)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO capture (incident, pod, kind, seq, status, doc) VALUES (?, ?, ?, ?, ?, ?)`,
			id, c.Pod, c.Kind, seq+i, c.Status, doc); err != nil {
			return err
		}
		if !queued[c.Pod] {
			queued[c.Pod] = true
			if err := enqueue(ctx, tx, incident.Unit{Incident: id, Pod: c.Pod}); err != nil {
				return err
			}
		}
	}
	return nil
}

// StandIn stores the final state of a capture that failed together with the
// captures of one other pod that is to be profiled in its place, and adds a
// sentence to the incident's choice: all in one transaction, so that after a
// crash either the failure is not known and happens again, or the other pod's
// job is queued. It returns false, and has done nothing, when the other pod is
// in the incident by now.
func (s *Store) StandIn(ctx context.Context, failed incident.Capture, captures []incident.Capture, says string, enqueue Enqueue) (bool, error) {
	done := false
	err := s.inTx(ctx, "store stand-in", func(tx *sql.Tx) error {
		var there bool
		var last int
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM capture WHERE incident = ? AND pod = ?), coalesce(max(seq), 0) FROM capture WHERE incident = ?`,
			failed.Incident, captures[0].Pod, failed.Incident).Scan(&there, &last); err != nil || there {
			return err
		}
		if err := putCapture(ctx, tx, failed); err != nil {
			return err
		}
		if err := addCaptures(ctx, tx, failed.Incident, last+1, captures, enqueue); err != nil {
			return err
		}
		if err := change(ctx, tx, failed.Incident, func(inc *incident.Incident) {
			inc.Choice += "; " + says
		}); err != nil {
			return err
		}
		done = true
		return enqueue(ctx, tx, incident.Unit{Incident: failed.Incident})
	})
	return done && err == nil, err
}

// Captures returns an incident's captures in the order of the plan.
func (s *Store) Captures(ctx context.Context, id string) ([]incident.Capture, error) {
	return queryDocs[incident.Capture](ctx, s.read, `SELECT doc FROM capture WHERE incident = ? ORDER BY seq`, id)
}

// PutCapture stores the state of one capture. A final state is news for the
// incident's thread, so the incident's own job is queued with it; the last
// final state makes the incident reporting.
func (s *Store) PutCapture(ctx context.Context, c incident.Capture, enqueue Enqueue) error {
	return s.inTx(ctx, "store capture", func(tx *sql.Tx) error {
		if err := putCapture(ctx, tx, c); err != nil {
			return err
		}
		if !c.Status.Final() {
			return nil
		}
		var open int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM capture WHERE incident = ? AND status NOT IN (?, ?)`,
			c.Incident, incident.CaptureStored, incident.CaptureFailed).Scan(&open); err != nil {
			return err
		}
		if err := change(ctx, tx, c.Incident, func(inc *incident.Incident) {
			if open == 0 && inc.Status == incident.StatusCapturing {
				inc.Status = incident.StatusReporting
			}
		}); err != nil {
			return err
		}
		return enqueue(ctx, tx, incident.Unit{Incident: c.Incident})
	})
}

func putCapture(ctx context.Context, tx *sql.Tx, c incident.Capture) error {
	doc, err := encode(c)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE capture SET doc = ?, status = ? WHERE incident = ? AND pod = ? AND kind = ?`,
		doc, c.Status, c.Incident, c.Pod, c.Kind)
	return err
}

// SetRates keeps the requests of an incident's endpoints, unless some are kept
// already, and returns those that are. They are no news for people: the
// revision stays.
func (s *Store) SetRates(ctx context.Context, id string, r incident.Rates) (incident.Rates, error) {
	doc, err := encode(r)
	if err != nil {
		return r, err
	}
	kept, err := scanDoc[incident.Rates](s.db.QueryRowContext(ctx,
		`UPDATE incident SET doc = json_set(doc, '$.rates', coalesce(doc -> '$.rates', json(?))) WHERE id = ? RETURNING doc -> '$.rates'`, doc, id))
	if err != nil {
		return r, fmt.Errorf("keep rates of incident %q: %w", id, err)
	}
	return kept, nil
}

// CountReport adds n to how often an incident's report was begun and returns
// the sum. It outlives the process when CountReport returns. It is no news for people:
// the revision stays.
func (s *Store) CountReport(ctx context.Context, id string, n int) (int, error) {
	var sum int
	err := s.db.QueryRowContext(ctx,
		`UPDATE incident SET doc = json_set(doc, '$.reports', coalesce(doc ->> '$.reports', 0) + ?) WHERE id = ? RETURNING doc ->> '$.reports'`, n, id).Scan(&sum)
	if errors.Is(err, sql.ErrNoRows) {
		err = incident.ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("count reports of incident %q: %w", id, err)
	}
	return sum, nil
}

// Finish stores an incident's report (nil when there is none) and its final
// status. failure is "" for [incident.StatusDone].
func (s *Store) Finish(ctx context.Context, id string, rep *analysis.Report, failure string) error {
	return s.inTx(ctx, "finish incident", func(tx *sql.Tx) error {
		status := incident.StatusDone
		if rep == nil {
			status = incident.StatusFailed
		} else {
			doc, err := encode(rep)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO report (incident, doc) VALUES (?, ?) ON CONFLICT (incident) DO UPDATE SET doc = excluded.doc`,
				id, doc); err != nil {
				return err
			}
		}
		return change(ctx, tx, id, func(inc *incident.Incident) {
			inc.Status, inc.Failure, inc.Finished, inc.Waiting = status, failure, s.now(), nil
		})
	})
}

// Report returns an incident's report, or [incident.ErrNotFound].
func (s *Store) Report(ctx context.Context, id string) (*analysis.Report, error) {
	rep, err := scanDoc[*analysis.Report](s.read.QueryRowContext(ctx, `SELECT doc FROM report WHERE incident = ?`, id))
	if err != nil {
		return nil, fmt.Errorf("read report of incident %q: %w", id, err)
	}
	return rep, nil
}

// millis is t as stored: 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
