package slackbot_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got); rewrite with -update when it is meant:\n%s", file, d)
	}
}

// recoveredState is a finished incident whose monitor has recovered.
func recoveredState() slackbot.Update {
	u := doneState()
	u.Incident.Recovered = opened.Add(7 * time.Minute)
	return u
}

// waitingState is an incident whose pods are not known yet.
func waitingState() slackbot.Update {
	u := slackbot.Update{Incident: anIncident(incident.StatusAccepted)}
	u.Incident.Waiting = &incident.Waiting{
		Since: opened.Add(2 * time.Second), Until: opened.Add(152 * time.Second), Why: `service "live-api": the API server does not answer: no answer within 10s`,
	}
	return u
}

// quietState is a finished incident without a finding.
func quietState() slackbot.Update {
	u := doneState()
	r := aReport()
	r.Endpoints = r.Endpoints[2:]
	r.Endpoints[0].Verdict.Next = ""
	r.Findings = nil
	u.Report, u.ReportURL, u.FlameURL = r, "", ""
	return u
}

// findingState is one in which no endpoint is flagged and something else is
// wrong.
func findingState() slackbot.Update {
	u := quietState()
	u.Report.Findings = append(aReport().Findings, analysis.Finding{
		Rule: analysis.RuleGC, Severity: analysis.SeverityMedium, Title: "the process is busy with its own garbage",
		Why: "31 % (30-32 %) of the process's CPU is allocation and the collector.", Next: "At (*API).Enter (enter.go:31), allocate less: 60 % of the bytes come from there.",
	})
	return u
}

func namedStates() map[string]slackbot.Update {
	st := states()
	analysed := failedState()
	analysed.Captures = captures(4)
	analysed.Incident.Failure = "the profiles could not be analysed: no CPU samples type"
	noPods := slackbot.Update{Incident: anIncident(incident.StatusFailed)}
	noPods.Incident.Failure = `no pods are known for service "live-api"`
	return map[string]slackbot.Update{
		"1-accepted": st[0], "2-capturing": st[2], "3-reporting": st[3], "4-done": st[4], "5-recovered": recoveredState(),
		"1-waiting": waitingState(), "6-quiet": quietState(), "6-finding": findingState(), "7-failed": failedState(), "8-not-analysed": analysed, "9-no-pods": noPods,
		"4-fleet": fleetState(), "4-memory": memoryState(), "4-no-cpu": noCPUState(),
	}
}

// What each state looks like to a person, and what is sent for it.
func TestGolden(t *testing.T) {
	for name, u := range namedStates() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{Now: func() time.Time { return opened }})
				if err := newBot(t, s).Publish(t.Context(), newLedger(), u); err != nil {
					t.Fatal(err)
				}
				golden(t, name+".txt", []byte(s.Text(channel)))
				// Nothing was refused and sent plainly instead.
				want := 1
				if u.Report != nil {
					want = 2
				}
				if n := len(s.Calls("chat.postMessage")); n != want {
					t.Errorf("%d posts, want %d", n, want)
				}
			})
			var out bytes.Buffer
			enc := json.NewEncoder(&out) // a line for each block
			enc.SetEscapeHTML(false)
			messages := []slackbot.Message{slackbot.RenderRoot(u)}
			if u.Report != nil {
				messages = append(messages, slackbot.RenderDetails(u))
			}
			for _, m := range messages {
				fmt.Fprintf(&out, "# %s\n", m.Text)
				for _, b := range m.Blocks {
					if err := enc.Encode(b); err != nil {
						t.Fatal(err)
					}
				}
			}
			golden(t, name+".blocks", out.Bytes())
		})
	}
}

// hostile are texts that would do something if Slack read them as markup.
var hostile = []string{
	"<!channel> look", "<!here|here>", "<@U0ADMIN>", "<#C0GENERAL>", "<https://evil.example|Report>", "*bold* _it_ ~no~", "`code` ```block```",
	"&lt;!channel&gt;", "a\nb\r\n> quote\n• item", "\u202egnp.exe\u2066", "\x00\x07bell", "\xff\xfe broken", ":rotating_light:", "<<<>>>&&&",
}

func TestTextsFromOutsideStayTexts(t *testing.T) {
	for i, evil := range hostile {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			for _, u := range []slackbot.Update{
				evilUpdate(doneState(), evil), evilUpdate(fleetState(), evil), evilUpdate(memoryState(), evil), evilUpdate(failedState(), evil), evilUpdate(states()[2], evil),
			} {
				synctest.Test(t, func(t *testing.T) {
					s := slacktest.New(slacktest.Options{})
					if err := newBot(t, s).Publish(t.Context(), newLedger(), u); err != nil {
						t.Fatal(err)
					}
					for _, m := range s.Messages(channel) {
						for _, r := range s.Thread(channel, m.TS) {
							harmless(t, r, evil)
						}
					}
				})
			}
		})
	}
	// And they are shown, not dropped.
	s := string(mustJSON(t, slackbot.RenderRoot(evilUpdate(doneState(), "<!channel> look"))))
	if !strings.Contains(s, `\u003c!channel\u003e look`) {
		t.Errorf("the title's text is not shown: %s", s)
	}
}

func FuzzTextsFromOutside(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, evil string) {
		for _, u := range []slackbot.Update{evilUpdate(failedState(), evil), evilUpdate(states()[2], evil)} {
			s := slacktest.New(slacktest.Options{})
			if err := newBot(t, s).Publish(t.Context(), newLedger(), u); err != nil {
				t.Fatal(err)
			}
			for _, m := range s.Messages(channel) {
				harmless(t, m, evil)
			}
			if n := len(s.Calls("chat.postMessage")); n != 1 {
				t.Errorf("%d posts: the form was refused", n)
			}
		}
	})
}

// evilUpdate puts a text wherever the outside world can put one.
func evilUpdate(u slackbot.Update, evil string) slackbot.Update {
	a := &u.Incident.Alert
	a.Title, a.Status, a.Key.Service, a.Key.Env, a.RequestedBy, a.Source = evil, evil, evil, evil, evil, evil
	a.URL = "javascript:alert(1)//" + evil
	u.Incident.Choice, u.Incident.ID = evil+"; "+evil+" was profiled in its place", evil
	if u.Incident.Monitor != nil {
		u.Incident.Monitor = &incident.Monitor{ID: evil, Name: evil, Query: evil, URL: evil}
	}
	if u.Incident.Failure != "" {
		u.Incident.Failure = evil
	}
	u.Captures = append([]incident.Capture(nil), u.Captures...)
	for i := range u.Captures {
		c := &u.Captures[i]
		c.Pod, c.Why, c.Detail = fmt.Sprint(evil, i), evil, evil
	}
	if u.Report != nil {
		r := aReport()
		r.Focus, r.Heap, r.Findings = u.Report.Focus, u.Report.Heap, nil
		for _, f := range u.Report.Findings {
			f.Title, f.Why, f.Next = evil, evil, evil
			f.Evidence = slices.Clone(f.Evidence)
			for j := range f.Evidence {
				e := &f.Evidence[j]
				e.What, e.Func, e.File, e.Via = evil, evil, evil, evil
			}
			r.Findings = append(r.Findings, f)
		}
		r.Service, r.Notes = evil, []string{evil}
		for i := range r.Endpoints {
			e := &r.Endpoints[i]
			e.Name, e.Verdict.Title, e.Verdict.Why, e.Verdict.Next = evil, evil, evil, evil
			for j := range e.Codecs {
				e.Codecs[j].Name = evil
			}
			for j := range e.Sources {
				e.Sources[j].Via = evil
			}
		}
		for i := range r.Other {
			r.Other[i].Name = evil
		}
		for i := range r.Pods {
			r.Pods[i].Name = evil
		}
		u.Report = r
	}
	return u
}

// harmless checks that a message holds nothing that Slack would act on: every
// place of its blocks that reads markup is absent, and its text is escaped.
func harmless(t *testing.T, m slacktest.Message, evil string) {
	t.Helper()
	if strings.ContainsAny(m.Text, "<>") {
		t.Errorf("text %q has unescaped brackets", m.Text)
	}
	if !utf8.ValidString(m.Text) || strings.ContainsAny(m.Text, "\n\u202e\u2066\x00\x07") {
		t.Errorf("text %q is not clean", m.Text)
	}
	if m.Blocks == nil {
		return
	}
	var v any
	if err := json.Unmarshal(m.Blocks, &v); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			switch v["type"] {
			case "mrkdwn", "markdown", "user", "usergroup", "channel", "broadcast", "emoji":
				t.Errorf("%q becomes an element of type %q", evil, v["type"])
			case "link":
				if u := fmt.Sprint(v["url"]); !strings.HasPrefix(u, "https://profbot.example.com/") {
					t.Errorf("%q becomes a link to %q", evil, u)
				}
			case "plain_text":
				if v["emoji"] != false {
					t.Errorf("%q may become an emoji", evil)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case string:
			if v == "\n" {
				return // between paragraphs, ours
			}
			if !utf8.ValidString(v) || strings.ContainsAny(v, "\n\u202e\u2066\x00\x07") {
				t.Errorf("%q is not clean", v)
			}
		}
	}
	walk(v)
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// monster is a report that is too much of everything.
func monster(n int, long string) slackbot.Update {
	u := doneState()
	r := aReport()
	proto := r.Endpoints[0]
	r.Endpoints, r.Notes, r.Pods, r.Other, r.Suspected, u.Captures = nil, nil, nil, nil, nil, nil
	for i := range n {
		e := proto
		e.Name = fmt.Sprintf("GET /%d/%s", i, long)
		e.Codecs = []analysis.Codec{{Name: long, Direction: analysis.Decode, Share: e.Decode}}
		e.Sources = []analysis.Source{{Kind: analysis.SourceCache, Via: long, Share: e.Decode}}
		e.Verdict.Title, e.Verdict.Why, e.Verdict.Next = long, long, long
		r.Endpoints = append(r.Endpoints, e)
		r.Notes = append(r.Notes, long)
		pod := fmt.Sprintf("pod-%d-%s", i, long)
		r.Pods = append(r.Pods, analysis.Pod{Name: pod, Samples: 1 << 40, Decode: share(1, 3)})
		r.Other = append(r.Other, analysis.Part{Name: long, Share: share(1, 3)})
		r.Suspected = append(r.Suspected, analysis.Part{Name: long, Share: share(1, 3)})
		for _, k := range incident.CPUPlan {
			u.Captures = append(u.Captures, incident.Capture{Pod: pod, Kind: k, Why: long, Status: incident.CaptureFailed, Outcome: incident.OutcomeTargetError, Detail: long, Window: time.Minute})
		}
	}
	u.Report = r
	u.Incident.Choice = long
	u.Incident.Alert.Title, u.Incident.Alert.Status = long, long
	return u
}

func TestLimits(t *testing.T) {
	for name, long := range map[string]string{
		"ascii": strings.Repeat("very long name ", 700), "wide": strings.Repeat("高負荷", 3000), "escaped": strings.Repeat("<&>\"\\", 2000), "empty": "",
	} {
		for _, n := range []int{0, 1, 200} {
			for _, status := range []incident.Status{incident.StatusCapturing, incident.StatusReporting, incident.StatusDone, incident.StatusFailed} {
				t.Run(fmt.Sprint(name, n, status), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						u := monster(n, long)
						u.Incident.Status, u.Incident.Failure = status, long
						s := slacktest.New(slacktest.Options{})
						if err := newBot(t, s).Publish(t.Context(), newLedger(), u); err != nil {
							t.Fatal(err)
						}
						// Nothing was refused and sent plainly instead.
						if posts := len(s.Calls("chat.postMessage")); posts != 1 && (status != incident.StatusDone || posts != 2) {
							t.Errorf("%d posts", posts)
						}
						for _, m := range s.Messages(channel) {
							for _, r := range s.Thread(channel, m.TS) {
								if n := utf8.RuneCount(r.Blocks); n > 10_000 {
									t.Errorf("blocks of %d characters", n)
								}
							}
						}
					})
				})
			}
		}
	}
}

// A form that Slack refuses is sent again as plain words, all of them.
func TestRefusedForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		b, led := newBot(t, s), newLedger()
		s.FailNext("chat.postMessage", slacktest.Failure{Code: "invalid_blocks"})
		if err := b.Publish(t.Context(), led, doneState()); err != nil {
			t.Fatal(err)
		}
		root := s.Messages(channel)[0]
		for _, want := range []string{"GET /live/list", "62 % (60-63 %)", "4,012", "freecache + go-redis", "catalog.go:88", "https://profbot.example.com/r/abc", "inc-7f3a"} {
			if !strings.Contains(string(root.Blocks), want) {
				t.Errorf("the plain message lacks %q:\n%s", want, s.Text(channel))
			}
		}
		golden(t, "plainest.txt", []byte(strings.ReplaceAll(s.Text(channel), "\t", " ")))
	})
}
