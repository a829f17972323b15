package analysis

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/profbot/profbot/internal/profile"
)

// Categories of goroutines that stand still, in the trees of goroutine, mutex
// and block profiles. Waiting for the network or in a system call is [CatIO];
// the collector's and the runtime's own parked workers keep [CatGC] and
// [CatRuntime]. A channel and a select wait for the same thing, another
// goroutine's word, and share a category; so do locks, wait groups and
// conditions.
const (
	CatLock    Category = "lock"    // sync: mutexes, wait groups, conditions; the runtime's own locks
	CatChannel Category = "channel" // channel sends and receives, select
	CatSleep   Category = "sleep"   // time.Sleep
)

// TreeOptions say what [TreeOf] reads. The zero value is right for a profile
// on its own.
type TreeOptions struct {
	// Kind is the profile's: "cpu", "heap", "allocs", "goroutine", "mutex",
	// "block". Empty means what the sample types say; mutex and block profiles
	// have the same ones and are then told by who is on the stacks: a mutex
	// profile shows the unlocking side.
	Kind string
	// SampleType names the value to add up, such as "alloc_objects". Empty
	// means the usual one of the kind: "samples", "inuse_space", "alloc_space",
	// "goroutine", "delay".
	SampleType string
	// Before is an earlier profile of the same process and kind, to be
	// subtracted; all but CPU and goroutine profiles count from the start of
	// the process. What shrank is left out.
	Before *profile.Profile
	// CPU is a CPU profile of the same process. Its labels and its stacks
	// teach which handlers there are: other profiles see few of them.
	CPU *profile.Profile

	AppPrefixes []string          // as in [Options]
	Routes      map[string]string // as in [Options]
}

// kind is how a profile is recognised and shown.
type kind struct {
	name  string
	usual string // the sample type to add up
}

// kinds are the kinds with what they usually add up, the first that there is.
var kinds = []kind{
	{"cpu", "samples"},
	{"cpu", "cpu"},
	{"heap", "inuse_space"},
	{"allocs", "alloc_space"},
	{"mutex", "delay"},
	{"block", "delay"},
	{"goroutine", "goroutine"},
	{"goroutine", "goroutineleak"},
}

// units are the words for sample types whose unit is "count".
var units = map[string]string{
	"samples": "samples", "sample": "samples", "inuse_objects": "objects", "alloc_objects": "objects", "objects": "objects",
	"goroutine": "goroutines", "goroutineleak": "goroutines", "contentions": "contentions", "threadcreate": "threads",
}

// TreeOf builds the call tree of one profile of any kind, with the endpoints
// and categories of the analysis: an allocation inside a decoder is decoding.
// Frames of goroutines that wait are categorised by what they wait for. It
// fails when the profile has no value of the type that was asked for, when
// values are beyond anything real, and when nothing is left to draw.
func TreeOf(p *profile.Profile, opt TreeOptions) (*Tree, error) {
	k := kindOf(p, opt.Kind)
	name := cmp.Or(opt.SampleType, k.usual)
	at := p.TypeIndex(name)
	if at < 0 {
		return nil, fmt.Errorf("no %s in the profile: it holds %s", name, p.Types())
	}
	t := newPaths()
	list, err := readSamples(t, p, at)
	if err != nil {
		return nil, err
	}
	if opt.Before != nil {
		before, err := readSamples(t, opt.Before, opt.Before.TypeIndex(name))
		if err != nil {
			return nil, fmt.Errorf("earlier profile: %w", err)
		}
		list = subtract(list, before)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("nothing to draw: the profile has no %s", name)
	}
	stacks := stacksOf(list)
	teachers := stacks
	if opt.CPU != nil {
		cpu, _, err := cpuSamples(t, opt.CPU)
		if err != nil {
			return nil, err
		}
		teachers = stacksOf(cpu)
	}
	classifyAll(t, [][]stack{teachers}, opt.AppPrefixes)
	if opt.CPU != nil {
		attribute(t, teachers, opt.Routes, stacks)
	} else {
		attribute(t, stacks, opt.Routes)
	}
	work(t, stacks)
	tree := buildTree(t, stacks, &Report{})
	tree.Kind, tree.Unit = k.name, unitOf(p.SampleTypes[at])
	tree.PerSecond, tree.PerSample = rates(p, k, at, tree.Root.Total)
	if k.name == "goroutine" || k.name == "mutex" || k.name == "block" {
		waiting(tree.Root, "")
	}
	return tree, nil
}

// kindOf is how a profile is shown: as the kind that was asked for, or else as
// what it says of itself.
func kindOf(p *profile.Profile, name string) kind {
	is := cmp.Or(name, string(KindOf(p, "")))
	for _, k := range kinds {
		if k.name == is && p.TypeIndex(k.usual) >= 0 {
			return k
		}
	}
	found := kind{name: cmp.Or(name, "profile")}
	if n := len(p.SampleTypes); n > 0 {
		found.usual = p.SampleTypes[n-1].Type // pprof's default
		if name == "" {
			found.name = found.usual
		}
	}
	return found
}

// maxUnits is the limit on the sum of a profile's values: trees add them up.
const maxUnits = math.MaxInt64 / 4

func readSamples(t *paths, p *profile.Profile, at int) ([]sample, error) {
	if at < 0 {
		return nil, fmt.Errorf("it holds %s", p.Types())
	}
	var sum int64
	return t.read(p, func(s *profile.Sample) (int64, error) {
		v := max(0, s.Values[at])
		if v > maxUnits-sum {
			return 0, fmt.Errorf("its values add up to more than any process can use")
		}
		sum += v
		return v, nil
	})
}

// rates says how many units are a second of CPU, and how many one observation.
func rates(p *profile.Profile, k kind, at int, total int64) (perSecond, perSample float64) {
	sum := func(i int) (n float64) {
		if i < 0 {
			return 0
		}
		for s := range p.Samples(nil) {
			n += float64(max(0, s.Values[i]))
		}
		return n
	}
	of := sum(at)
	switch k.name {
	case "cpu":
		if cpu := sum(p.TypeIndex("cpu")); cpu > 0 {
			perSecond = of / cpu * 1e9
		}
		if n := sum(p.TypeIndex("samples")); n > 0 {
			perSample = of / n
		}
	case "heap", "allocs":
		// One observation for each Period bytes allocated, whatever is counted.
		bytes := "alloc_space"
		if at == p.TypeIndex("inuse_space") || at == p.TypeIndex("inuse_objects") {
			bytes = "inuse_space"
		}
		if n := sum(p.TypeIndex(bytes)); p.Period > 0 && n > 0 {
			perSample = of / n * float64(p.Period)
		}
	case "mutex", "block":
		if n := sum(p.TypeIndex("contentions")); n > 0 {
			perSample = of / n
		}
	}
	if perSample > float64(total) {
		perSample = float64(total)
	}
	return perSecond, perSample
}

func unitOf(t profile.ValueType) string {
	if u := units[t.Type]; u != "" && (t.Unit == "count" || t.Unit == "") {
		return u
	}
	return t.Unit
}

// waitKinds are functions that everything below is waiting in. None of them calls
// code that is not the runtime's.
var waitKinds = []struct {
	name *regexp.Regexp
	cat  Category
}{
	{regexp.MustCompile(`^(internal/)?sync\.(\(\*(RW)?Mutex\)\.|\(\*WaitGroup\)\.Wait$|\(\*Cond\)\.Wait$|runtime_|\(\*rlocker\))|^runtime\.(semacquire|semrelease|sync_|lock|unlock|_LostContended|notifyListWait|\(\*sema)`), CatLock},
	{regexp.MustCompile(`^runtime\.(chan(recv|send)|closechan|selectgo|selectnb|block$|reflect_(rselect|chan))|^reflect\.(Select|chan(recv|send))$`), CatChannel},
	{regexp.MustCompile(`^time\.Sleep$|^runtime\.timeSleep`), CatSleep},
	{regexp.MustCompile(`^internal/poll\.|^syscall\.|^golang\.org/x/sys/unix\.|^net\.\(\*(conn|netFD|TCPConn|UDPConn|UnixConn|TCPListener|UnixListener)\)\.|^runtime\.(netpollblock|notetsleepg|entersyscall)`), CatIO},
}

// waiting colours what parked goroutines stand in. cat is that of the caller;
// "" where the caller does not wait.
func waiting(n *Node, cat Category) {
	if cat == "" {
		for _, w := range waitKinds {
			if w.name.MatchString(n.Func) {
				cat = w.cat
				break
			}
		}
	}
	if cat != "" {
		n.Category = cat
	}
	for _, c := range n.Children {
		waiting(c, cat)
	}
}

// Format renders a number of the tree's units as people say it: "708 samples",
// "1.4 MiB", "12 goroutines", "3.41 s of delay".
func (t *Tree) Format(v int64) string {
	switch t.Unit {
	case "bytes":
		return formatBytes(v)
	case "nanoseconds":
		s := time.Duration(v).Seconds()
		text := fmt.Sprintf("%.2f s", s)
		switch {
		case s >= 100:
			text = fmt.Sprintf("%.0f s", s)
		case s < 0.001:
			text = fmt.Sprintf("%.0f µs", s*1e6)
		case s < 1:
			text = fmt.Sprintf("%.0f ms", s*1e3)
		}
		if t.Kind == "mutex" || t.Kind == "block" {
			text += " of delay"
		}
		return text
	}
	unit := t.Unit
	if v == 1 && len(unit) > 1 && unit[len(unit)-1] == 's' {
		unit = unit[:len(unit)-1]
	}
	return grouped(v) + " " + unit
}

func formatBytes(v int64) string {
	const names = "KMGTPE"
	if v < 1<<10 && v > -1<<10 {
		return fmt.Sprintf("%d B", v)
	}
	f, i := float64(v)/(1<<10), 0
	for math.Abs(f) >= 1<<10 && i < len(names)-1 {
		f, i = f/(1<<10), i+1
	}
	if math.Abs(f) < 9.95 {
		return fmt.Sprintf("%.1f %ciB", f, names[i])
	}
	return fmt.Sprintf("%.0f %ciB", f, names[i])
}

// grouped sets commas between thousands from 10,000 on.
func grouped(v int64) string {
	s := strconv.FormatInt(v, 10)
	if v < 10_000 && v > -10_000 {
		return s
	}
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
