package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/incident"
)

// pulled is what is taken of a process, in this order. What is cumulative is
// taken before and after, and subtracted here; the allocs profiles hold the
// live heap too. Only the CPU profile must succeed.
var pulled = []struct {
	name string
	kind incident.Kind
}{
	{"allocs-before", incident.KindAllocsBefore},
	{"mutex-before", incident.KindMutex},
	{"block-before", incident.KindBlock},
	{"cpu", incident.KindCPU},
	{"goroutine", incident.KindGoroutine},
	{"mutex-after", incident.KindMutex},
	{"block-after", incident.KindBlock},
	{"allocs-after", incident.KindAllocsAfter},
}

// single is the profile that an address names, where it names one that can be
// judged alone.
var single = map[string]incident.Kind{
	"allocs": incident.KindAllocsAfter, "heap": incident.KindHeap, "goroutine": incident.KindGoroutine,
	"mutex": incident.KindMutex, "block": incident.KindBlock,
}

// pullAll pulls the pods that are addresses, all at once, and makes files of
// their profiles.
func (c *analyzeCmd) pullAll(ctx context.Context, stderr io.Writer, pods []*pod) error {
	var col *collector.Collector
	g, ctx := errgroup.WithContext(ctx)
	say := &sayer{w: stderr}
	for _, p := range pods {
		if !isURL(p.input) {
			continue
		}
		if col == nil {
			var err error
			// A person names the addresses and waits: they may be anywhere, and no
			// failure of one keeps another from being tried.
			if col, err = collector.New(collector.Options{
				MaxRawBytes: c.MaxRaw, Simultaneous: 64, Networks: collector.Everywhere(), Failures: math.MaxInt,
			}); err != nil {
				return err
			}
		}
		t, window, only, err := targetOf(p.input, c.Window)
		if err != nil {
			return err
		}
		p.name = t.Pod
		g.Go(func() error {
			files, err := pull(ctx, col, say, t, window, only)
			p.files = files
			return err
		})
	}
	return g.Wait()
}

// pull takes one process's profiles. The others only sharpen the report, so
// their failure is a remark on a report that there is; where the CPU profile
// fails too its reason says enough.
func pull(ctx context.Context, col *collector.Collector, say *sayer, t incident.Target, window time.Duration, only incident.Kind) (files []file, err error) {
	var remarks []string
	for _, k := range pulled {
		if only != "" && k.kind != incident.KindCPU {
			continue // once, in the CPU profile's place
		}
		if only != "" {
			k.kind, k.name = only, string(only)
		}
		done := func() {}
		if k.kind == incident.KindCPU && len(files) > 0 { // else it is likely to be refused as well
			done = say.countdown(ctx, t.Pod, window)
		}
		got, err := col.Pull(ctx, t, k.kind, window)
		done()
		switch {
		case err == nil:
			data := got.Data
			files = append(files, file{t.Pod + "." + k.name + ".pb.gz", func() ([]byte, error) { return data, nil }})
		case ctx.Err() != nil || k.kind == incident.KindCPU || only != "":
			return nil, fmt.Errorf("%s: %w", t.Pod, err)
		case k.kind == incident.KindAllocsBefore && unreachable(err):
			return nil, fmt.Errorf("%s: %w", t.Pod, err) // so is the rest
		default:
			remarks = append(remarks, fmt.Sprintf("%s: no %s profile: %v", t.Pod, k.name, err))
		}
	}
	for _, r := range remarks {
		say.line("%s", r)
	}
	return files, nil
}

func unreachable(err error) bool {
	e, ok := errors.AsType[*collector.Error](err)
	return ok && (e.What == incident.OutcomeUnreachable || e.What == incident.OutcomeDiscovery)
}

// sayer writes whole lines for people who wait. It is safe for concurrent use.
type sayer struct {
	mu sync.Mutex // one line at a time
	w  io.Writer
}

func (s *sayer) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, "profbot: "+format+"\n", args...)
}

// everySaid is how often the time that is left is said.
const everySaid = 10 * time.Second

// countdown says that a process is being sampled, and from time to time how
// long it still takes, until the returned function is called.
func (s *sayer) countdown(ctx context.Context, name string, window time.Duration) (stop func()) {
	s.line("sampling %s for %s", name, window)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(everySaid)
		defer tick.Stop()
		for left := window - everySaid; left > 0; left -= everySaid {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.line("%s: %s left", name, left)
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}
