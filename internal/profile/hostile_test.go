package profile

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	gprofile "github.com/google/pprof/profile"
)

// written is a profile as bytes, with the ids it has.
func written(t testing.TB, p *gprofile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func count() []*gprofile.ValueType {
	return []*gprofile.ValueType{{Type: "samples", Unit: "count"}}
}

// TestLongNames: texts of megabytes are cut between characters, once for all
// that refer to them.
func TestLongNames(t *testing.T) {
	name, file := "main."+strings.Repeat("ü", 1<<20), strings.Repeat("f", 1<<20)
	fns := []*gprofile.Function{{ID: 1, Name: name, Filename: file}, {ID: 2, Name: name, Filename: "short.go"}, {ID: 3, Name: "main.\xff\xfe"}}
	loc := &gprofile.Location{ID: 1, Line: []gprofile.Line{{Function: fns[0]}}}
	p, err := Parse(written(t, &gprofile.Profile{
		SampleType: count(), Function: fns, Location: []*gprofile.Location{loc},
		Sample: []*gprofile.Sample{{Location: []*gprofile.Location{loc}, Value: []int64{1}, Label: map[string][]string{"endpoint": {strings.Repeat("é", 1<<20)}}}},
	}), 0)
	if err != nil {
		t.Fatal(err)
	}
	long := p.Functions[0].Name
	if len(long) > maxText || len(long) < maxText-utf8.UTFMax || !utf8.ValidString(long) || !strings.HasPrefix(name, long) {
		t.Errorf("the name has %d bytes, valid %v", len(long), utf8.ValidString(long))
	}
	if len(p.Functions[0].File) != maxText || p.Functions[1].File != "short.go" || p.Functions[2].Name != "main.\xff\xfe" {
		t.Errorf("files %d and %q, name %q", len(p.Functions[0].File), p.Functions[1].File, p.Functions[2].Name)
	}
	for s := range p.Samples(func(string) bool { return true }) {
		if len(s.Labels) != 1 || len(s.Labels[0].Value) > maxText {
			t.Errorf("labels %.40v", s.Labels)
		}
	}
}

// TestSharedNames: a hundred thousand functions that share a long name cannot
// be looked at one by one.
func TestSharedNames(t *testing.T) {
	p := &gprofile.Profile{SampleType: count()}
	name := strings.Repeat("n", maxText)
	for i := range 20_000 {
		p.Function = append(p.Function, &gprofile.Function{ID: uint64(i + 1), Name: name})
	}
	if _, err := Parse(written(t, p), 0); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "longer names") {
		t.Errorf("error %v", err)
	}
}

// TestParseMemory: what is parsed takes no more than a few times of the raw
// bytes, also where they are all headers of messages.
func TestParseMemory(t *testing.T) {
	p := &gprofile.Profile{SampleType: count()}
	loc := &gprofile.Location{ID: 1}
	p.Location = []*gprofile.Location{loc}
	for range 100_000 {
		p.Sample = append(p.Sample, &gprofile.Sample{Location: []*gprofile.Location{loc}, Value: []int64{1}})
	}
	data := written(t, p)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	q, err := Parse(data, 0)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 3*uint64(len(data)) {
		t.Errorf("%d bytes for %d", got, len(data))
	}
	if q.NumSamples() != 100_000 {
		t.Errorf("%d samples", q.NumSamples())
	}
}

// TestForeignFiles: what people give by mistake is no profile.
func TestForeignFiles(t *testing.T) {
	for name, data := range map[string]string{
		"heap text":   "heap profile:  3:  1024 [ 5: 2048] @ heap/1048576\n1: 512 [1: 512] @ 0x1 0x2\n",
		"legacy cpu":  "\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x27\x00\x00\x00\x00\x00\x00",
		"perf.data":   "PERFILE2h\x00\x00\x00\x00\x00\x00\x00\x88\x00\x00\x00\x00\x00\x00\x00",
		"jfr":         "FLR\x00\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x10\x00",
		"json":        `{"nodes": []}`,
		"folded":      "main;a;b 12\nmain;c 3\n",
		"elf":         "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00",
		"go trace":    "go 1.26 trace\x00\x00\x00",
		"gzip of any": "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if _, err := Parse([]byte(data), 0); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
