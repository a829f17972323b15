package kube_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

// optedIn is what most pods of these tests say.
var optedIn = map[string]string{"profbot.io/scrape": "true"}

// pod is a running, ready pod of a service, in namespace live.
func pod(name, ip, service string, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "live", Labels: map[string]string{"tags.datadoghq.com/service": service}, Annotations: annotations},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

// newFinder has not started yet.
func newFinder(t testing.TB, s *kubetest.Server, opt kube.Options) *kube.Finder {
	t.Helper()
	if opt.Kubeconfig == "" {
		opt.Kubeconfig = s.Kubeconfig()
	}
	f, err := kube.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	f.RetryFast()
	t.Cleanup(f.Stop)
	return f
}

func started(t testing.TB, s *kubetest.Server, opt kube.Options) *kube.Finder {
	t.Helper()
	f := newFinder(t, s, opt)
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// until waits for what another goroutine brings about.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(2*time.Millisecond), time.NewTimer(20*time.Second)
	defer tick.Stop()
	defer limit.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("after 20s still not: %s", what)
		}
	}
}

// urls are the addresses of a service's pods, by pod.
func urls(t testing.TB, f *kube.Finder, service string) map[string]string {
	t.Helper()
	targets, err := f.Pods(t.Context(), service, "")
	if err != nil && !errors.Is(err, incident.ErrUnknownService) {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, x := range targets {
		out[x.Pod] = x.URL
	}
	return out
}

func TestPods(t *testing.T) {
	for name, opt := range map[string]kubetest.Options{
		"protobuf, streamed":     {},
		"json, streamed":         {JSON: true},
		"protobuf, in chunks":    {OldServer: true},
		"json, without streamed": {OldServer: true, JSON: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := kubetest.New(t, opt)
			p := pod("live-api-0", "10.1.2.3", "live-api", optedIn)
			p.Labels["tags.datadoghq.com/env"], p.Labels["tags.datadoghq.com/version"] = "prod", "1.2.3"
			p = s.Put(p)
			v6 := pod("live-api-1", "fd00::1", "live-api", map[string]string{"profbot.io/scrape": "true", "profbot.io/port": "8080", "profbot.io/path": "/debug", "profbot.io/kinds": "cpu"})
			v6.Status.Conditions = nil
			v6 = s.Put(v6)
			s.Put(pod("gift-api-0", "10.1.2.9", "gift-api", optedIn))
			s.Put(pod("silent-0", "10.1.2.10", "silent", nil))

			f := started(t, s, kube.Options{Settings: func(service, env, namespace string) kube.Settings {
				if service == "live-api" && env == "prod" && namespace == "live" {
					return kube.Settings{Authorization: "Bearer pod-secret", TLS: "live", Path: "/pprof/"}
				}
				return kube.Settings{}
			}})
			got, err := f.Pods(t.Context(), "live-api", "prod")
			if err != nil {
				t.Fatal(err)
			}
			want := []incident.Target{
				{
					Service: "live-api", Env: "prod", Version: "1.2.3", Namespace: "live", Pod: "live-api-0", UID: string(p.UID), Node: "node-1",
					URL: "https://10.1.2.3:6060/pprof", Authorization: "Bearer pod-secret", TLS: "live", Found: "annotation profbot.io/scrape",
				},
				{
					Service: "live-api", Namespace: "live", Pod: "live-api-1", UID: string(v6.UID), Node: "node-1",
					URL: "https://[fd00::1]:8080/debug", Authorization: "Bearer pod-secret", TLS: "live", Found: "annotation profbot.io/scrape, not ready",
					Refuses: []incident.Kind{incident.KindAllocsAfter, incident.KindAllocsBefore, incident.KindBlock, incident.KindGoroutine, incident.KindHeap, incident.KindMutex},
				},
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			services, err := f.Services(t.Context())
			if err != nil || !slices.Equal(services, []string{"gift-api", "live-api"}) {
				t.Errorf("services %q, %v", services, err)
			}
			for service, words := range map[string]string{
				"nobody": `service "nobody" is not in the cluster; there are: gift-api, live-api`,
				"silent": `service "silent" has pods in the cluster, and none may be profiled: their owners have not opted in`,
				"":       `service "" is not in the cluster`,
			} {
				_, err := f.Pods(t.Context(), service, "")
				if !errors.Is(err, incident.ErrUnknownService) || !strings.Contains(err.Error(), words) {
					t.Errorf("%s: %v", service, err)
				}
			}
		})
	}
}

// TestSelection: what could never be a target is not even asked for.
func TestSelection(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	s.Put(pod("seen", "10.0.0.1", "api", optedIn))
	for name, change := range map[string]func(*corev1.Pod){
		"pending":  func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending },
		"finished": func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
		"foreign":  func(p *corev1.Pod) { p.Labels["team"] = "other" },
		"faraway":  func(p *corev1.Pod) { p.Namespace = "elsewhere" },
	} {
		p := pod(name, "10.0.0.2", "api", optedIn)
		change(p)
		s.Put(p)
	}
	ending := pod("ending", "10.0.0.3", "api", optedIn)
	ending.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	s.Put(ending)
	homeless := []string{"", "0.0.0.0", "::", "224.0.0.1", "fe80::1%eth0", "evil.example"}
	for i, ip := range homeless {
		s.Put(pod(fmt.Sprintf("homeless-%d", i), ip, "api", optedIn))
	}
	f := started(t, s, kube.Options{Namespaces: []string{"live", "empty", "live"}, Selector: "team!=other"})
	if d := cmp.Diff(map[string]string{"seen": "http://10.0.0.1:6060/debug/pprof"}, urls(t, f, "api")); d != "" {
		t.Error(d)
	}
	if got := f.Known(); len(got) != 2+len(homeless) || got[0] != "live/ending" || got[len(got)-1] != "live/seen" {
		t.Errorf("known: %q", got)
	}
}

// TestChanges follows a pod through what a cluster does to it.
func TestChanges(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	first := s.Put(pod("live-0", "10.0.0.1", "live-api", optedIn))
	f := started(t, s, kube.Options{})
	is := func(service string, want ...string) func() bool {
		return func() bool { return slices.Equal(slices.Sorted(mapValues(urls(t, f, service))), want) }
	}
	until(t, "listed", is("live-api", "http://10.0.0.1:6060/debug/pprof"))

	s.Put(pod("live-1", "10.0.0.2", "live-api", optedIn))
	until(t, "created", is("live-api", "http://10.0.0.1:6060/debug/pprof", "http://10.0.0.2:6060/debug/pprof"))

	s.Put(pod("live-1", "10.0.0.7", "live-api", optedIn))
	until(t, "given another address", is("live-api", "http://10.0.0.1:6060/debug/pprof", "http://10.0.0.7:6060/debug/pprof"))

	s.Put(pod("live-1", "10.0.0.7", "gift-api", optedIn))
	until(t, "relabelled", is("live-api", "http://10.0.0.1:6060/debug/pprof"))
	until(t, "relabelled", is("gift-api", "http://10.0.0.7:6060/debug/pprof"))

	s.Put(pod("live-1", "10.0.0.7", "gift-api", map[string]string{"profbot.io/scrape": "false"}))
	until(t, "opted out", is("gift-api"))

	replaced := pod("live-0", "10.0.0.9", "live-api", optedIn)
	replaced.UID = "another"
	s.Put(replaced)
	until(t, "replaced under its name", is("live-api", "http://10.0.0.9:6060/debug/pprof"))
	got, err := f.Pods(t.Context(), "live-api", "")
	if err != nil || got[0].UID != "another" || got[0].UID == string(first.UID) {
		t.Errorf("%+v, %v", got, err)
	}

	replaced.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	s.Put(replaced)
	until(t, "terminating", is("live-api"))

	s.Put(pod("live-2", "10.0.0.4", "live-api", optedIn))
	until(t, "there", is("live-api", "http://10.0.0.4:6060/debug/pprof"))
	finished := pod("live-2", "10.0.0.4", "live-api", optedIn)
	finished.Status.Phase = corev1.PodSucceeded
	s.Put(finished)
	until(t, "finished", func() bool { return !slices.Contains(f.Known(), "live/live-2") })

	s.Delete("live", "live-0")
	until(t, "deleted", func() bool { return !slices.Contains(f.Known(), "live/live-0") })
}

func mapValues(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// TestWatchResumes: a watch that breaks goes on where it was, without listing
// anew, as long as the server remembers; where bookmarks have moved it on, also
// after the server forgot what was before.
func TestWatchResumes(t *testing.T) {
	for name, tc := range map[string]struct {
		old, ends bool
		cut       func(*kubetest.Server)
	}{
		"ended, streaming lists":  {false, true, (*kubetest.Server).CutWatches},
		"ended, old server":       {true, true, (*kubetest.Server).CutWatches},
		"broken, streaming lists": {false, false, (*kubetest.Server).Break},
		"broken, old server":      {true, false, (*kubetest.Server).Break},
	} {
		t.Run(name, func(t *testing.T) {
			old := tc.old
			s := kubetest.New(t, kubetest.Options{OldServer: old})
			s.Put(pod("a", "10.0.0.1", "api", optedIn))
			f := started(t, s, kube.Options{})
			full := func() int { // how often everything was sent
				n := 0
				for _, r := range s.Requests() {
					if strings.Contains(r, "sendInitialEvents=true") && !old || !strings.Contains(r, "watch=true") {
						n++
					}
				}
				return n
			}
			until(t, "watching", func() bool { return s.Count("watch", "pods") > 0 })
			if full() != 1 {
				t.Fatalf("everything was asked for %d times", full())
			}
			// client-go takes a watch that ends at once for one that does not work.
			s.Put(pod("a", "10.0.0.5", "api", optedIn))
			until(t, "a changed", func() bool { return urls(t, f, "api")["a"] == "http://10.0.0.5:6060/debug/pprof" })
			tc.cut(s)
			s.Put(pod("b", "10.0.0.2", "api", optedIn))
			until(t, "b seen", func() bool { return len(f.Known()) == 2 })
			if full() != 1 {
				t.Errorf("everything was asked for %d times after the watch broke", full())
			}
			if !tc.ends {
				return // what a broken connection has under way is lost
			}
			// Much happens that is not selected, and is forgotten: only the
			// bookmark tells the client.
			for range 10 {
				s.Put(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "noise", Namespace: "live"}, Status: corev1.PodStatus{Phase: corev1.PodPending}})
			}
			until(t, "watched by the second watch alone", func() bool {
				open, begun := s.Watches()
				return open == 1 && begun == 2
			})
			s.Bookmark()
			s.Compact()
			s.CutWatches()
			s.Put(pod("d", "10.0.0.4", "api", optedIn))
			until(t, "d seen", func() bool { return len(f.Known()) == 3 })
			if full() != 1 {
				t.Errorf("everything was asked for %d times after the bookmark", full())
			}
		})
	}
}

// TestGone: a watch that cannot be resumed lists anew, and what went away in
// the meantime is gone.
func TestGone(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprint("old=", old), func(t *testing.T) {
			s := kubetest.New(t, kubetest.Options{OldServer: old})
			s.Put(pod("a", "10.0.0.1", "api", optedIn))
			s.Put(pod("b", "10.0.0.2", "api", optedIn))
			f := started(t, s, kube.Options{})
			down := make(chan struct{})
			s.Before(func(w http.ResponseWriter, r *http.Request) bool {
				select {
				case <-down:
					return false
				default:
					http.Error(w, "being restarted", http.StatusServiceUnavailable)
					return true
				}
			})
			s.CutWatches()
			until(t, "trouble", func() bool { return f.Ready() != nil })
			s.Delete("live", "a")
			s.Put(pod("c", "10.0.0.3", "api", optedIn))
			s.Compact()
			close(down)
			until(t, "listed anew", func() bool { return slices.Equal(f.Known(), []string{"live/b", "live/c"}) })
			until(t, "well again", func() bool { return f.Ready() == nil })
		})
	}
}

// TestOutage: without an answer the cache goes on answering, and says its age.
func TestOutage(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	s.Put(pod("a", "10.0.0.1", "api", optedIn))
	f := started(t, s, kube.Options{})
	if err := f.Ready(); err != nil {
		t.Fatal(err)
	}
	s.Before(func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "etcd is having a bad day", http.StatusInternalServerError)
		return true
	})
	s.CutWatches()
	until(t, "trouble", func() bool { return f.Ready() != nil })
	if err := f.Ready(); !strings.Contains(err.Error(), "the pods of the cluster are known as of ") || !strings.Contains(err.Error(), "the API server answers 500") {
		t.Error(err)
	}
	until(t, "older than a second", func() bool {
		got, err := f.Pods(t.Context(), "api", "")
		return err == nil && len(got) == 1 && strings.Contains(got[0].Found, "annotation profbot.io/scrape, as of ") && strings.HasSuffix(got[0].Found, "s ago: the cluster does not answer")
	})
	if _, err := f.Pods(t.Context(), "other", ""); !errors.Is(err, incident.ErrUnknownService) || !strings.Contains(err.Error(), "known as of") {
		t.Error(err)
	}
	s.Before(nil)
	until(t, "well again", func() bool { return f.Ready() == nil })
	got, err := f.Pods(t.Context(), "api", "")
	if err != nil || got[0].Found != "annotation profbot.io/scrape" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestLog: a change of state is a line, and neither its going on nor what is
// routine.
func TestLog(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{OldServer: true})
	s.Put(pod("a", "10.0.0.1", "api", optedIn))
	var log lines
	f := started(t, s, kube.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	until(t, "watching", func() bool { return s.Count("watch", "pods") > 0 })
	if got := log.String(); got != "" {
		t.Errorf("a start is worth %q", got)
	}
	asked := make(chan struct{}, 1000)
	s.Before(func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "etcd is having a bad day", http.StatusInternalServerError)
		asked <- struct{}{}
		return true
	})
	s.CutWatches()
	for range 20 {
		<-asked
	}
	s.Before(nil)
	until(t, "well again", func() bool { return f.Ready() == nil })
	f.Stop()
	got := log.String()
	if warned := strings.Count(got, "level=WARN"); warned < 1 || warned > 2 || strings.Count(got, "level=INFO") != 1 || strings.Contains(got, kubetest.Token) {
		t.Errorf("of an outage it says:\n%s", got)
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu sync.Mutex // protects b
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestDownAtStart: the server comes up after profbot did.
func TestDownAtStart(t *testing.T) {
	probe := kubetest.New(t, kubetest.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	f := newFinder(t, probe, kube.Options{Kubeconfig: probe.KubeconfigAt(address), SyncWait: 50 * time.Millisecond})
	err = f.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the pods of the cluster are not known: the API server does not answer: ") || strings.Contains(err.Error(), "https://") {
		t.Fatalf("started: %v", err)
	}
	if _, err := f.Pods(t.Context(), "api", ""); err == nil || errors.Is(err, incident.ErrUnknownService) {
		t.Errorf("pods before anything is known: %v", err)
	}
	if _, err := f.Services(t.Context()); err == nil {
		t.Error("services before anything is known")
	}
	s := kubetest.New(t, kubetest.Options{Address: address})
	s.Put(pod("a", "10.0.0.1", "api", optedIn))
	until(t, "known", func() bool { return f.Ready() == nil && len(f.Known()) == 1 })
}

// TestSlowServer: Start does not wait for ever, and says what it waits for.
func TestSlowServer(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	answer := make(chan struct{})
	s.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-answer:
		case <-r.Context().Done():
		}
		return false
	})
	s.Put(pod("a", "10.0.0.1", "api", optedIn))
	f := newFinder(t, s, kube.Options{SyncWait: 30 * time.Millisecond})
	if err := f.Start(t.Context()); err == nil {
		t.Error("started without an answer")
	}
	until(t, "what it waits for", func() bool {
		return strings.Contains(f.Ready().Error(), "are not known yet: the API server was asked ")
	})
	if err := f.Start(t.Context()); err == nil {
		t.Error("a second start")
	}
	close(answer)
	until(t, "known", func() bool { return f.Ready() == nil && len(f.Known()) == 1 })
	f.Stop()
	f.Stop()
}

// TestChunks: more pods than a chunk holds, from a server without a cache.
func TestChunks(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{OldServer: true})
	for i := range 1203 {
		s.Put(pod(fmt.Sprintf("p-%04d", i), fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), "api", optedIn))
	}
	f := started(t, s, kube.Options{})
	if n := len(urls(t, f, "api")); n != 1203 {
		t.Errorf("%d pods", n)
	}
	if n := s.Count("list", "pods"); n != 3 {
		t.Errorf("%d lists, want 3 chunks", n)
	}
}

// TestStopEndsWatching: nothing asks on behind the back of a stopped finder.
func TestStopEndsWatching(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	f := started(t, s, kube.Options{Namespaces: []string{"a", "b"}})
	f.Stop()
	before := len(s.Requests())
	s.CutWatches()
	s.Put(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "late", Namespace: "a", UID: types.UID("late")}})
	f.Stop()
	if n := len(s.Requests()); n != before || len(f.Known()) != 0 {
		t.Errorf("%d requests after the stop, known: %q", n-before, f.Known())
	}
}
