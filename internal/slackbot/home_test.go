package slackbot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

func TestHome(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		o.do(o.request(receive.Home))
		golden(t, "desk-home.view.json", indented(t, o.s.HomeOf(ann).JSON))

		r := o.request(receive.Home)
		r.User = guest
		o.do(r)
		golden(t, "desk-home-guest.view.json", indented(t, o.s.HomeOf(guest).JSON))

		// What cannot be looked up is said, and the rest is there.
		o.back.down = errors.New("the database is locked: try again")
		o.do(o.request(receive.Home))
		if home := string(o.s.HomeOf(ann).JSON); strings.Count(home, "cannot be shown at the moment: the database is locked") != 4 {
			t.Errorf("%s", home)
		}
		o.back.down = nil

		// The status, in a view since there is no channel.
		r = o.request(receive.Click)
		r.Action, r.Channel, r.Response = slackbot.ActionStatus, "", ""
		o.do(r)
		if m := o.s.Modals(); len(m) != 1 || !strings.Contains(string(m[0].JSON), "profbot is well") {
			t.Errorf("modals %s", m)
		} else {
			golden(t, "desk-status-form.view.json", indented(t, m[0].JSON))
		}
		r = o.request(receive.Click)
		r.Action, r.Channel, r.Response = slackbot.ActionProfile, "", ""
		o.do(r)
		if m := o.s.Modals(); len(m) != 2 || !strings.Contains(string(m[1].JSON), `"desk:form"`) {
			t.Errorf("modals %s", m)
		}
	})
	open(t, slackbot.DeskOptions{Rights: []slackbot.Right{
		{Users: []string{bob}, Services: []string{"live-*"}, Channels: []string{channel}, May: []slackbot.May{slackbot.MayCapture}},
	}}, func(t *testing.T, o *office) {
		for user, says := range map[string]string{bob: "capture: live-*, in 1 channel", ann: "profile nothing: ask who runs profbot"} {
			r := o.request(receive.Home)
			r.User = user
			o.do(r)
			if home := string(o.s.HomeOf(user).JSON); !strings.Contains(home, says) {
				t.Errorf("%s is not told %q: %s", user, says, home)
			}
		}
	})
}

// A home with as much as there can be is one that Slack takes.
func TestFullHome(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		long := strings.Repeat("😀 very long \"words\" & <more> ", 40)
		for i := range 300 {
			inc := anIncident(incident.StatusCapturing)
			inc.ID = fmt.Sprint("inc-", i, long)
			p := slackbot.Past{Incident: inc, Headline: long, Proven: long, Report: "https://profbot.example.com/r/" + strings.Repeat("x", 2000)}
			o.back.past = append(o.back.past, p)
			o.back.known = append(o.back.known, slackbot.Known{Service: fmt.Sprint(long, i), Env: long, Team: long, Last: &p})
			o.back.offenders = append(o.back.offenders, slackbot.Offender{Service: long, Env: long, Endpoint: long, Verdict: long, Incident: long, Proven: long, At: opened, Cores: 1e9, Share: analysis.Share{Part: 1}})
			o.back.mutes = append(o.back.mutes, incident.Mute{Service: long, Until: opened.Add(time.Hour)})
			o.back.alerts = append(o.back.alerts, slackbot.Received{At: opened, Alert: inc.Alert, Receipt: incident.Receipt{Reason: long, Incident: long}})
			o.back.state.Trouble = append(o.back.state.Trouble, long)
			o.back.state.Resting = append(o.back.state.Resting, long)
		}
		o.do(o.request(receive.Home))
		if o.s.HomeOf(ann).JSON == nil {
			t.Error("the home was not taken")
		}
		for _, text := range []string{"services", "status", "history live-api", "why live-api", "cpu nosuch", "help"} {
			a := o.typed(text) // holds it to the limits
			if a.Text == "" || !strings.Contains(string(a.Blocks), "elements") {
				t.Errorf("%q: %+v", text, a)
			}
			if text != "cpu nosuch" && !strings.Contains(string(a.Blocks), "rich_text_list") {
				t.Errorf("%q: a list is left out: %s", text, a.Blocks)
			}
		}
		o.do(o.request(receive.Command)) // the form
		if len(o.s.Modals()) != 1 {
			t.Error("the form was not taken")
		}
	})
}

// An open home follows what happens, no more often than it changes, and is
// left alone after a while.
func TestHomeIsKeptFresh(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go o.desk.Run(ctx)
		published := func() int { return len(o.s.Calls("views.publish")) }
		o.do(o.request(receive.Home))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := published(); n != 1 {
			t.Errorf("published %d times although nothing changed", n)
		}
		o.typed("cpu gift-api")
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if home := string(o.s.HomeOf(ann).JSON); published() != 2 || !strings.Contains(home, "inc-2") {
			t.Errorf("published %d times: %s", published(), home)
		}
		o.s.FailNext("views.publish", slacktest.Failure{Code: "internal_error"})
		o.typed("cpu live-api")
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if home := string(o.s.HomeOf(ann).JSON); !strings.Contains(home, "inc-3") {
			t.Errorf("not tried again: %s", home)
		}
		time.Sleep(15 * time.Minute)
		o.typed("cpu room-api env=prod")
		before := published()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := published(); n != before {
			t.Errorf("published %d times more for who has gone", n-before)
		}
		o.do(o.request(receive.Home))
		if home := string(o.s.HomeOf(ann).JSON); !strings.Contains(home, "inc-4") {
			t.Errorf("opened again: %s", home)
		}
	})
}
