package slackbot_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// What each command answers, as it is sent.
func TestAnswers(t *testing.T) {
	for name, text := range map[string]string{
		"cpu": "cpu live-api 10s pods=3", "pod": "heap live-api pod=live-api-7d9f-x2", "diff": "diff live-api", "verify": "verify inc-7f3a",
		"history": "history live-api", "history-none": "history gift-api", "services": "services", "status": "status", "why": "why live-api", "why-none": "why nosuch",
		"mute": "mute live-api 2h", "unmute": "unmute live-api", "digest-on": "digest on", "digest-off": "digest off", "help": "help", "help-mute": "help mute",
		"no-service": "cpu live-apy", "no-command": "cqu live-api", "no-pod": "cpu live-api pod=nosuch", "no-incident": "verify inc-gone",
		"no-baseline": "diff gift-api", "envs": "cpu room-api", "no-env": "cpu live-api env=mars", "mute-long": "mute live-api 100d", "mute-how-long": "mute live-api",
		"not-muted": "unmute gift-api",
	} {
		t.Run(name, func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				if name == "unmute" {
					o.typed("mute live-api 1h")
				}
				if name == "status" {
					o.back.mutes = []incident.Mute{{Service: "gift-api", Until: opened.Add(time.Hour), By: bob}}
					o.back.state.Trouble = []string{"Slack has not answered for 12 minutes: 3 incidents wait to be told"}
					o.back.state.Untold, o.back.state.Resting = 3, []string{"room-api until 10:00 UTC: 10 pulls in a row have failed"}
					o.typed("cpu live-api")
				}
				a := o.typed(text)
				if a.Type != "ephemeral" {
					t.Errorf("response type %q", a.Type)
				}
				golden(t, "desk-"+name+".blocks", []byte("# "+a.Text+"\n"+lines(t, a.Blocks)))
				d := o.back.lastDeed(t)
				if d.User != ann || d.Channel != channel || d.What == "" || d.At.IsZero() || (d.Refused != "") != strings.HasPrefix(a.Text, "⚠️") {
					t.Errorf("audit log %+v for %q", d, a.Text)
				}
			})
		})
	}
}

func TestOrder(t *testing.T) {
	for _, tc := range []struct {
		name, text, channel string
		want                incident.Alert
		says                string
	}{
		{
			"whole", "cpu live-api/prod 10s pods=3", channel,
			incident.Alert{
				Key: incident.Key{Service: "live-api", Env: "prod"}, Order: &incident.Order{Kinds: []incident.Kind{incident.KindCPU}, Window: 10 * time.Second, Pods: 3},
				Place: incident.Place{Channel: channel},
			},
			"3 pods, 10s. The result comes into this channel.",
		},
		{
			"the only env, in any case", "goroutine LIVE-API", channel,
			incident.Alert{
				Key: incident.Key{Service: "live-api", Env: "prod"}, Order: &incident.Order{Kinds: []incident.Kind{incident.KindGoroutine}},
				Place: incident.Place{Channel: channel},
			},
			"goroutine of 2 pods, 30s",
		},
		{
			"no more pods than there are", "cpu room-api env=staging pods=9", channel,
			incident.Alert{
				Key: incident.Key{Service: "room-api", Env: "staging"}, Order: &incident.Order{Kinds: []incident.Kind{incident.KindCPU}, Pods: 9},
				Place: incident.Place{Channel: channel},
			},
			"cpu of 1 pod, 30s",
		},
		{
			"a pod", "allocs live-api pod=live-api-7d9f-x2", channel,
			incident.Alert{
				Key: incident.Key{Service: "live-api", Env: "prod"}, Order: &incident.Order{Kinds: []incident.Kind{incident.KindAllocsAfter}}, Pod: "live-api-7d9f-x2",
				Place: incident.Place{Channel: channel},
			},
			"allocs of live-api-7d9f-x2",
		},
		{
			"compared", "diff live-api since=20h", channel,
			incident.Alert{
				Key: incident.Key{Service: "live-api", Env: "prod"}, Order: &incident.Order{Against: "inc-old"}, Place: incident.Place{Channel: channel},
			},
			"compared with incident inc-old, from 26 h ago",
		},
		{
			"where the bot is not", "cpu live-api", other,
			incident.Alert{Key: incident.Key{Service: "live-api", Env: "prod"}, Order: &incident.Order{Kinds: []incident.Kind{incident.KindCPU}}},
			"since @profbot is not in this channel: type /invite @profbot here",
		},
		{
			"where it cannot look", "cpu live-api", private,
			incident.Alert{Key: incident.Key{Service: "live-api", Env: "prod"}, Order: &incident.Order{Kinds: []incident.Kind{incident.KindCPU}}},
			"since @profbot cannot see this channel",
		},
		{
			"between two others", "cpu live-api", "D0OTHERS00",
			incident.Alert{Key: incident.Key{Service: "live-api", Env: "prod"}, Order: &incident.Order{Kinds: []incident.Kind{incident.KindCPU}}},
			"since profbot cannot write into a conversation of others",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			open(t, slackbot.DeskOptions{Pods: 2}, func(t *testing.T, o *office) {
				a := o.typed(tc.text, func(r *receive.Request) { r.Channel = tc.channel })
				got := o.back.orders()
				if len(got) != 1 {
					t.Fatalf("%d orders; %s", len(got), a.Text)
				}
				tc.want.Source, tc.want.ID, tc.want.Cycle, tc.want.Transition, tc.want.RequestedBy, tc.want.At = "slack", "slack/req-1", "slack/req-1", incident.TransitionTriggered, ann, time.Now()
				tc.want.Title = got[0].Title // how it is worded is in the golden files
				if d := cmp.Diff(tc.want, got[0]); d != "" || got[0].Title == "" {
					t.Errorf("(-want +got):\n%s", d)
				}
				if !strings.Contains(a.Text, tc.says) {
					t.Errorf("%q does not say %q", a.Text, tc.says)
				}
				if d := o.back.lastDeed(t); d.Incident != "inc-2" || d.Service != tc.want.Key.Service {
					t.Errorf("audit log %+v", d)
				}
			})
		})
	}
}

// A mention is answered in its thread, and what went wrong is for one person.
func TestMention(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		ts := o.s.Say(channel, "", "ann", "<@U0PROFBOT0> cpu live-api")
		mention := func(text, thread string, change ...func(*receive.Request)) {
			r := o.request(receive.Mention)
			r.Text, r.Channel, r.Message, r.Thread = text, channel, ts, thread
			for _, c := range change {
				c(&r)
			}
			if reply := o.do(r); reply.Body != nil {
				t.Errorf("an event is acknowledged with %v", reply.Body)
			}
			<-time.After(5 * time.Second) // a channel takes a message a second
			synctest.Wait()
		}
		mention("cpu live-api", "")
		thread := o.s.Thread(channel, ts)
		if len(thread) != 2 || !strings.Contains(thread[1].Text, "Profiling live-api (prod)") {
			t.Fatalf("the thread: %+v", thread)
		}
		if d := cmp.Diff(incident.Place{Channel: channel, Thread: ts}, o.back.orders()[0].Place); d != "" {
			t.Errorf("place (-want +got):\n%s", d)
		}
		mention("cpu nosuch", ts)
		seen := o.s.Ephemerals()
		if len(o.s.Thread(channel, ts)) != 2 || len(seen) != 1 || seen[0].ThreadTS != ts || !strings.Contains(seen[0].Text, `there is no service`) && !strings.Contains(seen[0].Text, "There is no service") {
			t.Errorf("a problem: %+v", seen)
		}
		mention("", "")
		if thread := o.s.Thread(channel, ts); len(thread) != 3 || !strings.Contains(thread[2].Text, "@profbot cpu SERVICE") {
			t.Errorf("no words are no help: %+v", thread)
		}

		// In an incident's thread its service is meant.
		told := o.s.Say(channel, "", "profbot", "an incident")
		o.back.past[1].Place = incident.Place{Channel: channel, Thread: told}
		mention("verify", told)
		mention("heap", told)
		if got := o.back.orders(); len(got) != 3 || got[1].Verifies != "inc-7f3a" || got[2].Key.Service != "live-api" {
			t.Errorf("orders %+v", got)
		}

		// In a direct message everything is said there.
		direct := o.s.Say(dm, "", "ann", "cpu nosuch")
		mention("cpu nosuch", "", func(r *receive.Request) { r.Channel, r.Message, r.Direct = dm, direct, true })
		if thread := o.s.Thread(dm, direct); len(thread) != 2 || len(o.s.Ephemerals()) != 1 {
			t.Errorf("the direct message: %+v", thread)
		}
	})
}

func TestClicks(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		root := "1773480413.000001"
		for _, tc := range []struct {
			action string
			want   *incident.Order
			says   string
		}{
			{slackbot.ActionHeap, &incident.Order{Kinds: []incident.Kind{incident.KindHeap}}, "comes into this thread"},
			{slackbot.ActionGoroutine, &incident.Order{Kinds: []incident.Kind{incident.KindGoroutine}}, "Profiling live-api"},
			{slackbot.ActionAgain, &incident.Order{}, "Profiling live-api"},
			{slackbot.ActionCompare, &incident.Order{Against: "inc-old"}, "compared with incident inc-old, from 26 h before this one"},
		} {
			a := o.click(tc.action, "inc-7f3a")
			got := o.back.orders()
			last := got[len(got)-1]
			if d := cmp.Diff(tc.want, last.Order); d != "" || last.Place != (incident.Place{Channel: channel, Thread: root}) || last.RequestedBy != ann {
				t.Errorf("%s: %+v (-want +got):\n%s", tc.action, last, d)
			}
			if !strings.Contains(a.Text, tc.says) {
				t.Errorf("%s: %q", tc.action, a.Text)
			}
		}
		if a := o.click(slackbot.ActionCompare, "inc-old"); !strings.Contains(a.Text, "compared with this incident") {
			t.Errorf("nothing older: %q", a.Text)
		}
		if a := o.click(slackbot.ActionMute, "inc-7f3a"); !strings.Contains(a.Text, "Muted live-api (prod) until") || len(o.back.mutes) != 1 || !o.back.mutes[0].Until.Equal(time.Now().Add(2*time.Hour)) {
			t.Errorf("mute: %q, %+v", a.Text, o.back.mutes)
		}
		why := o.click(slackbot.ActionWhy, "inc-7f3a")
		golden(t, "desk-click-why.blocks", []byte("# "+why.Text+"\n"+lines(t, why.Blocks)))
		if a := o.click(slackbot.ActionVerify, "inc-7f3a"); !strings.Contains(a.Text, "Verifying the fix") || o.back.lastDeed(t).Incident == "" {
			t.Errorf("verify: %q", a.Text)
		}
		for _, action := range []string{slackbot.ActionHeap, slackbot.ActionMute, slackbot.ActionWhy, slackbot.ActionVerify} {
			if a := o.click(action, "inc-gone"); !strings.Contains(a.Text, "not kept any more") || !strings.Contains(a.Text, "/profbot cpu SERVICE") {
				t.Errorf("%s of an incident that is gone: %q", action, a.Text)
			}
		}
		if a := o.click("incident:long-gone", "inc-7f3a"); !strings.Contains(a.Text, "does not know this button") {
			t.Errorf("an unknown button: %q", a.Text)
		}
		// A link that opens by itself is no deed.
		deeds := len(o.back.deeds)
		r := o.request(receive.Click)
		r.Action, r.Value = slackbot.ActionFlame, "inc-7f3a"
		o.do(r)
		if len(o.back.deeds) != deeds {
			t.Error("a link was noted")
		}
	})
}

// Whoever waits for an acknowledgement gets one in time, whatever is slow, and
// the answer later. An order is worth more of that time than a look.
func TestSlow(t *testing.T) {
	for text, most := range map[string]time.Duration{"status": 300 * time.Millisecond, "cpu live-api": 2500 * time.Millisecond} {
		t.Run(text, func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				o.back.hold = make(chan struct{})
				r := o.request(receive.Command)
				r.Text = text
				began := time.Now()
				a := o.read(o.desk.Handle(t.Context(), r).Body)
				if took := time.Since(began); took > most || !strings.Contains(a.Text, "One moment") {
					t.Errorf("acknowledged after %s with %q", took, a.Text)
				}
				if text != "status" {
					golden(t, "desk-late.blocks", []byte("# "+a.Text+"\n"+lines(t, a.Blocks)))
				}
				close(o.back.hold)
				synctest.Wait()
				seen := o.s.Ephemerals()
				if len(seen) != 1 || !seen[0].Response || !strings.Contains(seen[0].Text, "profbot is well") && !strings.Contains(seen[0].Text, "Profiling live-api") {
					t.Fatalf("the answer: %+v", seen)
				}
			})
		})
	}
}

// What was asked for is acknowledged when it is on disk, and written in the
// audit log, not before.
func TestAcknowledgedWhenAccepted(t *testing.T) {
	for _, kind := range []receive.Kind{receive.Command, receive.Mention, receive.Click} {
		t.Run(string(kind), func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				o.back.hold = make(chan struct{})
				r := o.request(kind)
				r.Text, r.Action, r.Value, r.Message = "cpu live-api", slackbot.ActionAgain, "inc-7f3a", "1773480413.000001"
				r.Channel = channel
				acked := make(chan receive.Reply, 1)
				go func() { acked <- o.desk.Handle(t.Context(), r) }()
				time.Sleep(time.Second) // less than Slack waits
				synctest.Wait()
				if len(acked) > 0 {
					t.Error("acknowledged before it was accepted")
				}
				close(o.back.hold)
				synctest.Wait()
				if len(acked) != 1 || len(o.back.orders()) != 1 || o.back.lastDeed(t).Incident == "" {
					t.Fatalf("%d acknowledgements, orders %+v", len(acked), o.back.orders())
				}
				if reply := <-acked; kind == receive.Command && !strings.Contains(o.read(reply.Body).Text, "Profiling live-api") || kind != receive.Command && reply.Body != nil {
					t.Errorf("acknowledged with %v", reply.Body)
				}
			})
		})
	}
}

func TestAnswersTakeAnotherWay(t *testing.T) {
	for name, change := range map[string]func(*office, *receive.Request){
		"used": func(o *office, _ *receive.Request) {
			o.s.FailNext("response", slacktest.Failure{Code: "used_url", Status: 404})
		},
		"broken":     func(o *office, _ *receive.Request) { o.s.FailNext("response", slacktest.Failure{Status: 500}) },
		"elsewhere":  func(_ *office, r *receive.Request) { r.Response = "https://evil.example/x" },
		"plain":      func(_ *office, r *receive.Request) { r.Response = "http://hooks.slack.com/x" },
		"named":      func(_ *office, r *receive.Request) { r.Response = "https://a:b@hooks.slack.com/x" },
		"redirected": func(o *office, _ *receive.Request) { o.s.FailNext("response", slacktest.Failure{Status: 302}) },
	} {
		t.Run(name, func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				r := o.request(receive.Click)
				r.Action, r.Value = slackbot.ActionWhy, "inc-7f3a"
				change(o, &r)
				o.do(r)
				seen := o.s.Ephemerals()
				if len(seen) != 1 || seen[0].Response || seen[0].User != ann {
					t.Errorf("shown: %+v", seen)
				}
			})
		})
	}
	t.Run("too many", func(t *testing.T) {
		open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
			o.s.FailNext("response", slacktest.Failure{RetryAfter: 5 * time.Second})
			r := o.request(receive.Click)
			r.Action, r.Value = slackbot.ActionWhy, "inc-7f3a"
			o.do(r)
			time.Sleep(time.Minute)
			synctest.Wait()
			if seen := o.s.Ephemerals(); len(seen) != 1 || !seen[0].Response {
				t.Errorf("shown: %+v", seen)
			}
		})
	})
}

func TestDown(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		o.back.down = errors.New("the disk of profbot is full: make room in its data folder")
		for _, text := range []string{"cpu live-api", "diff live-api", "services", "status", "history live-api", "why live-api", "mute live-api 1h", "digest on", "verify inc-7f3a", ""} {
			a := o.typed(text)
			if !strings.Contains(strings.ToLower(a.Text), "the disk of profbot is full") {
				t.Errorf("%q: %q", text, a.Text)
			}
			if d := o.back.lastDeed(t); d.Refused == "" {
				t.Errorf("%q was not noted as refused", text)
			}
		}
		if n := len(o.back.orders()); n != 0 {
			t.Errorf("%d orders", n)
		}
	})
}

// More than there are places for is refused at once, and stopping waits for
// what is under way and takes nothing new.
func TestBusyAndStop(t *testing.T) {
	open(t, slackbot.DeskOptions{Limits: slackbot.Limits{User: -1, Service: -1}}, func(t *testing.T, o *office) {
		o.back.hold = make(chan struct{})
		var busy atomic.Int64
		var asking sync.WaitGroup
		for range 40 {
			r := o.request(receive.Command)
			r.Text = "cpu live-api"
			asking.Go(func() {
				data, err := json.Marshal(o.desk.Handle(t.Context(), r).Body)
				if err != nil {
					t.Error(err)
				}
				if strings.Contains(string(data), "too much to do") {
					busy.Add(1)
				}
			})
		}
		asking.Wait()
		if busy.Load() != 8 {
			t.Errorf("%d of 40 were refused, want 8", busy.Load())
		}
		// Where the acknowledgement shows nothing, the person is told beside it.
		if a := o.click(slackbot.ActionAgain, "inc-7f3a"); !strings.Contains(a.Text, "too much to do") {
			t.Errorf("a click: %q", a.Text)
		}
		r := o.request(receive.Mention)
		r.Text, r.Channel, r.Message = "cpu live-api", channel, "1773480413.000001"
		o.do(r)
		told := o.s.Ephemerals()
		if len(told) != 2 || told[1].User != ann || !strings.Contains(told[1].Text, "too much to do") {
			t.Errorf("a mention: %+v", told)
		}
		stopped := make(chan struct{})
		go func() { o.desk.Stop(t.Context()); close(stopped) }()
		synctest.Wait()
		select {
		case <-stopped:
			t.Fatal("stopped before the work was done")
		default:
		}
		close(o.back.hold)
		<-stopped
		if n := len(o.s.Ephemerals()) - len(told); n != 32 || len(o.back.orders()) != 32 {
			t.Errorf("%d answers to 32 orders", n)
		}
		if a := o.typed("status"); !strings.Contains(a.Text, "too much to do") {
			t.Errorf("after the stop: %q", a.Text)
		}
	})
}

// hostileAnswers: what comes from outside stays a text, in every answer.
func TestHostileAnswers(t *testing.T) {
	for i, evil := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				o.back.known[1].Team, o.back.past[0].Headline, o.back.past[0].Proven = evil, evil, evil
				o.back.alerts[0].Alert.Title, o.back.alerts[0].Receipt.Reason = evil, evil
				o.back.state.Trouble, o.back.state.Resting, o.back.state.Version = []string{evil}, []string{evil}, evil
				o.back.offenders[0].Endpoint, o.back.offenders[0].Verdict, o.back.offenders[1].Proven = evil, evil, evil
				u := o.back.incidents["inc-7f3a"]
				u.Incident.Choice, u.Incident.Alert.Title = evil, evil
				o.back.incidents["inc-7f3a"] = u
				for _, text := range []string{evil, "cpu " + evil, "services", "status", "history live-api", "why live-api", "why " + evil, "verify " + evil, "mute " + evil + " 2h"} {
					a := o.typed(text)
					if strings.ContainsAny(a.Text, "<>") || strings.Contains(string(a.Blocks), `"mrkdwn"`) || strings.Contains(string(a.Blocks), `"broadcast"`) {
						t.Errorf("%q: %s\n%s", text, a.Text, a.Blocks)
					}
				}
				a := o.click(slackbot.ActionWhy, "inc-7f3a")
				if strings.Contains(string(a.Blocks), `"mrkdwn"`) {
					t.Errorf("%s", a.Blocks)
				}
				r := o.request(receive.Home)
				o.do(r)
				if home := string(o.s.HomeOf(ann).JSON); home == "" || strings.Contains(home, `"mrkdwn"`) || strings.Contains(home, "evil.example\"}") {
					t.Errorf("home: %s", home)
				}
			})
		})
	}
}

// What no client would send is answered, or left alone.
func TestOddRequests(t *testing.T) {
	open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
		for _, kind := range []receive.Kind{receive.Command, receive.Mention, receive.Click, receive.Submit, receive.Suggest, receive.Home, "unheard of", ""} {
			for _, r := range []receive.Request{
				{Kind: kind},
				{Kind: kind, Team: "T0TEST", User: ann},
				{Kind: kind, Team: "T0TEST", User: ann, View: &receive.View{Callback: "desk:form", Private: "{"}},
				{Kind: kind, Team: "T0TEST", User: ann, Action: slackbot.ActionHeap, Value: strings.Repeat("x", 5000), Response: "::", Text: strings.Repeat("cpu ", 2000)},
			} {
				reply := o.do(r)
				if kind == receive.Command && reply.Body == nil {
					t.Errorf("%+v: no answer", r)
				}
			}
		}
		if n := len(o.back.orders()); n != 0 {
			t.Errorf("%d orders", n)
		}
	})
}

// Several people at once.
func TestTogether(t *testing.T) {
	open(t, slackbot.DeskOptions{Limits: slackbot.Limits{User: 5, Service: -1}}, func(t *testing.T, o *office) {
		var asking sync.WaitGroup
		var taken atomic.Int64
		for i := range 20 {
			r := o.request(receive.Command)
			r.Text = "cpu live-api"
			if i%2 == 0 {
				r.User = bob
			}
			asking.Go(func() {
				data, err := json.Marshal(o.desk.Handle(t.Context(), r).Body)
				if err != nil {
					t.Error(err)
				}
				if strings.Contains(string(data), "Profiling") {
					taken.Add(1)
				}
			})
		}
		asking.Wait()
		if n := len(o.back.orders()); n != 10 || taken.Load() != 10 || len(o.back.deeds) != 20 {
			t.Errorf("%d orders, %d taken, %d deeds", n, taken.Load(), len(o.back.deeds))
		}
	})
}
