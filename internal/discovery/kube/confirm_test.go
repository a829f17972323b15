package kube_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

func TestConfirm(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*kubetest.Server, *corev1.Pod)
		via    incident.Via
		want   incident.Outcome // "" is confirmed
		words  string
		retry  bool
	}{
		"the same": {},
		"relabelled": {change: func(s *kubetest.Server, p *corev1.Pod) {
			p.Labels["x"] = "y"
			s.Put(p)
		}},
		"gone": {
			change: func(s *kubetest.Server, p *corev1.Pod) { s.Delete(p.Namespace, p.Name) },
			want:   incident.OutcomeGone, words: "does not exist any more",
		},
		"terminating": {
			change: func(s *kubetest.Server, p *corev1.Pod) {
				p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
				s.Put(p)
			},
			want: incident.OutcomeGone, words: "being terminated",
		},
		"finished": {
			change: func(s *kubetest.Server, p *corev1.Pod) {
				p.Status.Phase = corev1.PodFailed
				s.Put(p)
			},
			want: incident.OutcomeGone, words: `"Failed" and not running`,
		},
		"replaced under its name": {
			change: func(s *kubetest.Server, p *corev1.Pod) {
				s.Delete(p.Namespace, p.Name)
				p.UID = "another"
				s.Put(p)
			},
			want: incident.OutcomeMoved, words: "another pod has its name",
		},
		"replaced, by the proxy": {
			change: func(s *kubetest.Server, p *corev1.Pod) {
				p.UID = "another"
				s.Put(p)
			},
			via: incident.ViaProxy, want: incident.OutcomeMoved, words: "another pod has its name",
		},
		"at another address": {
			change: func(s *kubetest.Server, p *corev1.Pod) {
				p.Status.PodIP, p.Status.PodIPs = "10.0.0.2", nil
				s.Put(p)
			},
			want: incident.OutcomeMoved, words: "another address",
		},
		"at two addresses": {change: func(s *kubetest.Server, p *corev1.Pod) {
			p.Status.PodIP, p.Status.PodIPs = "fd00::2", []corev1.PodIP{{IP: "fd00::2"}, {IP: "10.0.0.1"}}
			s.Put(p)
		}},
		"at another address, by the proxy": {
			change: func(s *kubetest.Server, p *corev1.Pod) {
				p.Status.PodIP, p.Status.PodIPs = "10.0.0.2", nil
				s.Put(p)
			},
			via: incident.ViaProxy,
		},
		"not permitted": {
			change: func(s *kubetest.Server, _ *corev1.Pod) {
				s.Before(func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusForbidden)
					w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"pods is forbidden","details":{"kind":"pods"},"code":403}`))
					return true
				})
			},
			want: incident.OutcomeUnreachable, words: `profbot's ClusterRole lacks the rule {apiGroups: [""], resources: [pods], verbs: [get]}`,
		},
		"a storm": {
			change: func(s *kubetest.Server, _ *corev1.Pod) {
				s.Before(func(w http.ResponseWriter, _ *http.Request) bool {
					http.Error(w, "no leader", http.StatusInternalServerError)
					return true
				})
			},
			want: incident.OutcomeUnreachable, words: "nobody confirms that its address is still its own", retry: true,
		},
		"nobody there": {
			change: func(s *kubetest.Server, _ *corev1.Pod) { s.Close() },
			want:   incident.OutcomeUnreachable, words: "the API server does not answer", retry: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := kubetest.New(t, kubetest.Options{})
			p := s.Put(pod("live-0", "10.0.0.1", "live-api", optedIn))
			f := started(t, s, kube.Options{Reach: tc.via})
			tt := only(t, f)
			f.Stop() // what is known stays as it was
			if tc.change != nil {
				tc.change(s, p.DeepCopy())
			}
			err := f.Confirm(t.Context(), tt)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			fail, ok := errors.AsType[*kube.Error](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if outcome, words := fail.Outcome(); outcome != tc.want || !strings.Contains(words, tc.words) || fail.Retryable() != tc.retry || strings.Contains(words, "https://") {
				t.Errorf("%q, retry %v: %s", outcome, fail.Retryable(), words)
			}
		})
	}
}

// TestConfirmEnds: the caller's end is the caller's, and static targets are
// nobody's to confirm.
func TestConfirmEnds(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	s.Before(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	f := newFinder(t, s, kube.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := f.Confirm(ctx, incident.Target{Pod: "live-0", Namespace: "live", UID: "u"})
	fail, ok := errors.AsType[*kube.Error](err)
	if !ok || fail.What != incident.OutcomeCanceled || fail.Retryable() {
		t.Errorf("%v", err)
	}
	if err := f.Confirm(t.Context(), incident.Target{Pod: "static"}); err != nil {
		t.Error(err)
	}
}

const (
	baseRules    = "../../../deploy/kubernetes/base/rbac.yaml"
	proxyRules   = "../../../deploy/kubernetes/components/proxy/rbac.yaml"
	forwardRules = "../../../deploy/kubernetes/components/port-forward/rbac.yaml"
)

// TestPermissions does everything that profbot does in a cluster, under the
// rules of deploy: what they lack is refused, and what they grant beyond need
// is never asked for.
func TestPermissions(t *testing.T) {
	ever := map[kubetest.Use]bool{}
	for name, tc := range map[string]struct {
		via   incident.Via
		files []string
	}{
		"pod-ip":       {incident.ViaDirect, []string{baseRules}},
		"proxy":        {incident.ViaProxy, []string{baseRules, proxyRules}},
		"port-forward": {incident.ViaPortForward, []string{baseRules, forwardRules}},
	} {
		t.Run(name, func(t *testing.T) {
			rules := kubetest.Rules(t, tc.files...)
			used := map[kubetest.Use]bool{}
			// An old server is asked in other ways than a new one.
			for _, old := range []bool{false, true} {
				s := kubetest.New(t, kubetest.Options{Rules: rules, OldServer: old})
				x := listen(t, "127.9.0.6", false)
				s.Put(x.pod("live-0"))
				f := started(t, s, kube.Options{Reach: tc.via})
				tt := only(t, f)
				if err := f.Confirm(t.Context(), tt); err != nil {
					t.Error(err)
				}
				if way := ways[tc.via]; way != nil {
					through, err := way(f, tt)
					if err != nil {
						t.Fatal(err)
					}
					if status, _, err := ask(t, through, tt.URL+"/goroutine"); err != nil || status != 200 {
						t.Errorf("%d, %v", status, err)
					}
				}
				s.Put(pod("live-1", "10.0.0.1", "other", optedIn))
				until(t, "watched", func() bool { return len(f.Known()) == 2 })
				if bad := s.Refused(); len(bad) > 0 {
					t.Errorf("deploy lacks %v", bad)
				}
				for _, u := range s.Uses() {
					used[u], ever[u] = true, true
				}
			}
			for _, u := range kubetest.Grants(rules) {
				if !used[u] {
					t.Errorf("deploy grants %s on %s, which is never asked for", u.Verb, u.Resource)
				}
				delete(used, u)
			}
			for u := range used {
				t.Errorf("%v was used without a rule", u)
			}
		})
	}
	for _, u := range kubetest.Grants(kubetest.AllRules(t, "../../../deploy/kubernetes")) {
		if !ever[u] {
			t.Errorf("deploy grants %s on %s somewhere, which is never asked for", u.Verb, u.Resource)
		}
	}
}

// TestMissingPermission: each missing rule is named, and what is there without
// it goes on.
func TestMissingPermission(t *testing.T) {
	for name, tc := range map[string]struct {
		verbs      []string
		namespaces []string
		want       []string // words of Ready, each
		known      int
	}{
		"nothing":        {want: []string{"the pods of the cluster are not known: ", "ClusterRole lacks the rule", `verbs: [list]}`}},
		"no watch":       {verbs: []string{"get", "list"}, want: []string{"known as of", `verbs: [watch]}; the API server says: pods is forbidden: User "system:serviceaccount:profbot:profbot" cannot watch`}, known: 2},
		"all":            {verbs: []string{"get", "list", "watch"}, known: 2},
		"one namespace":  {verbs: []string{"list", "watch"}, namespaces: []string{"live"}, known: 1},
		"not the second": {verbs: []string{"list", "watch"}, namespaces: []string{"live", "gift"}, want: []string{`the pods of namespace "gift" are not known: profbot's role in namespace "gift" lacks the rule`}, known: 1},
	} {
		t.Run(name, func(t *testing.T) {
			rules := kubetest.Rules(t, baseRules)
			rules[0].Verbs = tc.verbs
			opt := kubetest.Options{Rules: rules, OldServer: true}
			if tc.namespaces != nil {
				opt.Namespaced = []string{"live"}
			}
			s := kubetest.New(t, opt)
			s.Put(pod("live-0", "10.0.0.1", "live-api", optedIn))
			p := pod("gift-0", "10.0.0.2", "gift-api", optedIn)
			p.Namespace = "gift"
			s.Put(p)
			f := newFinder(t, s, kube.Options{Namespaces: tc.namespaces, SyncWait: time.Second / 5})
			if err := f.Start(t.Context()); err != nil && tc.want == nil {
				t.Fatal(err)
			}
			until(t, "ready as wanted", func() bool {
				err := f.Ready()
				if err == nil || tc.want == nil {
					return err == nil && tc.want == nil
				}
				for _, words := range tc.want {
					if !strings.Contains(err.Error(), words) {
						return false
					}
				}
				return true
			})
			if n := len(f.Known()); n != tc.known {
				t.Errorf("%d pods known", n)
			}
			_, err := f.Pods(t.Context(), "nobody", "")
			if complete := tc.want == nil || name == "no watch"; errors.Is(err, incident.ErrUnknownService) != complete {
				t.Errorf("pods of nobody: %v", err)
			}
		})
	}
}

// TestRemarks are for doctor and why.
func TestRemarks(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	s.Put(pod("live-0", "10.0.0.1", "live-api", map[string]string{"profbot.io/scrape": "true", "profbot.io/port": "abc"}))
	s.Put(pod("gift-0", "10.0.0.1", "gift-api", map[string]string{"profbot.io/scrape": "perhaps"}))
	s.Put(pod("nameless", "10.0.0.1", "", optedIn))
	f := started(t, s, kube.Options{})
	want := []kube.Remark{{Service: "live-api", Namespace: "live", Pod: "live-0", Words: `annotation profbot.io/port is "abc", which is neither a number nor the name of a container's port`}}
	if d := cmp.Diff(want, f.Remarks("live-api")); d != "" {
		t.Error(d)
	}
	if got := f.Remarks(""); len(got) != 3 || !strings.Contains(got[2].Words, "nothing names its service") {
		t.Errorf("%+v", got)
	}
	if _, err := f.Pods(t.Context(), "live-api", ""); !errors.Is(err, incident.ErrUnknownService) || !strings.Contains(err.Error(), `pod "live-0": annotation profbot.io/port is "abc"`) {
		t.Error(err)
	}
	if _, err := f.Pods(t.Context(), "", ""); !errors.Is(err, incident.ErrUnknownService) {
		t.Error(err)
	}
}
