package slacktest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// post posts a message and says how that ended: "ok", an error code, a status
// or what became of the connection; and what Retry-After was.
func post(ctx context.Context, s *slacktest.Server, c *http.Client, channel string) (end, retryAfter string) {
	form := url.Values{"channel": {channel}, "text": {"hello"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"chat.postMessage", strings.NewReader(form.Encode()))
	if err != nil {
		return err.Error(), ""
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+s.Token())
	resp, err := c.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "silence", ""
	case err != nil:
		return "reset", ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error(), ""
	}
	if resp.StatusCode == http.StatusOK && strings.Contains(string(body), `"ok":true`) {
		return "ok", ""
	}
	return resp.Status, resp.Header.Get("Retry-After")
}

func TestFaults(t *testing.T) {
	for kind, want := range map[slacktest.Fault]struct {
		end    string
		effect int
	}{
		slacktest.FaultLimit:   {"429 Too Many Requests", 0},
		slacktest.FaultError:   {"500 Internal Server Error", 0},
		slacktest.FaultRefuse:  {"reset", 0},
		slacktest.FaultCut:     {"reset", 1},
		slacktest.FaultSilence: {"silence", 1},
	} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{Faults: slacktest.Faults{Rate: 1, Kinds: []slacktest.Fault{kind}}})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				end, after := post(ctx, s, s.Client(), "C0PROFBOT0")
				if got := len(s.Messages("C0PROFBOT0")); end != want.end || got != want.effect {
					t.Errorf("ended with %q and %d messages, want %q and %d", end, got, want.end, want.effect)
				}
				if (after != "") != (kind == slacktest.FaultLimit) {
					t.Errorf("Retry-After %q", after)
				}
				if d := cmp.Diff(map[slacktest.Fault]int{kind: 1}, s.Injected()); d != "" {
					t.Errorf("injected (-want +got):\n%s", d)
				}
			})
		})
	}
}

// On a real connection a cut is a reset, which is no orderly end.
func TestFaultIsAReset(t *testing.T) {
	s, err := slacktest.NewServer(slacktest.Options{Faults: slacktest.Faults{Rate: 1, Kinds: []slacktest.Fault{slacktest.FaultCut}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, err = client.PostForm(s.URL()+"chat.postMessage", url.Values{"token": {s.Token()}, "channel": {"C0PROFBOT0"}, "text": {"hello"}}) //nolint:bodyclose,noctx // there is none, and it ends at once
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset", err)
	}
	if got := len(s.Messages("C0PROFBOT0")); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

func TestFaultsByChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{Faults: slacktest.Faults{Seed: 3, Rate: 0.3}})
		ends := map[string]int{}
		for range 1000 {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			end, _ := post(ctx, s, s.Client(), "C0PROFBOT0")
			cancel()
			ends[end]++
		}
		if got := ends["ok"]; got < 650 || got > 750 || len(ends) != 5 {
			t.Errorf("ended %v, want about 700 ok", ends)
		}
		if in := s.Injected(); len(in) != 5 || len(s.Messages("C0PROFBOT0")) != ends["ok"]+in[slacktest.FaultCut]+in[slacktest.FaultSilence] {
			t.Errorf("%d messages with %v injected", len(s.Messages("C0PROFBOT0")), in)
		}
	})
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{Rates: true, Channels: []slacktest.Channel{{ID: "C0AAAAAA"}, {ID: "C0BBBBBB"}}})
		tries := func(channel string, n int, gap time.Duration) (ok int) {
			for range n {
				if end, after := post(t.Context(), s, s.Client(), channel); end == "ok" {
					ok++
				} else if end != "429 Too Many Requests" || after == "" {
					t.Errorf("ended %q, Retry-After %q", end, after)
				}
				time.Sleep(gap) // the clock of the bubble
			}
			return ok
		}
		// A short burst, and one a second in each channel.
		if got := tries("C0AAAAAA", 5, 0); got != 3 {
			t.Errorf("%d of a burst passed, want 3", got)
		}
		if got := tries("C0BBBBBB", 3, 0); got != 3 {
			t.Errorf("another channel: %d of 3", got)
		}
		time.Sleep(3 * time.Second) // the clock of the bubble
		if got := tries("C0AAAAAA", 20, time.Second); got != 20 {
			t.Errorf("%d of 20 at one a second passed", got)
		}
		if d := cmp.Diff(map[string]int{"chat.postMessage C0AAAAAA": 2}, s.Over()); d != "" {
			t.Errorf("over the rate (-want +got):\n%s", d)
		}
	})
}

func TestDownRefusedArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		s.DownUntil(time.Now().Add(time.Hour))
		ends := map[string]int{}
		for range 60 {
			end, _ := post(t.Context(), s, s.Client(), "C0PROFBOT0")
			ends[end]++
			time.Sleep(time.Minute) // the clock of the bubble
		}
		if ends["reset"]+ends["500 Internal Server Error"] != 60 || len(ends) != 2 || len(s.Messages("C0PROFBOT0")) != 0 {
			t.Errorf("while it was down: %v", ends)
		}
		s.Archive("C0PROFBOT0", true)
		want(t, call(t, s, "chat.postMessage", "channel", "C0PROFBOT0", "text", "hello"), "is_archived")
		s.Archive("C0PROFBOT0", false)
		s.Refuse("token_revoked")
		want(t, call(t, s, "chat.postMessage", "channel", "C0PROFBOT0", "text", "hello"), "token_revoked")
		s.Refuse("")
		want(t, call(t, s, "chat.postMessage", "channel", "C0PROFBOT0", "text", "hello"), "")
	})
}

func TestJoin(t *testing.T) {
	for _, tc := range []struct {
		name    string
		channel slacktest.Channel
		scopes  []string
		code    string
	}{
		{name: "public", channel: slacktest.Channel{Outside: true}},
		{name: "already in it"},
		{name: "private and unknown", channel: slacktest.Channel{Private: true, Outside: true}, code: "channel_not_found"},
		{name: "private", channel: slacktest.Channel{Private: true}, code: "method_not_supported_for_channel_type"},
		{name: "archived", channel: slacktest.Channel{Archived: true, Outside: true}, code: "is_archived"},
		{name: "no scope", channel: slacktest.Channel{Outside: true}, scopes: []string{"chat:write"}, code: "missing_scope"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.channel.ID = "C0AAAAAA"
			s := slacktest.New(slacktest.Options{Channels: []slacktest.Channel{tc.channel}, Scopes: tc.scopes})
			want(t, call(t, s, "conversations.join", "channel", "C0AAAAAA"), tc.code)
			if tc.code == "" {
				want(t, call(t, s, "chat.postMessage", "channel", "C0AAAAAA", "text", "hello"), "")
			}
		})
	}
}
