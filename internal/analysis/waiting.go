package analysis

import (
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
