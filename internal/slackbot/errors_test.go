package slackbot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, tc := range []struct {
		name string
		opt  slackbot.Options
		want string
	}{
		{"no token", slackbot.Options{Channel: channel}, "token is required"},
		{"no channel", slackbot.Options{Token: "xoxb-1"}, "channel is required"},
		{"a name", slackbot.Options{Token: "xoxb-1", Channel: "#ops"}, `"#ops": use the channel's id`},
		{"a service's name", slackbot.Options{Token: "xoxb-1", Channel: channel, Channels: map[string]string{"live-api": "live"}}, `"live": use the channel's id`},
		{"no address", slackbot.Options{Token: "xoxb-1", Channel: channel, APIURL: "slack.com/api"}, "not an http or https address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := slackbot.New(tc.opt)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for code, want := range map[string]string{
		"channel_not_found": "channel's id", "is_archived": "archived", "invalid_auth": "token is wrong",
		"token_revoked": "install the app", "account_inactive": "install the app", "restricted_action": "ask an admin",
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{Scopes: []string{"chat:write"}}) // and none to join a channel
				s.FailNext("chat.postMessage", slacktest.Failure{Code: code})
				err := newBot(t, s).Publish(t.Context(), newLedger(), states()[0])
				e, ok := errors.AsType[*slackbot.Error](err)
				if !ok || e.Code != code || e.Call != "chat.postMessage" || e.Object != channel || e.RetryAfter() != 0 {
					t.Fatalf("error %#v", err)
				}
				if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), code) {
					t.Errorf("error %q does not say %q and %q", err, want, code)
				}
			})
		})
	}
}

// TestJoins: a public channel of the configuration is joined when it is first
// needed; without the scope the error says what to do.
func TestJoins(t *testing.T) {
	for name, scopes := range map[string][]string{"may": nil, "may not": {"chat:write", "channels:read", "channels:history"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{Scopes: scopes, Channels: []slacktest.Channel{{ID: channel, Name: "ops", Outside: true}}})
				err := newBot(t, s).Publish(t.Context(), newLedger(), states()[0])
				if scopes == nil && (err != nil || len(s.Messages(channel)) != 1) {
					t.Errorf("%v, %d messages", err, len(s.Messages(channel)))
				}
				if scopes != nil && (err == nil || !strings.Contains(err.Error(), "invite the bot")) {
					t.Errorf("without the scope: %v", err)
				}
			})
		})
	}
}

func TestCheck(t *testing.T) {
	all := []string{"chat:write", "files:write", "files:read", "channels:read", "channels:history", "groups:history"}
	without := func(scope string) (out []string) {
		for _, s := range all {
			if s != scope {
				out = append(out, s)
			}
		}
		return out
	}
	public := []slacktest.Channel{{ID: channel, Name: "ops"}}
	for _, tc := range []struct {
		name     string
		scopes   []string
		channels []slacktest.Channel
		token    string
		more     map[string]string
		want     []string // nil means fine
	}{
		{name: "fine", scopes: all, channels: public},
		{name: "wrong token", scopes: all, channels: public, token: "xoxb-other", want: []string{"invalid_auth", "copy the Bot User OAuth Token"}},
		{name: "cannot post", scopes: without("chat:write"), channels: public, want: []string{"chat:write", "post and edit"}},
		{name: "cannot share", scopes: without("files:write"), channels: public, want: []string{"files:write"}},
		{name: "cannot see files", scopes: without("files:read"), channels: public, want: []string{"files:read"}},
		{name: "cannot look back", scopes: without("channels:history"), channels: public, want: []string{"channels:history", `"ops"`}},
		{name: "cannot look back in private", scopes: without("groups:history"), channels: []slacktest.Channel{{ID: channel, Private: true}}, want: []string{"groups:history"}},
		{name: "private is fine", scopes: without("channels:history"), channels: []slacktest.Channel{{ID: channel, Private: true}}},
		{name: "cannot look at channels", scopes: without("channels:read"), channels: public, want: []string{"missing_scope", "channels:read"}},
		{name: "not a member", scopes: all, channels: []slacktest.Channel{{ID: channel, Name: "ops", Outside: true}}, want: []string{"type in #ops: /invite @profbot"}},
		{name: "may join", scopes: append([]string{"channels:join"}, all...), channels: []slacktest.Channel{{ID: channel, Name: "ops", Outside: true}}},
		{name: "archived", scopes: all, channels: []slacktest.Channel{{ID: channel, Name: "ops", Archived: true}}, want: []string{"archived"}},
		{name: "unknown", scopes: all, channels: []slacktest.Channel{{ID: "C0OTHER0"}}, want: []string{"channel_not_found", channel}},
		{
			name: "everything at once", scopes: []string{"channels:read"}, channels: public, more: map[string]string{"a": "C0AAAAAA", "b": "C0BBBBBB"},
			want: []string{"chat:write", "files:write", "C0AAAAAA", "C0BBBBBB", "channels:history"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := slacktest.New(slacktest.Options{Scopes: tc.scopes, Channels: tc.channels})
			b := newBot(t, s, func(o *slackbot.Options) {
				if tc.token != "" {
					o.Token = tc.token
				}
				o.Channels = tc.more
			})
			err := b.Check(t.Context())
			if (err == nil) != (tc.want == nil) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

// trouble is a network or a proxy that fails in one way.
type trouble func(req *http.Request) (*http.Response, error)

func (f trouble) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func answerWith(status int, header http.Header, body string) trouble {
	return func(*http.Request) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// The token is in no error and no log line, whatever goes wrong.
func TestTokenIsNeverShown(t *testing.T) {
	const token = "xoxb-1234-5678-verysecret"
	echo := func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("proxy says no to %s with %v", body, req.Header)
	}
	for name, rt := range map[string]http.RoundTripper{
		"refused":       trouble(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }),
		"echoing proxy": trouble(echo),
		"html":          answerWith(200, nil, "<html>sign in</html>"),
		"empty":         answerWith(200, nil, ""),
		"500":           answerWith(500, nil, "oops "+token),
		"429":           answerWith(429, http.Header{"Retry-After": {"4"}}, ""),
		"429 bare":      answerWith(429, nil, ""),
		"redirect":      answerWith(307, http.Header{"Location": {"https://evil.example/steal"}}, ""),
		"echoed":        answerWith(200, nil, `{"ok":false,"error":"bad token `+token+`"}`),
		"no timestamp":  answerWith(200, nil, `{"ok":true}`),
		"silent": trouble(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, context.Cause(req.Context())
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs strings.Builder
				b, err := slackbot.New(slackbot.Options{
					Token: token, Channel: channel, APIURL: "https://slack.test/api", HTTPClient: &http.Client{Transport: rt},
					Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range []error{b.Publish(t.Context(), newLedger(), doneState()), b.Check(t.Context())} {
					if err == nil && name != "no timestamp" {
						t.Error("no error")
					}
					text := fmt.Sprintf("%v %+v %#v %s", err, err, err, logs.String())
					if e, ok := errors.AsType[*slackbot.Error](err); ok {
						text += fmt.Sprintf("%+v %+v", *e, e.Unwrap())
					}
					if strings.Contains(text, token) || strings.Contains(text, "verysecret") {
						t.Errorf("the token is in %q", text)
					}
				}
			})
		})
	}
}

func TestTransportTroubles(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rt    trouble
		after time.Duration
		says  string
	}{
		{"429 without a time", answerWith(429, nil, ""), 30 * time.Second, "429"},
		{"429 in the body", answerWith(200, nil, `{"ok":false,"error":"ratelimited"}`), 30 * time.Second, "ratelimited"},
		{"429 with zero", answerWith(429, http.Header{"Retry-After": {"0"}}, ""), time.Second, "rate limit"},
		{"503", answerWith(503, nil, ""), 0, "503"},
		{"silence", func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}, 0, "no answer within 15s"},
		{"redirect is not followed", answerWith(302, http.Header{"Location": {"https://evil.example/"}}, ""), 0, "302"},
		{"endless answer", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(endless{})}, nil
		}, 0, "EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := slackbot.New(slackbot.Options{Token: "xoxb-1", Channel: channel, APIURL: "https://slack.test/api", HTTPClient: &http.Client{Transport: tc.rt}})
				if err != nil {
					t.Fatal(err)
				}
				err = b.Publish(t.Context(), newLedger(), states()[0])
				e, ok := errors.AsType[*slackbot.Error](err)
				if !ok || e.RetryAfter() != tc.after || !strings.Contains(e.Error(), tc.says) {
					t.Errorf("error %v with %v, want one that says %q with %s", err, e, tc.says, tc.after)
				}
			})
		})
	}
}

// endless is an answer without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
