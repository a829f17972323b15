package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// TestJudge holds the demo to being a check: what the services do must be
// found, and nothing else.
func TestJudge(t *testing.T) {
	cache := analysis.Verdict{Rule: analysis.RuleCacheDecode, Flagged: true}
	body := analysis.Verdict{Rule: analysis.RuleDecode}
	none := analysis.Verdict{Rule: analysis.RuleNone}
	few := analysis.Verdict{Rule: analysis.RuleFewSamples}
	for _, tc := range []struct {
		name                   string
		live, gift, user, chat analysis.Verdict
		bad                    []string             // what the error names
		proof                  *analysis.Comparison // nil: everything is fixed
	}{
		{"as it should be", cache, cache, none, body, nil, nil},
		{"chat too rare to say", cache, cache, none, few, nil, nil},
		{"one list missed", cache, few, none, body, []string{"GiftList"}, nil},
		{"a list decodes, but whose bytes is unknown", body, cache, none, body, []string{"LiveList"}, nil},
		{"a list is flagged for something else", analysis.Verdict{Rule: analysis.RuleEncode, Flagged: true}, cache, none, body, []string{"LiveList"}, nil},
		{"chat taken for a cache", cache, cache, none, cache, []string{"Chat"}, nil},
		{"user flagged", cache, cache, analysis.Verdict{Rule: analysis.RuleEncode, Flagged: true}, body, []string{"User"}, nil},
		{"nothing seen", analysis.Verdict{}, analysis.Verdict{}, none, none, []string{"LiveList", "GiftList"}, nil},
		{"better, and not gone", cache, cache, none, body, nil, proof(analysis.OutcomeBetter, 2)},
		{"the fix does nothing", cache, cache, none, body, []string{"GET"}, proof(analysis.OutcomeSame, 2)},
		{"it saves too little", cache, cache, none, body, []string{"a"}, proof(analysis.OutcomeFixed, 1.2)},
		{"not seen, with as much CPU as before", cache, cache, none, body, []string{"GET"}, proof(analysis.OutcomeUnseen, 2)},
	} {
		d := &demo{res: Result{Report: &analysis.Report{}, Proof: tc.proof}}
		if d.res.Proof == nil {
			d.res.Proof = proof(analysis.OutcomeFixed, 2)
		}
		for h, v := range map[string]analysis.Verdict{"LiveList": tc.live, "GiftList": tc.gift, "User": tc.user, "Chat": tc.chat} {
			if v != (analysis.Verdict{}) {
				d.res.Report.Endpoints = append(d.res.Report.Endpoints, analysis.Endpoint{Handler: "example.com/fleet.(*liveAPI)." + h, Verdict: v})
			}
		}
		err := d.judge()
		var bad []string
		if e, ok := errors.AsType[*UnexpectedError](err); ok {
			for _, what := range e.What {
				name, _, _ := strings.Cut(what, " ")
				bad = append(bad, name)
			}
		}
		if d := cmp.Diff(tc.bad, bad); d != "" || (err == nil) != (tc.bad == nil) {
			t.Errorf("%s: %v (-want +got):\n%s", tc.name, err, d)
		}
	}
}

func proof(o analysis.Outcome, gain float64) *analysis.Comparison {
	return &analysis.Comparison{Before: 100, After: 100 * gain, Endpoints: []analysis.Change{{Name: "GET /live/list", Outcome: o}}}
}

func TestWindowTooShort(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	_, err := Run(t.Context(), Options{Out: out, Window: 5 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "too few samples") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder was made for nothing: %v", err)
	}
}

// TestClear leaves a folder as two demos and a person do.
func TestClear(t *testing.T) {
	d := &demo{Options: Options{Out: filepath.Join(t.TempDir(), "[out]")}}
	mine := []string{"notes.txt", "profiles/shop-0.cpu.pb.gz", "profiles/live-api.txt"}
	for _, name := range append(slices.Clone(mine), FilePicture, FileThread, "profiles/live-api-2.cpu.pb.gz", "profiles/live-api-0.allocs-before.pb.gz") {
		file := filepath.Join(d.Out, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.clear(); err != nil {
		t.Fatal(err)
	}
	var left []string
	err := fs.WalkDir(os.DirFS(d.Out), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			left = append(left, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(mine)
	if d := cmp.Diff(mine, left); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

// TestPage: the page that stays needs nothing but the pictures beside it.
func TestPage(t *testing.T) {
	s := slacktest.New(slacktest.Options{Token: "xoxb-test", Channels: []slacktest.Channel{{ID: channel, Name: "ops-alerts"}}})
	bot, err := slackbot.New(slackbot.Options{Token: "xoxb-test", Channel: channel, APIURL: s.URL(), HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		u := slackbot.Update{
			Incident: incident.Incident{ID: rand.Text(), Status: incident.StatusDone, Alert: incident.Alert{Key: incident.Key{Service: "live-api"}}},
			Report:   &analysis.Report{Service: "live-api"}, Picture: onePixel(t), Diff: &incident.Difference{Against: "a cool pod", Picture: onePixel(t)},
			ReportURL: "http://127.0.0.1:1/r/AB-_c/", FlameURL: "http://127.0.0.1:1/r/AB-_c/flame.html",
		}
		if err := bot.Publish(t.Context(), memory{}, u); err != nil {
			t.Fatal(err)
		}
	}
	page := string((&demo{slack: s}).page(t.Context(), "/"))
	for _, want := range []string{"<style>", `src="` + FilePicture + `"`, `href="` + FilePicture + `"`, `src="` + FileDifference + `"`, `src="` + FileDifferenceAfter + `"`, `src="` + FilePictureAfter + `"`, `href="` + FileReport + `"`, `href="` + FileReportAfter + `"`, `href="` + FileFlame + `"`, `href="` + FileFlameAfter + `"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, bad := range []string{"files/", "page.css", "page.js", "<script", "127.0.0.1"} {
		if strings.Contains(page, bad) {
			t.Errorf("%q in the page", bad)
		}
	}
}

func onePixel(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// memory is a ledger that lives as long as the test.
type memory map[string]incident.Effect

func (m memory) Load(_ context.Context, step string) (incident.Effect, error) { return m[step], nil }

func (m memory) Save(_ context.Context, step string, e incident.Effect) error {
	m[step] = e
	return nil
}
