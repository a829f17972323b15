package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// PutBlob stores data under "id/name" so that it is either there whole or
// not at all, also after a power cut.
func (s *Store) PutBlob(id, name string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("store blob %q of %q: %w", name, id, err)
		}
	}()
	switch err := s.root.Mkdir(segment(id), 0o700); {
	case err == nil:
		if err := s.sync("."); err != nil { // the new folder's name
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	final := blobPath(id, name)
	temp := final + ".part"
	f, err := s.root.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.root.Rename(temp, final); err != nil {
		return err
	}
	return s.sync(segment(id)) // the new name itself
}

// sync makes the names in a folder of blobs safe from a power cut.
func (s *Store) sync(folder string) error {
	dir, err := s.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Blob returns the bytes stored under "id/name", or [incident.ErrNotFound].
func (s *Store) Blob(id, name string) ([]byte, error) {
	f, err := s.root.Open(blobPath(id, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read blob %q of %q: %w", name, id, incident.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read blob %q of %q: %w", name, id, err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read blob %q of %q: %w", name, id, err)
	}
	return b, nil
}

// Prune deletes alerts, audit log and what was told of incidents from before t, and
// whatever its state is what is older than the time untold, which must not be
// after t: what cannot be told for so long will not be. Everything that
// belongs to them goes with them, and so do files whose incident is not known.
// It returns how many incidents went.
func (s *Store) Prune(ctx context.Context, t, untold time.Time) (int, error) {
	// Read before the rows: an incident is known before its first file is
	// written, so what is found here without one has lost it.
	folders, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	gone, known := 0, map[string]bool{}
	err = s.inTx(ctx, "prune", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM incident WHERE opened < ? OR opened < ? AND status IN (?, ?) AND told = rev`,
			untold.UnixMilli(), t.UnixMilli(), incident.StatusDone, incident.StatusFailed)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		gone = int(n)
		if _, err := tx.ExecContext(ctx, `DELETE FROM alert WHERE received < ?`, t.UnixMilli()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM deed WHERE at < ?`, t.UnixMilli()); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT id FROM incident`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			known[segment(id)] = true
		}
		return rows.Err()
	})
	if err != nil {
		return 0, err
	}
	// Rows first: a crash here leaves files that nothing names, which the next
	// Prune removes, not rows whose files are gone.
	for _, f := range folders {
		if f.IsDir() && !known[f.Name()] {
			err = errors.Join(err, s.root.RemoveAll(f.Name()))
		}
	}
	return gone, err
}

// blobPath is where a blob lies below the blobs folder.
func blobPath(id, name string) string { return path.Join(segment(id), segment(name)) }

// segment makes a name safe as one path element, different for different
// names: pod names come from configuration and discovery, and a slash in one
// must not make a folder.
func segment(name string) string {
	if strings.Trim(name, ".") == "" { // "", "." and ".." mean something to a file system
		return "%" + strings.Repeat("2E", len(name))
	}
	return url.PathEscape(name)
}
