package slacktest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
)

// dial opens a socket as an app does.
func dial(t *testing.T, s *Server) *websocket.Conn {
	t.Helper()
	ws, _, err := dialer(s).Dial(address(t, s), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

func dialer(s *Server) *websocket.Dialer {
	return &websocket.Dialer{NetDialContext: s.Transport().DialContext}
}

func address(t *testing.T, s *Server) string {
	t.Helper()
	_, url, err := api(s, "xapp-test").StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func api(s *Server, token string) *slack.Client {
	return slack.New("", slack.OptionAppLevelToken(token), slack.OptionAPIURL(s.URL()), slack.OptionHTTPClient(&http.Client{Transport: s.Transport()}))
}

// read is the next frame.
func read(t *testing.T, ws *websocket.Conn) map[string]any {
	t.Helper()
	var f map[string]any
	if err := ws.ReadJSON(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSocketAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		for token, want := range map[string]string{"xapp-other": "invalid_auth", "xoxb-test": "not_allowed_token_type"} {
			if _, _, err := api(s, token).StartSocketModeContext(t.Context()); err == nil || err.Error() != want {
				t.Errorf("with %s: %v, want %s", token, err, want)
			}
		}
		url := address(t, s)
		first, _, err := dialer(s).Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		if _, _, err := dialer(s).Dial(url, nil); err == nil {
			t.Error("an address worked twice")
		}
		if f := read(t, first); f["type"] != "hello" || f["num_connections"] != 1.0 {
			t.Errorf("first frame %v", f)
		}
		for range maxSockets - 1 {
			read(t, dial(t, s))
		}
		if f := read(t, dial(t, s)); f["reason"] != "too_many_websockets" {
			t.Errorf("one too many got %v", f)
		}
	})
}

// TestSocketResend leaves an event without a good acknowledgement: it comes
// four times, and a command once.
func TestSocketResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		ws := dial(t, s)
		read(t, ws)
		began := time.Now()
		failed := make(chan error, 1)
		go func() {
			_, err := s.Send(t.Context(), "events_api", answer{"type": "event_callback"})
			failed <- err
		}()
		for try := range 4 {
			f := read(t, ws)
			if f["retry_attempt"] != float64(try) || f["accepts_response_payload"] != false {
				t.Errorf("delivery %d: %v", try, f)
			}
			ws.WriteJSON(answer{"envelope_id": f["envelope_id"], "payload": strings.Repeat("x", maxAck)}) // dropped
		}
		if err := <-failed; !errors.Is(err, ErrNoAck) {
			t.Errorf("Send: %v", err)
		}
		if took, want := time.Since(began), 6*time.Minute+4*ackTime; took != want {
			t.Errorf("given up after %s, want %s", took, want)
		}
		go func() {
			_, err := s.Send(t.Context(), "slash_commands", answer{})
			failed <- err
		}()
		read(t, ws)
		if err := <-failed; !errors.Is(err, ErrNoAck) {
			t.Errorf("Send: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.Cut()
		if _, err := s.Send(ctx, "slash_commands", answer{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send without a socket: %v", err)
		}
	})
}
