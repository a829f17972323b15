package collector

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzVet feeds any answer to the check of bodies: what it accepts is gzip,
// what it refuses has a short printable reason.
func FuzzVet(f *testing.F) {
	f.Add([]byte("<html>"))
	f.Add([]byte{0x0a, 0x04, 0x08, 0x01, 0x10, 0x02})
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		gz, raw, err := vet(data, 1<<20)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || len(e.Words) > 4*wordLimit+100 {
				t.Errorf("error %v", err)
			}
			return
		}
		if raw < 2 || !bytes.HasPrefix(gz, []byte{0x1f, 0x8b}) {
			t.Errorf("accepted %d raw bytes as %x", raw, gz[:min(8, len(gz))])
		}
	})
}
