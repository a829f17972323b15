package datadog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/incident"
)

func verdict(at time.Time) incident.Event {
	return incident.Event{
		Incident: "INC-7", Key: incident.Key{Service: "Live-API", Env: "prod", Monitor: "4242"}, Title: "GET /live/list decodes\nthe same bytes",
		Text: "**77 %** of its CPU\nNext: share it", URL: "https://profbot.example.com/i/7?a=(1)", At: at,
	}
}

func TestPostEvent(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	if err := c.PostEvent(t.Context(), verdict(at), false); err != nil {
		t.Fatal(err)
	}
	got := s.Events()
	if len(got) != 1 {
		t.Fatal(got)
	}
	want := datadogtest.Event{
		ID: got[0].ID, Title: "GET /live/list decodes the same bytes", AggregationKey: "profbot:INC-7", AlertType: "info", Happened: at,
		Text: "%%% \n**77 %** of its CPU  \nNext: share it\n\n[Report](https://profbot.example.com/i/7?a=%281%29)\n %%%",
		Tags: []string{"source:profbot", "profbot_incident:inc-7", "service:live-api", "env:prod", "monitor_id:4242"},
	}
	if d := cmp.Diff(want, got[0], cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "posted" }, cmp.Ignore())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestEventFits: whatever the verdict is, the event is one that is accepted,
// with its link and its tag.
func TestEventFits(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	now := time.Now()
	for name, change := range map[string]func(*incident.Event){
		"long": func(e *incident.Event) { e.Text, e.Title = strings.Repeat("long ", 2000), strings.Repeat("t", 3000) },
		"long, not ASCII": func(e *incident.Event) {
			e.Text, e.Title = strings.Repeat("жёлтый ", 2000), strings.Repeat("ж", 3000)
		},
		"no text":         func(e *incident.Event) { e.Text = "" },
		"no link":         func(e *incident.Event) { e.URL = "" },
		"neither":         func(e *incident.Event) { e.Text, e.URL = "", "" },
		"a mark within":   func(e *incident.Event) { e.Text = "before\n %%%\nafter" },
		"no UTF-8":        func(e *incident.Event) { e.Text, e.Title = "a\xffb", "a\xffb" },
		"a long link":     func(e *incident.Event) { e.URL = "https://x/" + strings.Repeat("a", 5000) },
		"odd tags":        func(e *incident.Event) { e.Key = incident.Key{Service: "a b,c", Env: "x}", Monitor: "{"} },
		"an odd incident": func(e *incident.Event) { e.Incident = "a b/" + strings.Repeat("c", 300) },
		"long ago":        func(e *incident.Event) { e.At = now.Add(-17*time.Hour - 55*time.Minute) },
		"longer ago":      func(e *incident.Event) { e.At = now.Add(-30 * 24 * time.Hour) },
		"in an hour":      func(e *incident.Event) { e.At = now.Add(time.Hour) },
		"no time":         func(e *incident.Event) { e.At = time.Time{} },
	} {
		e := verdict(now)
		change(&e)
		before := len(s.Events())
		if err := c.PostEvent(t.Context(), e, false); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := s.Events()[before]
		if !strings.HasPrefix(got.Text, "%%% \n") || !strings.HasSuffix(got.Text, "\n %%%") || strings.Count(got.Text, "%%%") != 2 {
			t.Errorf("%s: text %q", name, got.Text)
		}
		if !utf8.ValidString(got.Text+got.Title) || len(e.URL) > 0 && len(e.URL) < 1000 && !strings.Contains(got.Text, "[Report](https://profbot") {
			t.Errorf("%s: text %q", name, got.Text)
		}
	}
	for name, e := range map[string]incident.Event{"no incident": {Title: "t"}, "no title": {Incident: "i", Title: " \n"}} {
		if err := c.PostEvent(t.Context(), e, false); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// look posts with look as the pipeline does: it comes back when it is told to.
func look(t *testing.T, c *datadog.Client, e incident.Event) error {
	for range 5 {
		err := c.PostEvent(t.Context(), e, true)
		var later interface{ RetryAfter() time.Duration }
		if !errors.As(err, &later) {
			return err
		}
		time.Sleep(later.RetryAfter()) // the clock of the bubble
	}
	return errors.New("no end after five calls")
}

// TestEventIsNeverDoubled: whatever happens to the first call, looking leaves
// one event, though Datadog lists it late.
func TestEventIsNeverDoubled(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault datadogtest.Fault
		err   string // of the first call
		posts int    // of all
	}{
		{"nothing", datadogtest.Fault{}, "", 1},
		{"500, done", datadogtest.Fault{Status: 500, After: true}, "HTTP 500", 1},
		{"500, not done", datadogtest.Fault{Status: 500}, "HTTP 500", 2},
		{"429", datadogtest.Fault{Status: 429, Body: `{"errors":["Rate limit of requests reached"]}`}, "HTTP 429", 2},
		{"no answer in time, done", datadogtest.Fault{Delay: 9 * time.Second, Status: 503, After: true}, "HTTP 503", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := start(t, datadogtest.Options{Lag: 25 * time.Second})
			bubble(t, s, func(t *testing.T, c *datadog.Client) {
				tc.fault.Call = "POST /api/v1/events"
				s.FaultNext(1, tc.fault)
				e := verdict(time.Now())
				if err := c.PostEvent(t.Context(), e, false); tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
					t.Errorf("first: %v", err)
				}
				began := time.Now()
				if err := look(t, c, e); err != nil {
					t.Errorf("second: %v", err)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("took %s", took)
				}
				// And once more, as after a crash that forgot the second.
				if err := look(t, c, e); err != nil {
					t.Errorf("third: %v", err)
				}
				if n := len(s.Events()); n != 1 || len(s.Writes()) != tc.posts {
					t.Errorf("%d events by %d posts", n, len(s.Writes()))
				}
			})
		})
	}
	// These need a connection.
	for _, fault := range []datadogtest.Fault{{Reset: true, After: true}, {Half: true, After: true}} {
		s, c := start(t, datadogtest.Options{})
		s.FaultNext(1, fault)
		if err := c.PostEvent(t.Context(), verdict(time.Now()), false); err == nil {
			t.Errorf("%+v: no error", fault)
		}
		if err := c.PostEvent(t.Context(), verdict(time.Now()), true); err != nil {
			t.Errorf("%+v: %v", fault, err)
		}
		if n := len(s.Events()); n != 1 || len(s.Writes()) != 1 {
			t.Errorf("%+v: %d events by %d posts", fault, n, len(s.Writes()))
		}
	}
}

// TestLookSaysWhen: finding none is not believed at once, and nothing waits.
func TestLookSaysWhen(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		for _, tc := range []struct {
			after time.Duration
			want  string
		}{
			{0, "look for the event at Datadog: none is listed, which is sure in 30s only"},
			{10 * time.Second, "look for the event at Datadog: none is listed, which is sure in 20s only"},
			{20 * time.Second, "<nil>"},
		} {
			time.Sleep(tc.after)
			began := time.Now()
			if err := c.PostEvent(t.Context(), verdict(began), true); fmt.Sprint(err) != tc.want || time.Since(began) != 0 {
				t.Errorf("%s: %v after %s", tc.after, err, time.Since(began))
			}
		}
	})
	if len(s.Events()) != 1 {
		t.Errorf("%d events", len(s.Events()))
	}
}

func TestLookFails(t *testing.T) {
	s, c := start(t, datadogtest.Options{Permissions: []string{"timeseries_query"}})
	err := c.PostEvent(t.Context(), verdict(time.Now()), true)
	want := `look for the event at Datadog: HTTP 403: datadog.app_key, or the role of its owner, lacks the permission events_read; it says "Forbidden; Failed permission authorization checks"`
	if err == nil || err.Error() != want || len(s.Events()) != 0 {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("profbot is stopping"))
	if err := c.PostEvent(ctx, verdict(time.Now()), true); err == nil || err.Error() != "look for the event at Datadog: profbot is stopping" {
		t.Errorf("error %v", err)
	}
}

// TestEventTimeout: an event that is not answered is given up, and not sent
// again.
func TestEventTimeout(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		s.FaultNext(5, datadogtest.Fault{Delay: time.Hour})
		began := time.Now()
		err := c.PostEvent(t.Context(), verdict(time.Now()), false)
		if err == nil || err.Error() != "post the event to Datadog: no answer within 10s" || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if n := len(s.Writes()); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
}
