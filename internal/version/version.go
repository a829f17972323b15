// Package version says which profbot this is.
package version

import (
	"cmp"
	"runtime/debug"
)

// stamped is set by the linker where a build has no repository to read the
// version from, as in an image: -X github.com/profbot/profbot/internal/version.stamped=v1.2.3
var stamped string

// Get returns the version, such as "v1.2.3" or "(devel)", and the revision of
// the repository that it was built from; "" when the build does not know it.
func Get() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(stamped, "unknown"), ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return cmp.Or(stamped, info.Main.Version, "unknown"), revision
}
