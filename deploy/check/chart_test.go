package check

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/profbot/profbot/internal/config"
)

// goodValues are values that people may set, each by what it shows. Their
// renderings are held to all the policies.
var goodValues = map[string]string{
	"its defaults": "",
	"namespaces":   "discovery: {namespaces: [live, chat]}",
	"proxy":        "discovery: {reach: proxy}",
	"port-forward": "discovery: {reach: port-forward}",
	"no disk":      "persistence: {enabled: false, size: 1Gi}",
	"one port":     "networkPolicy: {podPorts: {from: 6060, to: 6060}, internalFrom: []}",
	"no rights of its": "rbac: {create: false}\nserviceAccount: {create: false, name: somebody}\n" +
		"podDisruptionBudget: {enabled: false}\nnetworkPolicy: {enabled: false}\ndatadog: {autodiscovery: false}\n",
	"everything": `
image: {repository: "registry.example.com:5000/profbot", digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullPolicy: Always}
imagePullSecrets: [{name: pull}]
fullnameOverride: pb
secret: {name: pb-keys, values: {PROFBOT_SLACK_TOKEN: xoxb-1, PROFBOT_SLACK_CHANNEL: C0123456789, PROFBOT_WEBHOOK_TOKENS: 0123456789abcdef}}
config:
  listen: {url: "https://profbot.internal.example.com"}
  slack: {channels: {live-api: C9876543210}}
  capture: {cpu: 10s, pods: 3}
  kubernetes: {opt_in: false, selector: team=live}
  services: [{name: live-api, namespace: live, app_prefixes: [example.com/live], tls: {ca: /etc/profbot-tls/ca.crt}}]
discovery: {namespaces: [live], reach: port-forward}
serviceAccount: {annotations: {example.com/role: profbot}}
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}]
networkPolicy: {extraEgress: [{to: [{ipBlock: {cidr: 192.0.2.7/32}}], ports: [{port: 3128, protocol: TCP}]}]}
extraVolumes: [{name: client-tls, secret: {secretName: profbot-client-tls, defaultMode: 0440}}]
extraVolumeMounts: [{name: client-tls, mountPath: /etc/profbot-tls, readOnly: true}]
persistence: {size: 100Gi, storageClassName: fast}
podAnnotations: {example.com/a: b}
podLabels: {team: platform}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
service: {public: {type: LoadBalancer, port: 443, annotations: {example.com/lb: internal}}, internal: {port: 9000}}
ingress: {enabled: true, className: nginx, host: profbot.example.com, annotations: {cert-manager.io/cluster-issuer: letsencrypt}}
serviceMonitor: {enabled: true, interval: 15s, labels: {release: prometheus}}
`,
}

// TestSchemaRefuses: what is misspelt or would break the installation is
// refused before anything is applied, with the key in the message.
func TestSchemaRefuses(t *testing.T) {
	for values, want := range map[string]string{
		"imagee: {}":                                                          "imagee",
		"image: {tag: latest}":                                                "tag",
		"image: {repository: 'a/b:v1'}":                                       "repository",
		"image: {digest: 'sha256:12'}":                                        "digest",
		"discovery: {reach: podip}":                                           "reach",
		"discovery: {namespaces: live}":                                       "namespaces",
		"discovery: {namespaces: ['live/chat']}":                              "namespaces",
		"config: {slack: {token: xoxb-1}}":                                    "token",
		"config: {webhook: {tokens: [a]}}":                                    "webhook",
		"config: {datadog: {api_key: a}}":                                     "api_key",
		"config: {listen: {public: ':80'}}":                                   "public",
		"config: {data: /elsewhere}":                                          "data",
		"config: {kubernetes: {enabled: false}}":                              "enabled",
		"config: {kubernetes: {reach: proxy}}":                                "reach",
		"config: {services: [{name: a}, {name: b, authorization: Bearer x}]}": "authorization",
		"networkPolicy: {extraEgress: [{to: [{namespaceSelector: {}}]}]}":     "ports",
		"extraVolumes: [{name: a, hostPath: {path: /}}]":                      "hostPath",
		"secret: {values: {slack_token: a}}":                                  "slack_token",
		"secret: {values: {PROFBOT_X: 1}}":                                    "PROFBOT_X",
		"persistence: {size: big}":                                            "size",
		"resources: {limits: {memory: null}}":                                 "memory",
		"goMemoryLimit: 900MB":                                                "goMemoryLimit",
		"replicas: 2":                                                         "replicas",
		"service: {public: {port: 70000}}":                                    "port",
		"ingress: {enabled: true}":                                            "host",
		"networkPolicy: {podPorts: {from: 0, to: 1}}":                         "from",
		"serviceMonitor: {interval: 30}":                                      "interval",
	} {
		if _, _, err := template(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error about %s", values, err, want)
		}
	}
}

// TestSchemaKeepsSecretsOut: whatever the configuration takes for a secret has
// no way into the ConfigMap.
func TestSchemaKeepsSecretsOut(t *testing.T) {
	seen := 0
	for _, k := range config.Keys() {
		if !k.Secret {
			continue
		}
		seen++
		var value any = "0123456789abcdef"
		for _, part := range slices.Backward(strings.Split(k.Name, ".")) {
			name, list := strings.CutSuffix(part, "[]")
			if list {
				value = []any{value}
			}
			value = map[string]any{name: value}
		}
		text, err := yaml.Marshal(map[string]any{"config": value})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := template(t, string(text)); err == nil || !strings.Contains(err.Error(), "false schema") {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
	if seen < 10 {
		t.Errorf("only %d secrets were tried", seen)
	}
}

func TestLint(t *testing.T) {
	for name, values := range goodValues {
		var set map[string]any
		if err := yaml.Unmarshal([]byte(values), &set); err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.RunAll(chartDir, set, "profbot", lint.WithKubeVersion(&common.DefaultCapabilities.KubeVersion)).Messages {
			if strings.Contains(m.Err.Error(), "icon is recommended") {
				continue // it has none
			}
			t.Errorf("with %s: %s", name, m.Error())
		}
	}
}

// TestChartIsTheBase: with its defaults the chart is the Kustomize base, field
// by field but for what Helm adds.
func TestChartIsTheBase(t *testing.T) {
	rendered, notes, err := template(t, "")
	if err != nil {
		t.Fatal(err)
	}
	base := overlay(t, "base")
	delete(base, "Namespace /profbot") // Helm's --create-namespace
	if d := cmp.Diff(plain(t, base), plain(t, rendered)); d != "" {
		t.Errorf("(-base +chart):\n%s", d)
	}
	if !strings.Contains(notes, "create secret generic profbot ") || !strings.Contains(notes, "/webhooks/datadog") {
		t.Errorf("notes:\n%s", notes)
	}
}

// plain are objects as trees, without what Kustomize and Helm add and with the
// configuration as a tree too.
func plain(t *testing.T, objs objects) map[string]any {
	t.Helper()
	hash := regexp.MustCompile(`profbot-[0-9a-z]{10}\b`) // of the ConfigMap
	out := map[string]any{}
	for name, o := range objs {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := json.Unmarshal([]byte(hash.ReplaceAllString(string(text), "profbot")), &tree); err != nil {
			t.Fatal(err)
		}
		if m, ok := o.(*corev1.ConfigMap); ok {
			var cfg any
			if err := yaml.UnmarshalStrict([]byte(m.Data["profbot.yaml"]), &cfg); err != nil {
				t.Fatal(err)
			}
			tree["data"] = cfg
		}
		strip(tree)
		out[hash.ReplaceAllString(name, "profbot")] = tree
	}
	return out
}

// strip drops the labels and annotations of Helm, and empty ones.
func strip(tree map[string]any) {
	for k, v := range tree {
		m, ok := v.(map[string]any)
		if !ok {
			continue
		}
		for _, own := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "checksum/config"} {
			delete(m, own)
		}
		strip(m)
		if (k == "labels" || k == "annotations") && len(m) == 0 {
			delete(tree, k)
		}
	}
}

// TestValuesTable: README's table has every value, and no other.
func TestValuesTable(t *testing.T) {
	readme, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-zA-Z.]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		listed = append(listed, m[1])
	}
	text, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	var want []string
	leaves("", values, &want)
	slices.Sort(listed)
	slices.Sort(want)
	if d := cmp.Diff(want, listed); d != "" {
		t.Errorf("(-values.yaml +README):\n%s", d)
	}
	// And the schema knows each.
	schema, err := os.ReadFile(chartDir + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range want {
		var s struct {
			Properties map[string]json.RawMessage `json:"properties"`
		}
		at := json.RawMessage(schema)
		for part := range strings.SplitSeq(name, ".") {
			s.Properties = nil
			if err := json.Unmarshal(at, &s); err != nil {
				t.Fatal(err)
			}
			if at = s.Properties[part]; at == nil {
				t.Errorf("the schema does not know %s", name)
				break
			}
		}
	}
}

// leaves lists what people set: everything that has no keys, and maps that are
// theirs as a whole.
func leaves(prefix string, values map[string]any, out *[]string) {
	whole := []string{"resources", "nodeSelector"}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		name := prefix + k
		if m, ok := values[k].(map[string]any); ok && len(m) > 0 && !slices.Contains(whole, name) {
			leaves(name+".", m, out)
			continue
		}
		*out = append(*out, name)
	}
}
