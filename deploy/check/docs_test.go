package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/profbot/profbot/internal/config"
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

// TestDocumentedServices: what the document has people put into the Secret is
// a list that profbot takes from there, and its files are where the component
// and the chart's values mount them.
func TestDocumentedServices(t *testing.T) {
	_, list, ok := strings.Cut(readFile(t, "../../docs/kubernetes.md"), "    # services.yaml\n")
	list, _, end := strings.Cut(list, "\n\n")
	if !ok || !end {
		t.Fatal("the document has no services.yaml")
	}
	environ := []string{"PROFBOT_SERVICES=" + regexp.MustCompile(`(?m)^    `).ReplaceAllString(list, ""), "PROFBOT_KUBERNETES_ENABLED=true"}
	for k, v := range secret(t).StringData {
		if k != "PROFBOT_SERVICES" {
			environ = append(environ, k+"="+v)
		}
	}
	cfg, err := config.Load("", environ)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Services) != 2 || cfg.Services[0].Authorization == "" || cfg.Services[0].Namespace != "live" {
		t.Errorf("%+v", cfg.Services)
	}
	tls := cfg.Services[1].TLS
	for name, objs := range renderings(t) {
		if name != "minimal with all that fits" && name != "chart with everything" {
			continue
		}
		pod, c := container(t, objs)
		for _, file := range []string{tls.CA, tls.Cert, tls.Key} {
			found := false
			for _, m := range c.VolumeMounts {
				for _, v := range pod.Spec.Volumes {
					found = found || m.Name == v.Name && m.MountPath == filepath.Dir(file) && m.ReadOnly && v.Secret != nil
				}
			}
			if !found {
				t.Errorf("%s: no Secret is mounted for %q", name, file)
			}
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
