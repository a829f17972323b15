package slackbot_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
)

// TestReceived: what Slack sends, as it sends it, comes out as what the person
// meant, and the acknowledgement is what Slack waits for.
func TestReceived(t *testing.T) {
	const secret = "8f742231b10e8888abcd99yyyzzz85a5"
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		in, err := receive.NewHTTP(receive.HTTPOptions{SigningSecrets: []string{secret}, Handler: o.desk, Seen: o.back})
		if err != nil {
			t.Fatal(err)
		}
		send := func(kind, body string) string {
			t.Helper()
			at := fmt.Sprint(time.Now().Unix())
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte("v0:" + at + ":" + body))
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/slack", strings.NewReader(body))
			req.Header.Set("Content-Type", kind)
			req.Header.Set("X-Slack-Request-Timestamp", at)
			req.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
			rec := httptest.NewRecorder()
			in.ServeHTTP(rec, req)
			synctest.Wait()
			if rec.Code != http.StatusOK {
				t.Errorf("status %d for %s", rec.Code, body)
			}
			return rec.Body.String()
		}
		const form = "application/x-www-form-urlencoded"
		slash := func(text, trigger string) string {
			return send(form, url.Values{
				"command": {"/profbot"}, "text": {text}, "team_id": {"T0TEST"}, "channel_id": {channel}, "channel_name": {"ops-alerts"}, "user_id": {ann}, "user_name": {"ann"},
				"api_app_id": {"A1"}, "trigger_id": {trigger}, "response_url": {o.s.ResponseURL(channel, ann)},
			}.Encode())
		}
		interact := func(payload map[string]any) string {
			payload["user"], payload["team"], payload["api_app_id"] = map[string]any{"id": ann, "username": "ann", "team_id": "T0TEST"}, map[string]any{"id": "T0TEST"}, "A1"
			data, err := json.Marshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			return send(form, url.Values{"payload": {string(data)}}.Encode())
		}

		if a := slash("cpu live\u2013api 30s pods=2", o.s.Trigger(ann)); !strings.Contains(a, `"response_type":"ephemeral"`) {
			t.Errorf("a command: %s", a)
		}
		// The form, from the command to the order.
		if a := slash("", o.s.Trigger(ann)); a != "" {
			t.Errorf("the form: %s", a)
		}
		var view struct {
			Callback string `json:"callback_id"`
			Private  string `json:"private_metadata"`
			Blocks   []struct {
				BlockID string `json:"block_id"`
				Element struct {
					Type     string
					ActionID string `json:"action_id"`
					Initial  string `json:"initial_value"`
					Options  []struct{ Value string }
				}
			}
		}
		if err := json.Unmarshal(o.s.Modals()[0].JSON, &view); err != nil {
			t.Fatal(err)
		}
		// As a person fills it in: the second service, the first two profiles,
		// and the rest as it is.
		state := map[string]any{}
		for _, b := range view.Blocks {
			e := map[string]any{"type": b.Element.Type}
			switch b.Element.Type {
			case "static_select":
				e["selected_option"] = map[string]any{"value": b.Element.Options[1].Value}
			case "checkboxes":
				e["selected_options"] = []any{map[string]any{"value": b.Element.Options[0].Value}, map[string]any{"value": b.Element.Options[1].Value}}
			default:
				e["value"] = nil
				if b.Element.Initial != "" {
					e["value"] = b.Element.Initial
				}
			}
			state[b.BlockID] = map[string]any{b.Element.ActionID: e}
		}
		filled := map[string]any{"id": "V1", "callback_id": view.Callback, "private_metadata": view.Private, "state": map[string]any{"values": state}}
		if a := interact(map[string]any{"type": "view_submission", "trigger_id": "9.9", "view": filled}); !strings.Contains(a, `"response_action":"update"`) {
			t.Errorf("the form is sent: %s", a)
		}
		got := o.back.orders()
		last := got[len(got)-1]
		if d := cmp.Diff(&incident.Order{Kinds: []incident.Kind{incident.KindCPU, incident.KindHeap}, Window: 30 * time.Second, Pods: 1}, last.Order); d != "" || last.Key.Service != "live-api" || last.Place.Channel != channel {
			t.Errorf("%+v (-want +got):\n%s", last, d)
		}
		if a := interact(map[string]any{"type": "block_suggestion", "action_id": slackbot.ActionService, "block_id": "service", "value": "gift"}); !strings.Contains(a, `"value":"gift-api prod"`) {
			t.Errorf("a menu: %s", a)
		}
		click := map[string]any{
			"type": "block_actions", "trigger_id": o.s.Trigger(ann), "channel": map[string]any{"id": channel}, "response_url": o.s.ResponseURL(channel, ann),
			"container": map[string]any{"message_ts": "1.5", "channel_id": channel}, "message": map[string]any{"ts": "1.5"},
			"actions": []any{map[string]any{"type": "button", "action_id": slackbot.ActionHeap, "value": "inc-7f3a"}},
		}
		if a := interact(click); a != "" {
			t.Errorf("a click: %s", a)
		}
		got = o.back.orders()
		if last := got[len(got)-1]; last.Place != (incident.Place{Channel: channel, Thread: "1.5"}) {
			t.Errorf("a click's order: %+v", last)
		}
		n := len(got)
		time.Sleep(2 * time.Second) // a signature of its own
		interact(click)             // again: Slack did not see the answer
		if len(o.back.orders()) != n {
			t.Error("a click that came twice was done twice")
		}
		if a := interact(map[string]any{"type": "shortcut", "callback_id": slackbot.ActionProfile, "trigger_id": o.s.Trigger(ann)}); a != "" || len(o.s.Modals()) != 2 {
			t.Errorf("a shortcut: %s, %d modals", a, len(o.s.Modals()))
		}
		event := func(id string, inner map[string]any) {
			inner["user"] = ann
			data, err := json.Marshal(map[string]any{
				"type": "event_callback", "team_id": "T0TEST", "api_app_id": "A1", "event_id": id, "event_time": time.Now().Unix(), "event": inner,
				"authorizations": []any{map[string]any{"team_id": "T0TEST", "user_id": "U0PROFBOT0", "is_bot": true}},
			})
			if err != nil {
				t.Fatal(err)
			}
			send("application/json", string(data))
		}
		ts := o.s.Say(channel, "", "ann", "<@U0PROFBOT0> status")
		event("Ev1", map[string]any{"type": "app_mention", "text": "<@U0PROFBOT0> status", "ts": ts, "channel": channel})
		if m := o.s.Thread(channel, ts); len(m) != 2 || !strings.Contains(m[1].Text, "profbot is well") {
			t.Errorf("a mention: %+v", m)
		}
		ts = o.s.Say(dm, "", "ann", "services")
		event("Ev2", map[string]any{"type": "message", "channel_type": "im", "text": "services", "ts": ts, "channel": dm})
		if m := o.s.Thread(dm, ts); len(m) != 2 || !strings.Contains(m[1].Text, "can be profiled") {
			t.Errorf("a direct message: %+v", m)
		}
		event("Ev3", map[string]any{"type": "app_home_opened", "tab": "home", "channel": dm, "event_ts": "1.1"})
		if home := string(o.s.HomeOf(ann).JSON); !strings.Contains(home, "gift-api") {
			t.Errorf("the home: %s", home)
		}
	})
}
