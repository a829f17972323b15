package receive

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// line is a socket to a fake Slack, both in one bubble.
type line struct {
	*Socket
	slack *slacktest.Server
	log   *lockedBuffer
	stop  context.CancelFunc
	done  chan error // gets what Run returned
}

func run(t *testing.T, slack *slacktest.Server, h Handler, seen Seen) *line {
	t.Helper()
	l := &line{slack: slack, log: &lockedBuffer{}, done: make(chan error, 1)}
	s, err := NewSocket(SocketOptions{
		AppToken: "xapp-test", APIURL: slack.URL(), Handler: h, Seen: seen,
		HTTPClient: &http.Client{Transport: slack.Transport()},
		Logger:     slog.New(slog.NewTextHandler(l.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Socket = s
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	go func() { l.done <- s.Run(ctx) }()
	return l
}

// end stops the socket and expects it to end well.
func (l *line) end(t *testing.T) {
	t.Helper()
	l.stop()
	if err := <-l.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	synctest.Wait()
	if n := l.slack.Sockets(); n != 0 {
		t.Errorf("%d sockets were left open", n)
	}
}

// send has Slack send something, and gives up after an hour.
func (l *line) send(t *testing.T, kind string, payload any) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	got, err := l.slack.Send(ctx, kind, payload)
	return string(got), err
}

func command(trigger, text string) map[string]any {
	return map[string]any{"command": "/profbot", "text": text, "trigger_id": trigger, "user_id": "U1", "is_enterprise_install": "false"}
}

func mentionEvent(id, ts string) map[string]any {
	return map[string]any{
		"type": "event_callback", "event_id": id,
		"event": map[string]any{"type": "app_mention", "user": "U1", "channel": "C1", "ts": ts, "text": "<@U0BOT> status"},
	}
}

func TestSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{do: func(ctx context.Context, r Request) Reply {
			switch {
			case r.Text == "big":
				return Reply{Body: map[string]string{"text": strings.Repeat("x", 20<<10)}}
			case r.Text == "late":
				<-ctx.Done()
			case r.Text == "panic":
				panic("out of cheese")
			case r.Kind == Suggest:
				return Reply{Body: map[string]any{"options": []string{}}}
			case r.Kind == Mention:
				return Reply{Body: "for nobody"}
			}
			return Reply{Body: map[string]string{"text": "queued " + r.Text}}
		}}
		l := run(t, slacktest.New(slacktest.Options{}), h, &memory{})
		for i, tt := range []struct {
			kind    string
			payload any
			want    string
			took    time.Duration
		}{
			{"slash_commands", command("1", "cpu"), `{"text":"queued cpu"}`, 0},
			{"slash_commands", command("1", "cpu"), "", 0}, // the same again
			{"slash_commands", command("2", "big"), "", 0},
			{"slash_commands", command("3", "late"), "", ackTime},
			{"slash_commands", command("4", "panic"), "", 0},
			{"interactive", map[string]any{"type": "block_suggestion", "value": "li"}, `{"options":[]}`, 0},
			{"interactive", map[string]any{"type": "block_actions", "trigger_id": "5", "actions": []any{map[string]any{"action_id": "a"}}}, `{"text":"queued "}`, 0},
			{"interactive", map[string]any{"type": "new_thing"}, "", 0},
			{"interactive", []any{}, "", 0},
			{"events_api", mentionEvent("Ev1", "1.1"), "", 0},
			{"events_api", map[string]any{"type": "app_rate_limited"}, "", 0},
			{"new_envelope", map[string]any{}, "", 0},
		} {
			began := time.Now()
			got, err := l.send(t, tt.kind, tt.payload)
			if took := time.Since(began); err != nil || got != tt.want || took != tt.took {
				t.Errorf("%d: %s: %.60s, %v after %s, want %s after %s", i, tt.kind, got, err, took, tt.want, tt.took)
			}
		}
		if s := l.State(); !s.Connected || s.Trouble != "" {
			t.Errorf("state %+v", s)
		}
		if got := len(h.requests()); got != 7 {
			t.Errorf("handled %d, want 7", got)
		}
		for _, want := range []string{"slack socket is open", "answer left out", "out of cheese", "is late", "holds events"} {
			if strings.Count(l.log.String(), want) != 1 {
				t.Errorf("the log does not say once %q:\n%s", want, l.log)
			}
		}
		l.end(t)
	})
}

// TestSocketIdle has a socket stay open for a day of nothing but pings.
func TestSocketIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := run(t, slacktest.New(slacktest.Options{}), &recorder{}, &memory{})
		time.Sleep(24 * time.Hour)
		if n := len(l.slack.Calls("apps.connections.open")); n != 1 || l.slack.Sockets() != 1 {
			t.Errorf("%d sockets, %d were opened", l.slack.Sockets(), n)
		}
		l.end(t)
	})
}

// TestSocketRefresh has Slack ask for another connection while a command is
// being handled: the new one opens before the old one ends, and nothing is lost.
func TestSocketRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{do: func(_ context.Context, r Request) Reply {
			if r.Text == "slow" {
				time.Sleep(2 * time.Second)
			}
			return Reply{Body: "done"}
		}}
		l := run(t, slacktest.New(slacktest.Options{}), h, &memory{})
		time.Sleep(3 * time.Hour)
		var got string
		var err error
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			got, err = l.send(t, "slash_commands", command("slow", "slow"))
		}()
		synctest.Wait()
		before := time.Now()
		l.slack.Disconnect("warning")
		if werr := l.slack.WaitFor(t.Context(), func() bool { return l.slack.Sockets() == 2 }); werr != nil {
			t.Fatal(werr)
		}
		if gap := time.Since(before); gap != 0 {
			t.Errorf("%s until the new socket", gap)
		}
		for i := range 40 { // to both, as long as there are two
			if got, err := l.send(t, "slash_commands", command(strconv.Itoa(i), "x")); err != nil || got != `"done"` {
				t.Errorf("%s after the warning: %s, %v", time.Since(before), got, err)
			}
			time.Sleep(700 * time.Millisecond)
		}
		<-sent
		if err != nil || got != `"done"` {
			t.Errorf("what ran got %s, %v", got, err)
		}
		time.Sleep(time.Hour)
		before = time.Now()
		l.slack.Disconnect("refresh_requested")
		if err := l.slack.WaitFor(t.Context(), func() bool { return l.slack.Sockets() == 2 }); err != nil || time.Since(before) != 0 {
			t.Errorf("the second time: %v, %s until the new socket", err, time.Since(before))
		}
		time.Sleep(time.Minute)
		if s := l.State(); l.slack.Sockets() != 1 || !s.Connected || strings.Contains(l.log.String(), "not open") {
			t.Errorf("state %+v, log %s", s, l.log)
		}
		l.end(t)
	})
}

// TestSocketDown has Slack be away for an hour, each time in another way.
func TestSocketDown(t *testing.T) {
	failures := map[string]slacktest.Failure{
		"500":       {Status: http.StatusInternalServerError},
		"429":       {RetryAfter: 90 * time.Second},
		"its error": {Code: "internal_error"},
	}
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := run(t, slacktest.New(slacktest.Options{}), &recorder{}, &memory{})
				synctest.Wait()
				for range 1000 {
					l.slack.FailNext("apps.connections.open", f)
				}
				l.slack.Cut()
				time.Sleep(time.Hour)
				if s := l.State(); s.Connected || s.Trouble == "" || time.Since(s.Since) < 59*time.Minute {
					t.Errorf("state %+v at %s", s, time.Now())
				}
				calls := l.slack.Calls("apps.connections.open")
				if n := len(calls); n < 30 || n > 100 {
					t.Errorf("%d calls within an hour", n)
				}
				if last := calls[len(calls)-1].Sub(calls[len(calls)-2]); last < f.RetryAfter || last < 40*time.Second {
					t.Errorf("only %s between the last two", last)
				}
				if n := strings.Count(l.log.String(), "not open"); n > 2 { // that it broke, and why no other opens
					t.Errorf("told %d times:\n%s", n, l.log)
				}
				l.end(t)
			})
		})
	}
}

// TestSocketComesBack has it work again after an outage, and wait no longer than needed.
func TestSocketComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := run(t, slacktest.New(slacktest.Options{}), &recorder{}, &memory{})
		synctest.Wait()
		time.Sleep(time.Hour)
		for range 3 {
			l.slack.FailNext("apps.connections.open", slacktest.Failure{Status: http.StatusBadGateway})
		}
		l.slack.Cut()
		// At once, then after 1 s, 2 s and 4 s.
		time.Sleep(7*time.Second + time.Millisecond)
		synctest.Wait()
		if s := l.State(); !s.Connected {
			t.Errorf("state %+v", s)
		}
		if n := strings.Count(l.log.String(), "slack socket is open"); n != 2 {
			t.Errorf("opened %d times in the log:\n%s", n, l.log)
		}
		l.end(t)
	})
}

// TestSocketSilence has a connection die without a word.
func TestSocketSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slack := slacktest.New(slacktest.Options{})
		l := run(t, slack, &recorder{}, &memory{})
		synctest.Wait()
		slack.Freeze()
		time.Sleep(silence + time.Second)
		synctest.Wait()
		if n := len(slack.Calls("apps.connections.open")); n != 2 || !strings.Contains(l.log.String(), "silent for 30s") {
			t.Errorf("%d opened, log:\n%s", n, l.log)
		}
		if got, err := l.send(t, "slash_commands", command("1", "x")); err != nil {
			t.Errorf("the new socket got %s, %v", got, err)
		}
		l.end(t)
	})
}

// TestSocketTrouble has Slack refuse sockets, which may end while profbot runs.
func TestSocketTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slack := slacktest.New(slacktest.Options{})
		var others []*line
		for range 10 {
			others = append(others, run(t, slack, &recorder{}, &memory{}))
		}
		synctest.Wait()
		l := run(t, slack, &recorder{}, &memory{})
		time.Sleep(10 * time.Minute)
		if s := l.State(); s.Connected || !strings.Contains(s.Trouble, "ten sockets") {
			t.Errorf("state %+v", s)
		}
		if n := len(slack.Calls("apps.connections.open")); n > 40 {
			t.Errorf("%d calls", n)
		}
		others[0].stop()
		time.Sleep(time.Minute)
		if s := l.State(); !s.Connected {
			t.Errorf("state %+v", s)
		}
		slack.Disconnect("link_disabled")
		synctest.Wait()
		if s := l.State(); s.Connected || !strings.Contains(s.Trouble, "Socket Mode is switched off") {
			t.Errorf("state %+v", s)
		}
		l.stop()
		for _, o := range others {
			o.stop()
			<-o.done
		}
		l.end(t)
	})
}

func TestSocketFatal(t *testing.T) {
	for code, want := range map[string]string{
		"invalid_auth":           "open slack socket: ask slack for a socket: invalid_auth: make a new app-level token",
		"token_revoked":          "make a new app-level token",
		"not_allowed_token_type": "which begins with xapp-",
		"missing_scope":          "connections:write",
		"account_inactive":       "install the app",
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slack := slacktest.New(slacktest.Options{})
				slack.FailNext("apps.connections.open", slacktest.Failure{Code: code})
				l := run(t, slack, &recorder{}, &memory{})
				if err := <-l.done; err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Run: %v, want %s", err, want)
				}
				if s := l.State(); s.Connected || s.Trouble == "" {
					t.Errorf("state %+v", s)
				}
				l.stop()
			})
		})
	}
	if _, err := NewSocket(SocketOptions{AppToken: "xoxb-1", Handler: &recorder{}, Seen: &memory{}}); err == nil || !strings.Contains(err.Error(), "xapp-") {
		t.Errorf("a bot token: %v", err)
	}
	if _, err := NewSocket(SocketOptions{AppToken: "xapp-1", Handler: &recorder{}, Seen: &memory{}, APIURL: "slack.com"}); err == nil {
		t.Error("an address without a scheme was taken")
	}
}

// TestSocketForgetful does not acknowledge what it could not look up: Slack
// sends events again, and they are handled once.
func TestSocketForgetful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, m := &recorder{}, &memory{err: errors.New("the disk is full")}
		l := run(t, slacktest.New(slacktest.Options{}), h, m)
		go func() {
			time.Sleep(time.Minute)
			m.mu.Lock()
			m.err = nil
			m.mu.Unlock()
		}()
		if _, err := l.send(t, "events_api", mentionEvent("Ev1", "1.1")); err != nil {
			t.Error(err)
		}
		if got := h.requests(); len(got) != 1 || got[0].Retry != 2 {
			t.Errorf("handled %+v, want one, sent for the third time", got)
		}
		l.end(t)
	})
}

// TestSocketEnd lets what runs finish when profbot ends.
func TestSocketEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{do: func(context.Context, Request) Reply {
			time.Sleep(2 * time.Second)
			return Reply{Body: "done"}
		}}
		l := run(t, slacktest.New(slacktest.Options{}), h, &memory{})
		answers := make(chan string, 5)
		for i := range 5 {
			go func() {
				got, err := l.send(t, "slash_commands", command(strconv.Itoa(i), "x"))
				if err != nil {
					got = err.Error()
				}
				answers <- got
			}()
		}
		synctest.Wait()
		l.end(t)
		for range 5 {
			if got := <-answers; got != `"done"` {
				t.Errorf("answer %s", got)
			}
		}
	})
}

// TestSocketListening goes over a real network.
func TestSocketListening(t *testing.T) {
	slack, err := slacktest.NewServer(slacktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer slack.Close()
	s, err := NewSocket(SocketOptions{
		AppToken: "xapp-test", APIURL: slack.URL(), Seen: &memory{},
		Handler: &recorder{do: func(context.Context, Request) Reply { return Reply{Body: "done"} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if got, err := slack.Send(t.Context(), "slash_commands", command("1", "x")); err != nil || string(got) != `"done"` {
		t.Errorf("got %s, %v", got, err)
	}
	slack.Cut()
	if got, err := slack.Send(t.Context(), "slash_commands", command("2", "x")); err != nil || string(got) != `"done"` {
		t.Errorf("after a cut: got %s, %v", got, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
