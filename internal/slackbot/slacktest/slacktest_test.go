package slacktest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

const (
	public  = "C0PUBLIC00"
	private = "C0PRIVATE0"
	outside = "C0OUTSIDE0"
	closed  = "C0CLOSED00"
)

func workspace(change ...func(*slacktest.Options)) *slacktest.Server {
	opt := slacktest.Options{Channels: []slacktest.Channel{
		{ID: public, Name: "public"},
		{ID: private, Name: "private", Private: true},
		{ID: outside, Name: "outside", Outside: true},
		{ID: closed, Name: "closed", Archived: true},
	}}
	for _, c := range change {
		c(&opt)
	}
	return slacktest.New(opt)
}

// call calls a method with pairs of parameters and returns the answer.
func call(t *testing.T, s *slacktest.Server, method string, pairs ...string) map[string]any {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+method, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+s.Token())
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// want fails unless the answer has an error code; "" means that it is ok.
func want(t *testing.T, answer map[string]any, code string) {
	t.Helper()
	got, _ := answer["error"].(string)
	if got != code || answer["ok"] != (code == "") {
		t.Errorf("answer %v, want error %q", answer, code)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	s := workspace(func(o *slacktest.Options) { o.Scopes = []string{"chat:write", "channels:history"} })
	post := func(channel string) map[string]any {
		return call(t, s, "chat.postMessage", "channel", channel, "text", "hi")
	}
	want(t, post(public), "")
	want(t, post(private), "")
	want(t, post(outside), "not_in_channel")
	want(t, post(closed), "is_archived")
	want(t, post("C0NOWHERE0"), "channel_not_found")
	want(t, call(t, s, "conversations.history", "channel", outside), "not_in_channel")
	want(t, call(t, s, "files.info", "file", "F1"), "missing_scope")
	want(t, call(t, s, "conversations.info", "channel", public), "missing_scope")
	want(t, call(t, s, "no.such.method"), "unknown_method")

	for token, code := range map[string]string{"": "not_authed", "xoxb-wrong": "invalid_auth"} {
		resp, err := s.Client().PostForm(s.URL()+"auth.test", url.Values{"token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(body), code) {
			t.Errorf("token %q: %s, want %s", token, body, code)
		}
	}
}

func TestMessagesAndThreads(t *testing.T) {
	s := workspace()
	root := call(t, s, "chat.postMessage", "channel", public, "text", "one", "metadata", `{"event_type":"e","event_payload":{"k":"v"}}`)["ts"].(string)
	want(t, call(t, s, "chat.postMessage", "channel", public, "text", "reply", "thread_ts", root), "")
	want(t, call(t, s, "chat.postMessage", "channel", public, "text", "lost", "thread_ts", "1.000001"), "thread_not_found")
	want(t, call(t, s, "chat.postMessage", "channel", public), "no_text")
	want(t, call(t, s, "chat.postMessage", "channel", public, "text", "x", "metadata", `{"event_type":""}`), "invalid_metadata_format")
	want(t, call(t, s, "chat.update", "channel", public, "ts", root, "text", "two"), "")
	want(t, call(t, s, "chat.update", "channel", public, "ts", "1.000001", "text", "two"), "message_not_found")
	said := s.Say(public, "", "ada", "mine")
	want(t, call(t, s, "chat.update", "channel", public, "ts", said, "text", "yours"), "cant_update_message")

	history := call(t, s, "conversations.history", "channel", public)
	if got := fmt.Sprint(texts(history)); got != "[mine two]" {
		t.Errorf("history %s: replies are not in it and the newest comes first", got)
	}
	if strings.Contains(fmt.Sprint(history), "event_payload") {
		t.Error("metadata nobody asked for")
	}
	with := call(t, s, "conversations.history", "channel", public, "include_all_metadata", "1", "latest", said)
	if got := fmt.Sprint(texts(with)); got != "[two]" || !strings.Contains(fmt.Sprint(with), "event_payload") {
		t.Errorf("history before %s: %v", said, with)
	}
	if got := fmt.Sprint(texts(call(t, s, "conversations.history", "channel", public, "oldest", root))); got != "[mine]" {
		t.Errorf("history after %s: %s", root, got)
	}
	if got := fmt.Sprint(texts(call(t, s, "conversations.replies", "channel", public, "ts", root))); got != "[two reply]" {
		t.Errorf("thread %s", got)
	}
	want(t, call(t, s, "conversations.replies", "channel", public, "ts", "1.000001"), "thread_not_found")

	// Page by page.
	var all []string
	cursor := ""
	for range 10 {
		page := call(t, s, "conversations.history", "channel", public, "limit", "1", "cursor", cursor)
		all = append(all, texts(page)...)
		meta, _ := page["response_metadata"].(map[string]any)
		if meta == nil {
			break
		}
		cursor = meta["next_cursor"].(string)
	}
	if fmt.Sprint(all) != "[mine two]" {
		t.Errorf("page by page: %v", all)
	}
	s.Delete(public, root)
	want(t, call(t, s, "conversations.replies", "channel", public, "ts", root), "thread_not_found")
	if n := len(s.Messages(public)); n != 1 {
		t.Errorf("%d messages after a delete, want 1", n)
	}
}

func texts(answer map[string]any) (out []string) {
	list, _ := answer["messages"].([]any)
	for _, m := range list {
		out = append(out, m.(map[string]any)["text"].(string))
	}
	return out
}

func TestBlockLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	section := func(text string) string {
		return fmt.Sprintf(`{"type":"section","text":{"type":"plain_text","text":%q}}`, text)
	}
	table := `{"type":"table","rows":[[{"type":"raw_text","text":"a"}]]}`
	for name, tc := range map[string]struct{ blocks, code string }{
		"good":             {"[" + section("hi") + "," + table + "]", ""},
		"section":          {"[" + section(long(3001)) + "]", "invalid_blocks"},
		"empty text":       {"[" + section("") + "]", "invalid_blocks"},
		"header":           {`[{"type":"header","text":{"type":"plain_text","text":"` + long(151) + `"}}]`, "invalid_blocks"},
		"header in mrkdwn": {`[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]`, "invalid_blocks"},
		"51 blocks":        {"[" + strings.TrimSuffix(strings.Repeat(`{"type":"divider"},`, 51), ",") + "]", "invalid_blocks"},
		"two tables":       {"[" + table + "," + table + "]", "invalid_blocks"},
		"empty cell":       {`[{"type":"table","rows":[[{"type":"raw_text","text":""}]]}]`, "invalid_blocks"},
		"101 rows":         {`[{"type":"table","rows":[` + strings.TrimSuffix(strings.Repeat(`[{"type":"raw_text","text":"a"}],`, 101), ",") + `]}]`, "invalid_blocks"},
		"empty rich text":  {`[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":""}]}]}]`, "invalid_blocks"},
		"no alt text":      {`[{"type":"image","image_url":"https://x"}]`, "invalid_blocks"},
		"unknown block":    {`[{"type":"hologram"}]`, "invalid_blocks"},
		"no JSON":          {`[`, "invalid_blocks"},
		"too much in all":  {"[" + strings.TrimSuffix(strings.Repeat(section(long(2900))+",", 5), ",") + "]", "msg_blocks_too_long"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, call(t, workspace(), "chat.postMessage", "channel", public, "text", "x", "blocks", tc.blocks), tc.code)
		})
	}
}

// upload announces a file and sends its bytes.
func upload(t *testing.T, s *slacktest.Server, data []byte, pairs ...string) (id string, status int) {
	t.Helper()
	got := call(t, s, "files.getUploadURLExternal", append([]string{"filename", "a.png", "length", "3"}, pairs...)...)
	want(t, got, "")
	resp, err := s.Client().Post(got["upload_url"].(string), "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return got["file_id"].(string), resp.StatusCode
}

func TestFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := workspace()
		root := s.Say(public, "", "ada", "look")
		if _, status := upload(t, s, []byte("four")); status != http.StatusBadRequest {
			t.Errorf("status %d for the wrong length", status)
		}
		id, status := upload(t, s, []byte("abc"))
		if status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		want(t, call(t, s, "files.info", "file", id), "file_not_found") // not completed
		complete := func(id string) map[string]any {
			return call(t, s, "files.completeUploadExternal", "files", `[{"id":"`+id+`","title":"T"}]`, "channel_id", public, "thread_ts", root)
		}
		empty := call(t, s, "files.getUploadURLExternal", "filename", "b.png", "length", "3")["file_id"].(string)
		want(t, complete(empty), "file_not_found") // no bytes yet
		want(t, complete(id), "")
		first, second := call(t, s, "files.info", "file", id), call(t, s, "files.info", "file", id)
		if strings.Contains(fmt.Sprint(first), public) || !strings.Contains(fmt.Sprint(second), public) {
			t.Errorf("the share shows at the wrong look: %v, then %v", first, second)
		}
		if thread := s.Thread(public, root); len(thread) != 2 || thread[1].Files[0] != id {
			t.Errorf("thread %v has not the file", thread)
		}
		// Without anybody looking it takes a while.
		later, _ := upload(t, s, []byte("abc"))
		want(t, complete(later), "")
		if n := len(s.Thread(public, root)); n != 2 {
			t.Errorf("%d messages at once, want 2", n)
		}
		time.Sleep(4 * time.Second)
		if n := len(s.Thread(public, root)); n != 3 {
			t.Errorf("%d messages after a while, want 3", n)
		}
		// With an alternative text Slack says ok and shares nothing.
		mute, _ := upload(t, s, []byte("abc"), "alt_txt", "a picture")
		want(t, complete(mute), "")
		time.Sleep(time.Minute)
		if n := len(s.Thread(public, root)); n != 3 {
			t.Errorf("a file with alt_txt was shared")
		}
	})
}

func TestFailuresQueueUp(t *testing.T) {
	s := workspace()
	s.FailNext("auth.test", slacktest.Failure{Code: "fatal_error"})
	s.FailNext("auth.test", slacktest.Failure{RetryAfter: 1500 * time.Millisecond})
	want(t, call(t, s, "auth.test"), "fatal_error")
	resp, err := s.Client().PostForm(s.URL()+"auth.test", url.Values{"token": {s.Token()}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "2" {
		t.Errorf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	want(t, call(t, s, "auth.test"), "")
	if n := len(s.Calls("auth.test")); n != 3 {
		t.Errorf("%d calls counted, want 3", n)
	}
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := workspace()
		done := make(chan error)
		go func() { done <- s.WaitFor(t.Context(), func() bool { return len(s.Messages(public)) == 2 }) }()
		synctest.Wait()
		s.Say(public, "", "ada", "one")
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("returned at the first message: %v", err)
		default:
		}
		s.Say(public, "", "ada", "two")
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.WaitFor(ctx, func() bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestOverTheNetwork(t *testing.T) {
	s, err := slacktest.NewServer(slacktest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(s.URL()+"auth.test", url.Values{"token": {s.Token()}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(body), `"ok":true`) {
		t.Errorf("%s, %v", body, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if resp, err := http.PostForm(s.URL()+"auth.test", nil); err == nil {
		resp.Body.Close()
		t.Error("still listening after Close")
	}
}

// Microseconds with a zero in front are no octal number.
func TestTimestampsAreDecimal(t *testing.T) {
	s := workspace(func(o *slacktest.Options) {
		o.Now = func() time.Time { return time.UnixMicro(1_700_000_000_077_777) }
	})
	first := s.Say(public, "", "ada", "first")
	s.Say(public, "", "ada", "second")
	if first != "1700000000.077777" {
		t.Fatalf("timestamp %s", first)
	}
	if got := fmt.Sprint(texts(call(t, s, "conversations.history", "channel", public, "oldest", first))); got != "[second]" {
		t.Errorf("history after %s: %s", first, got)
	}
	if got := fmt.Sprint(texts(call(t, s, "conversations.history", "channel", public, "latest", "1700000000.077778"))); got != "[first]" {
		t.Errorf("history before the second: %s", got)
	}
}
