package app

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/collector/pproftest"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

// podAt is a running pod that calls itself live-api and serves pprof where l
// listens.
func podAt(namespace, name, env string, l net.Listener, annotations ...string) *corev1.Pod {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{"tags.datadoghq.com/service": "live-api", "tags.datadoghq.com/env": env},
			Annotations: map[string]string{"profbot.io/scrape": "true", "profbot.io/port": port},
		},
		Spec:   corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{PodIP: host, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for i := 0; i < len(annotations); i += 2 {
		p.Annotations[annotations[i]] = annotations[i+1]
	}
	return p
}

// fleet starts one that discovers in a cluster.
func fleet(t *testing.T, s *kubetest.Server, services string, more ...string) *Fleet {
	t.Helper()
	cfg, err := config.Load("", append([]string{
		"PROFBOT_SLACK_TOKEN=" + botToken, "PROFBOT_SLACK_CHANNEL=" + channel, "PROFBOT_WEBHOOK_TOKENS=" + hookToken,
		"PROFBOT_KUBERNETES_ENABLED=true", "PROFBOT_KUBERNETES_KUBECONFIG=" + s.Kubeconfig(), "PROFBOT_SERVICES=" + services,
	}, more...), Check)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestDiscoveredAccess pulls a pod that asks for a certificate and a token as
// Kubernetes finds it, while pods elsewhere, in other envs and in clear claim
// to be its like: nothing is ever sent to them.
func TestDiscoveredAccess(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, key)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	target := pproftest.New()
	defer target.Close()
	var asked atomic.Int64
	own := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-live-api" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		asked.Add(1)
		target.Config.Handler.ServeHTTP(w, r)
	}))
	own.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	own.StartTLS()
	defer own.Close()
	var trapped atomic.Int64
	trap := httptest.NewUnstartedServer(target.Config.Handler)
	trap.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			trapped.Add(1)
		}
	}
	trap.Start()
	defer trap.Close()

	services := fmt.Sprintf(`[{name: live-api, env: prod, namespace: live, authorization: Bearer of-live-api, tls: {ca: %s, cert: %s, key: %s, server_name: live-api.live.svc}}]`, cert, cert, key)
	for _, reach := range []string{"pod-ip", "port-forward"} {
		t.Run(reach, func(t *testing.T) {
			asked.Store(0)
			s := kubetest.New(t, kubetest.Options{})
			s.Put(podAt("live", "live-api-0", "prod", own.Listener))
			s.Put(podAt("evil", "live-api-0", "prod", trap.Listener))
			s.Put(podAt("evil", "any-env", "", trap.Listener))
			s.Put(podAt("evil", "other-env", "dev", trap.Listener))
			s.Put(podAt("live", "in-clear", "prod", trap.Listener, "profbot.io/scheme", "http"))
			f := fleet(t, s, services, "PROFBOT_KUBERNETES_REACH="+reach)
			for _, env := range []string{"prod", ""} {
				pods, err := f.Pods(t.Context(), "live-api", env)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range pods {
					if _, err := f.Collector.Pull(t.Context(), p, incident.KindHeap, 0); err != nil {
						t.Errorf("env %q, pod %s/%s: %v", env, p.Namespace, p.Pod, err)
					}
				}
				if len(pods) != 1 || pods[0].Namespace != "live" || pods[0].UID == "" || !strings.HasPrefix(pods[0].URL, "https://") {
					t.Errorf("env %q: %+v", env, pods)
				}
			}
			if asked.Load() != 2 || trapped.Load() != 0 {
				t.Errorf("%d requests came to the pod, and %d connections to others", asked.Load(), trapped.Load())
			}
			if _, err := f.Pods(t.Context(), "live-api", "dev"); err == nil || !strings.Contains(err.Error(), `it is in namespace "evil", and the configuration has service "live-api" in live alone`) {
				t.Errorf("pods of an env that is not configured: %v", err)
			}
			var remarks []string
			for _, r := range f.Kube.Remarks("") {
				remarks = append(remarks, r.Namespace+"/"+r.Pod)
			}
			if d := cmp.Diff([]string{"evil/any-env", "evil/live-api-0", "evil/other-env", "live/in-clear"}, remarks); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestListedAccess: the credentials of a service without a namespace are for
// the pods that it lists.
func TestListedAccess(t *testing.T) {
	target := pproftest.New()
	defer target.Close()
	target.Require("Bearer of-live-api")
	other := pproftest.New()
	defer other.Close()
	s := kubetest.New(t, kubetest.Options{})
	s.Put(podAt("live", "live-api-1", "", target.Listener)) // where live-api-0 listens, so it is the same
	s.Put(podAt("evil", "live-api-2", "", other.Listener))
	f := fleet(t, s, fmt.Sprintf(`[{name: live-api, authorization: Bearer of-live-api, targets: [{pod: live-api-0, url: %q}]}]`, target.PprofURL()))
	pods, err := f.Pods(t.Context(), "live-api", "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range pods {
		got[p.Pod] = p.Authorization
	}
	if d := cmp.Diff(map[string]string{"live-api-0": "Bearer of-live-api", "live-api-2": ""}, got); d != "" {
		t.Error(d)
	}
	if _, err := f.Collector.Pull(t.Context(), pods[0], incident.KindHeap, 0); err != nil {
		t.Error(err)
	}
}

// TestDiscovered holds which settings are whose.
func TestDiscovered(t *testing.T) {
	services := []config.Service{
		{Name: "live", Env: "prod", Namespace: "live", Authorization: "prod"},
		{Name: "live", Env: "prod", Namespace: "canary", Authorization: "canary", TLS: config.TLS{ServerName: "canary"}},
		{Name: "live", Env: "staging", Path: "/pprof", Authorization: "staging"},
		{Name: "gift", Namespace: "gift", TLS: config.TLS{ServerName: "gift"}},
		{Name: "open", Path: "/debug", Authorization: "open"},
	}
	for _, tc := range []struct {
		service, env, namespace string
		authorization, path     string
		tls, refused            bool
	}{
		{service: "live", env: "prod", namespace: "live", authorization: "prod"},
		{service: "live", env: "prod", namespace: "canary", authorization: "canary", tls: true},
		{service: "live", env: "prod", namespace: "evil", refused: true},
		{service: "live", env: "staging", namespace: "evil", path: "/pprof"},
		{service: "live", env: "staging", namespace: "live", path: "/pprof"},
		{service: "live", env: "dev", namespace: "live"},
		{service: "live", env: "dev", namespace: "evil", refused: true},
		{service: "live", namespace: "canary", authorization: "canary", tls: true},
		{service: "live", namespace: "evil", refused: true},
		{service: "gift", env: "prod", namespace: "gift", tls: true},
		{service: "gift", env: "prod", namespace: "live", refused: true},
		{service: "open", env: "prod", namespace: "evil", path: "/debug"},
		{service: "nobody", env: "prod", namespace: "evil"},
	} {
		got := discovered(services, tc.service, tc.env, tc.namespace)
		if got.Authorization != tc.authorization || got.Path != tc.path || (got.TLS != "") != tc.tls || (got.Refusal != "") != tc.refused {
			t.Errorf("%+v: %+v", tc, got)
		}
	}
	if a, b := discovered(services, "live", "prod", "canary"), discovered(services, "gift", "", "gift"); a.TLS == b.TLS {
		t.Error("two services share TLS settings that differ")
	}
	if d := cmp.Diff(kube.Settings{}, discovered(nil, "live", "prod", "live")); d != "" {
		t.Error(d)
	}
}
