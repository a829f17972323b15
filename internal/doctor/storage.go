package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/profbot/profbot/internal/store"
)

// lowSpace is where a disk is told to be short: room for some hundred profiles
// of the common size, and the database.
const lowSpace = 1 << 30

// storage looks whether the data folder can be used, without opening the
// database that a running profbot may hold.
func (w *walk) storage(context.Context) {
	dir := w.Config.Data
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		// The walk makes nothing that was not there: it looks at the parent.
		parent, perr := filepath.Abs(filepath.Dir(dir))
		if perr == nil {
			perr = writable(parent)
		}
		w.result("Storage", dir, "does not exist yet and can be made", perr, fmt.Sprintf("make the folder and give it to profbot's user: install -d -m 700 -o profbot %s", dir))
		return
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", dir)
	}
	if err == nil {
		err = writable(dir)
	}
	w.result("Storage", dir, "can be written to", err, "give the folder to the user that profbot runs as, or name another with the key data")
	if err != nil {
		return
	}
	held, err := store.Held(dir)
	switch {
	case err != nil:
		w.result("Storage", dir, "", err, "")
	case held:
		w.tell(Result{Area: "Storage", What: dir, Note: "a running profbot uses it"})
	}
	if info.Mode().Perm()&0o077 != 0 {
		w.tell(Result{
			Area: "Storage", State: Warning, What: dir, Note: fmt.Sprintf("others on this machine may look into it (mode %04o), and profiles show your code's names", info.Mode().Perm()),
			Next: "chmod 700 " + dir,
		})
	}
	if free, ok := freeSpace(dir); ok {
		r := Result{Area: "Storage", What: dir, Note: fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))}
		if free < lowSpace {
			r.State, r.Next = Warning, "make room, or shorten the key retention"
		}
		w.tell(r)
	}
}

// writable makes a file and removes it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".profbot-doctor-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("profbot doctor\n")
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}
