package analysis

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/google/pprof/profile"
)

// Kind is a kind of profile.
type Kind string

// Kinds of profiles that say something to the rules.
const (
	KindCPU       Kind = "cpu"       // where CPU time went
	KindAllocs    Kind = "allocs"    // what was allocated
	KindHeap      Kind = "heap"      // what lives
	KindGoroutine Kind = "goroutine" // where every goroutine was at one moment
	KindMutex     Kind = "mutex"     // who held locks that others waited for
	KindBlock     Kind = "block"     // who waited
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

// ErrNotProfile says that bytes are no profile in pprof's format.
var ErrNotProfile = errors.New("not a profile")

// units are what the sample types of each kind have to be measured in.
var units = map[Kind]map[string]string{
	KindCPU:    {"cpu": "nanoseconds"},
	KindAllocs: {"alloc_space": "bytes", "inuse_space": "bytes"},
	KindHeap:   {"alloc_space": "bytes", "inuse_space": "bytes"},
	KindMutex:  {"delay": "nanoseconds"},
	KindBlock:  {"delay": "nanoseconds"},
}

// Check is [KindOf] with reasons: it says why a profile cannot be judged,
// because it is of no Go program, of no kind that says something, in other
// units than Go's, or a difference with negative values.
func Check(p *profile.Profile, name string) (Kind, error) {
	k := KindOf(p, name)
	if k == "" {
		return "", fmt.Errorf("no profile of a Go program that says something here: it holds %s", sampleTypes(p))
	}
	if !ofGo(p) {
		return "", errors.New("not of a Go program: none of its functions is in a Go file")
	}
	for _, t := range p.SampleType {
		if want := units[k][t.Type]; want != "" && t.Unit != want {
			return "", fmt.Errorf("its %s is in %s, and Go's in %s: it was made or changed by another program", t.Type, t.Unit, want)
		}
	}
	for _, s := range p.Sample {
		for _, v := range s.Value {
			if v < 0 {
				return "", errors.New("it holds negative values: a difference of two profiles cannot be judged; give both, one with --base")
			}
		}
	}
	return k, nil
}

// ofGo reports whether a profile may be of a Go program: one of its functions
// is in a Go file, or no file is known at all.
func ofGo(p *profile.Profile) bool {
	files := false
	for _, f := range p.Function {
		switch {
		case strings.HasSuffix(f.Filename, ".go"), strings.HasPrefix(f.Name, "runtime."):
			return true
		case f.Filename != "":
			files = true
		}
	}
	return !files
}
