package profile

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gprofile "github.com/google/pprof/profile"
)

// corpus are the profiles that the analysis is tested with.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../analysis/testdata/corpus/*.pb.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = data
	}
	return out
}

// plain is a profile in a form in which both parsers' results can be compared.
type plain struct {
	Types    []ValueType
	Period   int64
	Duration time.Duration
	Samples  []plainSample
}

type plainSample struct {
	Frames []plainFrame // leaf first
	Values []int64
	Labels map[string]string
}

type plainFrame struct {
	Name, File string
	Start      int64
	Line       int64
}

func plainOf(p *Profile) plain {
	out := plain{Types: p.SampleTypes, Period: p.Period, Duration: p.Duration}
	for s := range p.Samples(func(string) bool { return true }) {
		ps := plainSample{Values: append([]int64(nil), s.Values...)}
		for _, loc := range s.Locations {
			for _, l := range p.Lines(loc) {
				f := plainFrame{Line: int64(l.Number)}
				if l.Function >= 0 {
					fn := p.Functions[l.Function]
					f.Name, f.File, f.Start = fn.Name, fn.File, fn.Line
				}
				ps.Frames = append(ps.Frames, f)
			}
		}
		for _, l := range s.Labels {
			if ps.Labels == nil {
				ps.Labels = map[string]string{}
			}
			if _, twice := ps.Labels[l.Key]; !twice {
				ps.Labels[l.Key] = l.Value
			}
		}
		out.Samples = append(out.Samples, ps)
	}
	return out
}

func plainOfGoogle(p *gprofile.Profile) plain {
	out := plain{Period: p.Period, Duration: time.Duration(p.DurationNanos)}
	for _, t := range p.SampleType {
		out.Types = append(out.Types, ValueType{t.Type, t.Unit})
	}
	for _, s := range p.Sample {
		ps := plainSample{Values: s.Value}
		for _, loc := range s.Location {
			for _, l := range loc.Line {
				f := plainFrame{Line: l.Line}
				if l.Function != nil {
					f.Name, f.File, f.Start = l.Function.Name, l.Function.Filename, l.Function.StartLine
					if f.Name == "" {
						f.Name = l.Function.SystemName
					}
				}
				ps.Frames = append(ps.Frames, f)
			}
		}
		for k, v := range s.Label {
			if ps.Labels == nil {
				ps.Labels = map[string]string{}
			}
			ps.Labels[k] = v[0]
		}
		out.Samples = append(out.Samples, ps)
	}
	return out
}

func TestParseAgreesWithPprof(t *testing.T) {
	for name, data := range corpus(t) {
		got, err := Parse(data, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := gprofile.ParseData(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plainOfGoogle(want), plainOf(got)); diff != "" {
			t.Errorf("%s (-pprof +this):\n%s", name, diff)
		}
		if got.NumSamples() != len(want.Sample) || got.NumLocations() != len(want.Location) {
			t.Errorf("%s: %d samples and %d locations, want %d and %d", name, got.NumSamples(), got.NumLocations(), len(want.Sample), len(want.Location))
		}
	}
}

func TestParseSparseIDs(t *testing.T) {
	fn := &gprofile.Function{ID: 77, SystemName: "main.f", Filename: "f.go"}
	loc := []*gprofile.Location{{ID: 9, Line: []gprofile.Line{{Function: fn, Line: 3}}}, {ID: 5}}
	p := &gprofile.Profile{
		SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}}, Function: []*gprofile.Function{fn}, Location: loc,
		Sample:     []*gprofile.Sample{{Location: loc, Value: []int64{-4}, Label: map[string][]string{"endpoint": {"/a"}, "id": {"7"}}}},
		PeriodType: &gprofile.ValueType{Type: "cpu", Unit: "nanoseconds"}, TimeNanos: 5e9, DefaultSampleType: "samples",
	}
	var b bytes.Buffer
	// Write would number from 1; the encoder below it keeps the ids.
	if err := p.WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b.Bytes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plainOfGoogle(p), plainOf(got)); diff != "" {
		t.Error(diff)
	}
	if got.PeriodType != (ValueType{"cpu", "nanoseconds"}) || !got.Time.Equal(time.Unix(5, 0)) || got.DefaultType != "samples" || got.Types() != "samples/count" {
		t.Errorf("header %+v %v %q", got.PeriodType, got.Time, got.DefaultType)
	}
	for s := range got.Samples(func(key string) bool { return key == "endpoint" }) {
		if diff := cmp.Diff([]Label{{"endpoint", "/a"}}, s.Labels); diff != "" {
			t.Error(diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	zip := func(raw []byte) []byte {
		var b bytes.Buffer
		zw := gzip.NewWriter(&b)
		if _, err := zw.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole := corpus(t)["router-std.cpu.pb.gz"]
	const (
		strs  = "\x32\x00\x32\x01a"                // "" and "a"
		types = "\x0a\x04\x08\x01\x10\x01"         // one sample type
		fn    = "\x2a\x04\x08\x01\x10\x01"         // function 1
		loc   = "\x22\x06\x08\x01\x22\x02\x08"     // location 1, one line of function ...
		smp   = "\x12\x06\x0a\x01\x01\x12\x01\x07" // a sample at location 1
	)
	for _, tc := range []struct {
		name string
		data []byte
		max  int64
		want error
	}{
		{"nothing", nil, 0, ErrMalformed},
		{"html", []byte("<html>404</html>"), 0, ErrMalformed},
		{"text profile", []byte("heap profile: 1: 2 [3: 4] @ heap/1048576\n"), 0, ErrMalformed},
		{"bomb", zip(make([]byte, 1<<20)), 1 << 10, ErrTooLarge},
		{"cut", whole[:len(whole)/2], 0, ErrMalformed},
		{"broken gzip", append(append([]byte(nil), whole[:100]...), make([]byte, 100)...), 0, ErrMalformed},
		{"over the limit", whole, 1000, ErrTooLarge},
		{"no sample types", []byte(strs), 0, ErrMalformed},
		{"no strings", []byte(types), 0, ErrMalformed},
		{"first string not empty", []byte("\x32\x01a" + types), 0, ErrMalformed},
		{"string out of range", []byte(strs + "\x0a\x02\x08\x07"), 0, ErrMalformed},
		{"location 0", []byte(strs + types + "\x22\x00"), 0, ErrMalformed},
		{"function twice", []byte(strs + types + fn + fn), 0, ErrMalformed},
		{"function missing", []byte(strs + types + loc + "\x01"), 0, ErrMalformed},
		{"location missing", []byte(strs + types + smp), 0, ErrMalformed},
		{"too many values", []byte(strs + types + fn + loc + "\x01" + "\x12\x07\x0a\x01\x01\x12\x02\x07\x07"), 0, ErrMalformed},
		{"group", []byte(strs + types + "\x0b"), 0, ErrMalformed},
		{"number too long", []byte(strs + types + "\x60\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), 0, ErrMalformed},
	} {
		if _, err := Parse(tc.data, tc.max); !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.want)
		}
	}
	if _, err := Parse([]byte(strs+types+fn+loc+"\x01"+smp), 0); err != nil {
		t.Errorf("the pieces make no profile: %v", err)
	}
}

// FuzzParse: whatever the bytes, there is no panic; what both parsers take
// means the same to both.
func FuzzParse(f *testing.F) {
	// Small ones: the fuzzer makes every input that shows something new as short
	// as it can, up to a minute for one of tens of kilobytes.
	for _, name := range []string{"router-grpc.cpu.pb.gz", "labels-profbot-chi.cpu.pb.gz", "router-std.allocs0.pb.gz", "labels-profbot-chi.goroutine.pb.gz"} {
		p, err := gprofile.ParseData(corpus(f)[name])
		if err != nil {
			f.Fatal(err)
		}
		p.Sample = p.Sample[:2]
		p = p.Compact()
		var raw, zipped bytes.Buffer
		if err := errors.Join(p.WriteUncompressed(&raw), p.Write(&zipped)); err != nil {
			f.Fatal(err)
		}
		f.Add(raw.Bytes())
		f.Add(zipped.Bytes())
	}
	// A few bytes unfold to many frames: what is compared is bounded.
	const maxFrames = 1 << 14
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data, 1<<16)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("error %v is of no kind", err)
			}
			return
		}
		frames := 0
		for s := range p.Samples(nil) {
			for _, loc := range s.Locations {
				if frames += 1 + len(p.Lines(loc)); frames > maxFrames {
					return
				}
			}
		}
		got := plainOf(p)
		raw := data
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			return // the other parser has no limit
		}
		g, err := gprofile.ParseUncompressed(raw)
		if err != nil || g.CheckValid() != nil {
			return
		}
		want := plainOfGoogle(g)
		if len(want.Samples) != len(got.Samples) {
			t.Errorf("%d samples, pprof sees %d", len(got.Samples), len(want.Samples))
		}
		for i := range want.Samples {
			if diff := cmp.Diff(want.Samples[i].Values, got.Samples[i].Values); diff != "" {
				t.Errorf("sample %d: %s", i, diff)
			}
			if len(want.Samples[i].Frames) != len(got.Samples[i].Frames) {
				t.Errorf("sample %d: %d frames, pprof sees %d", i, len(got.Samples[i].Frames), len(want.Samples[i].Frames))
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := corpus(b)["router-std.cpu.pb.gz"]
	b.Run("this", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(data, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pprof", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gprofile.ParseData(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
