// Package doctor walks everything that profbot depends on, and says of each
// whether it is good or what to do next. It is what profbot doctor prints.
//
// A walk changes nothing and posts nothing. What it asks of a service is what
// an incident would ask, only less: one pod's goroutines and a second of its
// CPU.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/app"
	"github.com/profbot/profbot/internal/config"
)

// State is how one thing stands.
type State string

// The states, from best to worst. Only [Bad] makes a walk fail.
const (
	Good    State = "good"
	Skipped State = "skipped" // not configured, or not to be looked at without what failed before
	Warning State = "warning" // works, and may not be what was meant
	Bad     State = "bad"     // an incident would miss something
)

// Result is one thing that was looked at.
type Result struct {
	Area  string `json:"area"` // "Slack", "Datadog", ...
	State State  `json:"state"`
	What  string `json:"what"`           // what was looked at
	Note  string `json:"note,omitempty"` // what was found; "" when there is nothing to add
	Next  string `json:"next,omitempty"` // the next step; always there for Warning and Bad
	// Took is the time since the result before.
	Took time.Duration `json:"-"`
}

// Options configure a walk. Config is required.
type Options struct {
	Config *config.Config
	// Service is the one whose pod is pulled; "" means one pod of each, of ten
	// services at most.
	Service string
	URL     string // profbot's public address, as Datadog knows it; "" leaves the webhook out
	Webhook string // its name in Datadog; "" means "profbot"
	// NoPull leaves the services' pods alone.
	NoPull bool
	// Tell is called with each result as it comes. Required.
	Tell   func(Result)
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil means time.Now
}

// walk is one walk in progress.
type walk struct {
	Options
	bad      int
	clocks   []clock
	fleet    *app.Fleet // nil when it cannot be built
	services []string   // that have pods, by name
	told     time.Time  // when the last result was
}

// clock is how far somebody else's clock is ahead of ours.
type clock struct {
	whose string
	ahead time.Duration
}

// Walk looks at everything, in the order in which an incident needs it, and
// returns how many things are bad. It ends early when ctx does.
func Walk(ctx context.Context, opt Options) (bad int) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.Webhook = cmp.Or(opt.Webhook, "profbot")
	w := &walk{Options: opt, told: time.Now()}
	defer func() {
		if w.fleet != nil {
			w.fleet.Stop()
		}
	}()
	for _, look := range []func(context.Context){w.configuration, w.storage, w.slack, w.find, w.datadog, w.pull, w.clock} {
		if ctx.Err() != nil {
			w.tell(Result{Area: "doctor", State: Bad, What: "the walk", Note: fmt.Sprintf("stopped: %v", context.Cause(ctx)), Next: "run it again to its end"})
			break
		}
		look(ctx)
	}
	return w.bad
}

func (w *walk) tell(r Result) {
	if r.State == "" {
		r.State = Good
	}
	if r.State == Bad {
		w.bad++
	}
	now := time.Now()
	r.Took, w.told = now.Sub(w.told), now
	w.Tell(r)
}

// result tells one of two: what is good, or err with its next step.
func (w *walk) result(area, what, note string, err error, next string) {
	r := Result{Area: area, What: what, Note: note}
	if err != nil {
		r.State, r.Note, r.Next = Bad, err.Error(), next
	}
	w.tell(r)
}

// configuration was read before; its notes are worth a look.
func (w *walk) configuration(context.Context) {
	w.tell(Result{Area: "Configuration", What: "values", Note: "every key is understood"})
	for _, note := range w.Config.Notes() {
		// A note begins with its key.
		key, _, _ := strings.Cut(note, " ")
		w.tell(Result{
			Area: "Configuration", State: Warning, What: key, Note: note,
			Next: fmt.Sprintf("set %s, or PROFBOT_%s in the environment", key, strings.ToUpper(strings.ReplaceAll(key, ".", "_"))),
		})
	}
}

// maxSkew is where a clock is told to be wrong. Slack refuses requests, and
// profbot Slack's, that are five minutes off; a minute is time enough to mend it.
const maxSkew = time.Minute

// clock compares what others say the time is.
func (w *walk) clock(context.Context) {
	if len(w.clocks) == 0 {
		w.tell(Result{Area: "Clock", State: Skipped, What: "skew", Note: "nobody was reached who would say the time"})
		return
	}
	for _, c := range w.clocks {
		w.tell(c.result())
	}
}

func (c clock) result() Result {
	r := Result{Area: "Clock", What: c.whose, Note: "agrees with this machine within a minute"}
	if c.ahead.Abs() <= maxSkew {
		return r
	}
	slow := "slow"
	if c.ahead < 0 {
		slow = "fast"
	}
	r.State, r.Note = Bad, fmt.Sprintf("this machine's clock is %s %s", c.ahead.Abs().Round(time.Second), slow)
	r.Next = "set it by NTP: timedatectl set-ntp true, or chronyc makestep, on the machine (of a pod: on its node); signatures and the windows of metrics depend on it"
	return r
}
