package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/profile"
)

type pullArgs struct {
	Incident string `json:"incident"`
	Pod      string `json:"pod"`
}

func (pullArgs) Kind() string                 { return "pull" }
func (pullArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: queuePull} }

type pullWorker struct {
	river.WorkerDefaults[pullArgs]
	p *Pipeline
}

// Timeout allows for a long wait in the collector's budget.
func (w *pullWorker) Timeout(*river.Job[pullArgs]) time.Duration { return 30 * time.Minute }

func (w *pullWorker) Work(ctx context.Context, job *river.Job[pullArgs]) error {
	u := incident.Unit{Incident: job.Args.Incident, Pod: job.Args.Pod}
	err := w.p.hold(ctx, u, func(ctx context.Context, _ *incident.Lease) error {
		captures, err := w.p.Store.Captures(ctx, u.Incident)
		if err != nil {
			return err
		}
		inc, _, err := w.p.Store.Incident(ctx, u.Incident)
		if err != nil {
			return err
		}
		pod := slices.DeleteFunc(captures, func(c incident.Capture) bool { return c.Pod != u.Pod })
		for i := range pod {
			if pod[i].Status.Final() {
				continue
			}
			if pod[i], err = w.p.capture(ctx, inc, pod, pod[i]); err != nil {
				return fmt.Errorf("capture %s of %q: %w", pod[i].Kind, pod[i].Pod, err)
			}
		}
		return nil
	})
	if errors.Is(err, incident.ErrNotFound) {
		return nil // pruned while it waited
	}
	return w.p.again(ctx, job.ID, u, err)
}

// BlobName is where a capture's bytes are stored within its incident.
func BlobName(c incident.Capture) string {
	return strings.ReplaceAll(c.Pod, "/", "_") + "." + string(c.Kind) + ".pb.gz"
}

// capture brings one capture to a final state, and returns it so. pod are all
// captures of its pod as they stand. An error means that the state is not final
// and the job must run again.
func (p *Pipeline) capture(ctx context.Context, inc incident.Incident, pod []incident.Capture, c incident.Capture) (incident.Capture, error) {
	if done, err := p.spared(ctx, p.window(inc), pod, &c); done || err != nil {
		return c, err
	}
	name := BlobName(c)
	if c.Status == incident.CapturePulling {
		// A worker was stopped here. If the bytes are safe the target is not
		// asked again.
		if data, err := p.Store.Blob(c.Incident, name); err == nil {
			return p.stored(ctx, c, int64(len(data)))
		} else if !errors.Is(err, incident.ErrNotFound) {
			return c, err
		}
	}
	var got Pulled
	for {
		c.Status, c.Started = incident.CapturePulling, p.Now()
		if c.Kind == incident.KindCPU {
			c.Window = p.window(inc) // not what a pull before, whose bytes were lost, came down to
		}
		if err := p.Store.PutCapture(ctx, c, p.enqueue); err != nil {
			return c, err
		}
		var err error
		got, err = p.pull(ctx, inc.Alert.Key, c)
		c.Asked += got.Asked
		if ctx.Err() != nil {
			return c, context.Cause(ctx) // stopped, not failed: the capture stays open
		}
		if err == nil {
			break
		}
		if again, err := p.failed(ctx, inc, &c, err); err != nil || !again {
			return c, err
		}
	}
	if c.Kind.Waiting() && p.empty(got.Data) {
		return p.nothing(ctx, c, "")
	}
	// Stored before the bytes: who finds these after a kill must know which
	// window they are of, which a target may have shortened.
	c.Window, c.Started = got.Window, got.Started
	if err := p.Store.PutCapture(ctx, c, p.enqueue); err != nil {
		return c, err
	}
	if err := p.Store.PutBlob(c.Incident, name, got.Data); err != nil {
		return c, err
	}
	return p.stored(ctx, c, int64(len(got.Data)))
}

// spared ends a capture for which the target need not be asked, and waits
// where a snapshot from after the CPU profile would come too soon because there
// was none: what is subtracted needs a window.
func (p *Pipeline) spared(ctx context.Context, window time.Duration, pod []incident.Capture, c *incident.Capture) (done bool, err error) {
	find := func(k incident.Kind) (o incident.Capture) {
		if i := slices.IndexFunc(pod, func(o incident.Capture) bool { return o.Kind == k }); k != "" && i >= 0 {
			o = pod[i]
		}
		return o
	}
	before, cpu := find(c.Kind.Before()), find(incident.KindCPU)
	// A pod that was not there a moment ago is asked for its CPU profile all the
	// same, and not for what costs another time limit and helps little.
	i := slices.IndexFunc(pod, func(o incident.Capture) bool { return o.Kind == c.Kind })
	if i > 0 && lost(pod[i-1].Outcome) && c.Kind != incident.KindCPU &&
		(!mayPass(pod[i-1].Outcome) || c.Kind.Waiting() || lost(cpu.Outcome)) {
		c.Status, c.Outcome, c.Detail, c.Finished = incident.CaptureFailed, pod[i-1].Outcome, pod[i-1].Detail, p.Now()
		return true, p.Store.PutCapture(ctx, *c, p.enqueue)
	}
	if c.Kind.Waiting() && c.Kind.Before() != "" && before.Blob == "" {
		*c, err = p.nothing(ctx, *c, "there was nothing in the one before")
		return true, err
	}
	if before.Blob != "" && cpu.Status != incident.CaptureStored && c.Role == incident.RoleHot {
		return false, pause(ctx, before.Finished.Add(window).Sub(p.Now()))
	}
	return false, nil
}

// empty reports whether a profile has no samples.
func (p *Pipeline) empty(data []byte) bool {
	prof, err := profile.Parse(data, p.Policy.MaxRaw)
	if err != nil {
		return false // the report says what is wrong with it
	}
	for range prof.Samples(nil) {
		return false
	}
	return true
}

// pull takes one profile of a pod, and asks again after a failure that may pass
// by itself: once, after 2 s or as long as the pod asks for, and a few times
// where nobody tells where the pod is.
func (p *Pipeline) pull(ctx context.Context, key incident.Key, c incident.Capture) (Pulled, error) {
	var asked time.Duration
	for tries := 1; ; tries++ {
		var got Pulled
		t, err := p.find(ctx, key, c)
		if err == nil {
			got, err = p.Puller.Pull(ctx, t, c.Kind, c.Window)
		}
		got.Asked += asked
		var fail Failure
		if err == nil || !errors.As(err, &fail) || !fail.Retryable() {
			return got, err
		}
		most, wait := 2, max(2*time.Second, retryAfter(err))
		o, _ := fail.Outcome()
		if o == incident.OutcomeDiscovery {
			most, wait = maxFinds, awaitJitter()
		}
		if tries >= most || wait > longestLeave || o == incident.OutcomeBusy && c.Role == incident.RoleHot {
			return got, err // another pod first, where there is one; see standIn
		}
		asked = got.Asked
		if err := pause(ctx, wait); err != nil {
			return Pulled{Asked: asked}, err
		}
	}
}

func (p *Pipeline) stored(ctx context.Context, c incident.Capture, size int64) (incident.Capture, error) {
	c.Status, c.Outcome, c.Detail = incident.CaptureStored, incident.OutcomeStored, ""
	c.Blob, c.Bytes, c.Finished = BlobName(c), size, p.Now()
	p.Logger.InfoContext(ctx, "profile stored", "incident", c.Incident, "pod", c.Pod, "kind", c.Kind, "bytes", size)
	return c, p.Store.PutCapture(ctx, c, p.enqueue)
}

// nothing ends a capture of a profile that holds nothing: no failure, and no
// bytes to keep.
func (p *Pipeline) nothing(ctx context.Context, c incident.Capture, why string) (incident.Capture, error) {
	c.Status, c.Outcome, c.Detail, c.Finished = incident.CaptureStored, incident.OutcomeEmpty, why, p.Now()
	return c, p.Store.PutCapture(ctx, c, p.enqueue)
}

// failed ends a capture that failed, unless it is to be tried again: that comes
// after a wait, which is over when it returns.
func (p *Pipeline) failed(ctx context.Context, inc incident.Incident, c *incident.Capture, err error) (again bool, _ error) {
	was := *c
	c.Status, c.Finished = incident.CaptureFailed, p.Now()
	c.Outcome, c.Detail = outcomeOf(err)
	// Where memory is the question a busy CPU profiler keeps nobody from the heap.
	matters := inc.Measure != incident.MeasureMemory || lost(c.Outcome)
	leave := retryAfter(err)
	if hot := c.Kind == incident.KindCPU && c.Role == incident.RoleHot && matters; hot && (replaceable(c.Outcome) || mayPass(c.Outcome) || leave > longestLeave) {
		if c.Outcome != incident.OutcomeDiscovery { // who does not tell of this pod tells of no other
			done, err := p.standIn(ctx, inc, *c, because(c.Pod, c.Outcome, leave))
			if done || err != nil {
				return false, err
			}
		}
		if c.Tries < maxTries && mayPass(c.Outcome) && leave <= longestLeave {
			was.Tries++
			wait := max(jitter(), leave)
			p.Logger.InfoContext(ctx, "asking again later", "incident", c.Incident, "pod", c.Pod, "outcome", c.Outcome, "detail", c.Detail, "wait", wait)
			*c = was
			// On disk before the wait, so that no restart makes it one more.
			if err := p.Store.PutCapture(ctx, *c, p.enqueue); err != nil {
				return false, err
			}
			return true, pause(ctx, wait)
		}
	}
	level := slog.LevelWarn
	if c.Kind.Waiting() {
		level = slog.LevelInfo
	}
	p.Logger.Log(ctx, level, "profile not pulled", "incident", c.Incident, "pod", c.Pod, "kind", c.Kind, "outcome", c.Outcome, "detail", c.Detail)
	return false, p.Store.PutCapture(ctx, *c, p.enqueue)
}

// goneError says that a chosen pod is no longer listed.
type goneError struct{}

func (goneError) Error() string { return string(incident.OutcomeGone) }
func (goneError) Outcome() (incident.Outcome, string) {
	return incident.OutcomeGone, "it was listed when it was chosen and is not any more"
}
func (goneError) Retryable() bool { return false }

// movedError says that a chosen pod's name belongs to another pod by now.
type movedError struct{}

func (movedError) Error() string { return string(incident.OutcomeMoved) }
func (movedError) Outcome() (incident.Outcome, string) {
	return incident.OutcomeMoved, "the pod was replaced since it was chosen"
}
func (movedError) Retryable() bool { return false }

// refusedError says that the pod's owner has switched off a kind since the pod
// was chosen.
type refusedError struct{ kind incident.Kind }

func (refusedError) Error() string { return string(incident.OutcomeRefused) }
func (e refusedError) Outcome() (incident.Outcome, string) {
	return incident.OutcomeRefused, fmt.Sprintf("the pod's owner has switched off %s profiles", e.kind.Profile())
}
func (refusedError) Retryable() bool { return false }
