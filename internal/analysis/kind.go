package analysis

import (
	"path"
	"regexp"
	"strings"

	"github.com/google/pprof/profile"
)

// Kind is a kind of profile.
type Kind string

// Kinds of profiles that say something to the rules.
const (
	KindCPU       Kind = "cpu"
	KindAllocs    Kind = "allocs"
	KindHeap      Kind = "heap"
	KindGoroutine Kind = "goroutine"
	KindMutex     Kind = "mutex"
	KindBlock     Kind = "block"
)

// KindOf tells a profile's kind from what it holds; "" for one that is none of
// a Go program. Some kinds hold the same sample types: heap and allocs differ
// in the type that is shown first, mutex and block in the functions that were
// caught, and where these do not tell, a word in the file's name does; name
// may be empty.
func KindOf(p *profile.Profile, name string) Kind {
	name = strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	switch {
	case sampleIndex(p, "cpu") >= 0:
		return KindCPU
	case sampleIndex(p, "goroutine", "goroutineleak") >= 0:
		return KindGoroutine
	case sampleIndex(p, "alloc_space") >= 0:
		if p.DefaultSampleType == "alloc_space" || strings.Contains(name, "alloc") {
			return KindAllocs
		}
		return KindHeap
	case sampleIndex(p, "inuse_space") >= 0:
		return KindHeap
	case sampleIndex(p, "delay") >= 0 && sampleIndex(p, "contentions") >= 0:
		for _, s := range p.Sample {
			if leaf := leafName(s); leaf != "" {
				if unlocks.MatchString(leaf) {
					return KindMutex
				}
				if blocks.MatchString(leaf) {
					return KindBlock
				}
			}
		}
		if strings.Contains(name, "block") {
			return KindBlock
		}
		return KindMutex
	}
	return ""
}

var (
	// unlocks are where the runtime records a lock's contention: the one who
	// held it, at the end of holding it.
	unlocks = regexp.MustCompile(`^(sync|internal/sync)\.\(\*(RW)?Mutex\)\.(RUnlock|Unlock|rUnlockSlow|unlockSlow)|^runtime\.(unlock|_LostContendedRuntimeLock)|^sync\.\(\*rlocker\)\.Unlock|semrelease`)
	// blocks are where it records that a goroutine waits.
	blocks = regexp.MustCompile(`^runtime\.(chanrecv|chansend|selectgo|block)|^(sync|internal/sync)\.\(\*(RW)?Mutex\)\.(R?Lock|lockSlow)|^sync\.\(\*(WaitGroup|Cond)\)\.Wait|^sync\.\(\*rlocker\)\.Lock|semacquire`)
)

// leafName is the name of a sample's innermost function; "" when unknown.
func leafName(s *profile.Sample) string {
	if len(s.Location) == 0 || len(s.Location[0].Line) == 0 || s.Location[0].Line[0].Function == nil {
		return ""
	}
	return s.Location[0].Line[0].Function.Name
}
