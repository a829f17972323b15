package slacktest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// get fetches a path of the page.
func get(t *testing.T, s *slacktest.Server, path string) (*http.Response, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	s.Page().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	resp := rec.Result()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestPageShowsMarkupAsSlackDoes(t *testing.T) {
	for name, tc := range map[string]struct{ blocks, want string }{
		"bold and code":   {`[{"type":"section","text":{"type":"mrkdwn","text":"*b* _i_ ~s~ ` + "`c<d`" + ` a*b*c"}}]`, "<b>b</b> <i>i</i> <s>s</s> <code>c&lt;d</code> a*b*c"},
		"escaped":         {`[{"type":"section","text":{"type":"mrkdwn","text":"1 &lt; 2 &amp;&amp; <script>"}}]`, "1 &lt; 2 &amp;&amp; script</div>"},
		"link":            {`[{"type":"section","text":{"type":"mrkdwn","text":"<https://a.example/?x=1&amp;y=2|see>"}}]`, `href="https://a.example/?x=1&amp;y=2" rel="noreferrer noopener" target="_blank">see</a>`},
		"no script link":  {`[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"link","url":"javascript:alert(1)","text":"go"}]}]}]`, "<p>go</p>"},
		"mention":         {`[{"type":"section","text":{"type":"mrkdwn","text":"<!channel> hi"}}]`, `<span class="mention">@channel</span> hi`},
		"plain text":      {`[{"type":"section","text":{"type":"plain_text","text":"*b* <!channel>"}}]`, "*b* &lt;!channel&gt;"},
		"rich text":       {`[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"<b>*x*","style":{"bold":true,"code":true}}]}]}]`, "<b><code>&lt;b&gt;*x*</code></b>"},
		"list":            {`[{"type":"rich_text","elements":[{"type":"rich_text_list","style":"bullet","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"x"}]}]}]}]`, "<ul><li>x</li></ul>"},
		"table":           {`[{"type":"table","column_settings":[{"align":"right"}],"rows":[[{"type":"raw_text","text":"<i>"}]]}]`, `<td class="right">&lt;i&gt;</td>`},
		"button":          {`[{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"Go"},"url":"https://a.example/"}]}]`, `class="button" href="https://a.example/"`},
		"fields, context": {`[{"type":"section","fields":[{"type":"mrkdwn","text":"*k*"}]},{"type":"context","elements":[{"type":"plain_text","text":"c"}]},{"type":"divider"}]`, `<div class="fields"><div><b>k</b></div></div></div><div class="context"><span>c</span></div><hr class="divider">`},
	} {
		t.Run(name, func(t *testing.T) {
			s := workspace()
			want(t, call(t, s, "chat.postMessage", "channel", public, "text", "x", "blocks", tc.blocks), "")
			resp, body := get(t, s, "/")
			if resp.StatusCode != http.StatusOK || !strings.Contains(body, tc.want) {
				t.Errorf("status %d; page does not hold %q:\n%s", resp.StatusCode, tc.want, body)
			}
			if strings.Contains(body, "<script>") || strings.Contains(body, "javascript:") {
				t.Error("a script got through")
			}
			if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("policy %q", csp)
			}
		})
	}
}

func TestPageShowsPicturesOnceShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := workspace()
		png := []byte("\x89PNG\r\n\x1a\nrest")
		got := call(t, s, "files.getUploadURLExternal", "filename", "a.png", "length", strconv.Itoa(len(png)))
		resp, err := s.Client().Post(got["upload_url"].(string), "", strings.NewReader(string(png)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		id := got["file_id"].(string)
		if resp, _ := get(t, s, "/files/"+id); resp.StatusCode != http.StatusNotFound {
			t.Errorf("status %d before the share", resp.StatusCode)
		}
		want(t, call(t, s, "files.completeUploadExternal", "files", `[{"id":"`+id+`","title":"<T>"}]`, "channel_id", public), "")
		time.Sleep(5 * time.Second)
		if _, body := get(t, s, "/"); !strings.Contains(body, `src="files/`+id+`"`) || !strings.Contains(body, "&lt;T&gt;") {
			t.Errorf("the page does not show the picture:\n%s", body)
		}
		if resp, body := get(t, s, "/files/"+id); resp.Header.Get("Content-Type") != "image/png" || body != string(png) {
			t.Errorf("picture %q as %q", body, resp.Header.Get("Content-Type"))
		}
	})
}

func TestPageFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := workspace()
		status := make(chan int)
		go func() {
			resp, _ := get(t, s, "/changes?version=0")
			status <- resp.StatusCode
		}()
		synctest.Wait()
		s.Say(public, "", "ada", "news")
		if got := <-status; got != http.StatusOK {
			t.Errorf("status %d after a change", got)
		}
		if resp, _ := get(t, s, "/changes?version=0"); resp.StatusCode != http.StatusOK {
			t.Errorf("status %d for an old version", resp.StatusCode)
		}
		if resp, _ := get(t, s, "/changes?version=1"); resp.StatusCode != http.StatusNoContent {
			t.Errorf("status %d without a change", resp.StatusCode)
		}
		if resp, _ := get(t, s, "/changes?version=x"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d for no version", resp.StatusCode)
		}
		if resp, _ := get(t, s, "/?channel=C0NOWHERE0"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("status %d for no channel", resp.StatusCode)
		}
		for _, path := range []string{"/page.css", "/page.js"} {
			if resp, body := get(t, s, path); resp.StatusCode != http.StatusOK || body == "" {
				t.Errorf("%s: status %d", path, resp.StatusCode)
			}
		}
	})
}

func TestTextMarksWhatWouldNotify(t *testing.T) {
	s := slacktest.New(slacktest.Options{Now: func() time.Time { return time.Date(2026, 3, 14, 9, 26, 0, 0, time.UTC) }})
	root := s.Say("C0PROFBOT0", "", "ada", "<!here> see <https://a.example|this> &amp; *that*")
	s.Say("C0PROFBOT0", root, "bob", "two\nlines")
	const want = "#ops-alerts\n\nada  09:26\n[mention !here] see this (https://a.example) & *that*\n    |\n    | bob  09:26\n    | two\n    | lines\n"
	if got := s.Text("C0PROFBOT0"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
