package app

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// TestDeliveredTwice: what Slack sends to several ways in, which remember
// together what they have seen, is done once: at the same time or later, by
// HTTP or by sockets.
func TestDeliveredTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "http")
	handlers := []func(body string){}
	for range 2 {
		h, err := receive.NewHTTP(receive.HTTPOptions{SigningSecrets: []string{signingSecret}, Handler: d.app.people.desk, Seen: d.app.store})
		if err != nil {
			t.Fatal(err)
		}
		handlers = append(handlers, func(salt string) {
			fields := map[string]string{"salt": salt} // a signature of its own, as Slack makes for every delivery
			for k, v := range d.slack.Command(ann, asking, "goroutine live-api") {
				fields[k] = v
			}
			fields["trigger_id"] = "1.once"
			req, err := slacktest.SignedRequest(t.Context(), "http://profbot.test/slack", signingSecret, "slash_commands", fields)
			if err != nil {
				t.Error(err)
				return
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			if rec.Code != 200 {
				t.Errorf("status %d", rec.Code)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var sockets sync.WaitGroup
	t.Cleanup(func() { cancel(); sockets.Wait() })
	for range 2 {
		s, err := receive.NewSocket(receive.SocketOptions{AppToken: appToken, APIURL: d.slack.URL(), Handler: d.app.people.desk, Seen: d.app.store})
		if err != nil {
			t.Fatal(err)
		}
		sockets.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	d.untilSlack("both sockets are open", func() bool { return d.slack.Sockets() == 2 })
	event := map[string]any{
		"type": "event_callback", "team_id": "T0TEST", "api_app_id": "A0TEST", "event_id": "Ev1",
		"event": map[string]any{"type": "app_mention", "user": bob, "channel": asking, "ts": d.slack.Say(asking, "", bob, "<@U0PROFBOT0> goroutine live-api"), "text": "<@U0PROFBOT0> goroutine live-api"},
	}
	for _, round := range []string{"at once", "later"} {
		var sending sync.WaitGroup
		for i := range 6 {
			sending.Go(func() { handlers[i%2](round + strings.Repeat("!", i)) })
			sending.Go(func() {
				if _, err := d.slack.Send(t.Context(), "events_api", event); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
		d.untilSlack("both are told", func() bool {
			told := 0
			for _, m := range d.slack.Messages(asking) {
				orders, _ := settled(d.slack.Thread(asking, m.TS))
				told += orders
			}
			return told == 2
		})
	}
	incs, err := d.app.store.Incidents(t.Context(), 10)
	if err != nil || len(incs) != 2 {
		data, _ := json.Marshal(incs)
		t.Errorf("%d incidents, %v: %s", len(incs), err, data)
	}
	if deeds, err := d.app.store.Deeds(t.Context(), 10); err != nil || len(deeds) != 2 {
		t.Errorf("%d deeds, %v: %+v", len(deeds), err, deeds)
	}
}
