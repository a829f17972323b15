package slackbot_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// Whoever is not a full member of the workspace gets nothing, not even a look.
func TestOutsiders(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*office, *receive.Request)
		says   string
	}{
		"another workspace": {func(_ *office, r *receive.Request) { r.Team = "T0OTHER" }, "its own workspace only"},
		"no workspace":      {func(_ *office, r *receive.Request) { r.Team = "" }, "its own workspace only"},
		"a shared channel":  {func(_ *office, r *receive.Request) { r.UserTeam = "T0OTHER" }, "its own workspace only"},
		"a guest":           {func(_ *office, r *receive.Request) { r.User = guest }, "does not answer guests"},
		"nobody":            {func(_ *office, r *receive.Request) { r.User = "U0NOBODY00" }, "could not ask Slack whether you are a full member"},
		"a stranger": {func(o *office, r *receive.Request) {
			o.s.AddUser(slacktest.User{ID: bob, Stranger: true})
			r.User = bob
		}, "its own workspace only"},
		"a person of elsewhere": {func(o *office, r *receive.Request) {
			o.s.AddUser(slacktest.User{ID: bob, Team: "T0OTHER"})
			r.User = bob
		}, "its own workspace only"},
		"a bot":            {func(o *office, r *receive.Request) { o.s.AddUser(slacktest.User{ID: bob, Bot: true}); r.User = bob }, "its own workspace only"},
		"one who has left": {func(o *office, r *receive.Request) { o.s.AddUser(slacktest.User{ID: bob, Deleted: true}); r.User = bob }, "its own workspace only"},
		"Slack does not know": {func(o *office, _ *receive.Request) {
			o.s.FailNext("users.info", slacktest.Failure{Code: "missing_scope"})
		}, "could not ask Slack"},
		"nor who the bot is": {func(o *office, _ *receive.Request) {
			o.s.FailNext("auth.test", slacktest.Failure{Code: "internal_error"})
		}, "which workspace it is in"},
	} {
		t.Run(name, func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				for _, text := range []string{"cpu live-api", "services", "", "help"} {
					a := o.typed(text, func(r *receive.Request) { tc.change(o, r) })
					if !strings.Contains(a.Text, tc.says) {
						t.Errorf("%q: %q", text, a.Text)
					}
					if d := o.back.lastDeed(t); d.Refused == "" || d.Incident != "" {
						t.Errorf("%q: audit log %+v", text, d)
					}
				}
				if len(o.back.orders()) > 0 || len(o.s.Modals()) > 0 {
					t.Error("something was done")
				}
				r := o.request(receive.Suggest)
				r.Action = slackbot.ActionService
				tc.change(o, &r)
				if reply := o.do(r); strings.Contains(fmt.Sprintf("%+v", reply.Body), "live-api") {
					t.Error("the services were suggested")
				}
				r = o.request(receive.Home)
				tc.change(o, &r)
				o.do(r)
				if home := string(o.s.HomeOf(r.User).JSON); !strings.Contains(home, "⚠️") || strings.Contains(home, "live-api") {
					t.Errorf("the home: %s", home)
				}
			})
		})
	}
	open(t, slackbot.DeskOptions{Teams: []string{"T0OTHER"}}, func(t *testing.T, o *office) {
		o.s.AddUser(slacktest.User{ID: bob, Team: "T0OTHER"})
		if a := o.typed("cpu live-api", func(r *receive.Request) { r.User, r.Team = bob, "T0OTHER" }); !strings.Contains(a.Text, "Profiling") {
			t.Errorf("a configured workspace: %q", a.Text)
		}
		if a := o.typed("cpu live-api"); !strings.Contains(a.Text, "its own workspace only") {
			t.Errorf("another than the configured: %q", a.Text)
		}
	})
}

func TestRights(t *testing.T) {
	const group = "S0ONCALL00"
	rights := []slackbot.Right{
		{Users: []string{ann}, Services: []string{"live-*"}, May: []slackbot.May{slackbot.MayCapture, slackbot.MayVerify}},
		{Groups: []string{group}, Channels: []string{channel}},
	}
	for _, tc := range []struct {
		name, user, text, channel string
		says                      string // of the refusal; "" for none
	}{
		{"hers", ann, "cpu live-api", other, ""},
		{"hers, compared", ann, "diff live-api", channel, ""},
		{"hers, proven", ann, "verify inc-7f3a", channel, ""},
		{"another service", ann, "cpu gift-api", channel, "You may not profile gift-api: ask @" + group},
		{"another deed", ann, "mute live-api 2h", channel, "You may not mute live-api: ask @" + group},
		{"ended neither", ann, "unmute live-api", channel, "You may not mute live-api: ask @" + group},
		{"the channel", ann, "digest on", channel, "You may not set this channel's digest: ask @" + group},
		{"the group's", bob, "mute gift-api 2h", channel, ""},
		{"the group's, elsewhere", bob, "mute gift-api 2h", other, "You may not mute gift-api: you may in #" + channel},
		{"looking needs none", bob, "services", other, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			open(t, slackbot.DeskOptions{Rights: rights}, func(t *testing.T, o *office) {
				o.s.SetGroup(group, bob)
				a := o.typed(tc.text, func(r *receive.Request) { r.User, r.Channel = tc.user, tc.channel })
				d := o.back.lastDeed(t)
				if tc.says != "" {
					golden(t, "desk-denied-"+strings.NewReplacer(" ", "-", "'", "", ",", "").Replace(tc.name)+".blocks", []byte("# "+a.Text+"\n"+lines(t, a.Blocks)))
				}
				if tc.says == "" && d.Refused != "" || !strings.Contains(d.Refused, tc.says) || !strings.Contains(a.Text, tc.says) {
					t.Errorf("%q; audit log %+v", a.Text, d)
				}
			})
		})
	}
	// Who is in a group is not known: nobody gets its right, and is told why.
	open(t, slackbot.DeskOptions{Rights: rights}, func(t *testing.T, o *office) {
		a := o.typed("mute gift-api 1h", func(r *receive.Request) { r.User = bob })
		if !strings.Contains(a.Text, "could not look who is in the user group") || !strings.Contains(a.Text, "no_such_subteam") {
			t.Errorf("%q", a.Text)
		}
		o.s.SetGroup(group, bob)
		if a := o.typed("mute gift-api 1h", func(r *receive.Request) { r.User = bob }); !strings.Contains(a.Text, "Muted") {
			t.Errorf("once it is known: %q", a.Text)
		}
		// It is asked for once in five minutes, and who is out is out then.
		o.s.SetGroup(group)
		asked := len(o.s.Calls("usergroups.users.list"))
		o.typed("mute gift-api 1h", func(r *receive.Request) { r.User = bob })
		if n := len(o.s.Calls("usergroups.users.list")); n != asked {
			t.Errorf("asked %d times more", n-asked)
		}
		time.Sleep(6 * time.Minute)
		if a := o.typed("mute gift-api 1h", func(r *receive.Request) { r.User = bob }); !strings.Contains(a.Text, "You may not mute") {
			t.Errorf("out of the group: %q", a.Text)
		}
	})
	open(t, slackbot.DeskOptions{Rights: []slackbot.Right{{Services: []string{"none"}}}}, func(t *testing.T, o *office) {
		if a := o.typed("cpu live-api"); !strings.Contains(a.Text, "nobody may. Ask who runs profbot") {
			t.Errorf("%q", a.Text)
		}
	})
	for _, r := range []slackbot.Right{{May: []slackbot.May{"fly"}}, {Services: []string{"[a"}}} {
		if _, err := slackbot.NewDesk(newBot(t, slacktest.New(slacktest.Options{})), newBackend(), slackbot.DeskOptions{Rights: []slackbot.Right{r}}); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

func TestAskingLimits(t *testing.T) {
	open(t, slackbot.DeskOptions{Limits: slackbot.Limits{User: 3, Service: 4}}, func(t *testing.T, o *office) {
		by := func(user, text string) string {
			return o.typed(text, func(r *receive.Request) { r.User = user }).Text
		}
		for i := range 3 {
			if a := by(ann, "cpu live-api"); !strings.Contains(a, "Profiling") {
				t.Fatalf("%d: %q", i, a)
			}
			time.Sleep(10 * time.Minute)
		}
		if a := by(ann, "cpu gift-api"); !strings.Contains(a, "You have asked for 3 captures within the hour, and the limit is 3. The next is possible at 10:26 UTC, in 30 min") {
			t.Errorf("one too many of a person: %q", a)
		}
		limit := o.typed("cpu gift-api")
		golden(t, "desk-limit.blocks", []byte("# "+limit.Text+"\n"+lines(t, limit.Blocks)))
		if a := by(ann, "verify inc-7f3a"); !strings.Contains(a, "the limit is 3") {
			t.Errorf("a verification: %q", a)
		}
		// What came to nothing does not count, and neither does looking.
		for range 5 {
			if a := by(bob, "cpu live-api pod=nosuch"); !strings.Contains(a, "has no pod") {
				t.Fatal(a)
			}
			by(bob, "services")
		}
		if a := by(bob, "cpu live-api"); !strings.Contains(a, "Profiling") {
			t.Errorf("the other person: %q", a)
		}
		if a := by(bob, "cpu live-api"); !strings.Contains(a, "People have asked for 4 captures of this service within the hour, and the limit is 4. The next is possible at 10:26 UTC") {
			t.Errorf("one too many of a service: %q", a)
		}
		// A restart forgives nothing.
		desk, err := slackbot.NewDesk(newBot(t, o.s), o.back, slackbot.DeskOptions{Limits: slackbot.Limits{User: 3, Service: 4}})
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Stop(t.Context())
		o.desk.Stop(t.Context())
		o.desk = desk
		if a := by(ann, "cpu gift-api"); !strings.Contains(a, "The next is possible at 10:26 UTC, in 30 min") {
			t.Errorf("after a restart: %q", a)
		}
		time.Sleep(31 * time.Minute)
		if a := by(ann, "cpu gift-api"); !strings.Contains(a, "Profiling") {
			t.Errorf("when it is possible again: %q", a)
		}
	})
}

// Channels by service, team and tag; the first that fits.
func TestRoutes(t *testing.T) {
	routes := func(o *slackbot.Options) {
		o.Channels = map[string]string{"room-api": "C0ROOM0000"}
		o.Owners = map[string]string{"gift-api": "money"}
		o.Routes = []slackbot.Route{
			{Service: "chat-api", Channel: "C0CHAT0000"}, {Team: "money", Channel: "C0MONEY000"}, {Tag: "tier:1", Channel: "C0TIER1000"}, {Team: "live", Channel: "C0LIVE0000"},
		}
	}
	s := slacktest.New(slacktest.Options{Channels: []slacktest.Channel{
		{ID: channel}, {ID: "C0ROOM0000"}, {ID: "C0CHAT0000"}, {ID: "C0MONEY000"}, {ID: "C0TIER1000"}, {ID: "C0LIVE0000"},
	}})
	b := newBot(t, s, routes)
	for _, tc := range []struct {
		service, want string
		tags          []string
	}{
		{"live-api", channel, nil},
		{"room-api", "C0ROOM0000", []string{"tier:1"}},
		{"chat-api", "C0CHAT0000", []string{"tier:1"}},
		{"gift-api", "C0MONEY000", nil},
		{"live-api", "C0LIVE0000", []string{"env:prod", "team:live"}},
		{"live-api", "C0TIER1000", []string{"team:live", "tier:1"}},
		{"live-api", channel, []string{"team:other", "tier:10", "team"}},
	} {
		inc := anIncident(incident.StatusAccepted)
		inc.Alert.Key.Service, inc.Alert.Tags = tc.service, tc.tags
		before := len(s.Messages(tc.want))
		if err := b.Publish(t.Context(), newLedger(), slackbot.Update{Incident: inc}); err != nil || len(s.Messages(tc.want)) != before+1 {
			t.Errorf("%s %v is not told in %s: %v", tc.service, tc.tags, tc.want, err)
		}
	}
	if err := b.Check(t.Context()); err != nil || len(s.Calls("conversations.info")) != 6 {
		t.Errorf("%d channels checked: %v", len(s.Calls("conversations.info")), err)
	}
	if _, err := slackbot.New(slackbot.Options{Token: "x", Channel: channel, Routes: []slackbot.Route{{Team: "a", Channel: "#ops"}}}); err == nil {
		t.Error("a route to a name was taken")
	}
}

// What commands need of the app is looked at where there are commands.
func TestCheckLooksAtCommands(t *testing.T) {
	s := slacktest.New(slacktest.Options{Scopes: []string{"chat:write", "files:write", "files:read", "channels:read", "channels:history", "commands", "users:read"}})
	if err := newBot(t, s).Check(t.Context()); err != nil {
		t.Error(err)
	}
	err := newBot(t, s, func(o *slackbot.Options) { o.Asked = true }).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "scope app_mentions:read: the token lacks it") || !strings.Contains(err.Error(), "scope im:history") || strings.Contains(err.Error(), "scope users:read") {
		t.Errorf("error %v", err)
	}
}
