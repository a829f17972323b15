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
	ms, err := queryDocs[incident.Mute](ctx, s.read, `SELECT doc FROM mute WHERE until > ? ORDER BY service, env`, s.now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read mutes: %w", err)
	}
	return ms, nil
}

// Mute sets a service's mute in place of the one it had; one whose end has
// passed lifts it, and of no env in particular it lifts those of every env.
func (s *Store) Mute(ctx context.Context, m incident.Mute) error {
	return s.safely(ctx, "mute", func(tx *sql.Tx) error {
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
	return s.put(ctx, "write to the audit log", `INSERT INTO deed (at, doc) VALUES (?, ?)`, d.At.UnixMilli(), doc)
}

// Deeds lists the latest entries of the audit log, newest first; below 0 all.
func (s *Store) Deeds(ctx context.Context, limit int) ([]incident.Deed, error) {
	ds, err := queryDocs[incident.Deed](ctx, s.read, `SELECT doc FROM deed ORDER BY seq DESC LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return ds, nil
}

// Digests are the channels that want a weekly digest, with when each had its last.
func (s *Store) Digests(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT channel, last FROM digest`)
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
	return s.put(ctx, fmt.Sprintf("set digest of %q", channel), query, args...)
}

// History lists the incidents of a service, newest first, without those that
// verify a fix; "" is of all services.
func (s *Store) History(ctx context.Context, service string, limit int) ([]incident.Incident, error) {
	incs, err := queryDocs[incident.Incident](ctx, s.read,
		`SELECT doc FROM incident WHERE (service = ? OR ? = '') AND cycle NOT LIKE 'verify/%' ORDER BY opened DESC LIMIT ?`, service, service, limit)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return incs, nil
}

// Verification is the latest incident that verifies the fix of another, or
// [incident.ErrNotFound].
func (s *Store) Verification(ctx context.Context, of string) (incident.Incident, error) {
	inc, err := scanDoc[incident.Incident](s.read.QueryRowContext(ctx,
		`SELECT doc FROM incident WHERE cycle > ? AND cycle < ? AND status = ? ORDER BY opened DESC LIMIT 1`,
		incident.VerifyCycle+of+"/", incident.VerifyCycle+of+"0", incident.StatusDone)) // "0" comes after "/"
	if err != nil {
		return inc, fmt.Errorf("read verification of %q: %w", of, err)
	}
	return inc, nil
}

// Working lists the incidents that are not final, oldest first.
func (s *Store) Working(ctx context.Context) ([]incident.Incident, error) {
	incs, err := queryDocs[incident.Incident](ctx, s.read,
		`SELECT doc FROM incident WHERE status NOT IN (?, ?) ORDER BY opened`, incident.StatusDone, incident.StatusFailed)
	if err != nil {
		return nil, fmt.Errorf("read open incidents: %w", err)
	}
	return incs, nil
}

// Latest is the latest incident of each service, without those that verify a fix.
func (s *Store) Latest(ctx context.Context) (map[string]incident.Incident, error) {
	incs, err := queryDocs[incident.Incident](ctx, s.read,
		`SELECT doc FROM (SELECT doc, max(opened) FROM incident WHERE cycle NOT LIKE 'verify/%' GROUP BY service)`)
	if err != nil {
		return nil, fmt.Errorf("read the latest incidents: %w", err)
	}
	out := map[string]incident.Incident{}
	for _, inc := range incs {
		out[inc.Alert.Key.Service] = inc
	}
	return out, nil
}

// Thread is the id of the incident that a thread is about: the one whose message
// it hangs on, else the latest that was told in it; "" for none. step is that of
// the message.
func (s *Store) Thread(ctx context.Context, step string, at incident.Place) (id string, err error) {
	err = s.read.QueryRowContext(ctx,
		`SELECT incident FROM (SELECT incident, NULL AS opened FROM effect WHERE step = ? AND doc ->> '$.ref' = ?
			UNION ALL SELECT id, opened FROM incident WHERE doc ->> '$.alert.place.channel' = ? AND doc ->> '$.alert.place.thread' = ? AND cycle NOT LIKE 'verify/%')
		 ORDER BY opened IS NULL DESC, opened DESC LIMIT 1`,
		step, at.Channel+"/"+at.Thread, at.Channel, at.Thread).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look for the incident of a thread: %w", err)
	}
	return id, nil
}

// AlertsOf lists the latest alerts of a service, or those with that id, of any
// source or with the source before it ("datadog/123"), newest first.
func (s *Store) AlertsOf(ctx context.Context, what string, limit int) ([]Received, error) {
	rs, err := queryDocs[Received](ctx, s.read, selectReceived+` WHERE id = ? OR doc ->> '$.id' = ? OR doc ->> '$.key.service' = ? ORDER BY received DESC, rowid DESC LIMIT ?`,
		what, what, what, limit)
	if err != nil {
		return nil, fmt.Errorf("read alerts of %q: %w", what, err)
	}
	return rs, nil
}
