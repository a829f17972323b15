package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	gprofile "github.com/google/pprof/profile"
	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/profile"
)

// labLine is the judgement of one codec lab.
type labLine struct {
	Profile string `json:"profile"`
	Samples int64  `json:"samples"` // with the label op
	Right   int64  `json:"right"`
	None    int64  `json:"none"`  // not seen as a codec
	Wrong   int64  `json:"wrong"` // the other direction
	Note    string `json:"note,omitempty"`
}

var profileName = regexp.MustCompile(`[^\s"',:;()]+\.(?:pb|pprof|prof)(?:\.gz)?\b`)

// labs are the profiles that the truth names as codec labs.
func (t *truth) labs() []string {
	var v any
	if len(t.CodecLab) == 0 || json.Unmarshal(t.CodecLab, &v) != nil {
		return nil
	}
	var names []string
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case string:
			for _, n := range profileName.FindAllString(v, -1) {
				if !slices.Contains(names, n) {
					names = append(names, n)
				}
			}
		case []any:
			for _, x := range v {
				visit(x)
			}
		case map[string]any:
			for _, x := range v {
				visit(x)
			}
		}
	}
	visit(v)
	slices.Sort(names)
	return names
}

// lab judges one codec lab: the samples of every codec and op are analysed by
// themselves, without their labels.
func (t *truth) lab(name string) (labLine, []miss, error) {
	l := labLine{Profile: name}
	all, err := load(t, name, func(b []byte, _ int64) (*gprofile.Profile, error) { return gprofile.ParseData(b) })
	if errors.Is(err, os.ErrNotExist) && len(t.labs()) > 1 && stripped.MatchString(name) {
		l.Note = "not here"
		return l, nil, nil
	}
	if err != nil {
		return l, nil, err
	}
	var misses []miss
	for key, p := range split(all) {
		var buf bytes.Buffer
		if err := p.WriteUncompressed(&buf); err != nil {
			return l, nil, fmt.Errorf("%s: %w", name, err)
		}
		cpu, err := profile.Parse(buf.Bytes(), 0)
		if err != nil {
			return l, nil, fmt.Errorf("%s: %w", name, err)
		}
		res, err := analysis.Analyze([]analysis.PodProfiles{{Pod: name, CPU: cpu}}, analysis.Options{})
		if err != nil {
			return l, nil, fmt.Errorf("%s: %w", name, err)
		}
		none, wrong := map[string]int64{}, map[string]int64{}
		walk(res.Tree, func(s sample) {
			l.Samples += s.n
			switch kind := s.kind(); {
			case kind == "":
				l.None += s.n
				none[s.String()] += s.n
			case string(kind) == key.op, kind == analysis.CatCompress:
				l.Right += s.n
			default:
				l.Wrong += s.n
				wrong[s.String()] += s.n
			}
		})
		for what, stacks := range map[string]map[string]int64{"no codec": none, "WRONG direction": wrong} {
			if _, sum := most(stacks); sum > 0 {
				m := miss{Profile: name, What: "codec", Endpoint: key.codec + " " + key.op, Samples: sum, Detail: what}
				for _, s := range heaviest(stacks, 6) {
					m.Stacks = append(m.Stacks, fmt.Sprintf("%d x %s", stacks[s], s))
				}
				misses = append(misses, m)
			}
		}
	}
	if l.Samples == 0 {
		l.Note = "no labels: nothing to judge"
	}
	return l, misses, nil
}

// stripped is a lab without its labels, which a truth may name and leave out.
var stripped = regexp.MustCompile(`(?i)strip|unlabel|nolabel`)

type labKey struct{ codec, op string }

// split makes one profile of every codec and op.
func split(p *gprofile.Profile) map[labKey]*gprofile.Profile {
	samples := map[labKey][]*gprofile.Sample{}
	for _, s := range p.Sample {
		op := s.Label["op"]
		if len(op) == 0 || op[0] != string(analysis.Decode) && op[0] != string(analysis.Encode) {
			continue
		}
		key := labKey{op: op[0]}
		if c := s.Label["codec"]; len(c) > 0 {
			key.codec = filepath.Base(c[0])
		}
		s.Label = nil
		samples[key] = append(samples[key], s)
	}
	out := map[labKey]*gprofile.Profile{}
	for key, ss := range samples {
		c := &gprofile.Profile{
			SampleType: p.SampleType, Sample: ss, Mapping: p.Mapping, Location: p.Location, Function: p.Function,
			DurationNanos: p.DurationNanos, PeriodType: p.PeriodType, Period: p.Period,
		}
		out[key] = c.Compact()
	}
	return out
}
