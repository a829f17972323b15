package kube_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/discovery/kube"
	"github.com/profbot/profbot/internal/discovery/kube/kubetest"
)

func TestNew(t *testing.T) {
	s := kubetest.New(t, kubetest.Options{})
	for name, tc := range map[string]struct {
		opt  kube.Options
		want string
	}{
		"port":     {kube.Options{Port: 70000}, "70000 is no port"},
		"reach":    {kube.Options{Reach: "carrier pigeon"}, "no way to reach pods"},
		"selector": {kube.Options{Selector: "a in"}, `kubernetes.selector: "a in" is no label selector: write`},
		"file":     {kube.Options{Kubeconfig: "testdata/none"}, "kubernetes.kubeconfig: open testdata/none: no such file or directory: name"},
		"context":  {kube.Options{Kubeconfig: s.Kubeconfig(), Context: "none"}, `"none" does not exist`},
		"no pod":   {kube.Options{}, "kubernetes.kubeconfig has to name a file"},
	} {
		if name == "no pod" {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			t.Setenv("KUBECONFIG", s.Kubeconfig()) // not looked at
		}
		if _, err := kube.New(tc.opt); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The context decides who profbot is.
	f := newFinder(t, s, kube.Options{Context: "other", SyncWait: time.Second / 4})
	if err := f.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "does not accept profbot's credentials") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with wrong credentials: %v", err)
	}
}

// TestCheck names what [kube.New] would refuse, all of it, and nothing secret.
func TestCheck(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	s := kubetest.New(t, kubetest.Options{})
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good, err := os.ReadFile(s.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		opt  kube.Options
		want []string // options
		word string
	}{
		"good":           {opt: kube.Options{Kubeconfig: s.Kubeconfig(), Selector: "team=live,tier!=batch"}},
		"not in a pod":   {opt: kube.Options{}},
		"two":            {opt: kube.Options{Kubeconfig: "none", Selector: "a in"}, want: []string{"selector", "kubeconfig"}, word: "open none: no such file"},
		"empty":          {opt: kube.Options{Kubeconfig: file("")}, want: []string{"kubeconfig"}, word: "has no contexts"},
		"no YAML":        {opt: kube.Options{Kubeconfig: file("users: hunter2\n\thunter2")}, want: []string{"kubeconfig"}, word: "is no kubeconfig"},
		"unknown":        {opt: kube.Options{Kubeconfig: s.Kubeconfig(), Context: "none"}, want: []string{"context"}, word: "write one of other, test"},
		"no context":     {opt: kube.Options{Kubeconfig: file(strings.Replace(string(good), "current-context: test", "", 1))}, want: []string{"context"}, word: "write one of other, test"},
		"no user":        {opt: kube.Options{Kubeconfig: file(strings.Replace(string(good), "- name: profbot", "- name: another", 1))}, want: []string{"kubeconfig"}, word: `user "profbot" does not exist`},
		"no authorities": {opt: kube.Options{Kubeconfig: file(strings.Replace(string(good), "ca.pem", "gone.pem", 1))}, want: []string{"kubeconfig"}, word: "gone.pem: no such file"},
	} {
		var options, words []string
		for _, e := range kube.Check(tc.opt) {
			options, words = append(options, e.Option), append(words, e.Error())
		}
		text := strings.Join(words, "\n")
		if strings.Join(options, " ") != strings.Join(tc.want, " ") || !strings.Contains(text, tc.word) || strings.Contains(text, "hunter2") || strings.Contains(text, kubetest.Token) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
