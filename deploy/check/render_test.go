package check

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	kustomizations = "../kubernetes"
	chartDir       = "../helm/profbot"
)

// kustomize renders a folder as "kubectl kustomize" does.
func kustomize(t testing.TB, fs filesys.FileSystem, dir string) objects {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	if err != nil {
		t.Fatalf("kustomize %s: %v", dir, err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	objs, err := decode(t, string(text))
	if err != nil {
		t.Fatalf("kustomize %s: %v", dir, err)
	}
	return objs
}

// overlay renders an overlay with components on top, as somebody would who
// writes an overlay of their own.
func overlay(t testing.TB, name string, components ...string) objects {
	t.Helper()
	dir := filepath.Join(kustomizations, name)
	if len(components) == 0 {
		return kustomize(t, filesys.MakeFsOnDisk(), dir)
	}
	var text strings.Builder
	text.WriteString("resources: [../" + name + "]\ncomponents:\n")
	for _, c := range components {
		text.WriteString("  - ../components/" + c + "\n")
	}
	// Kustomize reads nothing above its folder but other kustomizations.
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(kustomizations)); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(root, "mine")
	if err := os.MkdirAll(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mine, "kustomization.yaml"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return kustomize(t, filesys.MakeFsOnDisk(), mine)
}

// template renders the chart as "helm template profbot -n profbot" does, with
// values in YAML. The error is what a person would see.
func template(t testing.TB, values string) (objs objects, notes string, err error) {
	t.Helper()
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	var set map[string]any
	if err := yaml.UnmarshalStrict([]byte(values), &set); err != nil {
		t.Fatal(err)
	}
	vals, err := util.ToRenderValues(chart, set, common.ReleaseOptions{Name: "profbot", Namespace: "profbot", Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Engine{Strict: true}.RenderWithContext(t.Context(), chart, vals)
	if err != nil {
		return nil, "", err
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case strings.HasSuffix(name, "NOTES.txt"):
			notes = files[name]
		case strings.HasSuffix(name, ".yaml"):
			text.WriteString("---\n" + files[name] + "\n")
		}
	}
	objs, err = decode(t, text.String())
	return objs, notes, err
}

// renderings are what people may install, each by its name.
func renderings(t testing.TB) map[string]objects {
	t.Helper()
	all := map[string]objects{
		"base":                          overlay(t, "base"),
		"overlays/minimal":              overlay(t, "overlays/minimal"),
		"overlays/namespaced":           overlay(t, "overlays/namespaced"),
		"overlays/prod":                 overlay(t, "overlays/prod"),
		"overlays/trial":                overlay(t, "overlays/trial"),
		"trial with an ingress":         overlay(t, "overlays/trial", "ingress"),
		"base with proxy":               overlay(t, "base", "proxy"),
		"base with port-forward":        overlay(t, "base", "port-forward"),
		"minimal with all that fits":    overlay(t, "overlays/minimal", "ingress", "servicemonitor", "port-forward", "client-tls"),
		"prod with the service monitor": overlay(t, "overlays/prod", "servicemonitor"),
	}
	for name, values := range goodValues {
		objs, _, err := template(t, values)
		if err != nil {
			t.Fatalf("chart with %s: %v", name, err)
		}
		all["chart with "+name] = objs
	}
	return all
}

// TestEveryKustomizationIsRendered: what is in the folder is in renderings.
func TestEveryKustomizationIsRendered(t *testing.T) {
	files, err := filepath.Glob(kustomizations + "/*/*/kustomization.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	names := strings.Join(slices.Collect(maps.Keys(renderings(t))), "\n")
	for _, f := range files {
		dir := filepath.Dir(f)
		name := filepath.Base(dir)
		if slices.Contains([]string{"ingress", "servicemonitor", "client-tls"}, name) {
			continue // in "all that fits"
		}
		if !strings.Contains(names, name) {
			t.Errorf("%s is rendered by no test", dir)
		}
	}
}

// TestStrict: the decoder refuses what the API server refuses.
func TestStrict(t *testing.T) {
	const good = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: 80, name: x}]\n"
	if objs, err := decode(t, "# a comment\n---\n"+good); err != nil || len(objs) != 1 {
		t.Errorf("%d objects, %v", len(objs), err)
	}
	for _, bad := range []string{
		strings.Replace(good, "ports:", "port:", 1),
		strings.Replace(good, "ports:", "Ports:", 1),
		strings.Replace(good, "port: 80,", "port: 80, port: 81,", 1),
		strings.Replace(good, "port: 80,", "port: eighty,", 1),
		strings.Replace(good, "kind: Service", "kind: Servis", 1),
		strings.Replace(good, "v1", "v2", 1),
		strings.Replace(good, "{name: a}", "{}", 1),
		good + "---\n" + good,
		"apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\nspec: {endpoint: []}\n",
	} {
		if _, err := decode(t, bad); err == nil {
			t.Errorf("no error for:\n%s", bad)
		}
	}
}
