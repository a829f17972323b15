package collector_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/incident"
)

func newCollector(t *testing.T, opt collector.Options) *collector.Collector {
	t.Helper()
	c, err := collector.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func target(s *pproftest.Server) incident.Target {
	return incident.Target{Service: "live-api", Pod: "live-api-0", URL: s.PprofURL()}
}

func TestPullEveryKind(t *testing.T) {
	s := pproftest.New()
	defer s.Close()
	c := newCollector(t, collector.Options{})
	for _, k := range append(slices.Clone(incident.CPUPlan), incident.KindHeap, incident.KindMutex, incident.KindBlock) {
		p, err := c.Pull(t.Context(), target(s), k, 500*time.Millisecond)
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		prof, err := profile.ParseData(p.Data)
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		if p.RawBytes <= 0 || p.Started.IsZero() || len(prof.SampleType) == 0 {
			t.Errorf("%s: %d raw bytes, started %v, %d sample types", k, p.RawBytes, p.Started, len(prof.SampleType))
		}
		if k == incident.KindCPU && p.Window != time.Second {
			t.Errorf("window %s, want half a second rounded up to 1s", p.Window)
		}
	}
	want := []string{"/debug/pprof/allocs", "/debug/pprof/profile?seconds=1", "/debug/pprof/allocs", "/debug/pprof/goroutine", "/debug/pprof/heap", "/debug/pprof/mutex", "/debug/pprof/block"}
	if d := cmp.Diff(want, s.Requests()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		mode  pproftest.Mode
		opt   collector.Options
		kind  incident.Kind
		want  incident.Outcome
		words string
		retry bool
	}{
		{pproftest.Busy, collector.Options{}, incident.KindCPU, incident.OutcomeBusy, "cpu profiling already in use", true},
		{pproftest.NoPprof, collector.Options{}, incident.KindCPU, incident.OutcomeNoPprof, "import net/http/pprof", false},
		{pproftest.Page, collector.Options{}, incident.KindCPU, incident.OutcomeNotProfile, "Welcome", false},
		{pproftest.Redirect, collector.Options{}, incident.KindCPU, incident.OutcomeNoPprof, `points to host "localhost", and redirects are not followed`, false},
		{pproftest.Slow, collector.Options{Slack: 100 * time.Millisecond}, incident.KindAllocsBefore, incident.OutcomeTimeout, "no complete answer within 100ms", false},
		{pproftest.Hang, collector.Options{Slack: 100 * time.Millisecond}, incident.KindAllocsBefore, incident.OutcomeTimeout, "no complete answer within 100ms", false},
		{pproftest.Cut, collector.Options{}, incident.KindAllocsBefore, incident.OutcomeNotProfile, "cut off", true},
		{pproftest.Reset, collector.Options{}, incident.KindAllocsBefore, incident.OutcomeUnreachable, "closed without an answer", true},
		{pproftest.Bomb, collector.Options{MaxRawBytes: 1 << 20}, incident.KindAllocsBefore, incident.OutcomeTooLarge, "unpacks to more than the limit of 1048576", false},
		{pproftest.Real, collector.Options{MaxBytes: 100}, incident.KindAllocsBefore, incident.OutcomeTooLarge, "limit", false},
		{pproftest.Bomb, collector.Options{MaxBytes: 8 << 10}, incident.KindAllocsBefore, incident.OutcomeTooLarge, "sends more than the limit of 8192", false},
		{pproftest.Raw, collector.Options{MaxRawBytes: 100}, incident.KindAllocsBefore, incident.OutcomeTooLarge, "limit of 100", false},
		{pproftest.Empty, collector.Options{}, incident.KindAllocsBefore, incident.OutcomeNotProfile, "empty", false},
		{pproftest.Broken, collector.Options{}, incident.KindAllocsBefore, incident.OutcomeTargetError, "HTTP 500: it [31mbroke[0m <!channel>", false},
	} {
		t.Run(string(tc.mode)+" "+string(tc.want), func(t *testing.T) {
			s := pproftest.New()
			defer s.Close()
			s.SetMode(tc.mode)
			_, err := newCollector(t, tc.opt).Pull(t.Context(), target(s), tc.kind, time.Second)
			e, ok := errors.AsType[*collector.Error](err)
			if !ok {
				t.Fatalf("error %v (%T)", err, err)
			}
			if got, words := e.Outcome(); got != tc.want || !strings.Contains(words, tc.words) {
				t.Errorf("outcome %q, words %q; want %q, %q", got, words, tc.want, tc.words)
			}
			if e.Retryable() != tc.retry {
				t.Errorf("retryable %v", e.Retryable())
			}
			if n := len(s.Requests()); n != 1 {
				t.Errorf("%d requests: %q", n, s.Requests())
			}
			if len(e.Words) > 300 || strings.ContainsAny(e.Words, "\n\x1b") {
				t.Errorf("words are not one short printable line: %q", e.Words)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := pproftest.New()
	s.Close()
	_, err := newCollector(t, collector.Options{}).Pull(t.Context(), target(s), incident.KindCPU, time.Second)
	if e, ok := errors.AsType[*collector.Error](err); !ok || e.What != incident.OutcomeUnreachable || !e.Retryable() {
		t.Errorf("error %v", err)
	}
	for _, addr := range []string{"file:///etc/passwd", "gopher://x/debug/pprof", "", "://"} {
		_, err := newCollector(t, collector.Options{}).Pull(t.Context(), incident.Target{URL: addr}, incident.KindCPU, time.Second)
		if e, ok := errors.AsType[*collector.Error](err); !ok || e.What != incident.OutcomeUnreachable {
			t.Errorf("%s: error %v", addr, err)
		}
	}
}

func TestRawProfileIsCompressed(t *testing.T) {
	s := pproftest.New()
	defer s.Close()
	s.SetMode(pproftest.Raw)
	p, err := newCollector(t, collector.Options{}).Pull(t.Context(), target(s), incident.KindAllocsBefore, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p.Data[0] != 0x1f || p.Data[1] != 0x8b {
		t.Error("the profile is not gzipped")
	}
	if _, err := profile.ParseData(p.Data); err != nil {
		t.Error(err)
	}
}

func TestShortWriteTimeout(t *testing.T) {
	s := pproftest.New()
	defer s.Close()
	s.SetMode(pproftest.WriteTimeout)
	p, err := newCollector(t, collector.Options{}).Pull(t.Context(), target(s), incident.KindCPU, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if p.Window != 2*time.Second {
		t.Errorf("window %s, want 10s halved to 2s", p.Window)
	}
	want := []string{"/debug/pprof/profile?seconds=10", "/debug/pprof/profile?seconds=5", "/debug/pprof/profile?seconds=2"}
	if d := cmp.Diff(want, s.Requests()); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

func TestAuthorization(t *testing.T) {
	const secret = "Bearer s3cr3t-t0ken"
	s := pproftest.New()
	defer s.Close()
	s.Require(secret)
	c := newCollector(t, collector.Options{})
	tgt := target(s)
	tgt.Authorization = secret
	if _, err := c.Pull(t.Context(), tgt, incident.KindGoroutine, 0); err != nil {
		t.Fatal(err)
	}
	tgt.Authorization = secret + "x"
	_, err := c.Pull(t.Context(), tgt, incident.KindGoroutine, 0)
	e, ok := errors.AsType[*collector.Error](err)
	if !ok || e.What != incident.OutcomeDenied {
		t.Fatalf("error %v", err)
	}
	for _, mode := range []pproftest.Mode{pproftest.NoPprof, pproftest.Redirect, pproftest.Reset, pproftest.Broken, pproftest.Echo} {
		s.SetMode(mode)
		tgt.Authorization = secret
		tgt.URL = strings.Replace(s.PprofURL(), "http://", "http://user:pa55@", 1)
		_, err := c.Pull(t.Context(), tgt, incident.KindGoroutine, 0)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "pa55") {
			t.Errorf("%s: error %v", mode, err)
		}
	}
}

// TestOneCPUProfilePerProcess asks for two at once of a process that can only
// run one, and refuses the second: both succeed, one after the other.
func TestOneCPUProfilePerProcess(t *testing.T) {
	s := pproftest.New()
	defer s.Close()
	c := newCollector(t, collector.Options{})
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	for range 2 {
		wg.Go(func() {
			_, err := c.Pull(t.Context(), target(s), incident.KindCPU, time.Second)
			errs <- err
		})
	}
	wg.Wait()
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Error(err)
	}
	if n := s.Most("/debug/pprof/profile"); n != 1 || s.Running() != 0 {
		t.Errorf("%d were asked for at once, %d still run", n, s.Running())
	}
}

func TestCancel(t *testing.T) {
	s := pproftest.New()
	defer s.Close()
	s.SetMode(pproftest.Hang)
	ctx, cancel := context.WithCancelCause(t.Context())
	s.OnRequest(func(string) { cancel(errors.New("profbot is stopping")) })
	_, err := newCollector(t, collector.Options{}).Pull(ctx, target(s), incident.KindCPU, time.Second)
	if e, ok := errors.AsType[*collector.Error](err); !ok || e.What != incident.OutcomeCanceled || !strings.Contains(e.Words, "stopping") {
		t.Errorf("error %v", err)
	}
}
