package slackbot_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
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

var (
	update = flag.Bool("update", false, "rewrite the golden files")
	pages  = flag.String("pages", "", "folder to write a page of every golden message to, for people to look at")
)

// picture writes what is in the workspace as one page, if that is wanted.
func picture(t *testing.T, s *slacktest.Server, name string) {
	t.Helper()
	if *pages == "" {
		return
	}
	get := func(path string) string {
		w := httptest.NewRecorder()
		s.Page().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w.Body.String()
	}
	page := strings.NewReplacer(
		`<link rel="stylesheet" href="page.css">`, "<style>"+get("/page.css")+"</style>", `<script src="page.js" defer></script>`, "",
	).Replace(get("/"))
	for _, f := range s.Files() {
		page = strings.ReplaceAll(page, `src="files/`+f.ID+`"`, `src="data:image/png;base64,`+base64.StdEncoding.EncodeToString(f.Data)+`"`)
	}
	if err := os.WriteFile(filepath.Join(*pages, name+".html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

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

// What each state looks like to a person, and what is sent for it.
func TestGolden(t *testing.T) {
	for name, u := range namedStates() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{Now: func() time.Time { return opened }})
				if err := newBot(t, s, clickable).Publish(t.Context(), newLedger(), u); err != nil {
					t.Fatal(err)
				}
				golden(t, name+".txt", []byte(s.Text(channel)))
				golden(t, name+".blocks", sent(t, s))
				picture(t, s, name)
			})
		})
	}
	t.Run("4-done-links", func(t *testing.T) { // where nobody answers clicks
		synctest.Test(t, func(t *testing.T) {
			s := slacktest.New(slacktest.Options{Now: func() time.Time { return opened }})
			if err := newBot(t, s).Publish(t.Context(), newLedger(), doneState()); err != nil {
				t.Fatal(err)
			}
			golden(t, "4-done-links.txt", []byte(s.Text(channel)))
			golden(t, "4-done-links.blocks", sent(t, s))
		})
	})
	t.Run("4-lost-picture", func(t *testing.T) { // that Slack takes and never shows
		synctest.Test(t, func(t *testing.T) {
			s := slacktest.New(slacktest.Options{Now: func() time.Time { return opened }})
			s.LoseShares(true)
			if err := newBot(t, s, clickable).Publish(t.Context(), newLedger(), doneState()); err != nil {
				t.Fatal(err)
			}
			golden(t, "4-lost-picture.blocks", sent(t, s))
		})
	})
}

// clickable makes a bot whose buttons are answered.
func clickable(o *slackbot.Options) { o.Interactive = true }

// sent is every message of the channel that has blocks, as it was sent: its
// text, and a line for each block. All of them must be as they were meant.
func sent(t *testing.T, s *slacktest.Server) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, m := range s.Messages(channel) {
		for _, r := range s.Thread(channel, m.TS) {
			if r.Blocks == nil {
				continue
			}
			fits(t, r)
			fmt.Fprintf(&out, "# %s\n", r.Text)
			var blocks []json.RawMessage
			if err := json.Unmarshal(r.Blocks, &blocks); err != nil {
				t.Fatal(err)
			}
			for _, b := range blocks {
				fmt.Fprintf(&out, "%s\n", b)
			}
		}
	}
	return out.Bytes()
}

// fits checks a message against what Slack takes, and that it was not refused
// and sent again in the plainest form, which alone has a section.
func fits(t *testing.T, m slacktest.Message) {
	t.Helper()
	message, err := json.Marshal(map[string]any{"text": m.Text, "blocks": m.Blocks})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slacktest.CheckMessage(message) {
		t.Errorf("%q: %s", m.Text, p)
	}
	if n := utf8.RuneCount(m.Blocks); n > 10_000 {
		t.Errorf("%q: blocks of %d characters", m.Text, n)
	}
	if bytes.Contains(m.Blocks, []byte(`"type":"section"`)) {
		t.Errorf("%q was sent in its plainest form:\n%s", m.Text, m.Blocks)
	}
}

// Every state fits, also where every text from outside is as long as it likes,
// and says in a notification what it is about.
func TestEveryMessageFits(t *testing.T) {
	states := namedStates()
	maps.Copy(states, proofStates())
	for name, u := range states {
		for kind, text := range map[string]string{
			"": "", "hostile": strings.Repeat("<&>高\"\\ ", 450),
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					u := u
					if kind != "" {
						u = evilUpdate(u, text)
						u.Incident.ID = "inc-7f3a" // the one text that is ours
					}
					s, of := slacktest.New(slacktest.Options{}), newLedger()
					b := newBot(t, s, clickable)
					var err error
					if u.Incident.Alert.Verifies != "" {
						err = b.PublishProof(t.Context(), newLedger(), of, u)
					} else {
						err = b.Publish(t.Context(), newLedger(), u)
					}
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range s.Messages(channel) {
						for _, r := range s.Thread(channel, m.TS) {
							if r.Blocks != nil {
								fits(t, r)
							}
						}
						if utf8.RuneCountInString(m.Text) < 10 {
							t.Errorf("a notification would say %q", m.Text)
						}
						if u.Incident.Status.Final() && !strings.Contains(string(m.Blocks), `"type":"actions"`) {
							t.Error("no room was left for the buttons")
						}
						if u.Incident.Alert.Verifies == "" && !strings.Contains(string(m.Blocks), "incident inc-7f3a") {
							t.Error("no room was left for the incident's id")
						}
					}
				})
			})
		}
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
	s := string(mustJSON(t, slackbot.RenderRoot(evilUpdate(doneState(), "<!channel> look"), false)))
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
			if v == "\n" || strings.HasPrefix(v, "// V is what ") {
				v = strings.ReplaceAll(v, "\n", "") // between paragraphs and lines of code, ours
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
