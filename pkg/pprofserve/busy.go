package pprofserve

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
)

// Busy says what a pull of a CPU profile does when another profiler of this
// process has the CPU profiler. Pulls through this package do not collide with
// one another, nor with [StartCPUProfile].
type Busy int

const (
	// Interrupt is the default. It ends the profile of a profiler that is known to
	// start over by itself (dd-trace-go's and pyroscope-go's), and takes its
	// place until that one's next period begins, and after that again. What
	// the other has sampled until then stays a valid, shorter profile; it has
	// no samples of the time of the pull. A profile that anybody else has
	// started is left alone: the pull is refused as with Refuse.
	Interrupt Busy = iota
	// Wait leaves every other profile alone. It waits, up to Options.WaitLimit,
	// for the moment at which it ends, and takes the profiler then. A
	// continuous profiler that finds the profiler taken skips its next period.
	Wait
	// Refuse answers as net/http/pprof does: "cpu profiling already in use".
	Refuse
)

// continuous are functions that are on the stack of a continuous profiler
// while it profiles the CPU. Only those belong here of which the module
// interop shows that they go on after their profile was ended by another.
var continuous = []string{
	"github.com/DataDog/dd-trace-go/v2/profiler.(*profiler).interruptibleSleep",
	"github.com/grafana/pyroscope-go.(*cpuProfileCollector).Start",
}

// restarts reports whether a profiler of this process is known to start over
// after its profile was ended. It costs one goroutine profile.
func restarts() bool {
	var records []runtime.StackRecord
	for n, ok := runtime.NumGoroutine(), false; !ok; {
		records = make([]runtime.StackRecord, n+n/10+16)
		n, ok = runtime.GoroutineProfile(records)
		if ok {
			records = records[:n]
		}
	}
	seen := map[uintptr]bool{}
	for i := range records {
		for _, pc := range records[i].Stack() {
			if seen[pc] {
				continue
			}
			seen[pc] = true
			frames := runtime.CallersFrames([]uintptr{pc})
			for more := true; more; {
				var f runtime.Frame
				if f, more = frames.Next(); isContinuous(f.Function) {
					return true
				}
			}
		}
	}
	return false
}

func isContinuous(function string) bool {
	for _, c := range continuous {
		if strings.HasPrefix(function, c) {
			return true
		}
	}
	return false
}

// started is the profile that StartCPUProfile began; its recording is nil
// while there is none.
var started struct {
	mu sync.Mutex // protects what follows
	r  *recording
	w  io.Writer
}

// StartCPUProfile begins a CPU profile of the process, as the function of that
// name in runtime/pprof does, for a profiler that runs inside the service. In
// its place, profiles can be pulled at the same time, and neither loses more to
// the other than some milliseconds whenever a pull begins or ends
// (BenchmarkSplit). The whole profile is written to w by [StopCPUProfile].
//
// It returns an error if one begun by it is running, or if somebody else has
// the profiler: with runtime/pprof's it is still one at a time.
func StartCPUProfile(w io.Writer) error {
	started.mu.Lock()
	defer started.mu.Unlock()
	if started.r != nil {
		return errInUse
	}
	r, err := cpu.begin(Refuse)
	if err != nil {
		return err
	}
	started.r, started.w = r, w
	return nil
}

// StopCPUProfile ends the profile that [StartCPUProfile] began, if any, and
// writes it. The error is of the writing.
func StopCPUProfile() error {
	started.mu.Lock()
	defer started.mu.Unlock()
	if started.r == nil {
		return nil
	}
	profile, err := cpu.end(started.r)
	if err == nil {
		_, err = started.w.Write(profile)
	}
	started.r, started.w = nil, nil
	return err
}

// errNothing is for a profile that somebody else's stop has left no segment.
var errNothing = errors.New("no samples: another profiler had the CPU profiler all the time")
