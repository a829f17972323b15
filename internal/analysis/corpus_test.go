package analysis

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/profbot/profbot/internal/profile"
)

// The corpus holds profiles of one service built on different routers and
// codecs, with the truth known by construction. The command eval judges what
// the analysis makes of it; here are the profiles alone.

func load(t testing.TB, name string) *profile.Profile {
	t.Helper()
	return loadFrom(t, "corpus", name)
}

func loadFrom(t testing.TB, dir, name string) *profile.Profile {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", dir, name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := profile.Parse(data, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
