package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
		"http://h:6060/debug/pprof/cmdline":          "http://h:6060/debug/pprof/cmdline is no profile that says something here: give http://h:6060/debug/pprof or http://h:6060/debug/pprof/profile",
		"http://me:hunter2@h/x/pprof/symbol?debug=2": "http://h/x/pprof/symbol is no profile that says something here: give http://h/x/pprof or http://h/x/pprof/profile",
		"http://h/trace/":                            "http://h/trace is no profile that says something here: give http://h/debug/pprof or http://h/debug/pprof/profile",
	} {
		if _, _, _, err := targetOf(addr, time.Second); err == nil || err.Error() != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
	pod := pproftest.New()
	defer pod.Close()
	for kind, want := range map[string]string{"heap": "what lives in the heap", "goroutine": "what the goroutines do", "allocs": "where memory is allocated"} {
		var out, errs bytes.Buffer
		if code := run([]string{"analyze", pod.PprofURL() + "/" + kind}, streams{strings.NewReader(""), &out, &errs}); code != 0 {
			t.Fatalf("%s: exit %d: %s", kind, code, &errs)
		}
		if !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "There is no CPU profile") {
			t.Errorf("%s: %s", kind, &out)
		}
	}
	for _, r := range pod.Requests() {
		if strings.Contains(r, "profile") {
			t.Errorf("a CPU profile was taken: %s", r)
		}
	}
}

// TestAnalyzePullsAllKinds: what is cumulative is taken before and after.
func TestAnalyzePullsAllKinds(t *testing.T) {
	cpu, err := os.ReadFile("../../internal/analysis/testdata/corpus/only-live-std.cpu.pb.gz")
	if err != nil {
		t.Fatal(err)
	}
	pod := pproftest.New()
	defer pod.Close()
	pod.ServeCPU(cpu)
	var out, errs bytes.Buffer
	if code := run([]string{"analyze", "--json=-", pod.PprofURL() + "?seconds=1"}, streams{strings.NewReader(""), &out, &errs}); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var r analysis.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	want := []analysis.Kind{"cpu", "allocs", "goroutine", "heap", "mutex", "block"}
	if d := cmp.Diff(want, r.Kinds); d != "" {
		t.Errorf("kinds (-want +got):\n%s", d)
	}
	base := "/debug/pprof/"
	if d := cmp.Diff([]string{base + "allocs", base + "mutex", base + "block", base + "profile?seconds=1", base + "goroutine", base + "mutex", base + "block", base + "allocs"}, pod.Requests()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// TestCountdown says what is left of a long window, and stops when it is told to.
func TestCountdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := &sayer{w: &b}
		stop := s.countdown(t.Context(), "h:6060", 30*time.Second)
		time.Sleep(31 * time.Second) // of the bubble's clock
		stop()
		want := "profbot: sampling h:6060 for 30s\nprofbot: h:6060: 20s left\nprofbot: h:6060: 10s left\n"
		if got := b.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
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
