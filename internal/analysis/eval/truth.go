package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/profile"
)

// truth is the file that says what profiles must show. Fields that are not
// here are for people.
type truth struct {
	dir      string // where the profiles are
	Profiles []trueProfile
	// CodecLab names profiles with the labels codec and op, in a string with
	// words around the names, or in a list or an object of such strings.
	CodecLab json.RawMessage `json:"codec_lab"`
}

// trueProfile is one run of one program. Only CPU is required.
type trueProfile struct {
	CPU          string `json:"cpu"`
	AllocsBefore string `json:"allocs_before"`
	AllocsAfter  string `json:"allocs_after"`
	Goroutine    string `json:"goroutine"`
	Router       string `json:"router"`
	Codec        string `json:"codec"`
	Endpoints    map[string]*trueEndpoint
}

// trueEndpoint is what is known of one endpoint; what is missing is not judged.
type trueEndpoint struct {
	DecodeShare *float64 `json:"decode_share"` // of the handler's timed CPU, 0 to 1
	HandlerCPU  float64  `json:"handler_cpu_s"`
	Source      string   `json:"decode_source"`
	Handler     string   `json:"expected_handler_regexp"`
	Marker      string   `json:"true_endpoint_marker_frame"`

	handler *regexp.Regexp // Handler compiled; nil for none
	marker  string         // Marker's base name
}

func readTruth(file string) (*truth, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the truth: %w", err)
	}
	t := &truth{dir: filepath.Dir(file)}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("%s is no truth: %w", file, err)
	}
	if len(t.Profiles) == 0 && len(t.labs()) == 0 {
		return nil, fmt.Errorf("%s names no profiles", file)
	}
	for i, p := range t.Profiles {
		if p.CPU == "" {
			return nil, fmt.Errorf("%s: profile %d has no cpu", file, i)
		}
		for name, e := range p.Endpoints {
			if e == nil {
				return nil, fmt.Errorf("%s: %s: endpoint %s is null", file, p.CPU, name)
			}
			if e.marker = baseName(e.Marker); e.Handler == "" {
				continue
			}
			if e.handler, err = regexp.Compile(typeParams.ReplaceAllString(e.Handler, "")); err != nil {
				return nil, fmt.Errorf("%s: %s: endpoint %s: %w", file, p.CPU, name, err)
			}
		}
	}
	return t, nil
}

// typeParams matches what a pattern says of type parameters: `\[\.\.\.\]`, or
// `\[.*\]` and its kin.
var typeParams = regexp.MustCompile(`\\\[(\\\.\\\.\\\.|\.[*+]\??|\[\^\\?\]\][*+])\\\]`)

// closureTail is what the compiler appends to the name of a function literal.
var closureTail = regexp.MustCompile(`(\.func\d+|\.gowrap\d+|\.deferwrap\d+|-range\d+|-fm|\.\d+)+$`)

// brackets are the type parameters in a function's name.
var brackets = regexp.MustCompile(`\[.*\]`)

func baseName(s string) string {
	return closureTail.ReplaceAllString(brackets.ReplaceAllString(s, ""), "")
}

// rpc reports whether the framework decodes requests outside the clocks.
func (p *trueProfile) rpc() bool {
	r := strings.ToLower(p.Router)
	return strings.Contains(r, "grpc") || strings.Contains(r, "connect")
}

// pods loads the profiles of a run.
func (t *truth) pods(p trueProfile) ([]analysis.PodProfiles, error) {
	pod := analysis.PodProfiles{Pod: p.CPU}
	var err error
	if pod.CPU, err = load(t, p.CPU, profile.Parse); err != nil {
		return nil, err
	}
	if pod.AllocsBefore, err = load(t, p.AllocsBefore, profile.Parse); err != nil {
		return nil, err
	}
	if pod.AllocsAfter, err = load(t, p.AllocsAfter, profile.Parse); err != nil {
		return nil, err
	}
	if pod.Goroutine, err = load(t, p.Goroutine, profile.Parse); errors.Is(err, os.ErrNotExist) {
		err = nil // nothing here is judged by it
	}
	return []analysis.PodProfiles{pod}, err
}

// sourceWords are how a truth names the kinds of sources.
var sourceWords = []struct {
	word *regexp.Regexp
	kind analysis.SourceKind
}{
	{regexp.MustCompile(`(?i)\bcached?\b`), analysis.SourceCache},
	{regexp.MustCompile(`(?i)\brequest`), analysis.SourceRequest},
	{regexp.MustCompile(`(?i)\b(reply|response)\b`), analysis.SourceReply},
	{regexp.MustCompile(`(?i)\b(database|db|sql)\b`), analysis.SourceDB},
	{regexp.MustCompile(`(?i)\b(queue|kafka|nats|message)\b`), analysis.SourceQueue},
}

// parenthesis holds what a truth adds for people.
var parenthesis = regexp.MustCompile(`\([^)]*\)`)

// source is the kind of source that a truth names first, which is the one
// before the parenthesis. "" means that there is nothing to judge.
func (e *trueEndpoint) source() analysis.SourceKind {
	for _, text := range []string{parenthesis.ReplaceAllString(e.Source, ""), e.Source} {
		var best analysis.SourceKind
		at := len(text)
		for _, w := range sourceWords {
			if loc := w.word.FindStringIndex(text); loc != nil && loc[0] < at {
				best, at = w.kind, loc[0]
			}
		}
		if best != "" || strings.HasPrefix(text, "none") || strings.HasPrefix(text, "unknown") {
			return best
		}
	}
	return ""
}

// load reads one profile beside the truth; no name is no profile.
func load[P any](t *truth, name string, parse func([]byte, int64) (P, error)) (p P, err error) {
	if name == "" {
		return p, nil
	}
	data, err := os.ReadFile(filepath.Join(t.dir, name))
	if err != nil {
		return p, err
	}
	if p, err = parse(data, 0); err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}
