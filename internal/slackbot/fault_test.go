package slackbot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// press tells many incidents as the pipeline does: progress is told once and
// briefly, what is final until it is told, with longer and longer pauses or
// when an error says to come back. It survives its own death.
type press struct {
	t       *testing.T
	s       *slacktest.Server
	change  func(*slackbot.Options)
	unit    time.Duration // of the pauses: a second, as the pipeline's
	workers chan struct{}

	mu     sync.Mutex // protects the fields below
	bot    *slackbot.Bot
	ctx    context.Context
	cancel context.CancelCauseFunc
	tries  int
}

func newPress(t *testing.T, s *slacktest.Server, change func(*slackbot.Options)) *press {
	p := &press{t: t, s: s, change: change, unit: time.Second, workers: make(chan struct{}, 64)}
	p.restart()
	return p
}

// restart kills the bot with all that it does, and starts one that knows
// nothing but the ledgers.
func (p *press) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel(errKilled)
	}
	p.bot = newBot(p.t, p.s, p.change)
	p.ctx, p.cancel = context.WithCancelCause(p.t.Context())
}

func (p *press) publish(led *ledger, u slackbot.Update, limit time.Duration) error {
	p.workers <- struct{}{}
	defer func() { <-p.workers }()
	p.mu.Lock()
	bot, ctx := p.bot, p.ctx
	p.tries++
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return bot.Publish(ctx, led, u)
}

// tell brings an incident from its first state to its last.
func (p *press) tell(led *ledger, updates []slackbot.Update, between time.Duration) {
	var notBefore time.Time
	for _, u := range updates {
		for failed := 0; ; {
			final := u.Incident.Status.Final()
			limit := 10 * time.Minute
			if !final {
				limit = 5 * time.Second
			}
			wait := time.Until(notBefore)
			if wait <= 0 {
				err := p.publish(led, u, limit)
				if err == nil {
					break
				}
				if p.t.Context().Err() != nil {
					return
				}
				if wait = retryAfter(err); wait == 0 && final {
					wait = min(p.unit<<min(failed, 9), 300*p.unit)
					failed++
				}
				notBefore = time.Now().Add(wait)
			}
			if !final {
				break
			}
			<-time.After(wait)
		}
		<-time.After(between)
	}
}

func retryAfter(err error) time.Duration {
	var later interface{ RetryAfter() time.Duration }
	if errors.As(err, &later) {
		return later.RetryAfter()
	}
	return 0
}

var stormChannels = []string{channel, "C0LIVETEAM", "C0GIFTTEAM", "C0ROOMTEAM"}

func stormOptions() slacktest.Options {
	opt := slacktest.Options{Rates: true}
	for _, c := range stormChannels {
		opt.Channels = append(opt.Channels, slacktest.Channel{ID: c, Name: strings.ToLower(c)})
	}
	return opt
}

func stormBot(o *slackbot.Options) {
	o.Channels = map[string]string{"svc-1": stormChannels[1], "svc-2": stormChannels[2], "svc-3": stormChannels[3]}
}

// stormIncident is the life of the incident of a number: every fifth fails, and
// every second of the others has a second picture.
func stormIncident(n int) []slackbot.Update {
	st := states()
	updates := append(st[:4:4], st[4])
	if n%2 == 0 {
		updates[4] = differenceState()
	}
	if n%5 == 4 {
		updates[4] = failedState()
	}
	last := updates[4]
	last.Incident.Recovered = opened.Add(4 * time.Minute)
	updates = append(updates, last)
	for i := range updates {
		u := &updates[i]
		u.Incident.ID = fmt.Sprintf("inc-%03d", n)
		u.Incident.Alert.Key.Service = fmt.Sprintf("svc-%d", n%4)
		u.Incident.Opened = opened.Add(time.Duration(n) * time.Second)
	}
	return updates
}

// metadata is what the bot's messages carry.
type metadata struct {
	Payload struct{ Incident, Step string } `json:"event_payload"`
}

// checkTold compares all channels with what n incidents should have left there,
// and returns for how many pictures there is a link instead.
func checkTold(t *testing.T, s *slacktest.Server, incidents [][]slackbot.Update) (links int) {
	t.Helper()
	type key struct{ incident, step string }
	got, files := map[key][]slacktest.Message{}, map[string]string{}
	for _, f := range s.Files() {
		files[f.ID] = f.Name
		if f.Shares > 1 {
			t.Errorf("file %s %s is there %d times", f.ID, f.Name, f.Shares)
		}
	}
	total := 0
	for _, c := range stormChannels {
		for _, root := range s.Messages(c) {
			var of metadata
			if err := json.Unmarshal(root.Metadata, &of); err != nil {
				t.Fatal(err)
			}
			for _, m := range s.Thread(c, root.TS) {
				total++
				k := key{incident: of.Payload.Incident, step: "file"}
				if len(m.Files) > 0 {
					k.step = files[m.Files[0]]
				} else {
					var meta metadata
					if err := json.Unmarshal(m.Metadata, &meta); err != nil {
						t.Fatal(err)
					}
					if k.step = meta.Payload.Step; meta.Payload.Incident != k.incident {
						t.Errorf("a message of incident %s in the thread of %s", meta.Payload.Incident, k.incident)
					}
				}
				got[k] = append(got[k], m)
			}
		}
	}
	want := 0
	for n, updates := range incidents {
		u := updates[len(updates)-1]
		once := func(step string, msg *slackbot.Message) {
			want++
			ms := got[key{u.Incident.ID, step}]
			if len(ms) == 0 && strings.HasSuffix(step, ".png") {
				ms = got[key{u.Incident.ID, map[string]string{"flame.png": "picture-link", "difference.png": "picture-diff-link"}[step]}]
				links++
			}
			if len(ms) != 1 {
				t.Errorf("incident %s: %d of %q, want 1", u.Incident.ID, len(ms), step)
				return
			}
			if ms[0].Channel != stormChannels[n%4] {
				t.Errorf("incident %s: %q is in %s", u.Incident.ID, step, ms[0].Channel)
			}
			if step == "recovered" != ms[0].Broadcast {
				t.Errorf("incident %s: %q is broadcast: %t", u.Incident.ID, step, ms[0].Broadcast)
			}
			if msg == nil {
				return
			}
			if d := cmp.Diff(string(mustJSON(t, msg.Blocks)), string(ms[0].Blocks)); d != "" || ms[0].Text != msg.Text {
				t.Errorf("incident %s: %q says %q (-want +got):\n%s", u.Incident.ID, step, ms[0].Text, d)
			}
		}
		root, details := slackbot.RenderRoot(u, false), slackbot.RenderDetails(u)
		once("root", &root)
		once("recovered", nil)
		if u.Report != nil {
			once("details", &details)
			once("flame.png", nil)
		}
		if u.Diff != nil {
			once("difference.png", nil)
		}
	}
	if total != want {
		t.Errorf("%d messages in all, want %d", total, want)
	}
	return links
}

// TestFaultRun is the bar: 200 incidents while Slack answers 30 % of all calls
// badly, with its rates enforced, and profbot dies twice in the middle.
func TestFaultRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		opt := stormOptions()
		opt.Faults = slacktest.Faults{Seed: 7, Rate: 0.3}
		s := slacktest.New(opt)
		p := newPress(t, s, stormBot)
		incidents := make([][]slackbot.Update, n)
		began := time.Now()
		var telling sync.WaitGroup
		for i := range incidents {
			incidents[i] = stormIncident(i)
			telling.Go(func() {
				<-time.After(time.Duration(i) * 500 * time.Millisecond)
				p.tell(newLedger(), incidents[i], 10*time.Second)
			})
		}
		for range 2 {
			time.Sleep(3 * time.Minute) // the clock of the bubble
			p.restart()
		}
		telling.Wait()
		took := time.Since(began)

		links := checkTold(t, s, incidents)
		if links > 4 { // a picture that ten tries in a row could not bring
			t.Errorf("%d pictures are only linked", links)
		}
		if over := s.Over(); len(over) != 0 {
			t.Errorf("calls beyond what Slack allows: %v", over)
		}
		if took > 2*time.Hour { // most of it pauses of the unluckiest
			t.Errorf("it took %s", took)
		}
		calls := map[string]int{}
		for _, m := range []string{"chat.postMessage", "chat.update", "conversations.history", "conversations.replies", "files.getUploadURLExternal", "upload", "files.completeUploadExternal", "files.info", "auth.test"} {
			calls[m] = len(s.Calls(m))
		}
		faults := s.Injected()
		if len(faults) != 5 || faults[slacktest.FaultSilence] < 50 {
			t.Errorf("faults %v", faults)
		}
		t.Logf("%s of the bubble's time, %d tries, calls %v, faults %v, %d links in place of pictures", took.Round(time.Second), p.tries, calls, faults, links)
	})
}

// TestFaultsOnARealConnection: the same over TCP, where a reset is one.
func TestFaultsOnARealConnection(t *testing.T) {
	t.Parallel()
	const n = 4
	opt := stormOptions()
	opt.Faults = slacktest.Faults{Seed: 11, Rate: 0.3}
	s, err := slacktest.NewServer(opt)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := newPress(t, s, func(o *slackbot.Options) {
		stormBot(o)
		o.HTTPClient = &http.Client{Timeout: 2 * time.Second} // what is never answered
	})
	p.unit = 10 * time.Millisecond
	incidents := make([][]slackbot.Update, n)
	var telling sync.WaitGroup
	for i := range incidents {
		incidents[i] = stormIncident(i)[4:]
		telling.Go(func() { p.tell(newLedger(), incidents[i], 0) })
	}
	telling.Wait()
	if links := checkTold(t, s, incidents); links > 1 {
		t.Errorf("%d pictures are only linked", links)
	}
	if len(s.Injected()) == 0 {
		t.Error("nothing went wrong")
	}
	t.Logf("faults %v", s.Injected())
}

// logs counts the lines of a log that hold some words.
type logs struct {
	mu   sync.Mutex // protects text
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// An hour without Slack: what is untold waits, Slack is asked now and then, the
// log says so once, and afterwards everything is told soon.
func TestAnHourWithoutSlack(t *testing.T) {
	for name, tc := range map[string]struct {
		begin func(s *slacktest.Server, hour time.Time)
		words string
	}{
		"down":    {func(s *slacktest.Server, hour time.Time) { s.DownUntil(hour) }, "Slack does not take anything since 1 Jan 00:01 UTC: "},
		"revoked": {func(s *slacktest.Server, _ time.Time) { s.Refuse("token_revoked") }, "Slack does not take anything since 1 Jan 00:01 UTC: slack "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 12
				s := slacktest.New(stormOptions())
				log := &logs{}
				p := newPress(t, s, func(o *slackbot.Options) {
					stormBot(o)
					o.Logger = slog.New(slog.NewTextHandler(log, nil))
				})
				incidents := make([][]slackbot.Update, n)
				var telling sync.WaitGroup
				for i := range incidents {
					incidents[i] = stormIncident(i)
					telling.Go(func() {
						<-time.After(time.Duration(i) * 8 * time.Second)
						p.tell(newLedger(), incidents[i], 10*time.Second)
					})
				}
				time.Sleep(70 * time.Second) // the clock of the bubble
				hour := time.Now().Add(time.Hour)
				tc.begin(s, hour)
				time.Sleep(30 * time.Minute)
				trouble := p.bot.Trouble()
				if len(trouble) != 1 || !strings.HasPrefix(trouble[0], tc.words) || !strings.HasSuffix(trouble[0], " incidents wait") {
					t.Errorf("trouble %q", trouble)
				}
				if name == "revoked" && !strings.Contains(strings.Join(trouble, ""), "token_revoked: the bot token does not work any more: install the app") {
					t.Errorf("%q does not say what to do", trouble)
				}
				calls := func() (out int) {
					for _, m := range []string{"chat.postMessage", "chat.update", "conversations.history", "conversations.replies", "files.getUploadURLExternal", "files.completeUploadExternal", "files.info", "auth.test"} {
						out += len(s.Calls(m))
					}
					return out
				}
				before := calls()
				time.Sleep(10 * time.Minute)
				if asked := calls() - before; asked < 10 || asked > 60 {
					t.Errorf("Slack was asked %d times in ten minutes, want 10 to 60", asked)
				}
				time.Sleep(time.Until(hour))
				s.Refuse("")
				telling.Wait()
				if took := time.Since(hour); took > 10*time.Minute {
					t.Errorf("all was told only after %s", took)
				}
				if links := checkTold(t, s, incidents); links != 0 {
					t.Errorf("%d pictures are only linked", links)
				}
				if a, b := log.count("telling does not work"), log.count("telling works again"); a != 1 || b != 1 {
					t.Errorf("logged %d times that it does not work and %d times that it does, want 1 and 1:\n%s", a, b, log.text.String())
				}
				if trouble := p.bot.Trouble(); len(trouble) != 0 {
					t.Errorf("trouble %q in the end", trouble)
				}
			})
		})
	}
}
