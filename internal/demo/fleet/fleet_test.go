package fleet_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/demo/fleet"
)

// TestMain makes this test binary a pod when the fleet runs it.
func TestMain(m *testing.M) {
	if os.Getenv("FLEET_TEST_POD") == "" {
		os.Exit(m.Run())
	}
	var cfg fleet.PodConfig
	flag.StringVar(&cfg.Name, "name", "", "")
	flag.StringVar(&cfg.Redis, "redis", "", "")
	flag.BoolVar(&cfg.Labels, "labels", false, "")
	flag.Parse()
	if err := fleet.RunPod(context.Background(), cfg, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(t *testing.T, opt fleet.Options) *fleet.Fleet {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opt.Exe, opt.Env = exe, append(opt.Env, "FLEET_TEST_POD=1")
	f, err := fleet.Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	return f
}

func fetch(t *testing.T, method, address, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", address, resp.Status, err, b)
	}
	return b
}

func TestRoutes(t *testing.T) {
	f := start(t, fleet.Options{Pods: 1})
	p := f.Pods()[0]
	for range 3 {
		if b := fetch(t, "GET", p.API+"/live/list", ""); !strings.Contains(string(b), "Evening show") {
			t.Errorf("live list: %.100s", b)
		}
		if b := fetch(t, "GET", p.API+"/gift/list", ""); !strings.Contains(string(b), "sparkle") {
			t.Errorf("gift list: %.100s", b)
		}
	}
	if b := fetch(t, "GET", p.API+"/user/7", ""); !strings.Contains(string(b), `"id":"7"`) {
		t.Errorf("user: %s", b)
	}
	if b := fetch(t, "POST", p.API+"/chat", `{"messages":[{"text":"hello"},{"text":"FREE COINS"}]}`); string(b) != `{"blocked":1,"posted":1}` {
		t.Errorf("chat: %s", b)
	}
	var cache struct{ Hits, Entries int64 }
	if err := json.Unmarshal(fetch(t, "GET", p.Control+"/cache", ""), &cache); err != nil {
		t.Fatal(err)
	}
	if cache.Hits < 6 || cache.Entries != 2 {
		t.Errorf("the local cache holds %d entries and was hit %d times: it does not hold the values", cache.Entries, cache.Hits)
	}
}

// TestLoadAndLabels drives two pods and looks into the hot one's profile.
func TestLoadAndLabels(t *testing.T) {
	f := start(t, fleet.Options{Pods: 2, Labels: true})
	load := fleet.NewLoad(f, 0.5)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); load.Run(ctx) }()
	p, err := profile.ParseData(fetch(t, "GET", f.Pods()[0].Pprof+"/profile?seconds=3", ""))
	cancel()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range p.Sample {
		for _, v := range s.Label["endpoint"] {
			seen[v] = true
		}
	}
	if !seen["GET /live/list"] || !seen["GET /gift/list"] {
		t.Errorf("labels in the profile: %v", seen)
	}
	for _, c := range load.Stats() {
		if c.Requests == 0 || c.Errors > 0 {
			t.Errorf("%+v", c)
		}
	}
	loads := f.Loads()
	hot, cool := f.Pods()[0].Name, f.Pods()[1].Name
	if loads[hot] <= loads[cool] {
		t.Errorf("the hot pod is not the hotter one: %v", loads)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	f := start(t, fleet.Options{Pods: 2})
	pods := f.Pods()
	f.Stop()
	for _, p := range pods {
		client := &http.Client{Timeout: time.Second}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.API+"/user/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("%s still serves", p.Name)
		}
	}
}

func TestPodThatCannotStart(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, err = fleet.Start(t.Context(), fleet.Options{Exe: exe, Args: []string{"-no-such-flag"}, Env: []string{"FLEET_TEST_POD=1"}, Pods: 1})
	if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("error %v does not tell the pod's words", err)
	}
}
