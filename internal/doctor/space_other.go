//go:build !linux && !darwin && !freebsd

package doctor

import "io/fs"

func freeSpace(string) (bytes uint64, ok bool) { return 0, false }

func ownerOf(fs.FileInfo) (owner, bool) { return owner{}, false }

func holder(string) string { return "" }
