package pprofserve_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/profbot/profbot/pkg/pprofserve"
	"github.com/profbot/profbot/pkg/pprofserve/labeltest"
)

func TestToken(t *testing.T) {
	var logs bytes.Buffer
	url := start(t, pprofserve.Options{
		Tokens: []string{"new-token", " old-token "},
		Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, tc := range []struct {
		authorization string
		want          int
	}{
		{"", 401},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"Bearer wrong", 401},
		{"Bearer new-toke", 401},
		{"Bearer new-tokens", 401},
		{"new-token", 401},
		{"Digest new-token", 401},
		{basic("new-token", ""), 401},
		{basic("x", "wrong"), 401},
		{"Bearer new-token", 200},
		{"bearer old-token", 200},
		{basic("x", "new-token"), 200},
		{basic("", "old-token"), 200},
	} {
		for _, path := range []string{"/", "/debug/pprof/", "/debug/pprof/cmdline"} {
			var header []string
			if tc.authorization != "" {
				header = []string{"Authorization", tc.authorization}
			}
			a := get(t.Context(), t, url+path, header...)
			if a.status != tc.want {
				t.Errorf("%q on %s: %d, want %d", tc.authorization, path, a.status, tc.want)
			}
			if a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%q on %s: 401 without saying how", tc.authorization, path)
			}
			if bytes.Contains(a.body, []byte("-token")) {
				t.Errorf("%q on %s: the answer shows a token: %s", tc.authorization, path, a.body)
			}
		}
	}
	if !strings.Contains(logs.String(), "reason=token") || strings.Contains(logs.String(), "-toke") {
		t.Errorf("logs: %s", logs.String())
	}
}

// TestNetworks asks with addresses that clients could have.
func TestNetworks(t *testing.T) {
	public := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, tc := range []struct {
		networks []netip.Prefix
		client   string
		want     int
	}{
		{nil, "127.0.0.1:1", 200},
		{nil, "[::1]:1", 200},
		{nil, "10.2.3.4:1", 200},
		{nil, "172.31.0.1:1", 200},
		{nil, "192.168.9.9:1", 200},
		{nil, "100.64.1.1:1", 200},
		{nil, "[fd00::1]:1", 200},
		{nil, "[fe80::1%eth0]:1", 200},
		{nil, "[::ffff:10.1.1.1]:1", 200},
		{nil, "8.8.8.8:1", 403},
		{nil, "172.32.0.1:1", 403},
		{nil, "[2001:db8::1]:1", 403},
		{nil, "[::ffff:8.8.8.8]:1", 403},
		{nil, "@", 403},
		{nil, "", 403},
		{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, "10.1.2.3:1", 200},
		{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, "10.2.2.3:1", 403},
		{[]netip.Prefix{}, "127.0.0.1:1", 403},
		{public, "8.8.8.8:1", 200},
		{public, "[2001:db8::1]:1", 200},
	} {
		h, err := pprofserve.Handler(pprofserve.Options{Networks: tc.networks})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", http.NoBody)
		r.RemoteAddr = tc.client
		r.Header.Set("X-Forwarded-For", "127.0.0.1") // no header is believed
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("client %q with %v: %d, want %d", tc.client, tc.networks, w.Code, tc.want)
		}
	}
}

func TestRefused(t *testing.T) {
	url := start(t, pprofserve.Options{MaxDuration: 2 * time.Second})
	for _, tc := range []struct {
		path string
		want int
		text string
	}{
		{"/debug/pprof/profile?seconds=3", 400, "at most 2 here"},
		{"/debug/pprof/profile", 400, "at most 2 here"}, // 30 unless it is told
		{"/debug/pprof/trace?seconds=2.1", 400, "at most 2 here"},
		{"/debug/pprof/trace?seconds=1e300", 400, "at most 2 here"},
		{"/debug/pprof/trace?seconds=Inf", 400, "at most 2 here"},
		{"/debug/pprof/heap?seconds=9000000000000000000", 400, "at most 2 here"},
		{"/metrics", 404, "not found"},
	} {
		if a := get(t.Context(), t, url+tc.path); a.status != tc.want || !strings.Contains(string(a.body), tc.text) {
			t.Errorf("%s: %d %q, want %d %q", tc.path, a.status, a.body, tc.want, tc.text)
		}
	}
	if a := do(t.Context(), t, http.MethodGet, url+"/debug/pprof/heap", strings.NewReader("body")); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("with a body: %d", a.status)
	}
	if a := get(t.Context(), t, url); a.status != 200 || !strings.HasPrefix(string(a.body), "pprofserve: profiles of ") {
		t.Errorf("the root does not say what it is: %d %q", a.status, a.body)
	}
}

// TestWriteTimeout mounts the handler in a server whose timeouts are shorter
// than a profile.
func TestWriteTimeout(t *testing.T) {
	h, err := pprofserve.Handler(pprofserve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.WriteTimeout, s.Config.ReadTimeout = 300*time.Millisecond, 300*time.Millisecond
	s.Start()
	defer s.Close()
	for _, path := range []string{"profile", "allocs", "trace"} {
		if a := get(t.Context(), t, s.URL+"/debug/pprof/"+path+"?seconds=1"); a.status != 200 || len(a.body) == 0 {
			t.Errorf("%s: %d, %d bytes", path, a.status, len(a.body))
		}
	}
}

// TestCancel: a client that goes away frees the profiler at once.
func TestCancel(t *testing.T) {
	url := start(t, pprofserve.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/debug/pprof/profile?seconds=60", http.NoBody)
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
			t.Errorf("a profile that was cancelled was answered: %d", res.StatusCode)
		}
	})
	labeltest.Until(t, "the profile runs", func() bool { return running("runtime/pprof.profileWriter") })
	cancel()
	wg.Wait()
	begin := time.Now()
	labeltest.Until(t, "the profiler is free", profilerFree)
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("the profiler was free after %s", d)
	}
}

// TestStop: profiles under way are answered with what they have.
func TestStop(t *testing.T) {
	s, err := pprofserve.Start(pprofserve.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, path := range []string{"profile?seconds=60", "heap?seconds=60", "trace?seconds=60"} {
		wg.Go(func() {
			if a := get(t.Context(), t, "http://"+s.Addr()+"/debug/pprof/"+path); a.status != 200 || len(a.body) == 0 {
				t.Errorf("%s: %d, %d bytes", path, a.status, len(a.body))
			}
		})
	}
	labeltest.Until(t, "all run", func() bool {
		return running("runtime/pprof.profileWriter", "pprofserve.(*handler).profile", "pprofserve.(*handler).delta", "pprofserve.(*handler).trace")
	})
	begin := time.Now()
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("stopping took %s", d)
	}
}

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		name string
		opt  pprofserve.Options
		env  map[string]string
		want string // in the error; "" for none
	}{
		{name: "address in use", opt: pprofserve.Options{Addr: taken(t)}, want: "address already in use"},
		{name: "no address", opt: pprofserve.Options{Addr: "nonsense"}, want: "missing port"},
		{name: "address from the environment", env: map[string]string{"PPROFSERVE_ADDR": "nonsense"}, want: "missing port"},
		{name: "code before environment", opt: pprofserve.Options{Addr: "127.0.0.1:0"}, env: map[string]string{"PPROFSERVE_ADDR": "nonsense"}},
		{name: "empty token", opt: pprofserve.Options{Addr: "off", Tokens: []string{"secret", " "}}, want: "token 2 is empty"},
		{name: "empty token in the environment", opt: pprofserve.Options{Addr: "off"}, env: map[string]string{"PPROFSERVE_TOKEN": "secret,"}, want: "token 2 is empty"},
		{name: "negative duration", opt: pprofserve.Options{Addr: "off", MaxDuration: -1}, want: "negative"},
		{name: "negative wait", opt: pprofserve.Options{Addr: "off", WaitLimit: -1}, want: "negative"},
		{name: "unknown busy", opt: pprofserve.Options{Addr: "off", Busy: 9}, want: "Busy 9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			s, err := pprofserve.Start(tc.opt)
			if err == nil {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			}
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v, want %q", err, tc.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error shows a token: %v", err)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("PPROFSERVE_ADDR", "127.0.0.1:0")
	t.Setenv("PPROFSERVE_TOKEN", "first, second")
	s, err := pprofserve.Start(pprofserve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	for token, want := range map[string]int{"first": 200, "second": 200, "third": 401} {
		if a := get(t.Context(), t, "http://"+s.Addr(), "Authorization", "Bearer "+token); a.status != want {
			t.Errorf("token %s: %d, want %d", token, a.status, want)
		}
	}
}

func TestOff(t *testing.T) {
	t.Setenv("PPROFSERVE_ADDR", "off")
	s, err := pprofserve.Start(pprofserve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr() != "" {
		t.Errorf("listens on %s", s.Addr())
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- pprofserve.ListenAndServe(ctx, pprofserve.Options{}) }() // ended by cancel
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestListenAndServe(t *testing.T) {
	if err := pprofserve.ListenAndServe(t.Context(), pprofserve.Options{Addr: taken(t)}); err == nil {
		t.Error("a taken address is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- pprofserve.ListenAndServe(ctx, pprofserve.Options{Addr: "127.0.0.1:0"}) }() // ended by cancel
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWarning: who serves this and net/http/pprof, which this test imports, is told.
func TestWarning(t *testing.T) {
	var logs bytes.Buffer
	start(t, pprofserve.Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	if !strings.Contains(logs.String(), "http.DefaultServeMux") {
		t.Errorf("no warning: %q", logs.String())
	}
}

// taken is an address on which somebody listens until the test ends.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// running reports whether each of these functions is on the stack of some
// goroutine. (To try whether the profiler is free would take it from those who
// are about to start it.)
func running(functions ...string) bool {
	var b strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	for _, f := range functions {
		if !strings.Contains(b.String(), f) {
			return false
		}
	}
	return true
}

// profilerFree reports whether nobody has the CPU profiler.
func profilerFree() bool {
	if pprof.StartCPUProfile(io.Discard) != nil {
		return false
	}
	pprof.StopCPUProfile()
	return true
}
