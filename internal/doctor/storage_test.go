package doctor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/doctor"
	"github.com/profbot/profbot/internal/store"
)

// TestFolder looks at real folders: one that others can get into, the one that
// is advised in its place, and one that is in use.
func TestFolder(t *testing.T) {
	outer := filepath.Join(t.TempDir(), "volume")
	if err := os.Mkdir(outer, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(outer, 0o777); err != nil { // whatever the umask
		t.Fatal(err)
	}
	at := func(dir string) []string {
		lines, _ := (&world{env: []string{"PROFBOT_DATA=" + dir}, pod: newPod(t, ""), opt: doctor.Options{NoPull: true}}).walk(t)
		return lines
	}
	holds(t, at(outer), "warning Storage / access: others here can get into it (mode 0777)...")

	inner := filepath.Join(outer, "data")
	holds(t, at(inner), fmt.Sprintf("good Storage / folder: %s does not exist yet and can be made", inner))
	st, err := store.Open(t.Context(), store.Options{Dir: inner})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	held := "good Storage / lock: a running profbot uses it"
	if runtime.GOOS == "linux" {
		held += fmt.Sprintf(" (process %d)", os.Getpid())
	}
	lines := at(inner)
	holds(t, lines, held)
	for _, l := range lines {
		if strings.HasPrefix(l, "warning") {
			t.Error(l)
		}
	}
	if left, err := filepath.Glob(filepath.Join(inner, ".profbot-doctor-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
