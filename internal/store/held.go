package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Held reports whether a running profbot uses the data folder. It leaves
// nothing behind: a folder that was never used has no lock to look at.
func Held(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, "profbot.lock")); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look at the lock of %q: %w", dir, err)
	}
	f, err := lockFolder(dir)
	if _, ok := errors.AsType[*InUseError](err); ok {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}
