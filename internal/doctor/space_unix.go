//go:build linux || darwin || freebsd

package doctor

import "syscall"

// freeSpace is how many bytes this user may still write below dir.
func freeSpace(dir string) (bytes uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true //nolint:unconvert,gosec // the types differ between systems
}
