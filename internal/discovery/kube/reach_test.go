package kube_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

// target is a server at an address of its own, as a pod has one.
type target struct {
	*httptest.Server
	ip, port string

	mu   sync.Mutex // protects seen
	seen []*http.Request
	left chan struct{} // gets a value when a client left in the middle
}

// listen starts a target with net/http/pprof at one of loopback's addresses.
func listen(t testing.TB, ip string, secure bool) *target {
	t.Helper()
	x := &target{ip: ip, left: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/goroutine", pprof.Handler("goroutine").ServeHTTP)
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		x.left <- struct{}{}
	})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "short and stout")
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) { // a pod that is an API server
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"forbidden: User \"system:anonymous\" cannot get path \"/debug\"","reason":"Forbidden","details":{},"code":403}`)
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"error":"`+strings.Repeat("x", 100<<10)+`"}`)
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
	})
	x.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		x.seen = append(x.seen, r.Clone(context.WithoutCancel(r.Context())))
		x.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("no address %s on this machine: %v", ip, err)
	}
	x.Listener.Close()
	x.Listener = l
	x.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		x.StartTLS()
	} else {
		x.Start()
	}
	_, x.port, _ = net.SplitHostPort(l.Addr().String())
	t.Cleanup(x.Close)
	return x
}

func (x *target) requests() []*http.Request {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.seen)
}

func (x *target) pod(name string) *corev1.Pod {
	a := map[string]string{"profbot.io/scrape": "true", "profbot.io/port": x.port}
	if x.TLS != nil {
		a["profbot.io/scheme"] = "https"
	}
	return pod(name, x.ip, "live-api", a)
}

// only is the one target of a service.
func only(t testing.TB, f *kube.Finder) incident.Target {
	t.Helper()
	got, err := f.Pods(t.Context(), "live-api", "")
	if err != nil || len(got) != 1 {
		t.Fatalf("%d targets, %v", len(got), err)
	}
	return got[0]
}

// ways are those through the API server.
var ways = map[incident.Via]func(*kube.Finder, incident.Target) (http.RoundTripper, error){
	incident.ViaProxy:       (*kube.Finder).Proxy,
	incident.ViaPortForward: (*kube.Finder).PortForward,
}

// ask sends one request the way the collector does.
func ask(t testing.TB, through http.RoundTripper, address string) (status int, body []byte, err error) {
	t.Helper()
	client := &http.Client{Transport: through, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(address)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func TestThroughTheAPIServer(t *testing.T) {
	for via, way := range ways {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, https=%v", via, secure), func(t *testing.T) {
				s := kubetest.New(t, kubetest.Options{})
				x := listen(t, "127.9.0.1", secure)
				s.Put(x.pod("live-0"))
				f := started(t, s, kube.Options{Reach: via, TLS: func(incident.Target) (*tls.Config, error) {
					if !secure {
						return nil, errors.New("asked for a pod without TLS")
					}
					return x.Client().Transport.(*http.Transport).TLSClientConfig, nil
				}})
				tt := only(t, f)
				if tt.Via != via {
					t.Fatalf("via %q", tt.Via)
				}
				if secure { // the certificate of httptest is for this name
					tt.URL = strings.Replace(tt.URL, x.ip, "example.com", 1)
				}
				through, err := way(f, tt)
				if err != nil {
					t.Fatal(err)
				}
				status, body, err := ask(t, through, tt.URL+"/profile?seconds=1")
				if err != nil || status != 200 || len(body) < 2 || body[0] != 0x1f || body[1] != 0x8b {
					t.Fatalf("profile: %d, %.40q, %v", status, body, err)
				}
				zr, err := gzip.NewReader(strings.NewReader(string(body)))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, zr); err != nil {
					t.Error(err)
				}
				base := strings.TrimSuffix(tt.URL, "/debug/pprof")
				for path, want := range map[string]struct {
					status int
					body   string
				}{
					"/refuse": {418, "short and stout"},
					"/away":   {302, "Found"},
					"/none":   {404, "404 page not found"},
					"/status": {403, "system:anonymous"},
					"/json":   {500, "xxxx"},
				} {
					status, body, err := ask(t, through, base+path)
					if err != nil || status != want.status || !strings.Contains(string(body), want.body) || path == "/json" && !json.Valid(body) {
						t.Errorf("%s: %d, %.60q, %v", path, status, body, err)
					}
				}
				for _, r := range x.requests() {
					for key, values := range r.Header {
						if text := key + strings.Join(values, ""); strings.Contains(text, kubetest.Token) || key == "Authorization" {
							t.Errorf("the pod saw the API server's credentials: %s", key)
						}
					}
				}
				until(t, "ways closed", func() bool { return s.Forwards() == 0 })
			})
		}
	}
}

// TestHost: through a port-forward the pod sees the request as if it were
// dialled, with its authorization.
func TestHost(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	x := listen(t, "127.9.0.2", false)
	s.Put(x.pod("live-0"))
	f := started(t, s, kube.Options{Reach: incident.ViaPortForward, Settings: func(string, string, string) kube.Settings { return kube.Settings{Authorization: "Bearer of-the-pod"} }})
	tt := only(t, f)
	through, err := f.PortForward(tt)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.URL+"/goroutine", nil)
	req.Header.Set("Authorization", tt.Authorization)
	resp, err := through.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r := x.requests()[0]
	if r.Host != net.JoinHostPort(x.ip, x.port) || r.Header.Get("Authorization") != "Bearer of-the-pod" || r.URL.Path != "/debug/pprof/goroutine" {
		t.Errorf("host %q, %v, %v", r.Host, r.Header, r.URL)
	}
}

// TestProxyCarriesNoSecret: what the API server's proxy would swallow is not
// given to it.
func TestProxyCarriesNoSecret(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	s.Put(pod("live-0", "10.0.0.1", "live-api", map[string]string{"profbot.io/scrape": "true", "profbot.io/scheme": "https"}))
	f := started(t, s, kube.Options{Reach: incident.ViaProxy, TLS: func(t incident.Target) (*tls.Config, error) {
		switch t.TLS {
		case "mutual":
			return &tls.Config{Certificates: []tls.Certificate{{}}}, nil
		case "broken":
			return nil, errors.New("no such file")
		}
		return nil, nil
	}})
	tt := only(t, f)
	for name, change := range map[string]func(*incident.Target){
		"does not pass on":      func(t *incident.Target) { t.Authorization = "Bearer of-the-pod" },
		"wants a certificate":   func(t *incident.Target) { t.TLS = "mutual" },
		"no such file":          func(t *incident.Target) { t.TLS = "broken" },
		"no pod of the cluster": func(t *incident.Target) { t.UID = "" },
	} {
		bad := tt
		change(&bad)
		_, err := f.Proxy(bad)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "of-the-pod") {
			t.Errorf("%s: %v", name, err)
		}
	}
	through, err := f.Proxy(tt)
	if err != nil {
		t.Fatal(err)
	}
	before := len(s.Requests())
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.URL, nil)
	req.Header.Set("Authorization", "Bearer of-the-pod")
	if resp, err := through.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Error("a request with a secret went out")
	}
	if n := len(s.Requests()); n != before {
		t.Errorf("%d requests reached the API server", n-before)
	}
}

// TestNoWay: what goes wrong between profbot and the pod is named, and told
// from what the pod says.
func TestNoWay(t *testing.T) {
	base := "../../../deploy/kubernetes/base/rbac.yaml"
	for via, way := range ways {
		for name, tc := range map[string]struct {
			opt    kubetest.Options
			change func(*testing.T, *kubetest.Server, *incident.Target)
			only   incident.Via // "" is both
			want   incident.Outcome
			words  string
		}{
			"nobody listens": {
				change: func(_ *testing.T, _ *kubetest.Server, t *incident.Target) {
					t.URL = strings.Replace(t.URL, t.URL[strings.LastIndex(t.URL, ":"):], ":1/debug/pprof", 1)
				},
				want: incident.OutcomeUnreachable, words: "connection refused",
			},
			"the pod is gone": {
				change: func(_ *testing.T, s *kubetest.Server, _ *incident.Target) { s.Delete("live", "live-0") },
				want:   incident.OutcomeGone, words: "does not exist any more",
			},
			"not permitted": {
				opt:  kubetest.Options{Rules: kubetest.Rules(t, base)},
				want: incident.OutcomeDenied, words: "lacks the rule {apiGroups: [\"\"], resources: [pods/",
			},
			"no credentials": {
				change: func(_ *testing.T, s *kubetest.Server, _ *incident.Target) {
					s.Before(func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Authorization"); return false })
				},
				want: incident.OutcomeDenied, words: "does not accept profbot's credentials",
			},
			"etcd is down": {
				change: func(_ *testing.T, s *kubetest.Server, _ *incident.Target) {
					s.Before(func(w http.ResponseWriter, r *http.Request) bool {
						w.Header().Set("Content-Type", "application/json")
						w.WriteHeader(http.StatusInternalServerError)
						fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcdserver: no leader","code":500}`)
						return true
					})
				},
				want: incident.OutcomeUnreachable, words: "the API server answers 500: etcdserver: no leader",
			},
			"the server is gone": {
				change: func(_ *testing.T, s *kubetest.Server, _ *incident.Target) { s.Close() },
				want:   incident.OutcomeUnreachable, words: "the API server does not answer: ",
			},
			"loopback": {
				opt: kubetest.Options{RefuseLoopback: true}, only: incident.ViaProxy,
				want: incident.OutcomeUnreachable, words: "the API server answers 400: address not allowed",
			},
		} {
			if tc.only != "" && tc.only != via {
				continue
			}
			t.Run(string(via)+", "+name, func(t *testing.T) {
				s := kubetest.New(t, tc.opt)
				x := listen(t, "127.9.0.3", false)
				s.Put(x.pod("live-0"))
				f := started(t, s, kube.Options{Reach: via})
				tt := only(t, f)
				if tc.change != nil {
					tc.change(t, s, &tt)
				}
				through, err := way(f, tt)
				if err != nil {
					t.Fatal(err)
				}
				_, _, err = ask(t, through, tt.URL+"/goroutine")
				fail, ok := errors.AsType[*kube.Error](err)
				if !ok {
					t.Fatalf("error %v", err)
				}
				outcome, words := fail.Outcome()
				if outcome != tc.want || !strings.Contains(words, tc.words) || strings.Contains(words, "https://") || strings.Contains(words, kubetest.Token) {
					t.Errorf("%q: %s", outcome, words)
				}
				until(t, "ways closed", func() bool { return s.Forwards() == 0 })
			})
		}
	}
}

// TestCancel: who gives up ends everything, up to the target.
func TestCancel(t *testing.T) {
	for via, way := range ways {
		t.Run(string(via), func(t *testing.T) {
			s := kubetest.New(t, kubetest.Options{})
			x := listen(t, "127.9.0.4", false)
			s.Put(x.pod("live-0"))
			f := started(t, s, kube.Options{Reach: via})
			tt := only(t, f)
			through, err := way(f, tt)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, strings.Replace(tt.URL, "/debug/pprof", "/hang", 1), nil)
			failed := make(chan error)
			go func() { // ends with the request
				resp, err := through.RoundTrip(req)
				if err == nil {
					resp.Body.Close()
				}
				failed <- err
			}()
			until(t, "asked", func() bool { return len(x.requests()) == 1 })
			cancel(errors.New("the incident is over"))
			if err := <-failed; err == nil {
				t.Error("an answer")
			}
			select {
			case <-x.left:
			case <-time.After(10 * time.Second):
				t.Error("the target goes on")
			}
			until(t, "ways closed", func() bool { return s.Forwards() == 0 })
		})
	}
}

// TestSilentServer: opening a way is bounded by the context at every step.
func TestSilentServer(t *testing.T) {
	for via, way := range ways {
		t.Run(string(via), func(t *testing.T) {
			s := kubetest.New(t, kubetest.Options{})
			s.Put(pod("live-0", "10.0.0.1", "live-api", optedIn))
			f := started(t, s, kube.Options{Reach: via})
			asked, left := make(chan struct{}, 1), make(chan struct{}, 1)
			s.Before(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, "/pods/live-0") {
					asked <- struct{}{}
					<-r.Context().Done()
					left <- struct{}{}
				}
				return false
			})
			tt := only(t, f)
			through, err := way(f, tt)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-asked; cancel() }()
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, tt.URL, nil)
			if resp, err := through.RoundTrip(req); err == nil {
				resp.Body.Close()
				t.Error("an answer")
			}
			select {
			case <-left:
			case <-time.After(5 * time.Second): // less than opening a way may take
				t.Error("the API server is still being asked")
			}
		})
	}
}

// TestWithoutSPDY: where something between lets no SPDY pass, it is named, and
// nothing else is tried, for which deploy has no permission.
func TestWithoutSPDY(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{NoSPDY: true, Rules: kubetest.Rules(t, baseRules, forwardRules)})
	s.Put(pod("live-0", "10.0.0.1", "live-api", optedIn))
	f := started(t, s, kube.Options{Reach: incident.ViaPortForward})
	tt := only(t, f)
	through, err := f.PortForward(tt)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = ask(t, through, tt.URL+"/goroutine")
	fail, ok := errors.AsType[*kube.Error](err)
	if !ok || fail.What != incident.OutcomeUnreachable || !fail.Retryable() || !strings.Contains(fail.Words, "gives HTTP 502: this proxy speaks no SPDY (where SPDY cannot pass, kubernetes.reach has to be pod-ip or proxy)") {
		t.Errorf("%v", err)
	}
	if refused := s.Refused(); len(refused) > 0 {
		t.Errorf("asked without permission: %v", refused)
	}
	if n := s.Count("create", "pods/portforward"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestTerminatedWhileProfiled: the pull fails in bounded time, and the pod is
// not asked again.
func TestTerminatedWhileProfiled(t *testing.T) {
	direct := func(*kube.Finder, incident.Target) (http.RoundTripper, error) {
		return &http.Transport{DisableKeepAlives: true}, nil
	}
	for _, via := range []incident.Via{incident.ViaDirect, incident.ViaProxy, incident.ViaPortForward} {
		t.Run("via "+string(via), func(t *testing.T) {
			s := kubetest.New(t, kubetest.Options{})
			x := listen(t, "127.9.0.7", false)
			p := s.Put(x.pod("live-0"))
			f := started(t, s, kube.Options{Reach: via})
			tt := only(t, f)
			if err := f.Confirm(t.Context(), tt); err != nil {
				t.Fatal(err)
			}
			way := ways[via]
			if way == nil {
				way = direct
			}
			through, err := way(f, tt)
			if err != nil {
				t.Fatal(err)
			}
			failed := make(chan error)
			go func() { // ends with the request
				_, _, err := ask(t, through, tt.URL+"/profile?seconds=30")
				failed <- err
			}()
			until(t, "asked", func() bool { return len(x.requests()) == 1 })
			p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
			s.Put(p)
			x.CloseClientConnections()
			if err := <-failed; err == nil {
				t.Error("an answer of a pod that is gone")
			}
			fail, ok := errors.AsType[*kube.Error](f.Confirm(t.Context(), tt))
			if !ok || fail.What != incident.OutcomeGone {
				t.Errorf("confirmed: %v", fail)
			}
			until(t, "not listed", func() bool { return len(urls(t, f, "live-api")) == 0 })
			until(t, "ways closed", func() bool { return s.Forwards() == 0 })
		})
	}
}
