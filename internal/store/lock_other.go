//go:build !unix

package store

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockFolder opens the lock file. Without flock nothing stops a second
// process; run one profbot per data folder.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "profbot.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return f, nil
}
