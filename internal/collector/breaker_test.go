package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/incident"
)

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breakers{failures: 3, coolOff: time.Minute, services: map[service]*breaker{}}
		live, other := service{"live-api", "prod"}, service{"live-api", "staging"}
		bad := &Error{What: incident.OutcomeTimeout, Words: "no complete answer within 45s"}
		said := &Error{What: incident.OutcomeBusy, Words: "busy"}
		neutral := &Error{What: incident.OutcomeMoved, Words: "moved", neutral: true}
		pull := func(err error, change string) {
			t.Helper()
			tr, aerr := b.admit(live)
			if aerr != nil {
				t.Fatal(aerr)
			}
			if got := b.done(tr, err); got != change {
				t.Errorf("change %q, want %q", got, change)
			}
		}
		rests := func(want string) {
			t.Helper()
			err := b.check(live)
			e, _ := errors.AsType[*Error](err)
			switch {
			case want == "" && err != nil:
				t.Error(err)
			case want != "" && (e == nil || e.What != incident.OutcomeResting || !strings.HasSuffix(e.Words, want) || e.Retryable()):
				t.Errorf("error %v, want %q", err, want)
			}
			if err := b.check(other); err != nil {
				t.Errorf("another env: %v", err)
			}
		}
		// An answer, whichever it is, ends the row; what says nothing does not.
		for _, err := range []error{bad, bad, said, bad, bad, nil, bad, neutral, bad} {
			pull(err, "")
			rests("")
		}
		late, err := b.admit(live)
		if err != nil {
			t.Fatal(err)
		}
		pull(bad, "left alone for 1m0s after 3 failures in a row")
		rests(`3 pulls in a row failed, the last with "timeout: no complete answer within 45s"; next try after 00:01 UTC`)
		b.done(late, nil) // it began before, and says nothing about now
		rests("next try after 00:01 UTC")
		<-time.After(time.Minute)
		rests("")
		trial, err := b.admit(live)
		if err != nil {
			t.Fatal(err)
		}
		rests("one pull is trying now")
		b.done(late, bad)
		rests("one pull is trying now")
		b.done(trial, neutral) // the next may try
		rests("")
		for i, minutes := range []int{2, 4, 8, 16, 16} {
			rest := time.Duration(minutes) * time.Minute
			pull(bad, fmt.Sprintf("left alone for %s after %d failures in a row", rest, 4+i))
			<-time.After(rest - time.Second)
			if b.check(live) == nil {
				t.Errorf("it rests for less than %s", rest)
			}
			<-time.After(time.Second)
			rests("")
		}
		pull(said, "it answers again") // busy, and well
		if len(b.services) != 0 {
			t.Errorf("%d services are kept", len(b.services))
		}
	})
}

// TestTrouble: which ends of a pull say that a service is in trouble.
func TestTrouble(t *testing.T) {
	for _, f := range append(append(append([]fault{}, answers...), connections...), bombs...) {
		e := &Error{What: f.want}
		if after, ok := strings.CutPrefix(f.words, "HTTP "); ok {
			for _, d := range after[:3] {
				e.Status = 10*e.Status + int(d-'0')
			}
		}
		want := f.want == incident.OutcomeTimeout || f.want == incident.OutcomeUnreachable || e.Status >= 500 || e.Status == 429
		if e.trouble() != want {
			t.Errorf("%s: trouble is %v", f.name, e.trouble())
		}
	}
}

// TestClusterIsNotTheService: however often the cluster is silent, whether it
// is asked who a pod is or is the way to it, the service is not left alone.
func TestClusterIsNotTheService(t *testing.T) {
	silent := true
	opt := Options{
		Failures: 2,
		Confirm: func(context.Context, incident.Target) error {
			if silent {
				return errors.New("the API server does not answer")
			}
			return nil
		},
		Via: map[incident.Via]func(incident.Target) (http.RoundTripper, error){incident.ViaProxy: func(incident.Target) (http.RoundTripper, error) {
			return roundTripper(func(*http.Request) (*http.Response, error) { return nil, awayError{} }), nil
		}},
	}
	bubble(t, opt, func(t *testing.T, c *Collector, target *pproftest.Server, _ *atomic.Int32) {
		pull := func(via incident.Via) incident.Outcome {
			tgt := pod
			tgt.Via = via
			_, err := c.Pull(t.Context(), tgt, incident.KindHeap, 0)
			e, _ := errors.AsType[*Error](err)
			if e == nil {
				return incident.OutcomeStored
			}
			return e.What
		}
		for range 5 {
			if got := pull(incident.ViaDirect); got != incident.OutcomeDiscovery {
				t.Errorf("nobody confirms: %q", got)
			}
		}
		silent = false
		for range 5 {
			if got := pull(incident.ViaProxy); got != incident.OutcomeUnreachable {
				t.Errorf("no way: %q", got)
			}
		}
		if n := len(c.State().Services); n != 0 || len(target.Requests()) != 0 {
			t.Errorf("%d services have failed; requests %q", n, target.Requests())
		}
		target.SetMode(pproftest.Reset)
		for range 2 {
			pull(incident.ViaDirect)
		}
		if got := pull(incident.ViaDirect); got != incident.OutcomeResting {
			t.Errorf("the pod closes every connection: %q", got)
		}
	})
}

// awayError is a way's on which the cluster does not answer.
type awayError struct{}

func (awayError) Error() string { return "away" }
func (awayError) Outcome() (incident.Outcome, string) {
	return incident.OutcomeUnreachable, "the API server does not answer: connection refused"
}

// TestState: what a status page is told while pulls run, wait and rest.
func TestState(t *testing.T) {
	bubble(t, Options{Simultaneous: 1, Failures: 1}, func(t *testing.T, c *Collector, target *pproftest.Server, _ *atomic.Int32) {
		target.SetMode(pproftest.Hang)
		for _, k := range []incident.Kind{incident.KindCPU, incident.KindCPU, incident.KindHeap} {
			go c.Pull(t.Context(), pod, k, time.Second) // ended by its time limit
		}
		synctest.Wait()
		want := State{
			CPU: Load{Running: 1, Waiting: 1, Most: 1}, Other: Load{Running: 1, Most: 1},
			Services: []ServiceState{{Service: "live-api", Running: 2, Waiting: 1}},
		}
		if d := cmp.Diff(want, c.State()); d != "" || c.Running() != 1 {
			t.Errorf("state (-want +got):\n%s", d)
		}
		<-time.After(time.Minute)
		want = State{
			CPU: Load{Most: 1}, Other: Load{Most: 1},
			Services: []ServiceState{{
				Service: "live-api", Failures: 1, Last: "timeout: no complete answer within 15s",
				Resting: time.Date(2000, 1, 1, 0, 1, 15, 0, time.UTC),
			}},
		}
		got := c.State()
		got.Services[0].Resting = got.Services[0].Resting.UTC()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("state (-want +got):\n%s", d)
		}
	})
}
