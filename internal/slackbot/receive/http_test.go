package receive

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const secret = "8f742231b10e8888abcd99yyyzzz85a5"

// memory is a [Seen] of one process.
type memory struct {
	mu   sync.Mutex
	last map[string]time.Time
	err  error
}

func (m *memory) Once(_ context.Context, key string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return false, m.err
	}
	if at, ok := m.last[key]; ok && time.Since(at) <= 10*time.Minute {
		return false, nil
	}
	if m.last == nil {
		m.last = map[string]time.Time{}
	}
	m.last[key] = time.Now()
	return true, nil
}

// recorder keeps what it handled.
type recorder struct {
	mu  sync.Mutex
	got []Request
	do  func(ctx context.Context, r Request) Reply // nil answers nothing
}

func (h *recorder) Handle(ctx context.Context, r Request) Reply {
	h.mu.Lock()
	h.got = append(h.got, r)
	h.mu.Unlock()
	if h.do == nil {
		return Reply{}
	}
	return h.do(ctx, r)
}

func (h *recorder) requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Request(nil), h.got...)
}

func newHTTP(t testing.TB, opt HTTPOptions) http.Handler {
	t.Helper()
	if opt.SigningSecrets == nil {
		opt.SigningSecrets = []string{secret}
	}
	if opt.Seen == nil {
		opt.Seen = &memory{}
	}
	h, err := NewHTTP(opt)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sign(secret, ts string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("v0:" + ts + ":"))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// TestVector holds the signature to the one in Slack's documentation.
func TestVector(t *testing.T) {
	const body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	if got := sign(secret, "1531420618", []byte(body)); got != "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503" {
		t.Errorf("signature %s", got)
	}
}

// testCase is one line of testdata/requests.json, which says what the fields are.
type testCase struct {
	Name, Type, Body, Base64, Method, Query, Want, Why string
	Fill, Send, Handled                                int
	Age                                                int64
	Gzip, Chunked, Resign                              bool
	Headers                                            map[string][]string
	Sign                                               struct {
		Secret, Body *string
		Age          *int64
	}
	Bolt map[string]struct{ Decision string }
}

func cases(t testing.TB) []testCase {
	t.Helper()
	data, err := os.ReadFile("testdata/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Secret string
		Cases  []testCase
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if file.Secret != secret {
		t.Fatal("the file has another secret")
	}
	return file.Cases
}

// request makes the request of a case, as it is sent for the nth time.
func (c testCase) request(t testing.TB, base string, now time.Time) *http.Request {
	t.Helper()
	body := []byte(c.Body + strings.Repeat("x", c.Fill))
	if c.Base64 != "" {
		var err error
		if body, err = base64.StdEncoding.DecodeString(c.Base64); err != nil {
			t.Fatal(err)
		}
	}
	if c.Gzip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(body)
		z.Close()
		body = b.Bytes()
	}
	ts := strconv.FormatInt(now.Unix()-c.Age, 10)
	signedTS, signedBody, with := ts, body, secret
	if c.Sign.Age != nil {
		signedTS = strconv.FormatInt(now.Unix()-*c.Sign.Age, 10)
	}
	if c.Sign.Body != nil {
		signedBody = []byte(*c.Sign.Body)
	}
	if c.Sign.Secret != nil {
		with = *c.Sign.Secret
	}
	sig := sign(with, signedTS, signedBody)
	method := c.Method
	if method == "" {
		method = http.MethodPost
	}
	var r io.Reader = bytes.NewReader(body)
	if c.Chunked {
		r = io.MultiReader(r) // of unknown length
	}
	if method == http.MethodGet {
		r = http.NoBody
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+c.Query, r)
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{ts}", ts, "{sig}", sig, "{SIG}", strings.ToUpper(sig), "{sig62}", sig[:62])
	headers := map[string][]string{"X-Slack-Request-Timestamp": {"{ts}"}, "X-Slack-Signature": {"v0={sig}"}}
	if c.Type != "" {
		headers["Content-Type"] = []string{c.Type}
	}
	for name, values := range c.Headers {
		headers[name] = values
	}
	for name, values := range headers {
		for _, v := range values {
			req.Header.Add(name, fill.Replace(v))
		}
	}
	return req
}

// TestRequests holds the way in to the table that make bolt holds Bolt to.
func TestRequests(t *testing.T) {
	same := 0
	for _, c := range cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			h := &recorder{}
			srv := httptest.NewServer(newHTTP(t, HTTPOptions{Handler: h}))
			defer srv.Close()
			now := time.Now()
			req := c.request(t, srv.URL, now)
			var resp *http.Response
			for i := range max(1, c.Send) {
				if i > 0 && c.Resign {
					now = now.Add(time.Second)
				}
				if i > 0 {
					req = c.request(t, srv.URL, now)
				}
				var err error
				if resp, err = http.DefaultTransport.RoundTrip(req); err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			decision := "refuse"
			if resp.StatusCode == http.StatusOK {
				decision = "accept"
			}
			if decision != c.Want {
				t.Errorf("%s with %d, want %s", decision, resp.StatusCode, c.Want)
			}
			if noRetry := resp.Header.Get("X-Slack-No-Retry") == "1"; noRetry != (c.Want == "refuse") {
				t.Errorf("status %d, no retry: %v", resp.StatusCode, noRetry)
			}
			if got := h.requests(); len(got) != c.Handled {
				t.Errorf("handled %d times, want %d: %+v", len(got), c.Handled, got)
			} else if len(got) > 0 && got[0].Value == "EVIL" {
				t.Error("the payload of the query was handled")
			} else if len(got) > 0 && (got[0].Retry == 1) != (c.Headers["X-Slack-Retry-Num"] != nil) {
				t.Errorf("retry %d", got[0].Retry)
			}
			bolt := c.Bolt["http"].Decision
			switch {
			case bolt == c.Want:
				same++
			case bolt == "accept" && c.Why != "":
			default:
				t.Errorf("Bolt decides %q, and nothing says why this is otherwise", bolt)
			}
		})
	}
	if same < 70 {
		t.Errorf("only %d decisions are as Bolt's", same)
	}
}

// post sends a signed request without a network.
func post(h http.Handler, contentType, body string, age time.Duration, with string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/slack/events", strings.NewReader(body))
	ts := strconv.FormatInt(time.Now().Add(-age).Unix(), 10)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("X-Slack-Request-Timestamp", ts)
	req.Header.Set("X-Slack-Signature", "v0="+sign(with, ts, []byte(body)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func slash(trigger, text string) string {
	return url.Values{"command": {"/profbot"}, "text": {text}, "user_id": {"U1"}, "channel_id": {"D1"}, "trigger_id": {trigger}}.Encode()
}

func TestAnswers(t *testing.T) {
	h := &recorder{do: func(_ context.Context, r Request) Reply {
		switch r.Text {
		case "nothing":
			return Reply{}
		case "odd":
			return Reply{Body: make(chan int)}
		default:
			return Reply{Body: map[string]string{"text": "queued <3"}}
		}
	}}
	in := newHTTP(t, HTTPOptions{Handler: h, SigningSecrets: []string{"new", "old"}})
	for i, tt := range []struct {
		text, with string
		status     int
		body       string
	}{
		{"x", "new", 200, `{"text":"queued \u003c3"}`},
		{"x", "old", 200, `{"text":"queued \u003c3"}`},
		{"x", "older", 401, ""},
		{"nothing", "new", 200, ""},
		{"odd", "new", 200, ""},
	} {
		w := post(in, formType, slash(strconv.Itoa(i), tt.text), 0, tt.with)
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s with the secret %s: %d %q, want %d %q", tt.text, tt.with, w.Code, w.Body, tt.status, tt.body)
		}
		if wantType := tt.body != ""; wantType != strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			t.Errorf("%s: content type %q", tt.text, w.Header().Get("Content-Type"))
		}
	}
	w := post(in, "application/json", `{"type":"url_verification","challenge":"abc"}`, 0, "old")
	if w.Code != 200 || w.Body.String() != `{"challenge":"abc"}` {
		t.Errorf("challenge: %d %q", w.Code, w.Body)
	}
	if got := len(h.requests()); got != 4 {
		t.Errorf("handled %d, want 4", got)
	}
}

// TestWindow walks a signature through its ten minutes.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newHTTP(t, HTTPOptions{Handler: &recorder{}})
		const ahead = -5 * time.Minute
		body := slash("1", "x")
		if w := post(in, formType, body, ahead, secret); w.Code != 200 {
			t.Fatalf("five minutes ahead: %d", w.Code)
		}
		stamped := time.Now().Add(-ahead)
		for _, after := range []time.Duration{time.Second, 5 * time.Minute, 10 * time.Minute, 10*time.Minute + time.Second, time.Hour} {
			time.Sleep(time.Until(stamped.Add(ahead).Add(after)))
			if w := post(in, formType, body, time.Since(stamped), secret); w.Code != 401 {
				t.Errorf("replayed after %s: %d", after, w.Code)
			}
		}
	})
}

// TestEventAgain has Slack send an event again, signed anew, and tell a mention
// in a direct message twice.
func TestEventAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &recorder{}
		in := newHTTP(t, HTTPOptions{Handler: h})
		event := func(id, kind string) string {
			return `{"type":"event_callback","event_id":"` + id + `","team_id":"T1","authorizations":[{"user_id":"U0BOT","is_bot":true}],` +
				`"event":{"type":"` + kind + `","channel_type":"im","channel":"D1","user":"U1","ts":"1.2","text":"<@U0BOT> status"}}`
		}
		for i, body := range []string{event("Ev1", "app_mention"), event("Ev2", "message"), event("Ev1", "app_mention"), event("Ev1", "app_mention"), event("Ev1", "app_mention")} {
			if w := post(in, "application/json", body, 0, secret); w.Code != 200 {
				t.Errorf("delivery %d: %d", i, w.Code)
			}
			time.Sleep(time.Duration(i) * time.Minute)
		}
		if got := h.requests(); len(got) != 1 || got[0].Text != "status" || !got[0].Direct {
			t.Errorf("handled %+v, want one mention", got)
		}
	})
}

func TestForgetful(t *testing.T) {
	h, m := &recorder{}, &memory{err: errors.New("the disk is full")}
	in := newHTTP(t, HTTPOptions{Handler: h, Seen: m})
	w := post(in, formType, slash("1", "x"), 0, secret)
	if w.Code != 503 || w.Header().Get("X-Slack-No-Retry") != "" || len(h.requests()) != 0 {
		t.Errorf("%d, headers %v, handled %d; want 503, to be sent again", w.Code, w.Header(), len(h.requests()))
	}
	if strings.Contains(w.Body.String(), "disk") {
		t.Errorf("body %q tells what is inside", w.Body)
	}
}

func TestLateAndBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := &recorder{do: func(ctx context.Context, r Request) Reply {
			switch r.Text {
			case "panic":
				panic("out of cheese")
			case "late":
				<-ctx.Done() // as a handler must
			case "slow":
				time.Sleep(2 * time.Second)
			}
			return Reply{Body: "said"}
		}}
		in := newHTTP(t, HTTPOptions{Handler: h, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for _, tt := range []struct {
			text, body, log string
			took            time.Duration
		}{
			{"panic", "", "out of cheese", 0},
			{"late", "", "the answer to Slack is late", ackTime},
			{"slow", `"said"`, "", 2 * time.Second},
		} {
			log.Reset()
			began := time.Now()
			w := post(in, formType, slash(tt.text, tt.text), 0, secret)
			if took := time.Since(began); w.Code != 200 || w.Body.String() != tt.body || took != tt.took {
				t.Errorf("%s: %d %q after %s", tt.text, w.Code, w.Body, took)
			}
			synctest.Wait()
			if !strings.Contains(log.String(), tt.log) || (tt.log == "") != (log.Len() == 0) {
				t.Errorf("%s: log %q, want %q in it", tt.text, log.String(), tt.log)
			}
		}
	})
}

// TestNoSecretTold has refused and broken requests leave no secret in the log.
func TestNoSecretTold(t *testing.T) {
	var log bytes.Buffer
	in := newHTTP(t, HTTPOptions{Handler: &recorder{}, Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for _, c := range cases(t) {
		if c.Want == "accept" {
			continue
		}
		req := c.request(t, "http://profbot.test/slack/events", time.Now())
		in.ServeHTTP(httptest.NewRecorder(), req)
		for _, s := range []string{secret, strings.TrimPrefix(req.Header.Get("X-Slack-Signature"), "v0="), "hooks.slack.com"} {
			if len(s) > 10 && strings.Contains(log.String(), s) {
				t.Errorf("%s: the log has %s", c.Name, s)
			}
		}
	}
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
}

func TestOptions(t *testing.T) {
	for _, opt := range []HTTPOptions{
		{},
		{SigningSecrets: []string{secret}},
		{SigningSecrets: []string{secret}, Handler: &recorder{}},
		{Handler: &recorder{}, Seen: &memory{}},
		{SigningSecrets: []string{secret, ""}, Handler: &recorder{}, Seen: &memory{}},
	} {
		if _, err := NewHTTP(opt); err == nil {
			t.Errorf("%+v was taken", opt)
		}
	}
}

// FuzzSigned sends garbage that is signed: no panic, and an answer that Slack understands.
func FuzzSigned(f *testing.F) {
	for _, c := range cases(f) {
		if len(c.Body) < 4000 && c.Fill == 0 {
			f.Add(c.Type == formType, c.Body)
		}
	}
	f.Add(false, `{"type":"event_callback","event":{"type":"app_home_opened","tab":"home","user":"U1","view":{"state":{"values":{"a":{"b":{"selected_options":[{"value":"x"}]}}}}}}}`)
	f.Add(true, "payload="+url.QueryEscape(`{"type":"block_suggestion","action_id":"service","value":"live","view":null}`))
	h := &recorder{do: func(context.Context, Request) Reply { return Reply{Body: struct{}{}} }}
	in := newHTTP(f, HTTPOptions{Handler: h, Seen: forgetful{}})
	f.Fuzz(func(t *testing.T, form bool, body string) {
		contentType := "application/json"
		if form {
			contentType = formType
		}
		if w := post(in, contentType, body, 0, secret); w.Code != 200 && w.Code != 400 {
			t.Errorf("%d for %q", w.Code, body)
		}
		for _, r := range h.requests() {
			if r.Kind == "" || (r.Kind == Submit || r.Kind == Home) && r.Text != "" {
				t.Errorf("%q became %+v", body, r)
			}
		}
		h.mu.Lock()
		h.got = nil
		h.mu.Unlock()
	})
}

// forgetful has seen nothing.
type forgetful struct{}

func (forgetful) Once(context.Context, string) (bool, error) { return true, nil }

func BenchmarkHTTP(b *testing.B) {
	in := newHTTP(b, HTTPOptions{Handler: &recorder{do: func(context.Context, Request) Reply { return Reply{Body: map[string]string{"text": "queued"}} }}, Seen: forgetful{}})
	for name, body := range map[string]string{
		"command": slash("1", "cpu live-api 30s"),
		"click": "payload=" + url.QueryEscape(`{"type":"block_actions","trigger_id":"1","user":{"id":"U1"},"actions":[{"action_id":"a","value":"v"}],"message":{"ts":"1.2","blocks":[`+
			strings.Repeat(`{"type":"section","text":{"type":"mrkdwn","text":"`+strings.Repeat("x", 200)+`"}},`, 40)+`{}]}}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := post(in, formType, body, 0, secret); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
