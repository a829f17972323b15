package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/profbot/profbot/internal/store"
)

// Where a disk is told to be short, and full: the first has room for some
// hundred profiles of the common size and the database, the second not even
// for one at the limits of what is pulled.
const (
	lowSpace  = 1 << 30
	fullSpace = 64 << 20
)

// storage looks whether the data folder can be used, without opening the
// database that a running profbot may hold.
func (w *walk) storage(context.Context) {
	const area = "Storage"
	dir := w.Config.Data
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		// The walk makes nothing that was not there: it looks at the parent.
		parent, perr := filepath.Abs(filepath.Dir(dir))
		if perr == nil {
			perr = writable(parent)
		}
		w.result(area, "folder", dir+" does not exist yet and can be made", perr, mendFolder(parent, perr))
		return
	}
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	if err == nil {
		err = writable(dir)
	}
	w.result(area, "folder", dir+" can be written to", err, mendFolder(dir, err))
	if err != nil {
		return
	}
	switch held, err := store.Held(dir); {
	case err != nil:
		w.result(area, "lock", "", err, mendFolder(filepath.Join(dir, "profbot.lock"), err))
	case held:
		w.tell(Result{Area: area, What: "lock", Note: "a running profbot uses it" + holder(filepath.Join(dir, "profbot.lock"))})
	}
	if who, ok := ownerOf(info); ok {
		if r := open(dir, info.Mode().Perm(), who, self()); r.Note != "" {
			w.tell(r)
		}
	}
	if free, ok := freeSpace(dir); ok {
		w.tell(room(free, w.Config.Retention))
	}
}

// room says whether so many bytes are enough.
func room(free uint64, retention time.Duration) Result {
	r := Result{Area: "Storage", What: "room", Note: fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))}
	if free >= lowSpace {
		return r
	}
	r.State, r.Next = Warning, fmt.Sprintf("enlarge the volume, remove what else is on it, or keep incidents for less than %gh: retention", retention.Hours())
	if free < fullSpace {
		r.State, r.Note = Bad, fmt.Sprintf("%.1f MiB free: the next incident may not be stored", float64(free)/(1<<20))
	}
	return r
}

// mendFolder is the next step where a folder, or a file in it, cannot be used.
func mendFolder(path string, err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Sprintf("make room: df -h %s and df -i %s show what is full; enlarge the volume, or shorten retention", path, path)
	case errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("set data to a folder on a volume that can be written to; in Kubernetes mount one at %s (volumeMounts, without readOnly)", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("chown -R %d:%d %s; in Kubernetes set securityContext.fsGroup of the pod to %d", os.Geteuid(), os.Getegid(), path, os.Getegid())
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("mkdir -p %s, and give it to the user that profbot runs as", path)
	case errors.Is(err, syscall.ENOTDIR):
		return "set data to a folder: a file stands in its way"
	}
	return "set data to a folder on another disk, and look at what the kernel says of this one: dmesg"
}

// owner is whose a folder is; person who asks.
type (
	owner  struct{ uid, gid int }
	person struct {
		uid     int
		groups  []int // all that he is in
		noChmod bool  // there is no such command here, as in an image without a shell
	}
)

func self() person {
	groups, _ := os.Getgroups() // none where there are no such things
	_, err := exec.LookPath("chmod")
	return person{os.Geteuid(), append(groups, os.Getegid()), err != nil}
}

// open says who beside profbot can get into the folder. Nothing when it is
// profbot's own. A volume that the kubelet gave to the pod's fsGroup is the
// group's, with mode 0770 at each mount whatever anybody sets: where that group
// is profbot's own, nobody else is let in.
func open(dir string, mode fs.FileMode, whose owner, me person) Result {
	r := Result{Area: "Storage", What: "access", State: Warning}
	switch {
	case mode&0o077 == 0:
		return Result{}
	case mode&0o007 == 0 && whose.uid != me.uid && slices.Contains(me.groups, whose.gid):
		r.State, r.Note = Good, fmt.Sprintf("mode %04o, for group %d, which is profbot's: a volume with fsGroup", mode, whose.gid)
	default:
		r.Note = fmt.Sprintf("others here can get into it (mode %04o), and profiles show your code's names", mode)
		r.Next = "chmod 700 " + dir
		if whose.uid != me.uid || me.noChmod {
			r.Next = fmt.Sprintf("set data to %s: profbot makes that folder itself, for its user alone", filepath.Join(dir, "data"))
		}
	}
	return r
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
