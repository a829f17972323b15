package analysis

import (
	"math"
	"strings"
	"testing"

	gprofile "github.com/google/pprof/profile"
)

func TestStrangeProfiles(t *testing.T) {
	for _, tc := range []struct {
		name   string
		stacks map[string]int64
		want   string // in the notes; "" for none of these
	}{
		{"C++", map[string]int64{"_start;main;_ZN3foo3barEv@foo.cc": 200, "main;std::vector<int>::push_back(int&&)@vector": 100}, "Not a Go program"},
		{"Python", map[string]int64{"<module>@app.py;handle@app.py": 300}, "Not a Go program"},
		{"Go without files", map[string]int64{"net/http.(*conn).serve;main.f": 300}, ""},
		{"too few to tell", map[string]int64{"f;g": 5}, ""},
	} {
		res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(tc.stacks)}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(res.Report.Notes, "\n")
		if tc.want == "" && (strings.Contains(notes, "Not a Go") || strings.Contains(notes, "No symbols")) || !strings.Contains(notes, tc.want) {
			t.Errorf("%s: notes %q, want %q", tc.name, notes, tc.want)
		}
	}
}

// TestNoSymbols: addresses are counted, and the report says that it knows no more.
func TestNoSymbols(t *testing.T) {
	p := &gprofile.Profile{SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	for i := range 4 {
		l := &gprofile.Location{ID: uint64(i + 1), Address: uint64(0x400000 + 16*i)}
		p.Location = append(p.Location, l)
		p.Sample = append(p.Sample, &gprofile.Sample{Location: []*gprofile.Location{l, p.Location[0]}, Value: []int64{50, 5e8}})
	}
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: ours(p)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := res.Report; r.Samples != 200 || len(r.Flagged()) > 0 || !strings.Contains(strings.Join(r.Notes, "\n"), "No symbols: 100 % of the samples") {
		t.Errorf("%d samples, endpoints %+v, notes %q", r.Samples, r.Endpoints, r.Notes)
	}
}

func TestLiteralPrefix(t *testing.T) {
	for pattern, want := range map[string]string{
		`^net/http\.\(\*(body|x)\)\.`:         "net/http.(*",
		`^github\.com/a\.Bind$`:               "github.com/a.Bind",
		`net/http`:                            "",
		`^a\.b|c`:                             "",
		`^(a|b)\.c`:                           "",
		`(?i)^abc`:                            "",
		`^os\.(ReadFile|\(\*File\)\.Read)$`:   "os.",
		`^github\.com/w\.(A|B)|\(\*m\)\.Read`: "",
	} {
		if got := literalPrefix(pattern); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	for i, s := range sourceFuncs {
		if !strings.HasPrefix(s.match.String(), "^") && sourcePrefixes[i] != "" {
			t.Errorf("%s has the prefix %q", s.match, sourcePrefixes[i])
		}
	}
}

// TestStrangeValues: what cannot be added up is left out with a note, and what
// is negative counts for nothing.
func TestStrangeValues(t *testing.T) {
	with := func(kind string, values ...int64) *gprofile.Profile {
		p := &gprofile.Profile{SampleType: []*gprofile.ValueType{{Type: kind, Unit: "count"}}, Function: []*gprofile.Function{{ID: 1, Name: "main.f", Filename: "main.go"}}}
		for i, v := range values {
			l := &gprofile.Location{ID: uint64(i + 1), Line: []gprofile.Line{{Function: p.Function[0], Line: int64(i)}}}
			p.Location = append(p.Location, l)
			p.Sample = append(p.Sample, &gprofile.Sample{Location: []*gprofile.Location{l}, Value: []int64{v}})
		}
		return p
	}
	for _, tc := range []struct {
		name              string
		allocs, goroutine *gprofile.Profile
		want              string
	}{
		{"allocs overflow", with("alloc_space", math.MaxInt64, math.MaxInt64), with("goroutine", 1), "a: its values add up"},
		{"goroutines overflow", with("alloc_space", 5), with("goroutine", math.MaxInt64/2), "a: its values add up"},
		{"negative", with("alloc_space", -5, 3), with("goroutine", math.MinInt64, 2), ""},
		{"other kinds", with("delay", 5), with("contentions", 5), ""},
	} {
		res, err := Analyze([]PodProfiles{{Pod: "a", CPU: load(t, "router-std.cpu.pb.gz"), AllocsAfter: ours(tc.allocs), Goroutine: ours(tc.goroutine)}}, Options{})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		notes := strings.Join(res.Report.Notes, "\n")
		if !strings.Contains(notes, tc.want) || tc.want == "" && strings.Contains(notes, "a: ") {
			t.Errorf("%s: notes %q, want %q", tc.name, notes, tc.want)
		}
		checkResult(t, res)
	}
}
