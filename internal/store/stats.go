package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Stats is what the store holds of work that is not done.
type Stats struct {
	Unfinished    map[incident.Status]int        // incidents by status, without those that are final
	Oldest        time.Time                      // when the oldest of them was opened; zero when there is none
	Untold        int                            // incidents of which not everything was told
	Captures      map[incident.CaptureStatus]int // captures by status, without those that are final
	DatabaseBytes int64                          // size of the database's file, without its log
}

// Stats counts the work that is not done.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	st := Stats{Unfinished: map[incident.Status]int{}, Captures: map[incident.CaptureStatus]int{}}
	tx, err := s.read.BeginTx(ctx, nil) // so that the numbers are of one moment
	if err != nil {
		return st, fmt.Errorf("count work: %w", err)
	}
	defer tx.Rollback() // nothing was written
	var oldest sql.NullInt64
	err = errors.Join(
		counts(ctx, tx, st.Unfinished, `SELECT status, count(*) FROM incident WHERE status NOT IN (?, ?) GROUP BY status`, incident.StatusDone, incident.StatusFailed),
		counts(ctx, tx, st.Captures, `SELECT status, count(*) FROM capture WHERE status NOT IN (?, ?) GROUP BY status`, incident.CaptureStored, incident.CaptureFailed),
		tx.QueryRowContext(ctx, `SELECT min(opened) FROM incident WHERE status NOT IN (?, ?)`, incident.StatusDone, incident.StatusFailed).Scan(&oldest),
		tx.QueryRowContext(ctx, `SELECT count(*) FROM incident WHERE told < rev`).Scan(&st.Untold),
		tx.QueryRowContext(ctx, `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`).Scan(&st.DatabaseBytes),
	)
	if oldest.Valid {
		st.Oldest = time.UnixMilli(oldest.Int64)
	}
	if err != nil {
		return st, fmt.Errorf("count work: %w", err)
	}
	return st, nil
}

// counts reads pairs of a value and how often it is there.
func counts[K ~string](ctx context.Context, tx *sql.Tx, into map[K]int, query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k K
		var n int
		if err := rows.Scan(&k, &n); err != nil {
			return err
		}
		into[k] = n
	}
	return rows.Err()
}
