package kube_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

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
			want: incident.OutcomeDiscovery, words: `profbot's ClusterRole lacks the rule {apiGroups: [""], resources: [pods], verbs: [get]}`,
		},
		"a storm": {
			change: func(s *kubetest.Server, _ *corev1.Pod) {
				s.Before(func(w http.ResponseWriter, _ *http.Request) bool {
					http.Error(w, "no leader", http.StatusInternalServerError)
					return true
				})
			},
			want: incident.OutcomeDiscovery, words: "nobody confirms that its address is still its own", retry: true,
		},
		"nobody there": {
			change: func(s *kubetest.Server, _ *corev1.Pod) { s.Close() },
			want:   incident.OutcomeDiscovery, words: "the API server does not answer", retry: true,
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

// TestAddressChangesHands: the address of a pod that went away is another's
// within moments; that one is never asked.
func TestAddressChangesHands(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	a, b := listen(t, "127.9.1.1", false), listen(t, "127.9.1.2", false)
	s.Put(a.pod("live-0"))
	f := started(t, s, kube.Options{})
	old := only(t, f)
	f.Stop() // the watch lags behind
	moved := b.pod("live-0")
	s.Put(moved)
	other := a.pod("gift-0")
	other.Labels["tags.datadoghq.com/service"] = "gift-api"
	s.Put(other)
	if again := only(t, f); again.URL != old.URL {
		t.Fatal("the cache should know the old address still")
	}
	fail, ok := errors.AsType[*kube.Error](f.Confirm(t.Context(), old))
	if !ok || fail.What != incident.OutcomeMoved || fail.Retryable() {
		t.Errorf("%v", fail)
	}
	fresh := started(t, s, kube.Options{})
	if tt := only(t, fresh); tt.URL == old.URL || tt.UID != old.UID || fresh.Confirm(t.Context(), tt) != nil {
		t.Errorf("%+v", tt)
	}
}

// TestURLs: addresses that the collector gets are such.
func TestURLs(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	s.Put(pod("live-0", "fd00::1", "live-api", optedIn))
	u, err := url.Parse(only(t, started(t, s, kube.Options{})).URL)
	if err != nil || u.Hostname() != "fd00::1" || u.Port() != "6060" {
		t.Errorf("%v, %v", u, err)
	}
}
