package interop_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/klauspost/compress/zstd"

	"github.com/profbot/profbot/pkg/pprofserve"
)

var (
	period = flag.Duration("period", 2*time.Second, "of the continuous profilers")
	pull   = flag.Duration("pull", time.Second, "length of the profiles that are pulled, in whole seconds")
	pulls  = flag.Int("pulls", 1, "how many are pulled from beside dd-trace-go, one after the other")
)

// intake stands in for where continuous profilers send what they have: it reads
// uploads as Datadog's agent and Pyroscope's server do, and keeps the CPU
// profiles.
type intake struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex // protects what follows
	uploads []upload
	changed chan struct{} // closed and replaced with every upload
}

// upload is what was sent of one period.
type upload struct {
	from, until time.Time
	cpu         *profile.Profile // nil: there was none
}

func newIntake(t *testing.T) *intake {
	in := &intake{t: t, changed: make(chan struct{})}
	in.Server = httptest.NewServer(in)
	t.Cleanup(in.Close)
	return in
}

func (in *intake) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(nil, r.Body, 64<<20)
	var u upload
	switch r.URL.Path {
	case "/profiling/v1/input":
		if err := r.ParseMultipartForm(64 << 20); err != nil {
			in.t.Errorf("datadog upload: %v", err)
			return
		}
		var event struct{ Start, End time.Time }
		if err := json.Unmarshal(in.part(r, "event"), &event); err != nil {
			in.t.Errorf("datadog event: %v", err)
		}
		u.from, u.until = event.Start, event.End
		if _, ok := r.MultipartForm.File["cpu.pprof"]; ok {
			u.cpu = in.parse(in.part(r, "cpu.pprof"))
		}
	case "/ingest":
		if r.FormValue("units") != "samples" { // of other kinds
			return
		}
		var from, until int64
		if _, err := fmt.Sscan(r.FormValue("from")+" "+r.FormValue("until"), &from, &until); err != nil {
			in.t.Errorf("pyroscope upload: %v", err)
		}
		u.from, u.until = time.Unix(0, from), time.Unix(0, until)
		u.cpu = in.parse(in.part(r, "profile"))
	default:
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.uploads = append(in.uploads, u)
	close(in.changed)
	in.changed = make(chan struct{})
}

func (in *intake) part(r *http.Request, name string) []byte {
	f, _, err := r.FormFile(name)
	if err != nil {
		in.t.Errorf("part %s of an upload: %v", name, err)
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		in.t.Errorf("part %s of an upload: %v", name, err)
	}
	return b
}

func (in *intake) parse(b []byte) *profile.Profile {
	if bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}) { // dd-trace-go compresses with zstd
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxMemory(256<<20))
		if err == nil {
			defer z.Close()
			b, err = io.ReadAll(z)
		}
		if err != nil {
			in.t.Errorf("an uploaded CPU profile is broken: %v", err)
			return nil
		}
	}
	p, err := profile.ParseData(b)
	if err != nil {
		in.t.Errorf("an uploaded CPU profile is broken: %v", err)
		return nil
	}
	return p
}

// since returns the uploads whose period began at t or later, once there are n.
func (in *intake) since(t time.Time, n int) []upload {
	in.t.Helper()
	limit := time.After(time.Duration(n+3)**period + 20*time.Second)
	for {
		in.mu.Lock()
		changed := in.changed
		got := slices.DeleteFunc(slices.Clone(in.uploads), func(u upload) bool { return u.from.Before(t) })
		in.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-changed:
		case <-limit:
			in.t.Fatalf("%d uploads since %s, want %d", len(got), t.Format("15:04:05"), n)
		}
	}
}

// cover is how much of a span of time the CPU profiles in uploads cover.
func cover(uploads []upload) (covered, span time.Duration) {
	for _, u := range uploads {
		span += u.until.Sub(u.from)
		if u.cpu != nil {
			covered += time.Duration(u.cpu.DurationNanos)
		}
	}
	return covered, span
}

// serve starts pprofserve until the test ends.
func serve(t *testing.T, opt pprofserve.Options) string {
	t.Helper()
	opt.Addr = "127.0.0.1:0"
	s, err := pprofserve.Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr()
}

// pulled is what profbot got.
type pulled struct {
	status  int
	text    string
	took    time.Duration
	profile *profile.Profile
}

// covers is the time that the profile says it covers.
func (p pulled) covers() time.Duration { return time.Duration(p.profile.DurationNanos) }

func get(t *testing.T, url string) pulled {
	t.Helper()
	begin := time.Now()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	p := pulled{status: res.StatusCode, took: time.Since(begin)}
	if p.status != http.StatusOK {
		p.text = strings.TrimSpace(string(b))
		return p
	}
	if p.profile, err = profile.Parse(bytes.NewReader(b)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	if err := p.profile.CheckValid(); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return p
}

// pullCPU pulls a CPU profile of the configured length.
func pullCPU(t *testing.T, base string) pulled {
	t.Helper()
	return get(t, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", base, int(pull.Seconds())))
}

// burn keeps a processor busy under a name of its own, until the test ends.
func burn(t *testing.T) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { runtime.KeepAlive(theBusyFunction(stop)) })
	t.Cleanup(func() { close(stop); wg.Wait() })
}

//go:noinline
func theBusyFunction(stop <-chan struct{}) (sum int) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return sum
		default:
			for j := range 10_000 {
				sum += i ^ j
			}
		}
	}
}

// busyShare is how much of a profile's CPU is in theBusyFunction, from 0 to 1.
func busyShare(p *profile.Profile) float64 {
	var busy, all int64
	for _, s := range p.Sample {
		all += s.Value[1]
		if slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
			return slices.ContainsFunc(l.Line, func(l profile.Line) bool { return strings.HasSuffix(l.Function.Name, ".theBusyFunction") })
		}) {
			busy += s.Value[1]
		}
	}
	return float64(busy) / float64(max(1, all))
}

// sound fails unless a pull got a profile of at least share of what it asked
// for, in which the busy function is seen.
func (p pulled) sound(t *testing.T, share float64) {
	t.Helper()
	if p.status != http.StatusOK {
		t.Fatalf("the pull was refused: %d %s", p.status, p.text)
	}
	if p.covers() < time.Duration(share*float64(*pull)) || p.covers() > *pull+time.Second {
		t.Errorf("the profile covers %s of %s", p.covers(), *pull)
	}
	if busy := busyShare(p.profile); busy < 0.25 {
		t.Errorf("the only function that is always busy has %.0f %% of the profile", 100*busy)
	}
}
