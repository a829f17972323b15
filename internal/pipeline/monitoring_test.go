package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// timeline is a [pipeline.Monitoring]: it keeps events by incident as Datadog
// does, and what it was asked.
type timeline struct {
	change
	monitor incident.Monitor
	unread  func(ctx context.Context) error // nil: it is read
	rates   map[string]float64
	noRates error
	windows []time.Duration
	posts   []string    // "look TITLE" or "blind TITLE", each call
	at      []time.Time // of the calls
	events  map[string][]incident.Event
	fails   []error // what the next posts get
	// onPost is called with "before" and "after" the effect of a post.
	onPost func(ctx context.Context, when string)
}

func (l *timeline) Monitor(ctx context.Context, id string) (incident.Monitor, error) {
	if l.unread != nil {
		return incident.Monitor{}, l.unread(ctx)
	}
	m := l.monitor
	m.ID = id
	return m, nil
}

func (l *timeline) EndpointRates(_ context.Context, _, _ string, window time.Duration) (map[string]float64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.windows = append(l.windows, window)
	return l.rates, l.noRates
}

func (l *timeline) PostEvent(ctx context.Context, e incident.Event, look bool) error {
	how := "blind"
	if look {
		how = "look"
	}
	l.mu.Lock()
	l.posts = append(l.posts, how+" "+e.Title)
	l.at = append(l.at, time.Now())
	var err error
	if len(l.fails) > 0 {
		err, l.fails = l.fails[0], l.fails[1:]
	}
	l.mu.Unlock()
	if l.onPost != nil {
		l.onPost(ctx, "before")
	}
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return err
	}
	l.mu.Lock()
	if !look || len(l.events[e.Incident]) == 0 {
		if l.events == nil {
			l.events = map[string][]incident.Event{}
		}
		l.events[e.Incident] = append(l.events[e.Incident], e)
	}
	l.changed()
	l.mu.Unlock()
	if l.onPost != nil {
		l.onPost(ctx, "after")
	}
	return context.Cause(ctx)
}

func (l *timeline) of(id string) []incident.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events[id])
}

func (l *timeline) calls() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.posts)
}

func with(l *timeline) func(*pipeline.Options) {
	return func(o *pipeline.Options) {
		o.Monitoring = l
		o.Links = func(id string) (string, string) { return "http://r/" + id, "" }
	}
}

// effect reads the event's step.
func (w *world) effect(id string) incident.Effect {
	w.t.Helper()
	e, err := w.st.Effect(w.t.Context(), id, pipeline.StepEvent)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// TestMonitorRead: the thread knows the monitor, and a monitor that cannot be
// read costs nothing but a word.
func TestMonitorRead(t *testing.T) {
	threshold := 1.5
	for _, tc := range []struct {
		name   string
		unread func(context.Context) error
		meter  func(context.Context) error
		source string
		says   string
		read   bool
		atMost time.Duration
	}{
		{name: "read", read: true},
		{name: "denied", unread: func(context.Context) error { return errors.New("403 Forbidden") }, says: "; the monitor could not be read (403 Forbidden)"},
		{name: "silent", unread: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, says: "the monitor could not be read (no answer within 8s)", atMost: 9 * time.Second},
		{
			name: "both silent", unread: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, meter: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			says: "the monitor could not be read (no answer within 8s)", atMost: 11 * time.Second,
		},
		{name: "broken", unread: func(context.Context) error { panic("a nil pointer") }, says: "the monitor could not be read (panic: a nil pointer)"},
		{name: "asked for by a person", source: "cli"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &timeline{monitor: incident.Monitor{Name: "CPU of live-api", Query: "avg(last_5m):avg:container.cpu.usage{*} > 1.5", Critical: &threshold}, unread: tc.unread}
				w := newWorld(t, three(), onePod, with(l))
				w.meter = tc.meter
				var first time.Time
				fired := time.Now()
				w.onPull = func(context.Context, string) {
					w.cluster.mu.Lock()
					defer w.cluster.mu.Unlock()
					if first.IsZero() {
						first = time.Now()
					}
				}
				w.start()
				a := alert("e1", incident.TransitionTriggered)
				if tc.source != "" {
					a.Source = tc.source
				}
				rec, err := w.p.Accept(t.Context(), a)
				if err != nil {
					t.Fatal(err)
				}
				u := w.untilFinal(t, rec.Incident)
				if (u.Incident.Monitor != nil) != tc.read || tc.read && (u.Incident.Monitor.ID != "1234" || *u.Incident.Monitor.Critical != 1.5) {
					t.Errorf("monitor = %+v", u.Incident.Monitor)
				}
				if !strings.Contains(u.Incident.Choice, tc.says) || tc.says == "" && strings.Contains(u.Incident.Choice, "monitor") {
					t.Errorf("choice = %q", u.Incident.Choice)
				}
				if took := first.Sub(fired); took > max(tc.atMost, 2*time.Second) {
					t.Errorf("the capture began after %s", took)
				}
			})
		})
	}
}

// TestEvent: a told verdict is on the timeline once, and so is a proof.
func TestEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &timeline{}
		w := newWorld(t, three(), onePod, with(l))
		w.start()
		id := w.fire()
		w.untilFinal(t, id)
		if _, err := w.p.Accept(t.Context(), alert("e2", incident.TransitionRecovered)); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		events := l.of(id)
		if len(events) != 1 || len(l.calls()) != 1 {
			t.Fatalf("%d events by %q", len(events), l.calls())
		}
		e := events[0]
		if !strings.HasPrefix(e.Title, "profbot: ") || !strings.Contains(e.Title, "decodes cached JSON") || !strings.Contains(e.Text, "Next: ") ||
			e.URL != "http://r/"+id || e.Key.Monitor != "1234" || e.At.IsZero() {
			t.Errorf("event = %+v", e)
		}
		if got := w.effect(id); got.State != incident.EffectDone || got.Ref != pipeline.EventPosted {
			t.Errorf("effect = %+v", got)
		}
		rec, err := w.p.Verify(t.Context(), id, "Rosa")
		if err != nil {
			t.Fatal(err)
		}
		w.untilFinal(t, rec.Incident)
		pass(10 * time.Second)
		if events := l.of(rec.Incident); len(events) != 1 || !strings.HasPrefix(events[0].Title, "profbot: fix not proven: ") || !strings.Contains(events[0].Text, id) {
			t.Errorf("events of the verification: %+v", events)
		}
		if u := w.untold(); len(u) > 0 {
			t.Errorf("untold: %v", u)
		}
	})
}

// TestNoEvent: events that nobody wants, or that no monitor is there for.
func TestNoEvent(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*pipeline.Options)
		alert  func(*incident.Alert)
		pods   map[string]float64
	}{
		"switched off": {func(o *pipeline.Options) { o.Policy.NoEvents = true }, nil, three()},
		"no monitor":   {nil, func(a *incident.Alert) { a.Key.Monitor = "" }, three()},
		"no verdict":   {nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &timeline{}
				w := newWorld(t, tc.pods, onePod, with(l), func(o *pipeline.Options) {
					if tc.change != nil {
						tc.change(o)
					}
				})
				w.start()
				a := alert("e1", incident.TransitionTriggered)
				if tc.alert != nil {
					tc.alert(&a)
				}
				rec, err := w.p.Accept(t.Context(), a)
				if err != nil {
					t.Fatal(err)
				}
				w.untilFinal(t, rec.Incident)
				pass(10 * time.Second)
				if c := l.calls(); len(c) > 0 || len(w.untold()) > 0 {
					t.Errorf("posted %q, untold %v", c, w.untold())
				}
			})
		})
	}
}

// TestEventFails: the timeline is tried a few times, Slack has the verdict
// before and is told what comes meanwhile, and in the end it is given up.
func TestEventFails(t *testing.T) {
	for _, n := range []int{1, 4, 9} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &timeline{fails: slices.Repeat([]error{errors.New("503 Service Unavailable")}, n)}
				w := newWorld(t, three(), onePod, with(l))
				w.p.SetEventGap(time.Second)
				w.start()
				id := w.fire()
				fired := time.Now()
				w.untilFinal(t, id)
				if took := time.Since(fired); took > 30*time.Second {
					t.Errorf("the verdict was told after %s", took)
				}
				if _, err := w.p.Accept(t.Context(), alert("e2", incident.TransitionRecovered)); err != nil {
					t.Fatal(err)
				}
				w.board.until(t, id, "the recovery is told", func(u pipeline.Update) bool { return !u.Incident.Recovered.IsZero() })
				for end := time.Now().Add(2 * time.Minute); w.effect(id).State != incident.EffectDone && time.Now().Before(end); {
					pass(time.Second)
				}
				pass(17 * time.Second) // no more comes
				for i, at := range l.at[1:] {
					if gap := at.Sub(l.at[i]); gap < time.Second<<i {
						t.Errorf("try %d came %s after the one before", i+2, gap)
					}
				}
				got, want := w.effect(id), min(n+1, 5)
				if len(l.calls()) != want || !strings.HasPrefix(l.calls()[0], "blind ") || slices.ContainsFunc(l.calls()[1:], func(s string) bool { return !strings.HasPrefix(s, "look ") }) {
					t.Errorf("calls: %q", l.calls())
				}
				if n < 5 && (len(l.of(id)) != 1 || got.Ref != pipeline.EventPosted) || n >= 5 && (len(l.of(id)) != 0 || !strings.Contains(got.Ref, "given up after 5 tries: 503")) {
					t.Errorf("%d events, effect %+v", len(l.of(id)), got)
				}
				if got.State != incident.EffectDone || len(w.untold()) > 0 {
					t.Errorf("effect %+v, untold %v", got, w.untold())
				}
				w.stop()
				if n >= 5 && !strings.Contains(w.log.String(), "event given up") {
					t.Error("the log does not say that it was given up")
				}
			})
		})
	}
}

// TestEventStoppedAndStartedAnew: a stop before, within and after the post
// leaves one event.
func TestEventStoppedAndStartedAnew(t *testing.T) {
	for _, at := range []string{"before", "after"} {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &timeline{}
				w := newWorld(t, three(), onePod, with(l))
				reached := make(chan struct{})
				l.onPost = func(ctx context.Context, when string) {
					if when != at {
						return
					}
					select {
					case <-reached:
					default:
						close(reached)
						<-ctx.Done()
					}
				}
				w.start()
				id := w.fire()
				<-reached
				w.close()
				w.open()
				if e := w.effect(id); e.State != incident.EffectBegun || e.Ref != "1" {
					t.Errorf("effect after the stop = %+v", e)
				}
				w.start()
				l.await(t, "the event is posted", func() bool { return len(l.events[id]) > 0 && len(l.posts) == 2 })
				pass(10 * time.Second)
				if n := len(l.of(id)); n != 1 || !strings.HasPrefix(l.calls()[1], "look ") {
					t.Errorf("%d events by %q", n, l.calls())
				}
				if e := w.effect(id); e.State != incident.EffectDone || len(w.untold()) > 0 {
					t.Errorf("effect = %+v, untold %v", e, w.untold())
				}
			})
		})
	}
}

// TestEventKilledEachTime: processes that die of the post are counted too.
func TestEventKilledEachTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &timeline{}
		w := newWorld(t, three(), onePod, with(l))
		id := w.fire()
		if err := w.st.SaveEffect(t.Context(), id, pipeline.StepEvent, incident.Effect{State: incident.EffectBegun, Ref: "5", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.untilFinal(t, id)
		pass(10 * time.Second)
		if e := w.effect(id); e.State != incident.EffectDone || e.Ref != "given up after 5 tries" || len(l.calls()) > 0 || len(w.untold()) > 0 {
			t.Errorf("effect = %+v, posts %q, untold %v", e, l.calls(), w.untold())
		}
	})
}

// TestEndpointRates: requests of the traces become CPU of a request, of the
// part that the profiled pods serve, and are the same in a report made anew.
func TestEndpointRates(t *testing.T) {
	for _, tc := range []struct {
		name     string
		requests float64 // of each pod, by the metric
		part     float64
		basis    string
	}{
		{"spread evenly", 0, 1.0 / 3, "spread evenly over the service's 3 pods"},
		{"as the metric says", 90, 1.0 / 3, "33 % of the service's requests"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &timeline{rates: map[string]float64{"get_/live/list": 300, "(*server).handleLive": 300}}
				w := newWorld(t, three(), onePod, with(l))
				w.requests = tc.requests
				w.start()
				id := w.fire()
				u := w.untilFinal(t, id)
				e := u.Report.Flagged()[0]
				if e.Rate != 300*tc.part || e.CPUPerRequest <= 0 || e.Gain == nil || e.Gain.Rate != e.Rate {
					t.Errorf("%s: rate %v, %s a request, gain %+v", e.Name, e.Rate, e.CPUPerRequest, e.Gain)
				}
				if notes := strings.Join(u.Report.Notes, "\n"); !strings.Contains(notes, tc.basis) {
					t.Errorf("notes = %q, want %q in them", notes, tc.basis)
				}
				if len(l.windows) != 1 || l.windows[0] < time.Minute || l.windows[0] > 5*time.Minute {
					t.Errorf("windows = %v", l.windows)
				}
				if inc, _, err := w.st.Incident(t.Context(), id); err != nil || inc.Rates == nil || inc.Rates.PerSecond["get_/live/list"] != 300 {
					t.Errorf("kept: %+v, %v", inc.Rates, err)
				}
			})
		})
	}
	t.Run("begun anew", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			l := &timeline{rates: map[string]float64{"(*server).handleLive": 300}}
			w := newWorld(t, three(), onePod, with(l))
			id := w.fire()
			kept, err := w.st.SetRates(t.Context(), id, incident.Rates{PerSecond: map[string]float64{"(*server).handleLive": 30}, Part: 1})
			if err != nil {
				t.Fatal(err)
			}
			if again, err := w.st.SetRates(t.Context(), id, incident.Rates{Failure: "too late"}); err != nil || !cmp.Equal(kept, again) {
				t.Errorf("kept %+v, %v", again, err)
			}
			w.start()
			u := w.untilFinal(t, id)
			if e := u.Report.Flagged()[0]; e.Rate != 30 || len(l.windows) > 0 {
				t.Errorf("rate %v, asked %d times", e.Rate, len(l.windows))
			}
		})
	})
	t.Run("not read", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, three(), onePod, with(&timeline{noRates: errors.New("429 Too Many Requests")}))
			w.start()
			u := w.untilFinal(t, w.fire())
			if notes := strings.Join(u.Report.Notes, "\n"); !strings.Contains(notes, "the requests of the endpoints could not be read (429 Too Many Requests)") || u.Report.Endpoints[0].Rate != 0 {
				t.Errorf("notes = %q", notes)
			}
		})
	})
}
