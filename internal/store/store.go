// Package store keeps what profbot must not forget: alerts with what became of
// them, incidents, captures, reports and the effects that were told, in SQL;
// profile bytes and pictures in files beside it.
//
// Start with [Open]. One process owns a data folder at a time (a file lock
// says so), which is why [Open] may drop the leases that a killed process left.
//
// The queue lives in the same database. Methods that plan work take an
// [Enqueue] function and call it inside their own transaction, so that a row
// and its job exist together or not at all.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the "sqlite" driver: pure Go, so that the binary needs no C library

	"github.com/profbot/profbot/internal/incident"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is how many reads may run at once: more than that gain nothing on few
// cores, and each has a cache of up to 2 MB.
const readers = 4

// Enqueue inserts one job for a unit within tx.
type Enqueue = func(ctx context.Context, tx *sql.Tx, u incident.Unit) error

// Options configure a [Store].
type Options struct {
	// Dir is the data folder; it is made when it does not exist. Required.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Store is the durable memory. It is safe for concurrent use.
type Store struct {
	db   *sql.DB  // writes
	read *sql.DB  // reads what was committed, beside the writes
	root *os.Root // the blobs folder; names below it can't leave it
	lock *os.File
	now  func() time.Time
}

// InUseError says that another process holds the data folder.
type InUseError struct{ Dir string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("open data folder %q: another profbot is using it; stop it or choose another folder", e.Dir)
}

// Open opens or creates the data folder, brings its schema up to date and
// drops leases that a killed process left behind.
func Open(ctx context.Context, opt Options) (_ *Store, err error) {
	if opt.Dir == "" {
		return nil, errors.New("open store: Dir is empty")
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	// Profiles show a company's code: nobody else on the machine may read them.
	if err := os.MkdirAll(filepath.Join(opt.Dir, "blobs"), 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	s := &Store{now: opt.Now}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.lock, err = lockFolder(opt.Dir); err != nil {
		return nil, err
	}
	if s.root, err = os.OpenRoot(filepath.Join(opt.Dir, "blobs")); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	file := filepath.Join(opt.Dir, "profbot.db")
	if err := private(file); err != nil {
		return nil, err
	}
	// _txlock=immediate: a transaction that reads and then writes would
	// otherwise fail with SQLITE_BUSY_SNAPSHOT, which no timeout cures.
	// synchronous=NORMAL: what was committed survives the process at once, and a
	// power cut after the next wait for the disk, as safely has. Work that is
	// lost is done again.
	// The name is escaped: a % or a ? in it would mean something else there.
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?_pragma=busy_timeout(10000)"
	if s.db, err = sql.Open("sqlite", dsn+"&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)&_txlock=immediate"); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	// One connection is a fair queue for SQLite's single writer. It also means
	// that a query of this pool outside an open transaction waits for it: inside
	// one, use tx.
	s.db.SetMaxOpenConns(1)
	// Readers wait for no writer and hold none up: a person who looks does not
	// queue behind the disk.
	if s.read, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.db, sub)
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return nil, fmt.Errorf("migrate database: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, `UPDATE lease SET token = '', until = 0`); err != nil {
		return nil, fmt.Errorf("drop stale leases: %w", err)
	}
	return s, nil
}

// private makes sure that the file is there and its owner's alone, whatever
// the folder's mode: SQLite would let everybody read it, and gives its other
// files the mode of this one.
func private(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// DB is the database, for the queue that shares it.
func (s *Store) DB() *sql.DB { return s.db }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Close releases the folder. The queue must have stopped before.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.db} { // the writer last: it tidies up
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.root != nil {
		errs = append(errs, s.root.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close()) // closing releases the lock
	}
	return errors.Join(errs...)
}

// inTx runs f in one transaction. f must use tx alone: the pool has a single
// connection, so a write beside it would wait for ever, and a read would not see
// what the transaction has written.
func (s *Store) inTx(ctx context.Context, what string, f func(tx *sql.Tx) error) error {
	return transact(ctx, s.db, what, f)
}

// safely is inTx for what must survive a power cut: it is on disk, with all that
// was committed before it, when safely returns. That costs the single connection
// a wait for the disk, so it is for what was promised to somebody.
func (s *Store) safely(ctx context.Context, what string, f func(tx *sql.Tx) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	if _, err := conn.ExecContext(ctx, `PRAGMA synchronous = FULL`); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { // when it fails, later commits are safer than they need be
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA synchronous = NORMAL`)
	}()
	return transact(ctx, conn, what, f)
}

// put is safely for one statement.
func (s *Store) put(ctx context.Context, what, query string, args ...any) error {
	return s.safely(ctx, what, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

func transact(ctx context.Context, db interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}, what string, f func(tx *sql.Tx) error,
) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer tx.Rollback() // no effect after Commit
	if err := f(tx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// queryer is what a read needs: the pool, or a transaction.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// scanDoc reads one JSON column into a T, and the columns behind it into more.
// No row is [incident.ErrNotFound].
func scanDoc[T any](row *sql.Row, more ...any) (T, error) {
	var v T
	var doc string
	if err := row.Scan(append([]any{&doc}, more...)...); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return v, incident.ErrNotFound
		}
		return v, err
	}
	return v, json.Unmarshal([]byte(doc), &v)
}

// queryDocs reads one JSON column of many rows.
func queryDocs[T any](ctx context.Context, q queryer, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var doc string
		var v T
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
