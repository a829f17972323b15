package slackbot_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

const teamChannel = "C0LIVETEAM"

func toTeam(o *slackbot.Options) { o.Channels = map[string]string{"live-api": teamChannel} }

func teamAnd(team slacktest.Channel) []slacktest.Channel {
	team.ID, team.Name = teamChannel, "live-team"
	return []slacktest.Channel{{ID: channel, Name: "ops"}, team}
}

// Where a service's channel takes no messages, its incidents are told in the
// channel for all, which says why, from the first state to the last.
func TestChannelThatTakesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		team   slacktest.Channel
		scopes []string
		joins  int
		here   bool // told in the team's channel after all
		says   string
	}{
		"archived":             {team: slacktest.Channel{Archived: true}, says: "Told here, since [mention C0LIVETEAM] is archived."},
		"private, not invited": {team: slacktest.Channel{Private: true, Outside: true}, says: "Told here, since [mention C0LIVETEAM] cannot be found; if it is private, type /invite"},
		"public, not in it":    {team: slacktest.Channel{Outside: true}, joins: 1, here: true},
		"public, may not join": {
			team: slacktest.Channel{Outside: true}, joins: 1, scopes: []string{"chat:write", "files:write", "files:read", "channels:history"},
			says: "Told here, since [mention C0LIVETEAM] does not have the bot in it; type /invite",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{Channels: teamAnd(tc.team), Scopes: tc.scopes})
				b := newBot(t, s, toTeam)
				led := newLedger()
				for i, u := range states() {
					if err := b.Publish(t.Context(), led, u); err != nil {
						t.Fatalf("state %d: %v", i, err)
					}
					if text := s.Text(channel); !tc.here && strings.Count(text, tc.says) != 1 {
						t.Fatalf("state %d does not say %q once:\n%s", i, tc.says, text)
					}
					time.Sleep(10 * time.Second) // the clock of the bubble
				}
				if err := b.Publish(t.Context(), newLedger(), anotherState()); err != nil {
					t.Fatal(err)
				}
				want := map[bool][2]int{true: {0, 2}, false: {2, 0}}[tc.here]
				if got := [2]int{len(s.Messages(channel)), len(s.Messages(teamChannel))}; got != want {
					t.Errorf("%v messages in the channel for all and the team's, want %v", got, want)
				}
				if got := len(s.Calls("conversations.join")); got != tc.joins {
					t.Errorf("tried to join %d times, want %d", got, tc.joins)
				}
				// Status names the channel until it works.
				trouble := strings.Join(b.Trouble(), "\n")
				if got := strings.Contains(trouble, "chat.postMessage in "+teamChannel+" does not work since"); got == tc.here {
					t.Errorf("trouble %q", trouble)
				}
			})
		})
	}
}

func anotherState() slackbot.Update {
	u := states()[0]
	u.Incident.ID = "inc-other"
	return u
}

// The channel for all has no other: its incidents wait, and are told when it is
// there again.
func TestOnlyChannelArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		log := &logs{}
		b, led := newBot(t, s, func(o *slackbot.Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) }), newLedger()
		s.Archive(channel, true)
		for range 4 {
			if err := b.Publish(t.Context(), led, doneState()); err == nil || !strings.Contains(err.Error(), "bring it back") {
				t.Fatalf("error %v does not say what to do", err)
			}
			time.Sleep(5 * time.Minute) // the clock of the bubble
		}
		want := []string{`chat.postMessage in C0PROFBOT0 does not work since 1 Jan 00:00 UTC: slack chat.postMessage for "C0PROFBOT0": is_archived: ` +
			`the channel is archived: bring it back or configure another one; 1 incident waits`}
		if d := cmp.Diff(want, b.Trouble()); d != "" {
			t.Errorf("trouble (-want +got):\n%s", d)
		}
		s.Archive(channel, false)
		if err := b.Publish(t.Context(), led, doneState()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(shape{1, 1, 1}, shapeOf(s)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if b.Trouble() != nil || log.count("telling does not work") != 1 || log.count("telling works again") != 1 {
			t.Errorf("trouble %q; logged:\n%s", b.Trouble(), log.text.String())
		}
	})
}

// Killed at any point on the way to the other channel, there is one message.
func TestMovedAndKilledAnywhere(t *testing.T) {
	run := func(t *testing.T, k *killer) *slacktest.Server {
		s := slacktest.New(slacktest.Options{
			Channels: teamAnd(slacktest.Channel{Outside: true, Archived: true}),
			Before:   func(m string) { k.point("call before " + m) },
			After:    func(m string) { k.point("call after " + m) },
		})
		led := newLedger()
		led.point = k.point
		for tries := 0; ; tries++ {
			if tries == 20 {
				t.Fatalf("not told after %d tries; points: %v", tries, k.trace)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			k.cancel = cancel
			err := newBot(t, s, toTeam).Publish(ctx, led, failedState())
			cancel(nil)
			if err == nil {
				return s
			}
			time.Sleep(2 * time.Second) // the clock of the bubble
		}
	}
	var points []string
	synctest.Test(t, func(t *testing.T) {
		k := &killer{}
		run(t, k)
		points = k.trace
	})
	if len(points) < 10 {
		t.Fatalf("only %d points to be killed at: %v", len(points), points)
	}
	for i, name := range points {
		for _, spare := range []bool{false, true} {
			t.Run(fmt.Sprintf("%02d %s %t", i, name, spare), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k := &killer{at: []int{i}, spare: spare}
					s := run(t, k)
					if len(k.at) != 0 {
						t.Fatalf("point %d was never reached", i)
					}
					if text := s.Text(channel); len(s.Messages(channel)) != 1 || strings.Count(text, "Told here, since") != 1 {
						t.Errorf("points: %s\n%s", strings.Join(k.trace, "\n"), text)
					}
				})
			})
		}
	}
}
