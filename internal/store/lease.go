package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Acquire takes the lease of u for ttl. It returns nil when somebody else
// holds it, and [incident.ErrNotFound] when the incident was pruned.
func (s *Store) Acquire(ctx context.Context, u incident.Unit, ttl time.Duration) (*incident.Lease, error) {
	l := &incident.Lease{Unit: u, Token: rand.Text()}
	got := false
	err := s.inTx(ctx, "acquire lease", func(tx *sql.Tx) error {
		now, known := s.now(), false
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM incident WHERE id = ?)`, u.Incident).Scan(&known); err != nil {
			return err
		}
		if !known {
			return incident.ErrNotFound
		}
		res, err := tx.ExecContext(ctx,
			`INSERT INTO lease (incident, pod, token, until) VALUES (?, ?, ?, ?)
			 ON CONFLICT (incident, pod) DO UPDATE SET token = excluded.token, until = excluded.until WHERE lease.until <= ?`,
			u.Incident, u.Pod, l.Token, now.Add(ttl).UnixMilli(), now.UnixMilli())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		got = n == 1
		return err
	})
	if err != nil || !got {
		return nil, err
	}
	return l, nil
}

// Renew extends the lease to ttl from now, or returns [incident.ErrLeaseLost].
func (s *Store) Renew(ctx context.Context, l *incident.Lease, ttl time.Duration) error {
	res, err := s.db.ExecContext(ctx, `UPDATE lease SET until = ? WHERE incident = ? AND pod = ? AND token = ?`,
		s.now().Add(ttl).UnixMilli(), l.Unit.Incident, l.Unit.Pod, l.Token)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(incident.ErrLeaseLost, err)
	}
	return nil
}

// Release gives the lease back, whatever is left to do.
func (s *Store) Release(ctx context.Context, l *incident.Lease) error {
	_, err := s.db.ExecContext(ctx, `UPDATE lease SET token = '', until = 0 WHERE incident = ? AND pod = ? AND token = ?`,
		l.Unit.Incident, l.Unit.Pod, l.Token)
	return err
}

// Told records that revision rev of the incident was told in full and gives
// the lease back, in one transaction, unless the incident has changed since:
// then it keeps the lease and returns false, and the holder must look again.
// A change that comes after it finds the lease free. So no change is missed,
// and a job that finds the lease taken may simply end.
func (s *Store) Told(ctx context.Context, l *incident.Lease, rev int64) (done bool, err error) {
	err = s.inTx(ctx, "record telling", func(tx *sql.Tx) error {
		var now int64
		if err := tx.QueryRowContext(ctx, `SELECT rev FROM incident WHERE id = ?`, l.Unit.Incident).Scan(&now); err != nil {
			return err
		}
		if now != rev {
			return nil
		}
		done = true
		if _, err := tx.ExecContext(ctx, `UPDATE incident SET told = ? WHERE id = ?`, rev, l.Unit.Incident); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE lease SET token = '', until = 0 WHERE incident = ? AND pod = ? AND token = ?`,
			l.Unit.Incident, l.Unit.Pod, l.Token)
		return err
	})
	return done && err == nil, err
}

// Idle returns the units with unfinished work that nobody holds: incidents
// with something untold, and pods with a capture that is not final.
func (s *Store) Idle(ctx context.Context) ([]incident.Unit, error) {
	rows, err := s.read.QueryContext(ctx,
		`WITH unit AS (
			SELECT id AS incident, '' AS pod FROM incident WHERE told < rev
			UNION SELECT incident, pod FROM capture WHERE status NOT IN (?, ?))
		 SELECT unit.incident, unit.pod FROM unit LEFT JOIN lease USING (incident, pod)
		 WHERE coalesce(lease.until, 0) <= ? ORDER BY 1, 2`,
		incident.CaptureStored, incident.CaptureFailed, s.now().UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []incident.Unit
	for rows.Next() {
		var u incident.Unit
		if err := rows.Scan(&u.Incident, &u.Pod); err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, rows.Err()
}

// Untold returns the incidents with something that was not told yet.
func (s *Store) Untold(ctx context.Context) (map[string]bool, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id FROM incident WHERE told < rev`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out[id] = true
	}
	return out, rows.Err()
}
