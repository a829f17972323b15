package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/collector/pproftest"
)

// TestAnalyzeAddress gives addresses of a process in the forms that people
// copy from elsewhere.
func TestAnalyzeAddress(t *testing.T) {
	cpu, err := os.ReadFile("../../internal/analysis/testdata/corpus/only-live-std.cpu.pb.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{"/profile?seconds=1", "/profile?seconds=1&debug=0", "?seconds=1", "/?seconds=1"} {
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

// TestAnalyzeAddressOfAnotherProfile wants no CPU sampling in place of what was
// asked for.
func TestAnalyzeAddressOfAnotherProfile(t *testing.T) {
	for addr, want := range map[string]string{
		"http://h:6060/debug/pprof/heap":                "http://h:6060/debug/pprof/heap is not a CPU profile: give http://h:6060/debug/pprof or http://h:6060/debug/pprof/profile",
		"http://me:hunter2@h/x/pprof/goroutine?debug=2": "http://h/x/pprof/goroutine is not a CPU profile: give http://h/x/pprof or http://h/x/pprof/profile",
		"http://h/trace/":                               "http://h/trace is not a CPU profile: give http://h/debug/pprof or http://h/debug/pprof/profile",
	} {
		if _, _, err := targetOf(addr, time.Second); err == nil || err.Error() != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// TestSubtitle names few pods and counts many.
func TestSubtitle(t *testing.T) {
	pods := []analysis.Pod{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	for _, tc := range []struct {
		report analysis.Report
		want   string
	}{
		{analysis.Report{Pods: pods[:1], Samples: 12, Window: 9 * time.Second}, "a, 9s of CPU profile, 12 samples"},
		{analysis.Report{Pods: pods[:3], Samples: 12, Service: "live-api"}, "live-api, a, b, c, 12 samples"},
		{analysis.Report{Pods: pods, Samples: 12, Window: 30 * time.Second}, "a, b, 2 more, 30s of CPU profile, 12 samples"},
	} {
		if got := subtitle(&tc.report); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
