package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"github.com/profbot/profbot/internal/incident"
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
		for _, c := range captures {
			if c.Pod != u.Pod || c.Status.Final() {
				continue
			}
			if err := w.p.capture(ctx, inc.Alert.Key, c); err != nil {
				return fmt.Errorf("capture %s of %q: %w", c.Kind, c.Pod, err)
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
func BlobName(c incident.Capture) string { return c.Pod + "." + string(c.Kind) + ".pb.gz" }

// capture brings one capture to a final state. An error means that the state
// is not final and the job must run again.
func (p *Pipeline) capture(ctx context.Context, key incident.Key, c incident.Capture) error {
	name := BlobName(c)
	if c.Status == incident.CapturePulling {
		// A worker was stopped here. If the bytes are safe the target is not
		// asked again.
		if data, err := p.Store.Blob(c.Incident, name); err == nil {
			return p.stored(ctx, c, int64(len(data)))
		} else if !errors.Is(err, incident.ErrNotFound) {
			return err
		}
	}
	c.Status, c.Started = incident.CapturePulling, p.Now()
	if c.Kind == incident.KindCPU {
		c.Window = p.Policy.Window // not what a pull before, whose bytes were lost, came down to
	}
	if err := p.Store.PutCapture(ctx, c, p.enqueue); err != nil {
		return err
	}
	got, err := p.pull(ctx, key, c)
	if ctx.Err() != nil {
		return context.Cause(ctx) // stopped, not failed: the capture stays open
	}
	if err != nil {
		return p.failed(ctx, c, err)
	}
	// Stored before the bytes: who finds these after a kill must know which
	// window they are of, which a target may have shortened.
	c.Window, c.Started = got.Window, got.Started
	if err := p.Store.PutCapture(ctx, c, p.enqueue); err != nil {
		return err
	}
	if err := p.Store.PutBlob(c.Incident, name, got.Data); err != nil {
		return err
	}
	return p.stored(ctx, c, int64(len(got.Data)))
}

// pull resolves the pod anew, so that only a pod which is still listed is
// dialled, and asks once more after a failure that may pass by itself.
func (p *Pipeline) pull(ctx context.Context, key incident.Key, c incident.Capture) (Pulled, error) {
	for attempt := 0; ; attempt++ {
		pods, err := p.Finder.Pods(ctx, key.Service, key.Env)
		if err != nil {
			return Pulled{}, err
		}
		i := slices.IndexFunc(pods, func(t incident.Target) bool { return t.Pod == c.Pod })
		if i < 0 {
			return Pulled{}, goneError{}
		}
		got, err := p.Puller.Pull(ctx, pods[i], c.Kind, c.Window)
		var fail Failure
		if err == nil || attempt > 0 || !errors.As(err, &fail) || !fail.Retryable() {
			return got, err
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return Pulled{}, context.Cause(ctx)
		}
	}
}

func (p *Pipeline) stored(ctx context.Context, c incident.Capture, size int64) error {
	c.Status, c.Outcome, c.Detail = incident.CaptureStored, incident.OutcomeStored, ""
	c.Blob, c.Bytes, c.Finished = BlobName(c), size, p.Now()
	p.Logger.InfoContext(ctx, "profile stored", "incident", c.Incident, "pod", c.Pod, "kind", c.Kind, "bytes", size)
	return p.Store.PutCapture(ctx, c, p.enqueue)
}

func (p *Pipeline) failed(ctx context.Context, c incident.Capture, err error) error {
	c.Status, c.Outcome, c.Detail, c.Finished = incident.CaptureFailed, incident.OutcomeTargetError, err.Error(), p.Now()
	var fail Failure
	if errors.As(err, &fail) {
		c.Outcome, c.Detail = fail.Outcome()
	}
	p.Logger.WarnContext(ctx, "profile not pulled", "incident", c.Incident, "pod", c.Pod, "kind", c.Kind, "outcome", c.Outcome, "detail", c.Detail)
	return p.Store.PutCapture(ctx, c, p.enqueue)
}

// goneError says that a chosen pod is no longer listed.
type goneError struct{}

func (goneError) Error() string { return string(incident.OutcomeGone) }
func (goneError) Outcome() (incident.Outcome, string) {
	return incident.OutcomeGone, "it was listed when it was chosen and is not any more"
}
func (goneError) Retryable() bool { return false }
