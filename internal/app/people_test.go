package app

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// TestPeople: people ask a whole profbot for all that they can ask for, by both
// ways in, and get it where they asked.
func TestPeople(t *testing.T) {
	t.Parallel()
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, way, "PROFBOT_SLACK_LIMITS_USER=8", "PROFBOT_SLACK_LIMITS_SERVICE=-1")
			first := d.orders()
			d.looks(first)
			d.mutes()
			d.form()
			d.home()
			d.refused()
			if log := d.log.String(); strings.Contains(log, signingSecret) || strings.Contains(log, appToken) || strings.Contains(log, "level=ERROR") {
				t.Errorf("a secret or an error stands in the log:\n%s", log)
			}
		})
	}
}

var incidentID = regexp.MustCompile(`incident ([a-z0-9]{12})`)

// begun is the incident that an answer says was begun.
func (d *desk) begun(a answer) string {
	d.t.Helper()
	m := incidentID.FindAllStringSubmatch(string(a.Blocks), -1)
	if m == nil {
		d.t.Fatalf("the answer names no incident: %s %s", a.Text, a.Blocks)
	}
	return m[len(m)-1][1]
}

// settled counts the messages of a thread that tell a person what they asked
// for, or a proof, to the end.
func settled(thread []slacktest.Message) (orders, proofs int) {
	for _, m := range thread {
		switch b := string(m.Blocks); {
		case strings.Contains(b, "⏳"):
		case strings.Contains(b, "Asked for:"):
			orders++
		case strings.Contains(b, "Asked for by"):
			proofs++
		}
	}
	return orders, proofs
}

// pictures counts the files of a thread by their names.
func (d *desk) pictures(thread []slacktest.Message) map[string]int {
	n := map[string]int{}
	for _, f := range d.slack.Files() {
		for _, m := range thread {
			if slices.Contains(m.Files, f.ID) {
				n[f.Name]++
			}
		}
	}
	return n
}

// orders asks for captures of all sorts, and returns the first one's incident.
func (d *desk) orders() string {
	t := d.t
	t.Helper()
	first := d.begun(d.types(ann, asking, "cpu live\u2013api 1s", "The result comes into this channel"))
	var root slacktest.Message
	d.untilSlack("the verdict is in the channel that it was asked for in", func() bool {
		for _, m := range d.slack.Messages(asking) {
			if strings.Contains(m.Text, "decodes cached JSON") {
				root = m
			}
		}
		return root.TS != "" && whole(d.slack.Thread(asking, root.TS))
	})
	if s := string(root.Blocks); !strings.Contains(s, "Asked for:") || !strings.Contains(s, "CPU profile of live-api, 1 s") || !strings.Contains(s, ann) {
		t.Errorf("nobody can see who asked for what:\n%s", s)
	}
	if n := len(d.slack.Messages(channel)); n != 0 {
		t.Errorf("%d messages in the channel of all incidents", n)
	}

	// All at once: by clicks and in the thread what is told in it, and beside.
	for _, action := range []string{slackbot.ActionHeap, slackbot.ActionGoroutine, slackbot.ActionAgain, slackbot.ActionCompare} {
		if !strings.Contains(string(root.Blocks), action) {
			t.Errorf("the message has no button %s", action)
		}
		d.clicks(ann, asking, root.TS, action, first)
	}
	d.types(ann, asking, "verify "+first, "Verifying the fix")
	d.types(ann, asking, "diff live-api", "It is compared with incident "+first)
	d.says(bob, asking, root.TS, "goroutine") // the thread says of what
	said := d.says(bob, asking, "", "goroutine live-api")
	d.untilSlack("all that was asked for is told", func() bool {
		thread := d.slack.Thread(asking, root.TS)
		orders, proofs := settled(thread)
		all, _ := settled(d.slack.Messages(asking))
		elsewhere, _ := settled(d.slack.Thread(asking, said))
		return orders == 6 && proofs == 1 && all == 2 && elsewhere == 1 && d.pictures(thread)["difference.png"] > 0
	})
	text := ""
	for _, m := range d.slack.Thread(asking, root.TS) {
		text += m.Text + string(m.Blocks) + "\n"
	}
	for _, want := range []string{"heap profile of live-api", "goroutine profile of live-api", "to compare with incident " + first, "Before (95 % interval)", "Profiling live-api"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the thread:\n%s", want, text)
		}
	}
	if !slices.ContainsFunc(d.slack.Messages(asking), func(m slacktest.Message) bool {
		return strings.Contains(string(m.Blocks), "to compare with incident "+first)
	}) {
		t.Errorf("the difference is not in the channel:\n%s", d.slack.Text(asking))
	}
	// The thread of what bob asked for knows what it is about.
	d.says(bob, asking, said, "history")
	d.untilSlack("the thread is answered in it", func() bool {
		return slices.ContainsFunc(d.slack.Thread(asking, said), func(m slacktest.Message) bool { return strings.Contains(m.Text, "The latest of live-api") })
	})
	return first
}

// looks asks for what is known, in all the places that it can be asked for in.
func (d *desk) looks(first string) {
	d.t.Helper()
	for text, want := range map[string]string{
		"status": "profbot is well", "services": "1 service can be profiled: live-api", "history live-api": "The latest of live-api", "help": "cpu SERVICE",
		"why live-api": "asked for by a person", "verify nosuch": "not kept any more", "cpu live-apy": `Did you mean live-api? Known are live-api`,
	} {
		d.types(ann, asking, text, want)
	}
	for in, text := range map[string]string{asking: "status", direct: "services"} {
		ts := d.says(bob, in, "", text)
		d.untilSlack("it is answered in its thread", func() bool { return len(d.slack.Thread(in, ts)) == 2 })
	}
	d.clicks(bob, asking, d.slack.Messages(asking)[0].TS, slackbot.ActionWhy, first)
	d.shown(bob, "pod-1")
	d.types(ann, asking, "digest on", "This channel gets a weekly digest")
	if all, err := d.app.store.Digests(d.t.Context()); err != nil || all[asking].IsZero() {
		d.t.Errorf("digests %v, %v", all, err)
	}
}

// mutes keeps an alert from being profiled.
func (d *desk) mutes() {
	d.t.Helper()
	d.types(ann, asking, "mute live-api 2h", "Muted live-api until")
	var rec incident.Receipt
	status, body := d.alert(d.app, "triggered", "muted", hookToken)
	if err := json.Unmarshal([]byte(body), &rec); err != nil || status != http.StatusOK || rec.Action != incident.ActionRecord || !strings.Contains(rec.Reason, "is muted until") {
		d.t.Errorf("an alert of a muted service: %d %s", status, body)
	}
	d.types(ann, asking, "why live-api", "is muted until")
	d.types(ann, asking, "unmute live-api", "not muted any more")
}

// form fills in the form, as it opens.
func (d *desk) form() {
	d.t.Helper()
	d.types(ann, asking, "", "")
	d.untilSlack("the form is open", func() bool { return len(d.slack.Modals()) == 1 })
	var view struct {
		Callback string `json:"callback_id"`
		Private  string `json:"private_metadata"`
		Blocks   []struct {
			BlockID string `json:"block_id"`
			Element struct {
				Type     string
				ActionID string `json:"action_id"`
				Initial  string `json:"initial_value"`
				Options  []struct{ Text, Value any }
			}
		}
	}
	if err := json.Unmarshal(d.slack.Modals()[0].JSON, &view); err != nil {
		d.t.Fatal(err)
	}
	state := map[string]any{}
	for _, b := range view.Blocks {
		e := map[string]any{"type": b.Element.Type, "value": b.Element.Initial}
		switch b.Element.Type {
		case "static_select":
			e["selected_option"] = b.Element.Options[0]
		case "checkboxes":
			e["selected_options"] = b.Element.Options[3:4] // goroutine
		}
		state[b.BlockID] = map[string]any{b.Element.ActionID: e}
	}
	before, _ := settled(d.slack.Messages(asking))
	a := d.interact(ann, map[string]any{
		"type": "view_submission", "trigger_id": d.slack.Trigger(ann),
		"view": map[string]any{"id": "V1", "callback_id": view.Callback, "private_metadata": view.Private, "state": map[string]any{"values": state}},
	})
	if a.Action != "update" || !strings.Contains(string(a.View), "Profiling live-api") {
		d.t.Errorf("the form: %+v", a)
	}
	d.untilSlack("what the form asked for is told", func() bool { n, _ := settled(d.slack.Messages(asking)); return n == before+1 })
}

func (d *desk) home() {
	d.t.Helper()
	d.event(ann, map[string]any{"type": "app_home_opened", "tab": "home", "channel": direct})
	d.untilSlack("the home is shown", func() bool {
		home := string(d.slack.HomeOf(ann).JSON)
		return strings.Contains(home, "live-api") && strings.Contains(home, "decodes cached JSON") && strings.Contains(home, "Most expensive endpoints")
	})
}

// refused asks for what is too much, and as somebody who may not ask.
func (d *desk) refused() {
	d.t.Helper()
	d.types(ann, asking, "cpu live-api", "the limit is 8")
	d.types(eve, asking, "cpu live-api", "full members of its own workspace only")
	deeds, err := d.app.store.Deeds(d.t.Context(), 100)
	if err != nil || len(deeds) < 20 {
		d.t.Fatalf("%d deeds, %v", len(deeds), err)
	}
	if last := deeds[0]; last.User != eve || last.What != "cpu live-api" || last.Channel != asking || !strings.Contains(last.Refused, "full members") {
		d.t.Errorf("audit log of a stranger: %+v", last)
	}
	if last := deeds[1]; last.User != ann || last.Service != "live-api" || !strings.Contains(last.Refused, "the limit is 8") {
		d.t.Errorf("audit log of one too many: %+v", last)
	}
}
