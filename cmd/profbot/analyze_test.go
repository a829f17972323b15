package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/collector/pproftest"
)

// TestAnalyzeAddress gives addresses of a process in the forms that people
// copy from elsewhere.
func TestAnalyzeAddress(t *testing.T) {
	cpu, err := os.ReadFile("../../internal/analysis/testdata/corpus/only-live-std.cpu.pb.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{"/profile?seconds=1", "/profile?seconds=1&debug=0", "/allocs?seconds=1"} {
		pod := pproftest.New()
		defer pod.Close()
		pod.ServeCPU(cpu)
		var out, errs bytes.Buffer
		if code := run([]string{"analyze", pod.PprofURL() + tail}, streams{strings.NewReader(""), &out, &errs}); code != 0 {
			t.Fatalf("%s: exit %d: %s", tail, code, &errs)
		}
		if !strings.Contains(out.String(), "decodes cached JSON") {
			t.Errorf("%s: no report: %s", tail, &out)
		}
		if !strings.Contains(errs.String(), "for 1s") {
			t.Errorf("%s: the address asks for one second: %s", tail, &errs)
		}
	}
}
