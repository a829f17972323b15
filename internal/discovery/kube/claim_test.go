package kube_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

// inLive are settings of a service that is in namespace live alone.
func inLive(service, _, namespace string) kube.Settings {
	switch {
	case service != "live-api":
		return kube.Settings{}
	case namespace != "live":
		return kube.Settings{Refusal: "it is in namespace " + namespace + ", where the service is not"}
	}
	return kube.Settings{Authorization: "Bearer pod-secret", TLS: "live"}
}

// TestClaims: who writes a service's name on a pod elsewhere gets none of its
// credentials, and does not speak for it.
func TestClaims(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	own := s.Put(pod("live-0", "10.0.0.1", "live-api", optedIn))
	forged := pod("live-0", "10.6.6.6", "live-api", map[string]string{"profbot.io/scrape": "true", "profbot.io/scheme": "http"})
	forged.Namespace = "evil"
	s.Put(forged)
	f := started(t, s, kube.Options{Settings: inLive})
	want := []incident.Target{{
		Service: "live-api", Namespace: "live", Pod: "live-0", UID: string(own.UID), Node: "node-1",
		URL: "https://10.0.0.1:6060/debug/pprof", Authorization: "Bearer pod-secret", TLS: "live", Found: "annotation profbot.io/scrape",
	}}
	for _, env := range []string{"", "prod"} {
		got, err := f.Pods(t.Context(), "live-api", env)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("env %q: -want +got:\n%s", env, d)
		}
	}
	if d := cmp.Diff(map[string]int{"live-api": 1}, f.Counts()); d != "" {
		t.Error(d)
	}
	words := []kube.Remark{{Service: "live-api", Namespace: "evil", Pod: "live-0", Words: "it is in namespace evil, where the service is not"}}
	if d := cmp.Diff(words, f.Remarks("live-api")); d != "" {
		t.Error(d)
	}

	// A target of one namespace is never confirmed by the pod of another.
	mixed := want[0]
	mixed.Namespace = "evil"
	fail, ok := errors.AsType[*kube.Error](f.Confirm(t.Context(), mixed))
	if !ok || fail.What != incident.OutcomeMoved {
		t.Errorf("%v", fail)
	}
	mixed.Namespace = ""
	if err := f.Confirm(t.Context(), mixed); err == nil {
		t.Error("a pod without a namespace is confirmed")
	}

	s.Delete("live", "live-0")
	until(t, "the forged one is alone", func() bool { return len(f.Known()) == 1 })
	_, err := f.Pods(t.Context(), "live-api", "")
	if !errors.Is(err, incident.ErrUnknownService) || !strings.Contains(err.Error(), `pod "live-0": it is in namespace evil`) {
		t.Error(err)
	}
	if services, err := f.Services(t.Context()); err != nil || len(services) != 0 {
		t.Errorf("services %q, %v", services, err)
	}
}

// TestSameName: pods of one name in two namespaces are two pods.
func TestSameName(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	want := map[string]string{}
	for namespace, ip := range map[string]string{"live": "10.0.0.1", "canary": "10.0.0.2"} {
		p := pod("live-0", ip, "live-api", optedIn)
		p.Namespace = namespace
		want[namespace] = string(s.Put(p).UID) + " http://" + ip + ":6060/debug/pprof"
	}
	f := started(t, s, kube.Options{})
	targets, err := f.Pods(t.Context(), "live-api", "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, x := range targets {
		got[x.Namespace] = x.UID + " " + x.URL
		if err := f.Confirm(t.Context(), x); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	s.Delete("canary", "live-0")
	until(t, "one is gone", func() bool { return slices.Equal(f.Known(), []string{"live/live-0"}) })
}

// TestScheme: with TLS settings pods are asked by https, and those that say
// http not at all; without, as they say.
func TestScheme(t *testing.T) {
	for says, want := range map[string][2]string{ // without and with
		"":      {"http://10.0.0.1:6060/debug/pprof", "https://10.0.0.1:6060/debug/pprof"},
		"http":  {"http://10.0.0.1:6060/debug/pprof", ""},
		"https": {"https://10.0.0.1:6060/debug/pprof", "https://10.0.0.1:6060/debug/pprof"},
	} {
		s := kubetest.New(t, kubetest.Options{})
		s.Put(pod("live-0", "10.0.0.1", "live-api", map[string]string{"profbot.io/scrape": "true", "profbot.io/scheme": says}))
		for i, tls := range []string{"", "live"} {
			f := started(t, s, kube.Options{Settings: func(string, string, string) kube.Settings {
				return kube.Settings{Authorization: "Bearer pod-secret", TLS: tls}
			}})
			if got := urls(t, f, "live-api")["live-0"]; got != want[i] {
				t.Errorf("says %q, tls %q: %q, want %q", says, tls, got, want[i])
			}
			remarks := f.Remarks("")
			if refused := want[i] == ""; refused != (len(remarks) == 1) || refused && !strings.Contains(remarks[0].Words, "not asked in clear") {
				t.Errorf("says %q, tls %q: %+v", says, tls, remarks)
			}
		}
	}
}

func TestEnv(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	for env, ip := range map[string]string{"prod": "10.0.0.1", "staging": "10.0.0.2", "": "10.0.0.3"} {
		p := pod("api"+env, ip, "api", optedIn)
		p.Labels["tags.datadoghq.com/env"] = env
		s.Put(p)
		if env != "" {
			p = pod("gift"+env, ip, "gift", optedIn)
			p.Labels["tags.datadoghq.com/env"] = env
			s.Put(p)
		}
	}
	f := started(t, s, kube.Options{})
	for env, want := range map[string]int{"prod": 2, "staging": 2, "": 3, "canary": 1} {
		if got, err := f.Pods(t.Context(), "api", env); err != nil || len(got) != want {
			t.Errorf("env %q: %d pods, %v", env, len(got), err)
		}
	}
	_, err := f.Pods(t.Context(), "gift", "canary")
	if !errors.Is(err, incident.ErrUnknownService) || err.Error() != `service "gift" has no pods in env "canary"; in the cluster: prod, staging` {
		t.Error(err)
	}
}
