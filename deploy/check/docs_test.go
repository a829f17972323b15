package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentedRules: the document says of each way to the pods what the
// manifests grant for it.
func TestDocumentedRules(t *testing.T) {
	text := readFile(t, "../../docs/kubernetes.md")
	for _, way := range []struct{ reach, component string }{{"pod-ip", ""}, {"proxy", "proxy"}, {"port-forward", "port-forward"}} {
		objs, role := overlay(t, "base"), "profbot"
		if way.component != "" {
			objs, role = overlay(t, "base", way.component), "profbot-"+way.component
		}
		rules := objs["ClusterRole /"+role].(*rbacv1.ClusterRole).Rules
		if len(rules) != 1 {
			t.Fatalf("%s: %v", way.reach, rules)
		}
		want := fmt.Sprintf("`{resources: [%s], verbs: [%s]}`", strings.Join(rules[0].Resources, ", "), strings.Join(rules[0].Verbs, ", "))
		row := regexp.MustCompile("(?m)^\\| `" + way.reach + "` \\|.*$").FindString(text)
		if !strings.Contains(row, want) {
			t.Errorf("%s: no %s in %q", way.reach, want, row)
		}
	}
}

// TestDocumentedFiles: what the documents have people apply, open or follow a
// link to is there.
func TestDocumentedFiles(t *testing.T) {
	path := regexp.MustCompile(`\bdeploy/[a-z][A-Za-z0-9_./-]*[a-z]`)
	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	seen := 0
	for _, file := range []string{"../README.md", "../slack/README.md", "../datadog/README.md", "../helm/profbot/README.md", "../../docs/kubernetes.md", "../kubernetes/overlays/trial/kustomization.yaml"} {
		text := readFile(t, file)
		for _, p := range path.FindAllString(text, -1) {
			seen++
			if _, err := os.Stat(filepath.Join("../..", p)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			seen++
			to := file
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(file), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			found := m[2] == ""
			for _, h := range heading.FindAllStringSubmatch(readable(t, to), -1) {
				found = found || m[2] == "#"+strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")
			}
			if !found {
				t.Errorf("%s: %s has no heading %s", file, to, m[2])
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d were seen", seen)
	}
}

// readable is a document's text; "" of a folder, which has no headings.
func readable(t *testing.T, path string) string {
	t.Helper()
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return ""
	}
	return readFile(t, path)
}
