package slackbot_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
