package slackbot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

func TestPictureArrivesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		led := newLedger()
		if err := newBot(t, s).Publish(t.Context(), led, doneState()); err != nil {
			t.Fatal(err)
		}
		files := s.Files()
		if len(files) != 1 || !bytes.Equal(files[0].Data, aPicture()) || files[0].Shares != 1 {
			t.Fatalf("%d files, want the picture, shared once", len(files))
		}
		if want := aReport().Headline(); files[0].Title != want {
			t.Errorf("title %q, want %q", files[0].Title, want)
		}
		// The share is what the ledger names.
		root := s.Messages(channel)[0]
		share := s.Thread(channel, root.TS)[1]
		if got, want := led.all()["picture"].Ref, files[0].ID+"/"+share.TS; got != want {
			t.Errorf("the ledger says %q, want %q", got, want)
		}
	})
}

// What happens to the picture must never keep the words from the thread.
func TestPictureInTrouble(t *testing.T) {
	for _, tc := range []struct {
		name    string
		scopes  []string
		lose    bool
		fail    map[string]slacktest.Failure
		want    shape
		says    string
		wantErr string
		updates func(*slackbot.Update)
	}{
		{name: "taken and never shown", lose: true, want: shape{1, 0, 2}, says: "Slack took the picture and does not show it. Report (https://profbot.example.com/r/abc)"},
		{
			name: "no page to link to", lose: true, want: shape{1, 0, 2}, says: "It is kept with incident inc-7f3a.",
			updates: func(u *slackbot.Update) { u.ReportURL, u.FlameURL = "", "" },
		},
		{
			name: "no scope to upload", scopes: []string{"chat:write", "channels:history", "files:read"}, want: shape{1, 0, 2},
			says: "add the bot scope files:write",
		},
		{
			name: "no scope to look, but it is there", scopes: []string{"chat:write", "channels:history", "files:write"}, want: shape{1, 0, 2},
			says: "add the bot scope files:read",
		},
		{
			name: "the workspace takes no files", fail: map[string]slacktest.Failure{"files.getUploadURLExternal": {Code: "file_uploads_disabled"}},
			want: shape{1, 0, 2}, says: "the workspace takes no files",
		},
		{name: "uploads broken for a moment", fail: map[string]slacktest.Failure{"upload": {Status: 503}}, want: shape{1, 0, 1}, wantErr: "503"},
		{name: "the upload expired", fail: map[string]slacktest.Failure{"files.completeUploadExternal": {Code: "file_not_found"}}, want: shape{1, 0, 1}, wantErr: "expired"},
		{name: "no picture", want: shape{1, 0, 1}, updates: func(u *slackbot.Update) { u.Picture = nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{Scopes: tc.scopes})
				s.LoseShares(tc.lose)
				for m, f := range tc.fail {
					s.FailNext(m, f)
				}
				u, led := doneState(), newLedger()
				if tc.updates != nil {
					tc.updates(&u)
				}
				b := newBot(t, s)
				err := b.Publish(t.Context(), led, u)
				if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
					t.Fatalf("error %v, want %q", err, tc.wantErr)
				}
				// The share of a file that is still processed may yet appear; what counts is what the bot did.
				got := shapeOf(s)
				if tc.name == "no scope to look, but it is there" {
					got.Pictures = 0
				}
				if d := cmp.Diff(tc.want, got); d != "" {
					t.Errorf("what is in the thread (-want +got):\n%s\n%s", d, s.Text(channel))
				}
				if text := strings.ReplaceAll(s.Text(channel), "\n    | ", " "); !strings.Contains(text, tc.says) {
					t.Errorf("the thread does not say %q:\n%s", tc.says, text)
				}
				if !strings.Contains(s.Text(channel), "Where the CPU of live-api") {
					t.Errorf("the details are missing:\n%s", s.Text(channel))
				}
				// Another try does what is left and says nothing twice.
				if err := b.Publish(t.Context(), led, u); err != nil {
					t.Fatal(err)
				}
				want := tc.want
				if tc.wantErr != "" {
					want.Pictures = 1
				}
				if got = shapeOf(s); tc.name == "no scope to look, but it is there" {
					got.Pictures = 0
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("after another try (-want +got):\n%s\n%s", d, s.Text(channel))
				}
			})
		})
	}
}

// An upload that fails again and again ends as a link.
func TestPictureGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		b, led := newBot(t, s), newLedger()
		start, tries := time.Now(), 0
		for {
			s.FailNext("upload", slacktest.Failure{Status: 502})
			err := b.Publish(t.Context(), led, doneState())
			if tries++; err == nil {
				break
			}
			if tries > 30 {
				t.Fatal("tried for ever")
			}
			time.Sleep(time.Minute)
		}
		if took := time.Since(start); took < 10*time.Minute || took > 12*time.Minute {
			t.Errorf("given up after %s, want about 10 minutes", took)
		}
		if d := cmp.Diff(shape{1, 0, 2}, shapeOf(s)); d != "" {
			t.Errorf("(-want +got):\n%s\n%s", d, s.Text(channel))
		}
	})
}

// A file that was completed by a process that then died is found, also when
// Slack is slow to show it and files.info says nothing.
func TestPictureFoundInTheThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slacktest.New(slacktest.Options{})
		u, led := doneState(), newLedger()
		ctx, cancel := context.WithCancelCause(t.Context())
		led.point = func(name string) {
			if e := led.all()["picture"]; name == "before save picture" && e.Ref != "" {
				cancel(errKilled) // shared, not remembered
			}
		}
		if err := newBot(t, s).Publish(ctx, led, u); !errors.Is(err, errKilled) {
			t.Fatalf("error %v, want %v", err, errKilled)
		}
		led.point = nil
		s.FailNext("files.info", slacktest.Failure{Code: "missing_scope"})
		if err := newBot(t, s).Publish(t.Context(), led, u); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(shape{1, 1, 1}, shapeOf(s)); d != "" {
			t.Errorf("(-want +got):\n%s\n%s", d, s.Text(channel))
		}
		if e := led.all()["picture"]; e.State != incident.EffectDone || strings.HasSuffix(e.Ref, "/link") {
			t.Errorf("the ledger says %+v", e)
		}
	})
}

// rewrite changes the upload address that Slack gives.
type rewrite struct {
	next http.RoundTripper
	to   string
	sent []string
}

func (r *rewrite) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.Contains(req.URL.Path, "files.getUploadURLExternal") {
		if !strings.HasPrefix(req.URL.String(), "http://slack.test/api/") {
			r.sent = append(r.sent, req.URL.String())
			body, err := io.ReadAll(req.Body)
			if err != nil || strings.Contains(string(body), "xoxb") || req.Header.Get("Authorization") != "" || req.ContentLength != int64(len(body)) {
				return nil, errors.New("the upload carries a secret or has no length")
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}
		return r.next.RoundTrip(req)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"ok":true,"file_id":"F0X","upload_url":"` + r.to + `"}`))}, nil
}

func TestUploadsGoToSlackOnly(t *testing.T) {
	for _, tc := range []struct {
		to string
		ok bool
	}{
		{"https://files.slack.com/upload/v1/secret", true},
		{"https://slack.com/upload", true},
		{"https://FILES.SLACK.COM/upload", true},
		{"https://files.slack-gov.com/upload", true},
		{"http://files.slack.com/upload/v1/secret", false},
		{"https://slack.com.evil.example/upload", false},
		{"https://evilslack.com/upload", false},
		{"https://user@files.slack.com/upload", false},
		{"https://169.254.169.254/latest", false},
		{"http://slack.test:81/upload", false},
		{"://secret", false},
		{"", false},
	} {
		t.Run(tc.to, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slacktest.New(slacktest.Options{})
				rw := &rewrite{next: s.Client().Transport, to: tc.to}
				b := newBot(t, s, func(o *slackbot.Options) { o.HTTPClient = &http.Client{Transport: rw} })
				err := b.Publish(t.Context(), newLedger(), doneState())
				if sent := len(rw.sent) > 0; sent != tc.ok {
					t.Errorf("sent to %q: %t, want %t (error %v)", rw.sent, sent, tc.ok, err)
				}
				if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "/upload")) {
					t.Errorf("error %q shows the address", err)
				}
			})
		})
	}
}
