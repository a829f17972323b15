package slackbot_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// shape counts what a channel holds, the bot's messages only.
type shape struct{ Roots, Pictures, Replies int }

func shapeOf(s *slacktest.Server) (out shape) {
	for _, m := range s.Messages(channel) {
		if m.User != "U0PROFBOT0" {
			continue
		}
		out.Roots++
		for _, r := range s.Thread(channel, m.TS)[1:] {
			switch {
			case len(r.Files) > 0:
				out.Pictures++
			case r.User == m.User:
				out.Replies++
			}
		}
	}
	return out
}

// content is what the bot's messages say. A picture that was cut off may come
// after the details, so their order is left out.
func content(s *slacktest.Server) []string {
	var out []string
	for _, m := range s.Messages(channel) {
		for _, r := range s.Thread(channel, m.TS) {
			out = append(out, fmt.Sprintf("%s %s %d files, in the channel too: %t", r.Text, r.Blocks, len(r.Files), r.Broadcast))
		}
	}
	slices.Sort(out)
	return out
}

func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		b, led := newBot(t, s), newLedger()
		for i, u := range states() {
			if err := b.Publish(t.Context(), led, u); err != nil {
				t.Fatalf("state %d: %v", i, err)
			}
			time.Sleep(10 * time.Second) // the clock of the bubble: as far apart as in life
		}
		if d := cmp.Diff(shape{1, 1, 1}, shapeOf(s)); d != "" {
			t.Fatalf("what is in the channel (-want +got):\n%s\n%s", d, s.Text(channel))
		}
		root := s.Messages(channel)[0]
		if root.Edits != 4 {
			t.Errorf("the message was edited %d times, want 4", root.Edits)
		}
		if !strings.Contains(string(root.Metadata), `"profbot_incident"`) || !strings.Contains(string(root.Metadata), `"inc-7f3a"`) {
			t.Errorf("metadata %s does not name the incident", root.Metadata)
		}
		// The same again changes nothing, even though signed links differ by then.
		u := doneState()
		u.ReportURL += "?later"
		before := len(s.Calls("chat.update")) + len(s.Calls("chat.postMessage")) + len(s.Calls("files.info"))
		if err := b.Publish(t.Context(), led, u); err != nil {
			t.Fatal(err)
		}
		if after := len(s.Calls("chat.update")) + len(s.Calls("chat.postMessage")) + len(s.Calls("files.info")); after != before {
			t.Errorf("telling the same again made %d calls", after-before)
		}
		// A recovery is an edit of the message, and one reply that the channel sees.
		u.Incident.Recovered = time.Now()
		for range 2 {
			if err := b.Publish(t.Context(), led, u); err != nil {
				t.Fatal(err)
			}
		}
		if text := s.Text(channel); strings.Count(text, "Recovered") != 1 || strings.Count(text, "also sent to the channel") != 1 {
			t.Errorf("the recovery is not told once:\n%s", text)
		}
		if d := cmp.Diff(shape{1, 1, 2}, shapeOf(s)); d != "" {
			t.Errorf("after the recovery (-want +got):\n%s", d)
		}
	})
}

// killer stops a process at chosen points: its context ends, and the request
// under way is cut.
type killer struct {
	at     []int // numbers of the points, in order
	passed int
	trace  []string
	cancel context.CancelCauseFunc
	// spare leaves the process alive: only the request is cut.
	spare bool
}

var errKilled = errors.New("killed")

func (k *killer) point(name string) {
	n := k.passed
	k.passed++
	k.trace = append(k.trace, name)
	if len(k.at) == 0 || k.at[0] != n {
		return
	}
	k.at = k.at[1:]
	inCall := strings.HasPrefix(name, "call ")
	if !k.spare || !inCall {
		k.cancel(errKilled)
	}
	if inCall {
		panic(http.ErrAbortHandler)
	}
}

// live runs an incident through all its states in as many processes as it
// takes, and returns the workspace and the points that were passed.
func live(t *testing.T, k *killer) *slacktest.Server {
	s := slacktest.New(slacktest.Options{
		Before: func(m string) { k.point("call before " + m) },
		After:  func(m string) { k.point("call after " + m) },
	})
	led := newLedger()
	led.point = k.point
	updates := append(states()[:4], differenceState(), recoveredState())
	var b *slackbot.Bot
	for tries, at := 0, 0; at < len(updates); tries++ {
		if tries == 20 {
			t.Fatalf("not told after %d tries; points: %v", tries, k.trace)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		k.cancel = cancel
		if b == nil {
			b = newBot(t, s)
		}
		for at < len(updates) {
			err := b.Publish(ctx, led, updates[at])
			if err != nil && !k.spare && ctx.Err() == nil {
				t.Fatalf("state %d failed by itself: %v", at, err)
			}
			if err != nil || ctx.Err() != nil {
				break
			}
			at++
		}
		if ctx.Err() != nil {
			b = nil // the next process knows only the ledger
		}
		cancel(nil)
		time.Sleep(2 * time.Second)
	}
	return s
}

func TestKilledAnywhere(t *testing.T) {
	var points []string
	var want []string
	synctest.Test(t, func(t *testing.T) {
		k := &killer{}
		s := live(t, k)
		points, want = k.trace, content(s)
	})
	if len(points) < 30 {
		t.Fatalf("only %d points to be killed at: %v", len(points), points)
	}
	for _, step := range []string{"root", "picture", "picture-diff", "details", "recovered"} {
		for _, save := range []string{"before save ", "after save "} {
			if !slices.Contains(points, save+step) {
				t.Errorf("no point %q", save+step)
			}
		}
	}
	check := func(t *testing.T, k *killer) {
		s := live(t, k)
		if len(k.at) != 0 {
			t.Fatalf("point %d was never reached", k.at[0])
		}
		if d := cmp.Diff(shape{1, 2, 2}, shapeOf(s)); d != "" {
			t.Errorf("what is in the channel (-want +got):\n%s\npoints: %s\n%s", d, strings.Join(k.trace, "\n"), s.Text(channel))
		}
		if d := cmp.Diff(want, content(s)); d != "" {
			t.Errorf("the thread ends up saying something else (-undisturbed +killed):\n%s", d)
		}
	}
	for i, name := range points {
		t.Run(fmt.Sprintf("%02d %s", i, name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { check(t, &killer{at: []int{i}}) })
		})
		if strings.HasPrefix(name, "call ") {
			t.Run(fmt.Sprintf("%02d cut only %s", i, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { check(t, &killer{at: []int{i}, spare: true}) })
			})
		}
	}
	// Killed again while the next process is mending.
	t.Run("twice", func(t *testing.T) {
		for i := range points {
			j := i + []int{1, 2, 4, 7}[i%4]
			synctest.Test(t, func(t *testing.T) {
				s := live(t, &killer{at: []int{i, j}})
				if d := cmp.Diff(shape{1, 2, 2}, shapeOf(s)); d != "" {
					t.Errorf("killed at %d and %d (-want +got):\n%s", i, j, d)
				}
			})
		}
	})
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		b, led := newBot(t, s), newLedger()
		s.FailNext("chat.postMessage", slacktest.Failure{RetryAfter: 7 * time.Second})
		err := b.Publish(t.Context(), led, states()[0])
		var later interface{ RetryAfter() time.Duration }
		if !errors.As(err, &later) || later.RetryAfter() != 7*time.Second {
			t.Fatalf("error %v does not say to come back in 7 s", err)
		}
		if n := len(s.Messages(channel)); n != 0 {
			t.Fatalf("%d messages after a refused one", n)
		}
		time.Sleep(later.RetryAfter())
		if err := b.Publish(t.Context(), led, states()[0]); err != nil {
			t.Fatal(err)
		}
		// A limit on one call of several is seen through all the wrapping.
		for _, method := range []string{"files.info", "files.completeUploadExternal", "chat.update"} {
			s.FailNext(method, slacktest.Failure{RetryAfter: 3 * time.Second})
		}
		for range 4 {
			err = b.Publish(t.Context(), led, doneState())
			if err == nil {
				break
			}
			if !errors.As(err, &later) || later.RetryAfter() != 3*time.Second {
				t.Fatalf("error %v does not say to come back in 3 s", err)
			}
			time.Sleep(3 * time.Second)
		}
		if d := cmp.Diff(shape{1, 1, 1}, shapeOf(s)); err != nil || d != "" {
			t.Errorf("in the end: %v\n(-want +got):\n%s", err, d)
		}
	})
}

func TestEditsKeepTheirDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		b, led := newBot(t, s), newLedger()
		publish := func(u slackbot.Update) (took time.Duration) {
			t.Helper()
			start := time.Now()
			if err := b.Publish(t.Context(), led, u); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		st := states()
		publish(st[0])
		if publish(st[1]); len(s.Calls("chat.update")) != 1 {
			t.Fatal("the chosen pods were not told at once")
		}
		// Short windows: something newer comes soon, so this is left out.
		brief := st[2]
		brief.Captures = captures(1)
		for i := range brief.Captures {
			brief.Captures[i].Window = time.Second
		}
		if took := publish(brief); took != 0 || len(s.Calls("chat.update")) != 1 {
			t.Errorf("progress inside the interval took %s and made %d edits, want 0 and 1", took, len(s.Calls("chat.update")))
		}
		// A long profile is under way: this will stand for half a minute.
		long := st[2]
		long.Captures = captures(1)
		if took := publish(long); took != 3*time.Second || len(s.Calls("chat.update")) != 2 {
			t.Errorf("lasting progress took %s and made %d edits, want 3s and 2", took, len(s.Calls("chat.update")))
		}
		if took := publish(st[3]); took != 0 || len(s.Calls("chat.update")) != 2 {
			t.Errorf("reporting inside the interval took %s and made %d edits, want 0 and 2", took, len(s.Calls("chat.update")))
		}
		// The end is always told.
		publish(failedState())
		calls := s.Calls("chat.update")
		if len(calls) != 3 {
			t.Fatalf("%d edits, want 3", len(calls))
		}
		for i := range calls[1:] {
			if d := calls[i+1].Sub(calls[i]); d < 3*time.Second {
				t.Errorf("edits %d and %d are %s apart", i, i+1, d)
			}
		}
		if text := s.Text(channel); !strings.Contains(text, "no verdict") {
			t.Errorf("the end was not told:\n%s", text)
		}
	})
}

func TestWaitingForAnEditCanBeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		b, led := newBot(t, s), newLedger()
		for _, u := range states()[:2] {
			if err := b.Publish(t.Context(), led, u); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- b.Publish(ctx, led, doneState()) }()
		synctest.Wait()
		cancel(errKilled)
		if err := <-done; !errors.Is(err, errKilled) {
			t.Errorf("error %v, want %v", err, errKilled)
		}
	})
}

func TestDeletedThreadStaysDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		b, led := newBot(t, s), newLedger()
		if err := b.Publish(t.Context(), led, states()[0]); err != nil {
			t.Fatal(err)
		}
		s.Delete(channel, s.Messages(channel)[0].TS)
		for range 2 {
			if err := b.Publish(t.Context(), led, doneState()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(s.Messages(channel)); n != 0 || len(s.Files()) != 0 {
			t.Errorf("a deleted thread came back:\n%s", s.Text(channel))
		}
		if n := len(s.Calls("chat.update")); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
	})
}

func TestFoundAmongManyMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := true
		s := slacktest.New(slacktest.Options{After: func(m string) {
			if m == "chat.postMessage" && cut {
				cut = false
				panic(http.ErrAbortHandler)
			}
		}})
		b, led := newBot(t, s), newLedger()
		if err := b.Publish(t.Context(), led, states()[0]); err == nil {
			t.Fatal("a cut connection is no error")
		}
		for i := range 450 { // three pages
			s.Say(channel, "", "ada", fmt.Sprintf("is it us? %d", i))
		}
		if err := b.Publish(t.Context(), led, states()[0]); err != nil {
			t.Fatal(err)
		}
		if got := shapeOf(s); got.Roots != 1 {
			t.Errorf("%d messages of the bot, want 1", got.Roots)
		}
		if n := len(s.Calls("conversations.history")); n != 3 {
			t.Errorf("%d pages were read, want 3", n)
		}
	})
}

// Without the permission to look, a message may be there twice but is never missing.
func TestPostedAgainWhenItCannotLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{Scopes: []string{"chat:write"}})
		b, led := newBot(t, s), newLedger()
		led.effects["root"] = incident.Effect{State: incident.EffectBegun, Ref: channel, At: time.Now()}
		if err := b.Publish(t.Context(), led, states()[0]); err != nil {
			t.Fatal(err)
		}
		if got := shapeOf(s); got.Roots != 1 {
			t.Errorf("%d messages, want 1", got.Roots)
		}
	})
}

func TestChannelOfAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{Channels: []slacktest.Channel{{ID: channel, Name: "ops"}, {ID: "C0LIVETEAM", Name: "live-team"}}})
		own := func(o *slackbot.Options) { o.Channels = map[string]string{"live-api": "C0LIVETEAM"} }
		led := newLedger()
		if err := newBot(t, s, own).Publish(t.Context(), led, states()[0]); err != nil {
			t.Fatal(err)
		}
		// A change of the configuration does not move a thread.
		if err := newBot(t, s).Publish(t.Context(), led, doneState()); err != nil {
			t.Fatal(err)
		}
		if a, b := len(s.Messages(channel)), len(s.Messages("C0LIVETEAM")); a != 0 || b != 1 {
			t.Errorf("%d messages in the common channel and %d in the service's, want 0 and 1", a, b)
		}
	})
}

// What a person asks for in a thread is told in that thread, all of it, and its
// verification too.
func TestPlaceOfAnOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{Channels: []slacktest.Channel{{ID: channel, Name: "ops"}, {ID: "C0WARROOM0", Name: "war-room"}}})
		parent := s.Say("C0WARROOM0", "", "ada", "what is it doing?")
		reply := s.Say("C0WARROOM0", parent, "bob", "let me see")
		place := incident.Place{Channel: "C0WARROOM0", Thread: parent}
		b, led := newBot(t, s, clickable), newLedger()
		for _, u := range []slackbot.Update{orders()["1-accepted"], orders()["2-pulling"], orders()["4-compared"], orders()["4-compared"]} {
			u.Incident.Alert.Place = place
			u.Incident.Recovered = opened.Add(time.Minute) // which is nothing to shout about here
			if err := b.Publish(t.Context(), led, u); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second) // the clock of the bubble
		}
		proven := proofStates()["proof-3-proven"]
		proven.Incident.Alert.Place, proven.Picture = place, nil
		if err := b.PublishProof(t.Context(), newLedger(), led, proven); err != nil {
			t.Fatal(err)
		}
		thread := s.Thread("C0WARROOM0", parent)
		if len(s.Messages(channel)) != 0 || len(s.Messages("C0WARROOM0")) != 1 || len(thread) != 7 || thread[1].TS != reply {
			t.Fatalf("not all is in the thread, each once:\n%s\n%s", s.Text(channel), s.Text("C0WARROOM0"))
		}
		for i, want := range []string{"CPU profile", "flame", "difference", "Details", "the fix works"} {
			m := thread[i+2]
			got := m.Text + string(m.Blocks)
			for _, f := range s.Files() {
				if slices.Contains(m.Files, f.ID) {
					got += f.Name
				}
			}
			if !strings.Contains(got, want) {
				t.Errorf("message %d does not say %q: %s", i, want, got)
			}
		}
		// A channel alone is a place too.
		u := orders()["4-done"]
		u.Incident.Alert.Place = incident.Place{Channel: "C0WARROOM0"}
		if err := b.Publish(t.Context(), newLedger(), u); err != nil {
			t.Fatal(err)
		}
		if got := s.Messages("C0WARROOM0"); len(got) != 2 || len(s.Thread("C0WARROOM0", got[1].TS)) != 3 {
			t.Errorf("the order is not told in the channel:\n%s", s.Text("C0WARROOM0"))
		}
	})
}

// Slack notifies those whom a new message names, and not those whom an edit does.
func TestAskerIsNamedByAnEdit(t *testing.T) {
	for name, want := range map[string]bool{"1-accepted": false, "2-pulling": true, "4-done": true} {
		got := strings.Contains(string(mustJSON(t, slackbot.RenderRoot(orders()[name], true))), `"user_id":"U0ADA0000"`)
		if got != want {
			t.Errorf("%s: names the asker: %t, want %t", name, got, want)
		}
	}
}
