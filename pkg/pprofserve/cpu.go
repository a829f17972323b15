package pprofserve

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"runtime/pprof"
	"slices"
	"sync"
	"time"
)

// maxRecordings is how many CPU profiles are taken at a time. Each that begins
// or ends splits the samples of all others into one segment more.
const maxRecordings = 4

// compactAt is how many segments a recording keeps before it merges them, for
// those that run for hours while others come and go.
const compactAt = 16

// watchEvery is how often a segment is looked at, whether somebody else has
// stopped it. What is lost to that is at most this long.
const watchEvery = 100 * time.Millisecond

// retryAfter is after how many looks a profiler that was taken away and could
// not be had back is tried again: asking who has it costs a goroutine profile.
const retryAfter = 10

// errInUse is what runtime/pprof says when its profiler is taken.
var errInUse = errors.New("cpu profiling already in use")

// cpu shares the CPU profiler, of which a process has one.
var cpu = sampler{start: pprof.StartCPUProfile, stop: pprof.StopCPUProfile, restarts: restarts}

// sampler lets several recordings run at a time on one profiler. It stops and
// starts the profiler whenever a recording begins or ends, and gives each
// recording the segments that fall into its time, merged.
type sampler struct {
	// The profiler, and whether the one who has it now starts over by itself.
	// Written once, before use.
	start    func(io.Writer) error
	stop     func()
	restarts func() bool

	mu         sync.Mutex // protects what follows
	recordings []*recording
	segment    *segment      // what the profiler writes to; nil while it is not ours
	done       chan struct{} // closed to end watch; nil while no recording runs
	pause      int           // looks to let pass before the profiler is tried again
}

// recording is one caller's profile. Its fields are protected by sampler.mu
// while it is in sampler.recordings.
type recording struct {
	busy     Busy
	segments [][]byte
}

// begin adds a recording. It fails when the profiler is somebody else's, who
// does not give it up, or when too many recordings run.
func (s *sampler) begin(busy Busy) (*recording, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.recordings) >= maxRecordings {
		return nil, errInUse
	}
	r := &recording{busy: busy}
	s.splitLocked()
	s.recordings = append(s.recordings, r)
	if err := s.startLocked(); err != nil && len(s.recordings) == 1 {
		s.recordings = nil
		return nil, err
	}
	if s.done == nil {
		s.done = make(chan struct{})
		go s.watch(s.done) // ended by the last recording's end
	}
	return r, nil
}

// end removes a recording and returns its profile.
func (s *sampler) end(r *recording) ([]byte, error) {
	s.remove(r)
	return merge(r.segments) // which is nobody else's any more
}

func (s *sampler) remove(r *recording) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.splitLocked()
	s.recordings = slices.DeleteFunc(s.recordings, func(o *recording) bool { return o == r })
	if len(s.recordings) == 0 {
		close(s.done)
		s.done = nil
		return
	}
	s.pause = 0
	_ = s.startLocked() // else watch tries again
}

// splitLocked ends the segment under way and hands it to all recordings.
// Must be called with mu held.
func (s *sampler) splitLocked() {
	if s.segment == nil {
		return
	}
	if !s.segment.complete() { // else the profiler may be another's by now
		s.stop()
	}
	s.shareLocked()
}

// shareLocked gives the segment, which has ended, to all recordings.
// Must be called with mu held.
func (s *sampler) shareLocked() {
	data := s.segment.bytes()
	s.segment = nil
	for _, r := range s.recordings {
		r.segments = append(r.segments, data)
		if len(r.segments) < compactAt {
			continue
		}
		if m, err := merge(r.segments); err == nil {
			r.segments = [][]byte{m}
		}
	}
}

// startLocked begins a segment. Where another has the profiler and a recording
// may interrupt, it ends the other's profile, which stays valid.
// Must be called with mu held.
func (s *sampler) startLocked() error {
	seg := &segment{}
	err := s.start(seg)
	// More than once, since the other may start over in between.
	for range 3 {
		if err == nil || !slices.ContainsFunc(s.recordings, func(r *recording) bool { return r.busy == Interrupt }) || !s.restarts() {
			break
		}
		s.stop()
		err = s.start(seg)
	}
	if err == nil {
		s.segment = seg
	}
	return err
}

// watch notices that somebody else has stopped the profiler, as those do who
// believe that they have started it, and goes on with a new segment.
func (s *sampler) watch(done <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			s.look(done)
		}
	}
}

func (s *sampler) look(done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done != done { // the last recording has ended meanwhile
		return
	}
	if s.segment != nil && s.segment.complete() {
		s.shareLocked()
	}
	if s.pause > 0 {
		s.pause--
	} else if s.segment == nil && s.startLocked() != nil {
		s.pause = retryAfter
	}
}

// record takes a CPU profile of length d, shorter when stop is closed before.
// With [Wait] it first waits up to patience for the profiler to be free. When
// ctx ends it returns its cause, and the profiler is free at once.
func (s *sampler) record(ctx context.Context, stop <-chan struct{}, d time.Duration, busy Busy, patience time.Duration) ([]byte, error) {
	r, err := s.begin(busy)
	if err != nil && busy == Wait {
		r, err = s.await(ctx, stop, patience, err)
	}
	if err != nil {
		return nil, err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stop:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	profile, mergeErr := s.end(r)
	if err == nil {
		err = mergeErr
	}
	return profile, err
}

// await tries again and again, for the moment between two profiles of another
// profiler. The try costs a microsecond, and the moment may last as little as
// a fraction of a millisecond.
func (s *sampler) await(ctx context.Context, stop <-chan struct{}, patience time.Duration, err error) (*recording, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	try := time.NewTicker(200 * time.Microsecond)
	defer try.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-stop:
			return nil, err
		case <-limit.C:
			return nil, err
		case <-try.C:
			var r *recording
			if r, err = s.begin(Wait); err == nil {
				return r, nil
			}
		}
	}
}

// segment takes what the profiler writes, between one start and one stop.
type segment struct {
	mu      sync.Mutex // protects what follows: the profiler writes from a goroutine of its own
	buf     bytes.Buffer
	checked int // bytes there were when complete looked last
}

func (s *segment) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *segment) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Bytes()
}

// complete reports whether the profile has been written to its end, which the
// runtime does when the profiler is stopped, whoever stops it.
func (s *segment) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buf.Len() == s.checked {
		return false
	}
	s.checked = s.buf.Len()
	z, err := gzip.NewReader(bytes.NewReader(s.buf.Bytes()))
	if err == nil {
		_, err = io.Copy(io.Discard, z)
	}
	return err == nil
}
