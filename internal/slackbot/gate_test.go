package slackbot_test

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// TestGate: a storm of incidents in one channel, with Slack's limit of a
// message a second: every one is posted, about as fast as Slack allows, and
// Slack is not asked over and over.
func TestGate(t *testing.T) {
	const n = 40
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var last time.Time
		refused := 0
		s := slacktest.New(slacktest.Options{Limit: func(method, _ string) time.Duration {
			if method != "chat.postMessage" {
				return 0
			}
			mu.Lock()
			defer mu.Unlock()
			if wait := time.Second - time.Since(last); !last.IsZero() && wait > 0 {
				refused++
				return wait
			}
			last = time.Now()
			return 0
		}})
		b := newBot(t, s)
		began := time.Now()
		var telling sync.WaitGroup
		for i := range n {
			telling.Go(func() {
				led, u := newLedger(), states()[0]
				u.Incident.ID = fmt.Sprint("inc-", i)
				for {
					err := b.Publish(t.Context(), led, u)
					if err == nil {
						return
					}
					later, ok := errors.AsType[interface {
						error
						RetryAfter() time.Duration
					}](err)
					if !ok || later.RetryAfter() <= 0 {
						t.Errorf("incident %d: %v", i, err)
						return
					}
					<-time.After(later.RetryAfter())
				}
			})
		}
		telling.Wait()
		if got := len(s.Messages(channel)); got != n {
			t.Errorf("%d messages, want %d", got, n)
		}
		// The first ones come all at once, before anybody knows.
		if took := time.Since(began); took > (n+10)*time.Second || refused > 2*n {
			t.Errorf("it took %s, with %d refusals", took, refused)
		}
	})
}

// TestOldestFirst: while a channel is busy, an older incident's messages go
// before those of newer ones, and a person's wish before all.
func TestOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{Rates: true})
		b := newBot(t, s)
		publish := func(name string, age time.Duration) {
			u := states()[0]
			u.Incident.ID, u.Incident.Opened = name, opened.Add(-age)
			if err := b.Publish(t.Context(), newLedger(), u); err != nil {
				t.Errorf("incident %s: %v", name, err)
			}
		}
		publish("first", 0) // the next one may pass in a second
		var telling sync.WaitGroup
		for i, age := range []int{1, 3, 2, 4} {
			telling.Go(func() {
				<-time.After(time.Duration(i) * time.Millisecond)
				publish(fmt.Sprint(age, "h"), time.Duration(age)*time.Hour)
			})
		}
		telling.Wait()
		var got []string
		for _, m := range s.Messages(channel) {
			got = append(got, regexp.MustCompile(`"incident":"(\w+)"`).FindStringSubmatch(string(m.Metadata))[1])
		}
		if d := cmp.Diff([]string{"first", "4h", "3h", "2h", "1h"}, got); d != "" {
			t.Errorf("order (-want +got):\n%s", d)
		}
		if calls := s.Calls("chat.postMessage"); calls[4].Sub(calls[0]) != 4*time.Second {
			t.Errorf("posted at %v, want a second apart", calls)
		}
	})
}

// TestFinalBeforeProgress: while edits wait for their turn, progress is left
// out, and what is final goes before progress that will stand for long.
func TestFinalBeforeProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{Rates: true})
		b := newBot(t, s)
		led := map[string]*ledger{}
		publish := func(id string, u slackbot.Update) error {
			if led[id] == nil {
				led[id] = newLedger()
			}
			u.Incident.ID = id
			return b.Publish(t.Context(), led[id], u)
		}
		reporting := states()[3]
		for _, id := range []string{"a", "lasts", "brief", "final"} {
			if err := publish(id, states()[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := publish("a", reporting); err != nil { // the next edit may pass in 1.25 s
			t.Fatal(err)
		}
		var telling sync.WaitGroup
		at := map[string]time.Duration{}
		began := time.Now()
		var mu sync.Mutex // protects at
		for i, c := range []struct {
			id string
			u  slackbot.Update
		}{{"lasts", states()[1]}, {"brief", reporting}, {"final", failedState()}} {
			ledgerOf := newLedger()
			ledgerOf.effects = led[c.id].all()
			telling.Go(func() {
				<-time.After(time.Duration(i) * time.Millisecond)
				c.u.Incident.ID = c.id
				if err := b.Publish(t.Context(), ledgerOf, c.u); err != nil {
					t.Errorf("incident %s: %v", c.id, err)
				}
				mu.Lock()
				defer mu.Unlock()
				at[c.id] = time.Since(began)
			})
		}
		telling.Wait()
		want := map[string]time.Duration{"brief": time.Millisecond, "final": 1250 * time.Millisecond, "lasts": 2500 * time.Millisecond}
		if d := cmp.Diff(want, at); d != "" {
			t.Errorf("told after (-want +got):\n%s", d)
		}
		if got := len(s.Calls("chat.update")); got != 3 {
			t.Errorf("%d edits, want 3: progress that will soon be overtaken is none", got)
		}
	})
}
