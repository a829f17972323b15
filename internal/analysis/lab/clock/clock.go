// Package clock measures what a handler's segments cost with the CPU clock of
// the thread that runs them. Profiles are judged by these sums.
package clock

import (
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Segment is a part of a handler's work.
type Segment int

// Segments of a handler, in the order in which most run.
const (
	Get Segment = iota
	Decode
	App
	Encode
	segments
)

// Meter sums the segments of one endpoint, in nanoseconds. It is safe for use
// by many goroutines.
type Meter struct {
	sums     [segments]atomic.Int64
	requests atomic.Int64
}

// Reading is what a meter shows at one moment.
type Reading struct {
	Get, Decode, App, Encode int64 // nanoseconds of CPU since the start
	Requests                 int64
}

// Read reads a meter.
func (m *Meter) Read() Reading {
	return Reading{
		Get: m.sums[Get].Load(), Decode: m.sums[Decode].Load(), App: m.sums[App].Load(), Encode: m.sums[Encode].Load(),
		Requests: m.requests.Load(),
	}
}

// Lap is a running clock. Between Start and Stop its goroutine stays on one
// thread, whose clock it reads.
type Lap struct {
	m    *Meter
	last int64
}

// Start begins a request.
func (m *Meter) Start() *Lap {
	m.requests.Add(1)
	return m.Also()
}

// Also begins a part of a request that another goroutine runs.
func (m *Meter) Also() *Lap {
	runtime.LockOSThread()
	return &Lap{m: m, last: now()}
}

// Done adds the CPU since the last call to a segment.
func (l *Lap) Done(s Segment) {
	t := now()
	l.m.sums[s].Add(t - l.last)
	l.last = t
}

// Skip leaves the CPU since the last call out.
func (l *Lap) Skip() { l.last = now() }

// Stop releases the thread.
func (l *Lap) Stop() { runtime.UnlockOSThread() }

func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // no such clock: nothing here means anything
	}
	return t.Nano()
}
