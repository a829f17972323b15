package discovery_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/discovery"
	"github.com/profbot/profbot/internal/incident"
)

func TestPods(t *testing.T) {
	s, err := discovery.NewStatic([]incident.Target{
		{Service: "live-api", Env: "prod", Pod: "b", URL: "http://10.0.0.2:6060/debug/pprof/"},
		{Service: "live-api", Env: "prod", Pod: "a", URL: "http://10.0.0.1:6060"},
		{Service: "live-api", Env: "stage", Pod: "a", URL: "http://10.0.1.1:6060/"},
		{Service: "chat", Pod: "c", URL: "https://10.0.0.3/internal/pprof?x=1#y"},
		{Service: "proxied", Pod: "d", URL: "https://[::1]:8443/a%2Fb/pprof//?"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		service, env string
		want         []string
		err          string
	}{
		{"live-api", "prod", []string{"a http://10.0.0.1:6060/debug/pprof", "b http://10.0.0.2:6060/debug/pprof"}, ""},
		{"live-api", "", []string{"a http://10.0.0.1:6060/debug/pprof", "a http://10.0.1.1:6060/debug/pprof", "b http://10.0.0.2:6060/debug/pprof"}, ""},
		{"chat", "anything", []string{"c https://10.0.0.3/internal/pprof"}, ""},
		{"proxied", "", []string{"d https://[::1]:8443/a%2Fb/pprof"}, ""},
		{"live-api", "dev", nil, `no pods in env "dev"; configured: prod, stage`},
		{"gift", "prod", nil, `service "gift" is not configured; configured: chat, live-api, proxied`},
	} {
		got, err := s.Pods(t.Context(), tc.service, tc.env)
		if tc.err != "" {
			if !errors.Is(err, incident.ErrUnknownService) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s/%s: error %v, want %q", tc.service, tc.env, err, tc.err)
			}
			continue
		}
		var have []string
		for _, p := range got {
			have = append(have, p.Pod+" "+p.URL)
		}
		if d := cmp.Diff(tc.want, have); d != "" || err != nil {
			t.Errorf("%s/%s: %v (-want +got):\n%s", tc.service, tc.env, err, d)
		}
	}
}

func TestNewStaticRefuses(t *testing.T) {
	ok := incident.Target{Service: "s", Pod: "p", URL: "http://h:1"}
	for name, targets := range map[string][]incident.Target{
		"no service":                 {{Pod: "p", URL: "http://h"}},
		"no pod":                     {{Service: "s", URL: "http://h"}},
		"file":                       {{Service: "s", Pod: "p", URL: "file:///etc/passwd"}},
		"no host":                    {{Service: "s", Pod: "p", URL: "http://"}},
		"password":                   {{Service: "s", Pod: "p", URL: "http://u:secret@h"}},
		"port only":                  {{Service: "s", Pod: "p", URL: "http://:80"}},
		"twice":                      {ok, ok},
		"in an env and in every one": {ok, {Service: "s", Env: "prod", Pod: "p", URL: "http://h:2"}},
		"in every one and in an env": {{Service: "s", Env: "prod", Pod: "p", URL: "http://h:2"}, ok},
	} {
		if _, err := discovery.NewStatic(targets); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestListIsTheCallers: what a caller does to its list does not change the next.
func TestListIsTheCallers(t *testing.T) {
	in := []incident.Target{{Service: "s", Pod: "p", URL: "http://h:1"}}
	s, err := discovery.NewStatic(in)
	if err != nil {
		t.Fatal(err)
	}
	in[0].Pod = "changed"
	got, err := s.Pods(t.Context(), "s", "")
	if err != nil {
		t.Fatal(err)
	}
	got[0].Pod = "changed"
	again, err := s.Pods(t.Context(), "s", "")
	if err != nil || again[0].Pod != "p" {
		t.Errorf("%v, %v", again, err)
	}
}

func TestNothingConfigured(t *testing.T) {
	s, err := discovery.NewStatic(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pods(t.Context(), "s", ""); err == nil || !strings.Contains(err.Error(), "no services are configured") {
		t.Errorf("error %v", err)
	}
}
