package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/profbot/profbot/internal/analysis"
)

const corpus = "../testdata/corpus/truth.json"

// TestCorpus holds the analysis to the bars on the profiles in the repository.
func TestCorpus(t *testing.T) {
	var out strings.Builder
	err := run([]string{"-truth", corpus, "-v"}, &out)
	if err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if !strings.HasSuffix(out.String(), ": ok\n") {
		t.Errorf("the last line is no summary:\n%s", out.String())
	}
}

// TestBarsBite changes the truth until it contradicts the profiles: every bar
// must notice.
func TestBarsBite(t *testing.T) {
	for _, tc := range []struct {
		name    string
		was, is string
		want    string
	}{
		{"handler", `handleLive$`, `handleDead$`, "handlers"},
		{"marker", `"truth/svc.(*API).Live"`, `"net/http.(*conn).serve"`, "completeness"},
		{"source", `"cache (coocood/freecache)"`, `"database (sqlite)"`, "wrong source"},
		{"share", `"decode_share": 0,`, `"decode_share": 0.9,`, "decode shares"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := changed(t, tc.was, tc.is)
			var out strings.Builder
			if err := run([]string{"-truth", file, "-json"}, &out); !errors.Is(err, errBelow) {
				t.Fatalf("got %v", err)
			}
			var r result
			if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
				t.Fatal(err)
			}
			if r.OK || !strings.Contains(r.Summary, tc.want) {
				t.Errorf("summary %q, want %q in it", r.Summary, tc.want)
			}
		})
	}
}

// changed copies one profile's truth with one thing replaced, beside links to
// the profiles.
func changed(t *testing.T, was, is string) string {
	t.Helper()
	data, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Profiles []map[string]any `json:"profiles"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	all.Profiles = slices.DeleteFunc(all.Profiles, func(p map[string]any) bool { return p["cpu"] != "router-std.cpu.pb.gz" })
	if data, err = json.MarshalIndent(all, "", " "); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), was) {
		t.Fatalf("the truth has no %s", was)
	}
	dir := t.TempDir()
	from, err := filepath.Abs(filepath.Dir(corpus))
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(from, "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := os.Symlink(n, filepath.Join(dir, filepath.Base(n))); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "truth.json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(data), was, is)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTruthErrors: what cannot be read must be said, not skipped.
func TestTruthErrors(t *testing.T) {
	for _, tc := range []struct{ name, truth, want string }{
		{"no JSON", `{"profiles": [`, "is no truth"},
		{"empty", `{}`, "names no profiles"},
		{"no cpu", `{"profiles": [{"router": "std"}]}`, "has no cpu"},
		{"missing profile", `{"profiles": [{"cpu": "gone.pb.gz", "endpoints": {"a": {}}}]}`, "gone.pb.gz"},
		{"bad pattern", `{"profiles": [{"cpu": "a", "endpoints": {"a": {"expected_handler_regexp": "("}}}]}`, "endpoint a"},
		{"null endpoint", `{"profiles": [{"cpu": "a", "endpoints": {"a": null}}]}`, "endpoint a is null"},
		{"missing lab", `{"codec_lab": ["gone.pb.gz"]}`, "gone.pb.gz"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "truth.json")
			if err := os.WriteFile(file, []byte(tc.truth), 0o600); err != nil {
				t.Fatal(err)
			}
			err := run([]string{"-truth", file}, &strings.Builder{})
			if err == nil || errors.Is(err, errBelow) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
	if err := run([]string{"-truth", "gone.json"}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "gone.json") {
		t.Errorf("a missing truth: %v", err)
	}
}

func TestLabs(t *testing.T) {
	for _, tc := range []struct {
		json string
		want []string
	}{
		{``, nil},
		{`null`, nil},
		{`"lab.cpu.pb.gz: labels codec and op; lab.stripped.cpu.pb.gz is the same"`, []string{"lab.cpu.pb.gz", "lab.stripped.cpu.pb.gz"}},
		{`["a.pb.gz", {"labelled": "b.pb.gz", "n": 3}]`, []string{"a.pb.gz", "b.pb.gz"}},
	} {
		got := (&truth{CodecLab: json.RawMessage(tc.json)}).labs()
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.json, d)
		}
	}
}

func TestSource(t *testing.T) {
	for source, want := range map[string]analysis.SourceKind{
		"cache (go-redis GET) inside goroutines spawned by the handler": analysis.SourceCache,
		"request body": analysis.SourceRequest,
		"HTTP reply of an upstream (io.ReadAll then json.Unmarshal)": analysis.SourceReply,
		"gRPC reply":                     analysis.SourceReply,
		"database (sqlite, cached rows)": analysis.SourceDB,
		"message queue / Kafka (franz)":  analysis.SourceQueue,
		"none":                           "",
		"none (the reply is encoded)":    "",
		"unknown":                        "",
		"":                               "",
	} {
		if got := (&trueEndpoint{Source: source}).source(); got != want {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for pattern, name := range map[string]string{
		`^main\.jsonIn\[\.\.\.\]\.func\d+$`:  "main.jsonIn.func4",
		`^main\.\(\*S\[.*\]\)\.Do$`:          "main.(*S).Do",
		`^main\.\(\*S(\[\.\.\.\])?\)\.Do$`:   "main.(*S).Do",
		`^main\.wrap\[\.\.\.\]\.func\d+\.1$`: "main.wrap.func1.1",
	} {
		if got := typeParams.ReplaceAllString(pattern, ""); !regexp.MustCompile(got).MatchString(name) {
			t.Errorf("%s became %s, which does not match %s", pattern, got, name)
		}
	}
	for name, want := range map[string]string{
		"truth/svc.(*API).Fanout.func1":         "truth/svc.(*API).Fanout",
		"main.wrap[go.shape.int].func1.2":       "main.wrap",
		"main.(*API[...]).Live-fm":              "main.(*API).Live",
		"main.f.gowrap1":                        "main.f",
		"gopkg.in/yaml%2ev3.Unmarshal":          "gopkg.in/yaml%2ev3.Unmarshal",
		"main.run.func1-range1":                 "main.run",
		"truth/svc.(*API).Export.deferwrap1":    "truth/svc.(*API).Export",
		"main.stdmux.stdmux.withLabels.func7.1": "main.stdmux.stdmux.withLabels",
	} {
		if got := baseName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestFair: a write of the response leaves the denominator, and reading the
// body counts as decoding where the truth's clock ran for both.
func TestFair(t *testing.T) {
	leaf := func(n int64, end string, names ...string) *analysis.Node {
		root := &analysis.Node{Func: "net/http.(*conn).serve"}
		at := root
		for _, name := range names {
			c := &analysis.Node{Func: name, Endpoint: end, Category: analysis.CatApp}
			if strings.HasPrefix(name, "encoding/json.") {
				c.Category = analysis.CatDecode
			}
			if strings.HasPrefix(name, "net/http.(*body)") {
				c.Category = analysis.CatIO
			}
			at.Children = append(at.Children, c)
			at = c
		}
		at.Self = n
		return root
	}
	tree := &analysis.Tree{Root: &analysis.Node{Children: []*analysis.Node{
		leaf(40, "h", "main.h", "encoding/json.(*Decoder).Decode"),
		leaf(20, "h", "main.h", "encoding/json.(*Decoder).Decode", "net/http.(*body).Read"),
		leaf(40, "h", "main.h", "main.work"),
		leaf(100, "h", "main.h", "net/http.(*response).Write"),
	}}}
	end := &analysis.Endpoint{Name: "h", Decode: analysis.ShareOf(40, 200), Share: analysis.Share{Samples: 200}}
	half := 0.6
	for _, tc := range []struct {
		source string
		share  float64
		in     int
	}{{"request body", half, 1}, {"request body", 0.45, 0}, {"cache", 0.4, 1}, {"cache", 0.2, 0}} {
		j := &judge{res: &analysis.Result{Tree: tree, Report: &analysis.Report{}}}
		j.share("e", &trueEndpoint{DecodeShare: &tc.share, Source: tc.source}, end)
		if j.line.SharesIn != tc.in {
			t.Errorf("%s %g: %d, want %d", tc.source, tc.share, j.line.SharesIn, tc.in)
		}
	}
}
