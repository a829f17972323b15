package slackbot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// verification is an incident that is to prove the fix of the fixture's.
func verification(status incident.Status) incident.Incident {
	inc := anIncident(status)
	inc.ID, inc.Choice = "inc-8b20", choice
	inc.Alert.Source, inc.Alert.Verifies, inc.Alert.RequestedBy, inc.Recovered = "verify", "inc-7f3a", "Rosa", time.Time{}
	return inc
}

func comparison(outcome analysis.Outcome, after analysis.Share) *analysis.Comparison {
	return &analysis.Comparison{
		Before: 310, After: 1240,
		Endpoints: []analysis.Change{{
			Name: "GET /live/list", Rule: analysis.RuleCacheDecode, Before: share(2487, 4012), After: after,
			CPUBefore: share(4012, 9204), CPUAfter: share(900, 5200), Outcome: outcome,
		}},
	}
}

func proofStates() map[string]slackbot.Update {
	done := slackbot.Update{
		Incident: verification(incident.StatusDone), Captures: captures(4), Report: aReport(), Picture: aPicture(),
		ReportURL: "https://profbot.example.com/r/def", FlameURL: "https://profbot.example.com/r/def/flame.html",
	}
	proven, same := done, done
	proven.Proof = comparison(analysis.OutcomeFixed, share(9, 900))
	same.Proof = comparison(analysis.OutcomeSame, share(558, 900))
	same.Proof.Before, same.Proof.After = 0, 0
	out := map[string]slackbot.Update{}
	for i, o := range []analysis.Outcome{analysis.OutcomeBetter, analysis.OutcomeWorse, analysis.OutcomeFew, analysis.OutcomeUnseen} {
		u := done
		u.Proof = comparison(o, share(int64(300*i), 900))
		out["proof-4-"+strings.ReplaceAll(strings.TrimSuffix(string(o), ", and not gone"), " ", "-")] = u
	}
	failed := failedState()
	failed.Incident.Alert.Verifies, failed.Incident.ID = "inc-7f3a", "inc-8b20"
	maps.Copy(out, map[string]slackbot.Update{
		"proof-1-accepted":  {Incident: verification(incident.StatusAccepted)},
		"proof-2-capturing": {Incident: verification(incident.StatusCapturing), Captures: captures(2)},
		"proof-3-proven":    proven, "proof-4-same": same, "proof-5-failed": failed,
	})
	return out
}

// told is a workspace in which the incident was told, with its ledger.
func told(t *testing.T) (*slacktest.Server, *slackbot.Bot, slackbot.Ledger) {
	t.Helper()
	s := slacktest.New(slacktest.Options{Now: func() time.Time { return opened }})
	b, led := newBot(t, s), newLedger()
	if err := b.Publish(t.Context(), led, doneState()); err != nil {
		t.Fatal(err)
	}
	return s, b, led
}

func TestProofGolden(t *testing.T) {
	for name, u := range proofStates() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b, of := told(t)
				if err := b.PublishProof(t.Context(), newLedger(), of, u); err != nil {
					t.Fatal(err)
				}
				_, after, _ := strings.Cut(s.Text(channel), "The flame graph in words:")
				_, after, _ = strings.Cut(after, "\n")
				golden(t, name+".txt", []byte(after))
				picture(t, s, name)
			})
			var out bytes.Buffer
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(false)
			m := slackbot.RenderProof(u, true)
			fmt.Fprintf(&out, "# %s\n", m.Text)
			for _, b := range m.Blocks {
				if err := enc.Encode(b); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, name+".blocks", out.Bytes())
		})
	}
}

// A verification is one message and one picture in the incident's thread,
// however often it is published.
func TestProofInTheThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, of := told(t)
		led, states := newLedger(), proofStates()
		for _, name := range []string{"proof-1-accepted", "proof-2-capturing", "proof-3-proven", "proof-3-proven"} {
			if err := b.PublishProof(t.Context(), led, of, states[name]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			time.Sleep(10 * time.Second) // the clock of the bubble
		}
		if got, want := shapeOf(s), (shape{1, 2, 2}); got != want {
			t.Errorf("the channel holds %+v, want %+v\n%s", got, want, s.Text(channel))
		}
		if !strings.Contains(s.Text(channel), "The fix works") {
			t.Errorf("nothing says that the fix works:\n%s", s.Text(channel))
		}
	})
}

func TestProofWithoutItsThread(t *testing.T) {
	proven := proofStates()["proof-3-proven"]
	for name, f := range map[string]func(t *testing.T){
		"not told yet": func(t *testing.T) {
			s := slacktest.New(slacktest.Options{})
			of := newLedger()
			if err := of.Save(t.Context(), "root", incident.Effect{State: incident.EffectBegun, Ref: channel}); err != nil {
				t.Fatal(err)
			}
			err := newBot(t, s).PublishProof(t.Context(), newLedger(), of, proven)
			if err == nil || !strings.Contains(err.Error(), "not told yet") || len(s.Messages(channel)) != 0 {
				t.Errorf("err %v, channel:\n%s", err, s.Text(channel))
			}
		},
		"deleted by somebody": func(t *testing.T) {
			s, b, of := told(t)
			root, err := of.Load(t.Context(), "root")
			if err != nil {
				t.Fatal(err)
			}
			root.Digest = "deleted"
			if err := of.Save(t.Context(), "root", root); err != nil {
				t.Fatal(err)
			}
			before := s.Text(channel)
			if err := b.PublishProof(t.Context(), newLedger(), of, proven); err != nil || s.Text(channel) != before {
				t.Errorf("err %v, channel:\n%s", err, s.Text(channel))
			}
		},
		"not kept any more": func(t *testing.T) {
			s := slacktest.New(slacktest.Options{})
			if err := newBot(t, s).PublishProof(t.Context(), newLedger(), newLedger(), proven); err != nil {
				t.Fatal(err)
			}
			if got, want := shapeOf(s), (shape{1, 1, 0}); got != want {
				t.Errorf("the channel holds %+v, want %+v\n%s", got, want, s.Text(channel))
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
}

// Killed between posting and remembering, it finds its message in the thread.
func TestProofIsPostedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, of := told(t)
		led, u := newLedger(), proofStates()["proof-2-capturing"]
		forgets := &forgetful{Ledger: led, step: "proof"}
		if err := b.PublishProof(t.Context(), forgets, of, u); err == nil {
			t.Fatal("the memory failed and nobody noticed")
		}
		if err := b.PublishProof(t.Context(), led, of, u); err != nil {
			t.Fatal(err)
		}
		if got, want := shapeOf(s), (shape{1, 1, 2}); got != want {
			t.Errorf("the channel holds %+v, want %+v\n%s", got, want, s.Text(channel))
		}
	})
}

// forgetful is a ledger that cannot save the end of one step.
type forgetful struct {
	slackbot.Ledger
	step string
}

func (f *forgetful) Save(ctx context.Context, step string, e incident.Effect) error {
	if step == f.step && e.State == incident.EffectDone {
		return context.DeadlineExceeded
	}
	return f.Ledger.Save(ctx, step, e)
}
