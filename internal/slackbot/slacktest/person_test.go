package slacktest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/slackbot/receive"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

const ada = "U0ADA"

// app is what the workspace's app hears, by the decoder that profbot has.
type app struct {
	mu    sync.Mutex // protects heard
	heard []receive.Request
	reply func(receive.Request) any
}

func (a *app) Handle(_ context.Context, r receive.Request) receive.Reply {
	a.mu.Lock()
	a.heard = append(a.heard, r)
	a.mu.Unlock()
	return receive.Reply{Body: a.reply(r)}
}

// last is what was heard last.
func (a *app) last() receive.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard[len(a.heard)-1]
}

type always struct{}

func (always) Once(context.Context, string) (bool, error) { return true, nil }

// listening returns a workspace that Ada looks at, and its app, until the test ends.
func listening(t *testing.T, reply func(receive.Request) any) (*slacktest.Server, *app) {
	t.Helper()
	s, err := slacktest.NewServer(slacktest.Options{Viewer: ada, Channels: []slacktest.Channel{{ID: public, Name: "public"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.AddUser(slacktest.User{ID: ada, Name: "Ada"})
	a := &app{reply: reply}
	socket, err := receive.NewSocket(receive.SocketOptions{AppToken: "xapp-test", APIURL: s.URL(), Handler: a, Seen: always{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = socket.Run(ctx) }() // ended below
	t.Cleanup(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, a
}

// do hands in a form of the page, from origin, and returns the status.
func do(t *testing.T, s *slacktest.Server, deed, origin string, form url.Values) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/do/"+deed, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	w := httptest.NewRecorder()
	s.Page().ServeHTTP(w, r)
	return w.Code
}

const buttons = `[{"type":"actions","block_id":"b","elements":[{"type":"button","action_id":"again","value":"i1","text":{"type":"plain_text","text":"Again"}}]}]`

// TestPageDoesWhatPeopleDo uses everything on the page that can be used, and
// looks at what the app made of it.
func TestPageDoesWhatPeopleDo(t *testing.T) {
	const modal = `{"type":"modal","callback_id":"form","private_metadata":"p","title":{"type":"plain_text","text":"A form"},"submit":{"type":"plain_text","text":"Go"},"blocks":[
		{"type":"input","block_id":"s","label":{"type":"plain_text","text":"Service"},"element":{"type":"static_select","action_id":"a","placeholder":{"type":"plain_text","text":"any"},"options":[{"value":"x","text":{"type":"plain_text","text":"X"}},{"value":"y","text":{"type":"plain_text","text":"Y"}}]}},
		{"type":"input","block_id":"k","label":{"type":"plain_text","text":"Kinds"},"element":{"type":"checkboxes","action_id":"a","options":[{"value":"cpu","text":{"type":"plain_text","text":"cpu"}},{"value":"heap","text":{"type":"plain_text","text":"heap"}}]}},
		{"type":"input","block_id":"n","label":{"type":"plain_text","text":"Pods"},"element":{"type":"number_input","action_id":"a","is_decimal_allowed":false}}]}`
	s, a := listening(t, func(r receive.Request) any {
		switch {
		case r.Kind == receive.Command:
			return map[string]string{"response_type": "ephemeral", "text": "heard " + r.Text}
		case r.Kind == receive.Submit && r.View.Value("n", "a") == "":
			return map[string]any{"response_action": "errors", "errors": map[string]string{"n": "how many?"}}
		}
		return nil
	})
	root := call(t, s, "chat.postMessage", "channel", public, "text", "x", "blocks", buttons)["ts"].(string)
	call(t, s, "views.publish", "user_id", ada, "view", `{"type":"home","blocks":`+buttons+`}`)
	call(t, s, "views.open", "trigger_id", s.Trigger(ada), "view", modal)
	filled := url.Values{"view": {"V1"}, "s/a": {"y"}, "k/a": {"cpu", "heap"}, "n/a": {"2"}}
	for _, tc := range []struct {
		name, deed string
		form       url.Values
		want       receive.Request // of what tells one deed from another
	}{
		{"a command", "write", url.Values{"channel": {public}, "text": {" /profbot why live-api "}}, receive.Request{Kind: receive.Command, Channel: public, Text: "why live-api"}},
		{"a command alone", "write", url.Values{"channel": {public}, "text": {"/profbot"}}, receive.Request{Kind: receive.Command, Channel: public}},
		{"a mention in a thread", "write", url.Values{"channel": {public}, "thread": {root}, "text": {"hey @profbot heap <b>"}}, receive.Request{Kind: receive.Mention, Channel: public, Thread: root, Text: "heap &lt;b&gt;"}},
		{"a click", "click", url.Values{"channel": {public}, "ts": {root}, "action": {"again"}}, receive.Request{Kind: receive.Click, Channel: public, Message: root, Block: "b", Action: "again", Value: "i1"}},
		{"a click at home", "click", url.Values{"home": {"1"}, "action": {"again"}}, receive.Request{Kind: receive.Click, Block: "b", Action: "again", Value: "i1"}},
		{"the home", "home", url.Values{"home": {"1"}}, receive.Request{Kind: receive.Home}},
		{"a form with something wrong", "submit", url.Values{"view": {"V1"}, "s/a": {""}}, receive.Request{Kind: receive.Submit, View: &receive.View{ID: "V1", Callback: "form", Private: "p", Values: map[string]map[string][]string{}}}},
		{"a form", "submit", filled, receive.Request{Kind: receive.Submit, View: &receive.View{ID: "V1", Callback: "form", Private: "p", Values: map[string]map[string][]string{"s": {"a": {"y"}}, "k": {"a": {"cpu", "heap"}}, "n": {"a": {"2"}}}}}},
	} {
		if status := do(t, s, tc.deed, strings.TrimSuffix(s.PageURL(), "/"), tc.form); status != http.StatusSeeOther {
			t.Fatalf("%s: status %d", tc.name, status)
		}
		got := a.last()
		if got.User != ada || got.Team != "T0TEST" || got.App != "A0TEST" {
			t.Errorf("%s: by %q of %q to %q", tc.name, got.User, got.Team, got.App)
		}
		got = receive.Request{Kind: got.Kind, Channel: got.Channel, Thread: got.Thread, Message: got.Message, Text: got.Text, Block: got.Block, Action: got.Action, Value: got.Value, View: got.View}
		if got.Kind == receive.Mention {
			got.Message = "" // it is what was written just now
		}
		if tc.want.View == nil {
			got.View = nil
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
		if tc.name == "a form with something wrong" {
			if _, page := get(t, s, "/"); !strings.Contains(page, "how many?") || !strings.Contains(page, `<option value="y">`) {
				t.Errorf("the page does not show what is wrong, or not the form:\n%s", page)
			}
		}
	}
	_, page := get(t, s, "/")
	for _, want := range []string{"heard why live-api", "Only visible to you", "Ada", `<span class="mention">@profbot</span> heap`, `value="again"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page:\n%s", want, page)
		}
	}
	if strings.Contains(page, "A form") {
		t.Error("the form is still open")
	}
	if _, still := get(t, s, "/?still"); strings.Contains(still, `method="post"`) || !strings.Contains(still, "heard why live-api") {
		t.Error("the page to keep takes input, or lacks an answer")
	}
	if _, home := get(t, s, "/home"); !strings.Contains(home, `value="again"`) {
		t.Errorf("no button in the home:\n%s", home)
	}
}

// TestPageTakesFormsFromItselfAlone: other sites can send forms to loopback too.
func TestPageTakesFormsFromItselfAlone(t *testing.T) {
	s, a := listening(t, func(receive.Request) any { return nil })
	form := url.Values{"channel": {public}, "text": {"/profbot status"}}
	for _, origin := range []string{"", "null", "https://evil.example", "http://127.0.0.1:1", s.PageURL()} {
		if status := do(t, s, "write", origin, form); status != http.StatusForbidden {
			t.Errorf("from %q: status %d", origin, status)
		}
	}
	if nobody := slacktest.New(slacktest.Options{}); do(t, nobody, "write", "http://slack.test", form) != http.StatusForbidden {
		t.Error("a page that nobody looks at takes input")
	}
	own := strings.TrimSuffix(s.PageURL(), "/")
	for name, form := range map[string]url.Values{
		"click": {"channel": {public}, "ts": {"1.2"}, "action": {"again"}}, "write": {"channel": {"C0NOWHERE0"}, "text": {"x"}}, "submit": {"view": {""}}, "dance": {},
	} {
		if status := do(t, s, name, own, form); status != http.StatusBadGateway {
			t.Errorf("%s of nothing: status %d", name, status)
		}
	}
	if len(a.heard) > 0 {
		t.Errorf("the app heard %v", a.heard)
	}
}

// TestTypeShowsThatNobodyAnswers: a person reads it too.
func TestTypeShowsThatNobodyAnswers(t *testing.T) {
	s := workspace()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := s.Type(ctx, ada, public, "status"); err == nil {
		t.Error("no error")
	}
	seen := s.Ephemerals()
	if len(seen) != 1 || seen[0].User != ada || !strings.Contains(seen[0].Text, "/profbot failed") {
		t.Errorf("the person sees %+v", seen)
	}
}
