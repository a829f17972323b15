package collector

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"runtime/pprof"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/incident"
)

func pack(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	if _, err := zw.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(t testing.TB, b []byte) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// runtimeProfile is a profile in the runtime's order of fields.
func runtimeProfile(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 0); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// toolProfile is the same in the order of the pprof tool, with comments.
func toolProfile(t testing.TB) []byte {
	t.Helper()
	p, err := profile.ParseData(runtimeProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Comments = []string{"one", "two"}
	p.DropFrames = "x"
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestVetAccepts(t *testing.T) {
	for name, gz := range map[string][]byte{"runtime": runtimeProfile(t), "tool": toolProfile(t)} {
		raw := unpack(t, gz)
		for form, data := range map[string][]byte{"gzip": gz, "raw": raw} {
			got, n, samples, err := vet(data, incident.KindGoroutine, limits{int64(len(raw)), 1000}, nil) // the limit itself is allowed
			if err != nil {
				t.Errorf("%s %s: %v", name, form, err)
				continue
			}
			if n != int64(len(raw)) || samples == 0 || !bytes.Equal(unpack(t, got), raw) {
				t.Errorf("%s %s: %d raw bytes, want %d, %d samples", name, form, n, len(raw), samples)
			}
		}
	}
}

func TestVetRefuses(t *testing.T) {
	const secret = "Bearer s3cr3t-t0ken"
	gz := runtimeProfile(t)
	raw := unpack(t, gz)
	damaged := bytes.Clone(gz)
	damaged[len(damaged)-5] ^= 0xff // within the checksum
	for _, tc := range []struct {
		name  string
		data  []byte
		limit int64
		want  incident.Outcome
		words string
		retry bool
	}{
		{"nothing", nil, 1 << 20, incident.OutcomeNotProfile, "the answer is empty", false},
		{"a page", []byte("<!doctype html>\n<title>Hi</title>"), 1 << 20, incident.OutcomeNotProfile, `it begins with "<!doctype html> <title>Hi</title>"`, false},
		{"a page after a newline", []byte("\n<html>" + strings.Repeat(" lorem ipsum", 20)), 1 << 20, incident.OutcomeNotProfile, `it begins with "<html> lorem`, false},
		{"a word that could be a varint field", []byte("Hello"), 1 << 20, incident.OutcomeNotProfile, `"Hello"`, false},
		{"a text profile", []byte("goroutine profile: total 3\n"), 1 << 20, incident.OutcomeNotProfile, `"goroutine profile: total 3"`, false},
		{"a compressed page", pack(t, []byte("\n<html>")), 1 << 20, incident.OutcomeNotProfile, `"<html>"`, false},
		{"a page with the secret", []byte("token s3cr3t-t0ken is unknown"), 1 << 20, incident.OutcomeNotProfile, `"token [...] is unknown"`, false},
		{"a picture", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), 1 << 20, incident.OutcomeNotProfile, "neither text nor a profile", false},
		{"zeros", make([]byte, 100), 1 << 20, incident.OutcomeNotProfile, "neither text nor a profile", false},
		{"a message without strings", []byte{0x0a, 0}, 1 << 20, incident.OutcomeNotProfile, "neither text nor a profile", false},
		{"a first string that is not empty", []byte{0x0a, 0, 0x32, 1, 7}, 1 << 20, incident.OutcomeNotProfile, "neither text nor a profile", false},
		{"a length of 2^63", []byte{0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 1 << 20, incident.OutcomeNotProfile, "neither text nor a profile", false},
		{"a varint of 80 bits", append(bytes.Repeat([]byte{0xff}, 11), 1), 1 << 20, incident.OutcomeNotProfile, "neither text nor a profile", false},
		{"a cut gzip header", gz[:5], 1 << 20, incident.OutcomeNotProfile, "cut off", true},
		{"a cut gzip stream", gz[:len(gz)/2], 1 << 20, incident.OutcomeNotProfile, "cut off", true},
		{"a cut raw profile", raw[:len(raw)-1], 1 << 20, incident.OutcomeNotProfile, "cut off", true},
		{"a wrong checksum", damaged, 1 << 20, incident.OutcomeNotProfile, "damaged: gzip: invalid checksum", true},
		{"one byte too much", gz, int64(len(raw)) - 1, incident.OutcomeTooLarge, "unpacks to more than the limit of", false},
		{"one raw byte too much", raw, int64(len(raw)) - 1, incident.OutcomeTooLarge, "more than the limit of", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, _, err := vet(tc.data, incident.KindGoroutine, limits{tc.limit, 1000}, secretsOf(secret))
			e, ok := errors.AsType[*Error](err)
			if !ok || e.What != tc.want || !strings.Contains(e.Words, tc.words) || e.Retryable() != tc.retry {
				t.Errorf("error %+v, want %q %q, retryable %v", err, tc.want, tc.words, tc.retry)
			}
		})
	}
}

// TestVetCutAnywhere: wherever a compressed profile ends too soon, it is
// refused.
func TestVetCutAnywhere(t *testing.T) {
	gz := runtimeProfile(t)
	for n := range len(gz) {
		if _, _, _, err := vet(gz[:n], incident.KindGoroutine, limits{1 << 20, 1000}, nil); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(gz))
		}
	}
}

// TestVetCounts: what a message may hold in number is bounded, the bound
// itself is allowed, and what is within a part counts too.
func TestVetCounts(t *testing.T) {
	const most = 10
	head := []byte{0x0a, 2, 8, 1, 0x32, 0, 0x32, 9, 'g', 'o', 'r', 'o', 'u', 't', 'i', 'n', 'e'}
	for _, tc := range []struct {
		name  string
		part  []byte
		n     int // how many of it are allowed
		words string
	}{
		{"samples", []byte{0x12, 0}, most, "it holds more than 10 samples"},
		{"mappings", []byte{0x1a, 0}, most, "it holds more than 10 mappings"},
		{"locations", []byte{0x22, 0}, most, "it holds more than 10 locations"},
		{"functions", []byte{0x2a, 0}, most, "it holds more than 10 functions"},
		{"strings", []byte{0x32, 0}, most - 2, "it holds more than 10 strings"},
		{"comments", []byte{0x68, 1}, most, "it holds more than 10 comments"},
		{"sample types", []byte{0x0a, 0}, mostTypes - 1, "it holds more than 64 sample types"},
		{"packed frames", append([]byte{0x12, 18, 0x0a, 16}, bytes.Repeat([]byte{1}, 16)...), most, "it holds more than 10 samples"},
		{"frames", append([]byte{0x12, 82, 0x0a, 80}, bytes.Repeat([]byte{1}, 80)...), 2, "it holds more than 160 frames, values and labels"},
		{"frames that are not packed", append([]byte{0x12, 120}, bytes.Repeat([]byte{8, 1}, 60)...), 2, "it holds more than 160 frames, values and labels"},
		{"values", append([]byte{0x12, 82, 0x12, 80}, bytes.Repeat([]byte{1}, 80)...), 2, "it holds more than 160 frames, values and labels"},
		{"labels", append([]byte{0x12, 120}, bytes.Repeat([]byte{0x1a, 0}, 60)...), 2, "it holds more than 160 frames, values and labels"},
		{"lines", append([]byte{0x22, 120}, bytes.Repeat([]byte{0x22, 0}, 60)...), 2, "it holds more than 160 frames, values and labels"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, _, err := vet(append(bytes.Clone(head), bytes.Repeat(tc.part, tc.n)...), incident.KindGoroutine, limits{1 << 20, most}, nil); err != nil {
				t.Errorf("%d are refused: %v", tc.n, err)
			}
			_, _, _, err := vet(append(bytes.Clone(head), bytes.Repeat(tc.part, tc.n+1)...), incident.KindGoroutine, limits{1 << 20, most}, nil)
			if e, ok := errors.AsType[*Error](err); !ok || e.What != incident.OutcomeTooLarge || e.Words != tc.words {
				t.Errorf("%d: error %v, want %q", tc.n+1, err, tc.words)
			}
		})
	}
}

// TestVetShapes: parts that reach beyond the whole that they are in, and types
// that cannot be, are no profile.
func TestVetShapes(t *testing.T) {
	for name, raw := range map[string][]byte{
		"a sample's frames behind its end":   {0x0a, 0, 0x32, 0, 0x12, 3, 0x0a, 5, 1, 1, 1, 1, 1},
		"a sample's number behind its end":   {0x0a, 0, 0x32, 0, 0x12, 2, 0x08, 0xff, 0x01},
		"a frame behind the end of frames":   {0x0a, 0, 0x32, 0, 0x12, 3, 0x0a, 1, 0xff, 0x01},
		"a label behind its sample's end":    {0x0a, 0, 0x32, 0, 0x12, 2, 0x1a, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"a field without number in a sample": {0x0a, 0, 0x32, 0, 0x12, 2, 0x00, 1},
		"a group in a location":              {0x0a, 0, 0x32, 0, 0x22, 1, 0x0b},
		"a text in a type":                   {0x0a, 2, 0x0a, 0, 0x32, 0},
		"a type that ends in a number":       {0x0a, 1, 8, 1, 0x32, 0},
		"a type that no string names":        {0x0a, 2, 8, 7, 0x32, 0},
		"a number of 65 bits":                append([]byte{0x0a, 0, 0x32, 0, 0x48}, append(bytes.Repeat([]byte{0xff}, 9), 2)...),
	} {
		_, _, _, err := vet(raw, incident.KindGoroutine, limits{1 << 20, 10}, nil)
		if e, ok := errors.AsType[*Error](err); !ok || e.Words != "it is neither text nor a profile" {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestVetKinds: what is not of the kind that was asked for is refused, in any
// order of fields, and what does not say is left to the analysis.
func TestVetKinds(t *testing.T) {
	cpu := []byte{0x32, 0, 0x32, 3, 'c', 'p', 'u'}
	typ := []byte{0x0a, 2, 8, 1}
	for _, raw := range [][]byte{append(bytes.Clone(typ), cpu...), append(bytes.Clone(cpu), typ...)} {
		for _, k := range []incident.Kind{incident.KindCPU, incident.KindAllocsBefore, incident.KindAllocsAfter, incident.KindGoroutine, incident.KindHeap, incident.KindMutex, incident.KindBlock} {
			_, _, _, err := vet(raw, k, limits{1 << 20, 10}, nil)
			e, ok := errors.AsType[*Error](err)
			if k == incident.KindCPU && err != nil || k != incident.KindCPU && (!ok || e.What != incident.OutcomeNotProfile || !strings.HasPrefix(e.Words, "it is a profile of cpu, and one of ")) {
				t.Errorf("%s: error %v", k, err)
			}
		}
	}
	long := append([]byte{0x0a, 2, 8, 1, 0x32, 0, 0x32, shortText + 1}, bytes.Repeat([]byte{'x'}, shortText+1)...)
	if _, _, _, err := vet(long, incident.KindCPU, limits{1 << 20, 10}, nil); err != nil {
		t.Error(err)
	}
}

// FuzzVet feeds any answer to the check of bodies: what it accepts is gzip of
// something that is no text and within the limits, as others read it; what it
// refuses has a short printable reason.
func FuzzVet(f *testing.F) {
	f.Add([]byte("\n<html>"))
	f.Add([]byte("Hello"))
	f.Add([]byte{0x0a, 0x04, 0x08, 0x01, 0x10, 0x02, 0x32, 0})
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	f.Add([]byte(nil))
	f.Add([]byte{0x0a, 0, 0x32, 0, 0x12, 3, 0x0a, 1, 1, 0x22, 2, 0x22, 0})
	f.Add(runtimeProfile(f))
	f.Add(unpack(f, toolProfile(f)))
	lim := limits{raw: 1 << 20, samples: 2000}
	f.Fuzz(func(t *testing.T, data []byte) {
		gz, n, samples, err := vet(data, incident.KindGoroutine, lim, nil)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Words == "" || utf8.RuneCountInString(e.Words) > 4*wordLimit || strings.ContainsAny(e.Words, "\n\x1b") {
				t.Errorf("error %v", err)
			}
			return
		}
		raw := unpack(t, gz)
		if int64(len(raw)) != n || n > lim.raw || isText(raw) {
			t.Errorf("accepted %d bytes as %d: %.40q", len(raw), n, raw)
		}
		p, err := profile.ParseUncompressed(raw)
		if err != nil {
			return // what the message means is for the analysis to refuse
		}
		frames := 0
		for _, s := range p.Sample {
			frames += len(s.Location)
		}
		if len(p.Sample) != samples || samples > lim.samples || len(p.Location) > lim.samples || frames > perSample*lim.samples {
			t.Errorf("%d samples were counted of %d, with %d locations and %d frames", samples, len(p.Sample), len(p.Location), frames)
		}
	})
}
