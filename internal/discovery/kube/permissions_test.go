package kube_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
	"github.com/profbot/profbot/internal/incident"
)

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
			until(t, "as many known as can be", func() bool { return len(f.Known()) == tc.known })
			_, err := f.Pods(t.Context(), "nobody", "")
			if complete := tc.want == nil || name == "no watch"; errors.Is(err, incident.ErrUnknownService) != complete {
				t.Errorf("pods of nobody: %v", err)
			}
		})
	}
}

// TestReview: what is missing is known before anything is tried.
func TestReview(t *testing.T) {
	for name, tc := range map[string]struct {
		files      []string
		reach      incident.Via
		namespaces []string
		verbs      []string // of the first rule, in place of its own
		want       []string
	}{
		"all":               {files: []string{baseRules}},
		"all, proxy":        {files: []string{baseRules, proxyRules}, reach: incident.ViaProxy},
		"all, port-forward": {files: []string{baseRules, forwardRules}, reach: incident.ViaPortForward},
		"no get":            {files: []string{baseRules}, verbs: []string{"list", "watch"}, want: []string{`profbot's ClusterRole lacks the rule {apiGroups: [""], resources: [pods], verbs: [get]}`}},
		"no proxy":          {files: []string{baseRules}, reach: incident.ViaProxy, want: []string{`profbot's ClusterRole lacks the rule {apiGroups: [""], resources: [pods/proxy], verbs: [get]}`}},
		"no port-forward":   {files: []string{baseRules, proxyRules}, reach: incident.ViaPortForward, want: []string{`profbot's ClusterRole lacks the rule {apiGroups: [""], resources: [pods/portforward], verbs: [create]}`}},
		"one namespace": {
			files: []string{baseRules}, namespaces: []string{"gift", "live"}, verbs: []string{"get", "list"},
			want: []string{
				`profbot's role in namespace "gift" lacks the rule {apiGroups: [""], resources: [pods], verbs: [list]}`,
				`profbot's role in namespace "gift" lacks the rule {apiGroups: [""], resources: [pods], verbs: [watch]}`,
				`profbot's role in namespace "gift" lacks the rule {apiGroups: [""], resources: [pods], verbs: [get]}`,
				`profbot's role in namespace "live" lacks the rule {apiGroups: [""], resources: [pods], verbs: [watch]}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			opt := kubetest.Options{Rules: kubetest.Rules(t, tc.files...)}
			if tc.verbs != nil {
				opt.Rules[0].Verbs = tc.verbs
			}
			if tc.namespaces != nil {
				opt.Namespaced = []string{"live"}
			}
			s := kubetest.New(t, opt)
			f := newFinder(t, s, kube.Options{Reach: tc.reach, Namespaces: tc.namespaces})
			var got []string
			if err := f.Permissions(t.Context()); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if slices.ContainsFunc(s.Requests(), func(r string) bool { return !strings.HasPrefix(r, "POST /apis/authorization.k8s.io/v1/") }) {
				t.Errorf("more was asked than what is allowed: %q", s.Requests())
			}
		})
	}
	s := kubetest.New(t, kubetest.Options{})
	for words, answer := range map[string]http.HandlerFunc{
		"does not accept profbot's credentials": nil,
		"HTTP 200 in place of a review":         func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>log in</html>")) },
		"HTTP 502 in place of a review": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			w.Write([]byte("{}"))
		},
	} {
		s.Before(func(w http.ResponseWriter, r *http.Request) bool {
			if answer == nil {
				r.Header.Del("Authorization")
				return false
			}
			answer(w, r)
			return true
		})
		if err := newFinder(t, s, kube.Options{}).Permissions(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
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
