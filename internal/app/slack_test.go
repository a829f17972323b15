package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

const (
	signingSecret = "8f742231b10e8888abcd99yyyzzz85a5"
	appToken      = "xapp-test" // slacktest's own
	ann           = "U0ANN00000"
	bob           = "U0BOB00000"
	eve           = "U0EVE00000" // of another workspace
)

// ways are the environments of the two ways in.
var ways = map[string]string{"http": "PROFBOT_SLACK_SIGNING_SECRETS=" + signingSecret, "socket": "PROFBOT_SLACK_APP_TOKEN=" + appToken}

// desk is a workspace whose people ask a profbot, by one of the ways in.
type desk struct {
	*around
	app *App
	way string
	n   int // of requests
}

// addPeople lets ann and bob be members, and eve a stranger.
func (w *around) addPeople() {
	w.slack.AddUser(slacktest.User{ID: ann, Name: "ann"})
	w.slack.AddUser(slacktest.User{ID: bob, Name: "bob"})
	w.slack.AddUser(slacktest.User{ID: eve, Name: "eve", Team: "T0OTHER", Stranger: true})
}

func newDesk(t *testing.T, way string, more ...string) *desk {
	w := newAround(t)
	w.addPeople()
	return &desk{around: w, way: way, app: w.start(append(more, ways[way])...)}
}

// answer is what a person is shown.
type answer struct {
	Type   string            `json:"response_type"`
	Text   string            `json:"text"`
	Blocks json.RawMessage   `json:"blocks"`
	Action string            `json:"response_action"`
	Errors map[string]string `json:"errors"`
	View   json.RawMessage   `json:"view"`
}

func (d *desk) read(body string) (a answer) {
	d.t.Helper()
	if body != "" {
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			d.t.Fatalf("%v: %s", err, body)
		}
	}
	return a
}

// types has a person type /profbot in a channel, and returns the answer, which
// says something: in the acknowledgement, or after it when the machine is busy.
func (d *desk) types(user, in, text, says string) answer {
	d.t.Helper()
	a := d.read(d.send("slash_commands", d.slack.Command(user, in, text)))
	if says != "" && strings.Contains(a.Text, "One moment") {
		e := d.shown(user, says)
		a = answer{Text: e.Text, Blocks: e.Blocks}
	}
	if !strings.Contains(a.Text+string(a.Blocks), says) {
		d.t.Errorf("%s: %q is not in %q %s", text, says, a.Text, a.Blocks)
	}
	return a
}

// shown is what a person is shown, beside an acknowledgement, that says something.
func (d *desk) shown(user, says string) (out slacktest.Ephemeral) {
	d.t.Helper()
	d.untilSlack(fmt.Sprintf("%s is shown %q", user, says), func() bool {
		for _, e := range d.slack.Ephemerals() {
			if e.User == user && strings.Contains(e.Text+string(e.Blocks), says) {
				out = e
				return true
			}
		}
		return false
	})
	return out
}

// clicks has a person click a button of a message.
func (d *desk) clicks(user, in, message, action, value string) {
	d.t.Helper()
	d.interact(user, map[string]any{
		"type": "block_actions", "trigger_id": d.slack.Trigger(user), "channel": map[string]any{"id": in}, "response_url": d.slack.ResponseURL(in, user),
		"container": map[string]any{"message_ts": message, "channel_id": in}, "message": map[string]any{"ts": message},
		"actions": []any{map[string]any{"type": "button", "action_id": action, "value": value}},
	})
}

func (d *desk) interact(user string, payload map[string]any) answer {
	d.t.Helper()
	payload = maps.Clone(payload)
	payload["user"], payload["team"], payload["api_app_id"] = map[string]any{"id": user, "team_id": "T0TEST"}, map[string]any{"id": "T0TEST"}, "A0TEST"
	return d.read(d.send("interactive", payload))
}

// event has Slack tell of something that happened.
func (d *desk) event(user string, inner map[string]any) {
	d.t.Helper()
	inner = maps.Clone(inner)
	inner["user"] = user
	d.n++
	d.send("events_api", map[string]any{
		"type": "event_callback", "team_id": "T0TEST", "api_app_id": "A0TEST", "event_id": fmt.Sprintf("Ev%d", d.n), "event_time": time.Now().Unix(), "event": inner,
		"authorizations": []any{map[string]any{"team_id": "T0TEST", "user_id": "U0PROFBOT0", "is_bot": true}},
	})
}

// says has a person write to profbot: by its name in a channel, and without it
// in a direct message. It returns the message's ts.
func (d *desk) says(user, in, thread, text string) string {
	d.t.Helper()
	inner := map[string]any{"type": "message", "channel_type": "im", "channel": in, "text": text}
	if in != direct {
		inner["type"], inner["text"] = "app_mention", "<@U0PROFBOT0> "+text
		delete(inner, "channel_type")
	}
	ts := d.slack.Say(in, thread, user, inner["text"].(string))
	inner["ts"] = ts
	if thread != "" {
		inner["thread_ts"] = thread
	}
	d.event(user, inner)
	return ts
}

// send brings a payload in by the desk's way, and returns the acknowledgement.
func (d *desk) send(kind string, payload any) string {
	d.t.Helper()
	if d.way == "socket" {
		body, err := d.slack.Send(d.t.Context(), kind, payload)
		if err != nil {
			d.t.Fatalf("%v\n%s", err, d.log.String())
		}
		if string(body) == "null" {
			return ""
		}
		return string(body)
	}
	req, err := slacktest.SignedRequest(d.t.Context(), d.app.PublicURL()+slackPath, signingSecret, kind, payload)
	if err != nil {
		d.t.Fatal(err)
	}
	status, body := d.do(req)
	if status != http.StatusOK {
		d.t.Fatalf("status %d: %s\n%s", status, body, d.log.String())
	}
	return body
}
