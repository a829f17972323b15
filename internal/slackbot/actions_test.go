package slackbot_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// clicks are the buttons of a message: what each does, and with what.
func clicks(t *testing.T, m slackbot.Message) (actions []string, buttons []map[string]any) {
	t.Helper()
	var blocks []struct {
		Type     string
		Elements []map[string]any
	}
	if err := json.Unmarshal(mustJSON(t, m.Blocks), &blocks); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if b.Type == "actions" {
			for _, e := range b.Elements {
				actions = append(actions, strings.TrimPrefix(e["action_id"].(string), "incident:"))
				buttons = append(buttons, e)
			}
		}
	}
	return actions, buttons
}

func TestButtons(t *testing.T) {
	states := namedStates()
	for name, want := range map[string]string{
		"1-accepted":       "mute",
		"2-pulling":        "why mute",
		"3-reporting":      "why mute",
		"4-done":           "flame verify compare heap goroutine again why mute",
		"4-no-report":      "again why mute",
		"6-quiet":          "compare heap goroutine again why mute", // no page, and nothing to fix
		"7-failed":         "again why mute",
		"9-no-pods":        "again mute",
		"order-1-accepted": "", // what people ask for is never muted
		"order-4-done":     "flame verify compare heap goroutine again why",
		"order-4-heap":     "flame compare heap goroutine again why",
	} {
		t.Run(name, func(t *testing.T) {
			got, buttons := clicks(t, slackbot.RenderRoot(states[name], true))
			if d := cmp.Diff(strings.Fields(want), got); d != "" && want+strings.Join(got, "") != "" {
				t.Errorf("buttons (-want +got):\n%s", d)
			}
			for _, b := range buttons {
				if b["value"] != "inc-7f3a" {
					t.Errorf("%v is about %v", b["action_id"], b["value"])
				}
				if says, _ := b["accessibility_label"].(string); !strings.Contains(says, "live-api (prod)") {
					t.Errorf("a screen reader says %q of %v", says, b["action_id"])
				}
				if _, asks := b["confirm"]; asks != (b["action_id"] == slackbot.ActionMute) {
					t.Errorf("%v asks whether it is meant: %t", b["action_id"], asks)
				}
				if _, leads := b["url"]; leads != (b["action_id"] == slackbot.ActionFlame) {
					t.Errorf("%v leads somewhere: %t", b["action_id"], leads)
				}
			}
			if got, _ := clicks(t, slackbot.RenderRoot(states[name], false)); len(got) > 0 {
				t.Errorf("buttons that nobody answers: %q", got)
			}
		})
	}
	for name, want := range map[string]string{"proof-2-capturing": "", "proof-3-proven": "flame verify", "proof-5-failed": "verify"} {
		got, buttons := clicks(t, slackbot.RenderProof(proofStates()[name], true))
		if d := cmp.Diff(want, strings.Join(got, " ")); d != "" {
			t.Errorf("%s: buttons (-want +got):\n%s", name, d)
		}
		for _, b := range buttons { // the fix's incident is what is verified again
			if b["action_id"] == slackbot.ActionVerify && b["value"] != "inc-7f3a" {
				t.Errorf("%s verifies %v", name, b["value"])
			}
		}
	}
}

// Each picture that cannot be in the thread is told of by itself.
func TestLostPictures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		s.LoseShares(true)
		b, led := newBot(t, s), newLedger()
		for range 2 {
			if err := b.Publish(t.Context(), led, differenceState()); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := shapeOf(s), (shape{1, 0, 3}); got != want {
			t.Errorf("the channel holds %+v, want %+v", got, want)
		}
		for _, want := range []string{"The flame graph is not here.", "The picture of the difference is not here.", "Against live-api-7d9f-c4"} {
			if strings.Count(s.Text(channel), want) != 1 {
				t.Errorf("%q is not said once:\n%s", want, s.Text(channel))
			}
		}
	})
}
