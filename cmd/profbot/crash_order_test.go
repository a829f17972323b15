package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

const crashSecret = "8f742231b10e8888abcd99yyyzzz85a5"

// TestKilledAfterAnOrder kills profbot when a person was told that a profile is
// taken, and at later moments, and starts it again: it is taken, and told once.
// Slack may send the command again.
func TestKilledAfterAnOrder(t *testing.T) {
	const person = "U0ANN00000"
	for name, at := range map[string]string{
		"after the acknowledgement":      "accepted",
		"before the message is posted":   "slack:before:chat.postMessage",
		"after the message, unanswered":  "slack:after:chat.postMessage",
		"while pulling":                  "pprof:/debug/pprof/profile",
		"after the share of the picture": "slack:after:files.completeUploadExternal",
		"while the person is looked up":  "slack:after:users.info",
		"while the channel is looked up": "slack:after:conversations.info",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, at, 1)
			w.env = []string{"PROFBOT_SLACK_SIGNING_SECRETS=" + crashSecret}
			w.slack.AddUser(slacktest.User{ID: person, Name: "ann"})
			first := w.serve()
			w.arm(first)
			order := w.slack.Command(person, crashChannel, "cpu live-api 1s")
			says, err := w.command(first, order)
			promised := err == nil
			if promised && !strings.Contains(says, "Profiling live-api") {
				t.Errorf("acknowledged with %q", says)
			}
			if at == "accepted" {
				first.kill()
			}
			first.untilKilled(t)
			second := w.serve()
			if promised {
				order["again"] = "1" // signed anew
			} else {
				// Slack tells the person that nobody answered, who types it again.
				order = w.slack.Command(person, crashChannel, "cpu live-api 1s")
			}
			if says, err = w.command(second, order); err != nil || promised == strings.Contains(says, "Profiling live-api") {
				t.Errorf("acknowledged with %q, %v", says, err)
			}
			w.untilTold(second)
			second.stop()
			roots := w.slack.Messages(crashChannel)
			if len(roots) != 1 || !strings.Contains(string(roots[0].Blocks), "Asked for:") || strings.Contains(string(roots[0].Blocks), "⏳") {
				t.Fatalf("%d root messages\n%s\n%s", len(roots), w.slack.Text(crashChannel), second.log())
			}
			w.pictured(t)
		})
	}
}

// command has Slack send a command, and returns the acknowledgement.
func (w *world) command(p *process, fields map[string]string) (string, error) {
	req, err := slacktest.SignedRequest(w.t.Context(), p.public+"/slack", crashSecret, "slash_commands", fields)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		w.t.Errorf("status %s\n%s", resp.Status, p.log())
	}
	return string(body), err
}
