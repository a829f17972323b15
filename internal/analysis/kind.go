package analysis

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/profbot/profbot/internal/profile"
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
	case p.TypeIndex("cpu") >= 0:
		return KindCPU
	case p.TypeIndex("goroutine", "goroutineleak") >= 0:
		return KindGoroutine
	case p.TypeIndex("alloc_space") >= 0:
		if p.DefaultType == "alloc_space" || strings.Contains(name, "alloc") {
			return KindAllocs
		}
		return KindHeap
	case p.TypeIndex("inuse_space") >= 0:
		return KindHeap
	case p.TypeIndex("delay") >= 0 && p.TypeIndex("contentions") >= 0:
		for s := range p.Samples(nil) {
			if leaf := leafName(p, s); leaf != "" {
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
func leafName(p *profile.Profile, s *profile.Sample) string {
	if len(s.Locations) == 0 {
		return ""
	}
	lines := p.Lines(s.Locations[0])
	if len(lines) == 0 || lines[0].Function < 0 {
		return ""
	}
	return p.Functions[lines[0].Function].Name
}

// units are what the sample types of each kind have to be measured in.
var goUnits = map[Kind]map[string]string{
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
		return "", fmt.Errorf("no profile of a Go program that says something here: it holds %s", p.Types())
	}
	if !ofGo(p) {
		return "", errors.New("not of a Go program: none of its functions is in a Go file")
	}
	for _, t := range p.SampleTypes {
		if want := goUnits[k][t.Type]; want != "" && t.Unit != want {
			return "", fmt.Errorf("its %s is in %s, and Go's in %s: it was made or changed by another program", t.Type, t.Unit, want)
		}
	}
	for s := range p.Samples(nil) {
		for _, v := range s.Values {
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
	for _, f := range p.Functions {
		switch {
		case strings.HasSuffix(f.File, ".go"), strings.HasPrefix(f.Name, "runtime."):
			return true
		case f.File != "":
			files = true
		}
	}
	return !files
}
