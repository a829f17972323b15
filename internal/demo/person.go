package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/demo/fleet"
	"github.com/profbot/profbot/internal/slackbot"
)

// What Dana, who is on call, does in Slack. profbot hears of it as it does of
// everybody: through its socket.

// patience is how long an answer may take on a machine that has much to do.
const patience = 15 * time.Second

// ask looks closer: what became of the alerts, and, in the incident's thread, how
// the heap is. That takes some seconds, which the demo uses for other things.
func (d *demo) ask(ctx context.Context) error {
	d.Progress("Dana, who is on call, types /profbot why "+fleet.Service, "")
	if err := d.answered(ctx, func(ctx context.Context) error {
		return d.slack.Type(ctx, dana, channel, "why "+fleet.Service)
	}); err != nil {
		return err
	}
	d.Progress("In the thread she asks for more: @profbot heap 3s", "")
	root, err := d.thread(ctx, d.res.Incident)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("profbot did not answer within %s", patience))
	defer cancel()
	// profbot knows from the thread which service is meant.
	asked, err := d.slack.Write(ctx, dana, channel, root, "@profbot heap 3s")
	if err != nil {
		return fmt.Errorf("ask for the heap: %w", err)
	}
	return d.slack.WaitFor(ctx, func() bool {
		thread := d.slack.Thread(channel, root)
		last := thread[len(thread)-1]
		if last.TS == asked {
			return false
		}
		d.Progress("", last.Text)
		return true
	})
}

// untilHeapTold waits for what was asked for in the thread.
func (d *demo) untilHeapTold(ctx context.Context) error {
	d.Progress("profbot tells in the thread what lives in the heap", "")
	heap, err := d.follow(ctx, func(p app.Progress) bool { return p.Incident.Alert.Order != nil })
	if err != nil {
		return err
	}
	d.res.Asked, d.res.Heap = heap.Incident.ID, heap.Report
	return nil
}

// verify has the fix proven, by the button in the thread.
func (d *demo) verify(ctx context.Context) error {
	d.Progress("Dana presses “We shipped a fix: verify”: profbot profiles again and compares", "")
	root, err := d.thread(ctx, d.res.Incident)
	if err != nil {
		return err
	}
	if err := d.answered(ctx, func(ctx context.Context) error {
		return d.slack.Click(ctx, dana, channel, root, slackbot.ActionVerify)
	}); err != nil {
		return err
	}
	second, err := d.follow(ctx, func(p app.Progress) bool { return p.Incident.Alert.Verifies == d.res.Incident })
	if err != nil {
		return err
	}
	d.res.Verify, d.res.After, d.res.Proof = second.Incident.ID, second.Report, second.Proof
	return nil
}

// lookAtHome opens profbot's home, so that it is there for who looks around.
func (d *demo) lookAtHome(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("profbot's home was not shown within %s", patience))
	defer cancel()
	if err := d.slack.OpenHome(ctx, dana); err != nil {
		return fmt.Errorf("open profbot's home: %w", err)
	}
	return d.slack.WaitFor(ctx, func() bool { return d.slack.HomeOf(dana).JSON != nil })
}

// answered does something that profbot answers Dana alone, and shows the answer.
func (d *demo) answered(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("profbot did not answer within %s", patience))
	defer cancel()
	before := len(d.slack.Ephemerals())
	if err := do(ctx); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	if err := d.slack.WaitFor(ctx, func() bool { return len(d.slack.Ephemerals()) > before }); err != nil {
		return err
	}
	d.Progress("", d.slack.Ephemerals()[before].Text)
	return nil
}

// thread is the message in the channel that an incident's thread hangs on.
func (d *demo) thread(ctx context.Context, id string) (ts string, err error) {
	e, err := d.app.Store().Effect(ctx, id, slackbot.StepMessage)
	if err != nil {
		return "", fmt.Errorf("find the thread of incident %s: %w", id, err)
	}
	for _, m := range d.slack.Messages(channel) {
		if e.Ref == channel+"/"+m.TS {
			return m.TS, nil
		}
	}
	return "", errors.New("the thread of incident " + id + " is not in the channel")
}
