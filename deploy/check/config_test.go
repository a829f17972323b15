package check

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/profbot/profbot/internal/config"
)

// load reads the configuration as the container would: the file that is
// mounted, with the environment of the pod and of the Secret's form.
func load(t testing.TB, objs objects) *config.Config {
	t.Helper()
	pod, c := container(t, objs)
	var path string
	for _, e := range c.Env {
		if e.Name == "PROFBOT_CONFIG" {
			path = e.Value // serve's, and that of commands in the container
		}
	}
	at := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == filepath.Dir(path) })
	if at < 0 {
		t.Fatalf("nothing is mounted for %q", path)
	}
	volume := pod.Spec.Volumes[slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[at].Name })]
	file := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(file, []byte(configMap(t, objs, volume.ConfigMap.Name)[filepath.Base(path)]), 0o600); err != nil {
		t.Fatal(err)
	}
	var environ []string
	last := len(c.EnvFrom) - 1 // the Secret, which wins
	if last < 0 || c.EnvFrom[last].SecretRef == nil || c.EnvFrom[last].SecretRef.Name != secretName(objs) {
		t.Fatalf("the environment is not the Secret's: %+v", c.EnvFrom)
	}
	for _, from := range c.EnvFrom[:last] {
		for k, v := range configMap(t, objs, from.ConfigMapRef.Name) {
			environ = append(environ, k+"="+v)
		}
	}
	for k, v := range secret(t).StringData {
		environ = append(environ, k+"="+v)
	}
	for _, e := range c.Env {
		environ = append(environ, e.Name+"="+e.Value)
	}
	cfg, err := config.Load(file, environ)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// configMap is what stands in the ConfigMap of that name.
func configMap(t testing.TB, objs objects, name string) map[string]string {
	t.Helper()
	for _, m := range of[*corev1.ConfigMap](objs) {
		if m.Name == name {
			return m.Data
		}
	}
	t.Fatalf("there is no ConfigMap %q", name)
	return nil
}

// secretName is what the Secret must be called: the one that is rendered, else
// that of the form.
func secretName(objs objects) string {
	if s := of[*corev1.Secret](objs); len(s) == 1 {
		return s[0].Name
	}
	return "profbot"
}

// secret is the form of the Secret, filled in.
func secret(t testing.TB) *corev1.Secret {
	t.Helper()
	text, err := os.ReadFile(kustomizations + "/base/secret.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objs, err := decode(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	s := one[*corev1.Secret](t, objs)
	for k, v := range s.StringData { // as a person would: profbot takes no placeholder
		s.StringData[k] = strings.ReplaceAll(v, "...", "filled-in")
	}
	return s
}

// TestConfig: what is rendered is a configuration that profbot takes, and it
// listens and stores where the manifests have it.
func TestConfig(t *testing.T) {
	each(t, func(t *testing.T, objs objects) {
		cfg := load(t, objs)
		_, c := container(t, objs)
		ports := map[string]int32{}
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		if cfg.Listen.Public != ":8080" || ports["public"] != 8080 || cfg.Listen.Internal != ":6061" || ports["internal"] != 6061 {
			t.Errorf("listens on %+v, ports %v", cfg.Listen, ports)
		}
		// Below the disk, which kubelet opens to the group of fsGroup: profbot
		// makes the folder for its user alone.
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == filepath.Dir(cfg.Data) && !m.ReadOnly }) {
			t.Errorf("%s is no folder of a disk", cfg.Data)
		}
		if !cfg.Kubernetes.Enabled || cfg.Kubernetes.Kubeconfig != "" || cfg.Log.Format != "json" {
			t.Errorf("kubernetes %+v, log %+v", cfg.Kubernetes, cfg.Log)
		}
		if cfg.Slack.Token.Reveal() != "xoxb-filled-in" || len(cfg.Webhook.Tokens) != 1 {
			t.Error("the Secret's keys were not read")
		}
	})
}

// TestSecretForm: the keys of the form are keys of the configuration, as are
// those in the commands that README and notes show.
func TestSecretForm(t *testing.T) {
	known := map[string]bool{}
	for _, k := range config.Keys() {
		known["PROFBOT_"+strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))] = true
	}
	var files []string
	for _, pattern := range []string{"../kubernetes/base/*.yaml", "../kubernetes/*/*/*.yaml", "../README.md", "../helm/profbot/README.md", "../helm/profbot/templates/NOTES.txt", "../helm/profbot/values.yaml", "../profbot.service", "../datadog/README.md", "../../docs/kubernetes.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	seen := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return !(r == '_' || r >= 'A' && r <= 'Z') }) {
			if !strings.HasPrefix(word, "PROFBOT_") || slices.Contains([]string{"PROFBOT_PORT", "PROFBOT_CONFIG", "PROFBOT_TOKEN"}, word) {
				continue
			}
			seen++
			if !known[word] && !known[strings.TrimSuffix(word, "_FILE")] {
				t.Errorf("%s: %s is no key", f, word)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d keys were seen", seen)
	}
}

// TestNoSecretIsApplied: kustomizations make no Secret, so that none is in a
// file by accident; and the operator's form names the same one.
func TestNoSecretIsApplied(t *testing.T) {
	for name, objs := range renderings(t) {
		if n := len(of[*corev1.Secret](objs)); n > 0 && name != "chart with everything" {
			t.Errorf("%s has %d Secrets", name, n)
		}
	}
	text, err := os.ReadFile(kustomizations + "/base/externalsecret.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var es struct {
		Kind string `json:"kind"`
		Spec struct {
			Target struct {
				Name string `json:"name"`
			} `json:"target"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &es); err != nil || es.Kind != "ExternalSecret" || cmp.Or(es.Spec.Target.Name, "?") != secret(t).Name {
		t.Errorf("%+v, %v", es, err)
	}
}
