package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// seenFor is for how long a delivery is remembered: Slack's signature is good
// for five minutes in either direction, and its last retry comes five minutes
// after the first delivery.
const seenFor = 15 * time.Minute

// Once reports whether key was not given before within the last fifteen
// minutes, and remembers it.
func (s *Store) Once(ctx context.Context, key string) (bool, error) {
	first := false
	err := s.inTx(ctx, "remember a delivery", func(tx *sql.Tx) error {
		now := s.now()
		if _, err := tx.ExecContext(ctx, `DELETE FROM seen WHERE at < ?`, now.Add(-seenFor).UnixMilli()); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO seen (key, at) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`, key, now.UnixMilli())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		first = n == 1
		return err
	})
	return first, err
}

// Mutes lists the mutes that hold, by service.
func (s *Store) Mutes(ctx context.Context) ([]incident.Mute, error) {
	ms, err := queryDocs[incident.Mute](ctx, s.db, `SELECT doc FROM mute WHERE until > ? ORDER BY service, env`, s.now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read mutes: %w", err)
	}
	return ms, nil
}

// Mute sets a service's mute in place of the one it had; one whose end has
// passed lifts it, and of no env in particular it lifts those of every env.
func (s *Store) Mute(ctx context.Context, m incident.Mute) error {
	return s.inTx(ctx, "mute", func(tx *sql.Tx) error {
		now := s.now()
		if _, err := tx.ExecContext(ctx, `DELETE FROM mute WHERE until <= ? OR service = ? AND (env = ? OR ? = '')`,
			now.UnixMilli(), m.Service, m.Env, m.Env); err != nil {
			return err
		}
		if !now.Before(m.Until) {
			return nil
		}
		doc, err := encode(m)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO mute (service, env, until, doc) VALUES (?, ?, ?, ?)`, m.Service, m.Env, m.Until.UnixMilli(), doc)
		return err
	})
}

// Note appends to the audit log.
func (s *Store) Note(ctx context.Context, d incident.Deed) error {
	doc, err := encode(d)
	if err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, `INSERT INTO deed (at, doc) VALUES (?, ?)`, d.At.UnixMilli(), doc); err != nil {
		return fmt.Errorf("write to the audit log: %w", err)
	}
	return nil
}

// Deeds lists the latest entries of the audit log, newest first; below 0 all.
func (s *Store) Deeds(ctx context.Context, limit int) ([]incident.Deed, error) {
	ds, err := queryDocs[incident.Deed](ctx, s.db, `SELECT doc FROM deed ORDER BY seq DESC LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return ds, nil
}

// Digests are the channels that want a weekly digest, with when each had its last.
func (s *Store) Digests(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT channel, last FROM digest`)
	if err != nil {
		return nil, fmt.Errorf("read digests: %w", err)
	}
	defer rows.Close()
	out := map[string]time.Time{}
	for rows.Next() {
		var channel string
		var last int64
		if err := rows.Scan(&channel, &last); err != nil {
			return nil, fmt.Errorf("read digests: %w", err)
		}
		out[channel] = time.UnixMilli(last)
	}
	return out, rows.Err()
}

// Digest remembers when a channel had its last digest. The zero time means
// that it wants none.
func (s *Store) Digest(ctx context.Context, channel string, last time.Time) error {
	query, args := `INSERT INTO digest (channel, last) VALUES (?, ?) ON CONFLICT (channel) DO UPDATE SET last = excluded.last`, []any{channel, last.UnixMilli()}
	if last.IsZero() {
		query, args = `DELETE FROM digest WHERE channel = ?`, args[:1]
	}
	if _, err := s.db.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("set digest of %q: %w", channel, err)
	}
	return nil
}

// History lists the incidents of a service, newest first, without those that
// verify a fix; "" is of all services.
func (s *Store) History(ctx context.Context, service string, limit int) ([]incident.Incident, error) {
	incs, err := queryDocs[incident.Incident](ctx, s.db,
		`SELECT doc FROM incident WHERE (service = ? OR ? = '') AND cycle NOT LIKE 'verify/%' ORDER BY opened DESC LIMIT ?`, service, service, limit)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return incs, nil
}

// Verification is the latest incident that verifies the fix of another, or
// [incident.ErrNotFound].
func (s *Store) Verification(ctx context.Context, of string) (incident.Incident, error) {
	inc, err := scanDoc[incident.Incident](s.db.QueryRowContext(ctx,
		`SELECT doc FROM incident WHERE cycle > ? AND cycle < ? AND status = ? ORDER BY opened DESC LIMIT 1`,
		incident.VerifyCycle+of+"/", incident.VerifyCycle+of+"0", incident.StatusDone)) // "0" comes after "/"
	if err != nil {
		return inc, fmt.Errorf("read verification of %q: %w", of, err)
	}
	return inc, nil
}

// Working lists the incidents that are not final, oldest first.
func (s *Store) Working(ctx context.Context) ([]incident.Incident, error) {
	incs, err := queryDocs[incident.Incident](ctx, s.db,
		`SELECT doc FROM incident WHERE status NOT IN (?, ?) ORDER BY opened`, incident.StatusDone, incident.StatusFailed)
	if err != nil {
		return nil, fmt.Errorf("read open incidents: %w", err)
	}
	return incs, nil
}

// ByEffect is the id of the incident of which a step has this Ref; "" for none.
func (s *Store) ByEffect(ctx context.Context, step, ref string) (id string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT incident FROM effect WHERE step = ? AND doc ->> '$.ref' = ?`, step, ref).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look for the incident of %q: %w", ref, err)
	}
	return id, nil
}

// AlertsOf lists the latest alerts of a service, or those with that id, of any
// source or with the source before it ("datadog/123"), newest first.
func (s *Store) AlertsOf(ctx context.Context, what string, limit int) ([]Received, error) {
	rs, err := queryDocs[Received](ctx, s.db, selectReceived+` WHERE id = ? OR doc ->> '$.id' = ? OR doc ->> '$.key.service' = ? ORDER BY received DESC, rowid DESC LIMIT ?`,
		what, what, what, limit)
	if err != nil {
		return nil, fmt.Errorf("read alerts of %q: %w", what, err)
	}
	return rs, nil
}
