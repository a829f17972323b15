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
			got, n, err := vet(data, int64(len(raw)), nil) // the limit itself is allowed
			if err != nil {
				t.Errorf("%s %s: %v", name, form, err)
				continue
			}
			if n != int64(len(raw)) || !bytes.Equal(unpack(t, got), raw) {
				t.Errorf("%s %s: %d raw bytes, want %d", name, form, n, len(raw))
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
			_, _, err := vet(tc.data, tc.limit, secretsOf(secret))
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
		if _, _, err := vet(gz[:n], 1<<20, nil); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(gz))
		}
	}
}

// FuzzVet feeds any answer to the check of bodies: what it accepts is gzip of
// something that is no text, what it refuses has a short printable reason.
func FuzzVet(f *testing.F) {
	f.Add([]byte("\n<html>"))
	f.Add([]byte("Hello"))
	f.Add([]byte{0x0a, 0x04, 0x08, 0x01, 0x10, 0x02, 0x32, 0})
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	f.Add([]byte(nil))
	f.Add(runtimeProfile(f))
	f.Add(unpack(f, toolProfile(f)))
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, data []byte) {
		gz, n, err := vet(data, limit, nil)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Words == "" || utf8.RuneCountInString(e.Words) > 4*wordLimit || strings.ContainsAny(e.Words, "\n\x1b") {
				t.Errorf("error %v", err)
			}
			return
		}
		raw := unpack(t, gz)
		if int64(len(raw)) != n || n > limit || isText(raw) {
			t.Errorf("accepted %d bytes as %d: %.40q", len(raw), n, raw)
		}
	})
}
