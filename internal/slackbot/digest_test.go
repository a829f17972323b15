package slackbot_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the machine may have none

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// run runs the desk for a while.
func (o *office) run(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	o.desk.Run(ctx)
	synctest.Wait()
}

// opened is a Saturday.
func TestDigest(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		o.typed("digest on")
		o.run(t, 47*time.Hour) // Monday, 08:26
		if n := len(o.s.Messages(channel)); n != 0 {
			t.Fatalf("%d messages before Monday", n)
		}
		o.run(t, time.Hour)
		m := o.s.Messages(channel)
		if len(m) != 1 || !strings.Contains(string(m[0].Metadata), `"week":"2026-03-16"`) {
			t.Fatalf("messages %+v", m)
		}
		golden(t, "desk-digest.blocks", []byte("# "+m[0].Text+"\n"+lines(t, m[0].Blocks)))
		o.typed("digest on") // again: that is no second one
		o.run(t, 6*24*time.Hour)
		if n := len(o.s.Messages(channel)); n != 1 {
			t.Errorf("%d messages within the week", n)
		}
		o.run(t, 24*time.Hour)
		if m := o.s.Messages(channel); len(m) != 2 || !strings.Contains(m[1].Text, "0 flagged endpoints") {
			t.Errorf("the quiet week: %+v", m)
		}
		o.typed("digest off")
		o.run(t, 8*24*time.Hour)
		if n := len(o.s.Messages(channel)); n != 2 || len(o.back.digests) != 0 {
			t.Errorf("%d messages, digests %v", n, o.back.digests)
		}
	})
}

// Where the bot cannot tell anything there is no digest, and the answer says
// what to do.
func TestDigestNeedsTheBot(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		a := o.typed("digest on", func(r *receive.Request) { r.Channel = other })
		if !strings.Contains(a.Text, "type /invite @profbot here") || len(o.back.digests) != 0 {
			t.Errorf("%q", a.Text)
		}
	})
}

// A channel reads of the services that are told in it, and one that is
// nobody's of all.
func TestDigestIsTheChannels(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		o.typed("digest on")
		o.back.digests[dm] = opened
		o.run(t, 48*time.Hour)
		if m := o.s.Messages(channel); len(m) != 1 || !strings.Contains(m[0].Text, "0 flagged endpoints, 1 fix proven") || strings.Contains(string(m[0].Blocks), "live-api") {
			t.Errorf("the channel of all others: %+v", m)
		}
		if m := o.s.Messages(dm); len(m) != 1 || !strings.Contains(m[0].Text, "1 flagged endpoint, 1 fix proven") {
			t.Errorf("nobody's channel: %+v", m)
		}
	}, func(opt *slackbot.Options) { opt.Channels = map[string]string{"live-api": other} })
}

func TestDigestAtTheZonesNine(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	open(t, slackbot.DeskOptions{Digest: slackbot.Schedule{At: 9*time.Hour + 30*time.Minute, Zone: zone}}, func(t *testing.T, o *office) {
		var at []time.Time
		o.typed("digest on")
		for range 4 {
			o.run(t, 7*24*time.Hour)
			at = at[:0]
			for _, m := range o.s.Messages(channel) {
				sec := strings.Split(m.TS, ".")[0]
				var n int64
				for _, c := range sec {
					n = n*10 + int64(c-'0')
				}
				at = append(at, time.Unix(n, 0).In(zone).Truncate(time.Minute))
			}
		}
		var got []string
		for _, a := range at {
			got = append(got, a.Format("Mon 2 Jan 15:04"))
		}
		// Summer time begins on 29 March.
		if d := cmp.Diff([]string{"Mon 16 Mar 09:30", "Mon 23 Mar 09:30", "Mon 30 Mar 09:30", "Mon 6 Apr 09:30"}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// One digest a week, wherever the process dies.
func TestDigestAfterCrashes(t *testing.T) {
	for _, at := range []string{"before chat.postMessage", "after chat.postMessage", "before conversations.history", "digest"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(opened))
				died := false
				die := func(point string) {
					if point == at && !died {
						died = true
						panic(http.ErrAbortHandler)
					}
				}
				s := slacktest.New(slacktest.Options{Before: func(m string) { die("before " + m) }, After: func(m string) { die("after " + m) }})
				back := newBackend()
				back.digests[channel] = opened
				back.point = die
				live := func(d time.Duration) {
					desk, err := slackbot.NewDesk(newBot(t, s), back, slackbot.DeskOptions{})
					if err != nil {
						t.Fatal(err)
					}
					defer desk.Stop(t.Context())
					ctx, cancel := context.WithTimeout(t.Context(), d)
					defer cancel()
					defer func() {
						if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is this very one
							panic(p)
						}
					}()
					desk.Run(ctx)
				}
				for range 3 {
					live(24 * time.Hour)
				}
				if n := len(s.Messages(channel)); n != 1 || !died {
					t.Errorf("%d digests; died: %v", n, died)
				}
				if !back.digests[channel].After(opened) {
					t.Error("it is not remembered")
				}
			})
		})
	}
}

// What will not work is left out for the week; what may, is tried again.
func TestDigestFails(t *testing.T) {
	for name, f := range map[string]slacktest.Failure{"refused": {Code: "is_archived"}, "down": {Status: 503}, "too many": {RetryAfter: 20 * time.Minute}} {
		t.Run(name, func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				o.typed("digest on")
				for range 3 {
					o.s.FailNext("chat.postMessage", f)
				}
				o.run(t, 72*time.Hour)
				want := 1
				if name == "refused" {
					want = 0
				}
				if n := len(o.s.Messages(channel)); n != want {
					t.Errorf("%d digests, want %d", n, want)
				}
				if n := len(o.s.Calls("chat.postMessage")); n > 5 {
					t.Errorf("posted %d times", n)
				}
			})
		})
	}
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		o.typed("digest on")
		o.back.down = errors.New("the database is locked")
		o.run(t, 72*time.Hour)
		o.back.down = nil
		o.run(t, time.Hour)
		if n := len(o.s.Messages(channel)); n != 1 {
			t.Errorf("%d digests when the database is back", n)
		}
	})
}
