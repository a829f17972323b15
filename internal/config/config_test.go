package config_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/profbot/profbot/deploy"
	"github.com/profbot/profbot/internal/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

// good is the environment that a configuration needs at least.
var good = []string{
	"PROFBOT_SLACK_TOKEN=xoxb-test-token", "PROFBOT_SLACK_CHANNEL=C0123456789", "PROFBOT_WEBHOOK_TOKENS=0123456789abcdef",
	`PROFBOT_SERVICES=[{name: live-api, targets: [{pod: a, url: "http://10.0.0.1:6060"}]}]`,
}

// TestFaults holds the text of every fault. Each file of an archive is a
// configuration, "env" its environment, and "want" what Load says.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var env []string
			var path string
			want := -1
			for i, f := range ar.Files {
				switch f.Name {
				case "env":
					env = strings.Split(strings.ReplaceAll(strings.TrimSpace(string(f.Data)), "$DIR", dir), "\n")
				case "want":
					want = i
				default:
					if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
						t.Fatal(err)
					}
					if f.Name == "profbot.yaml" {
						path = filepath.Join(dir, f.Name)
					}
				}
			}
			got := "good\n"
			if _, err := config.Load(path, env); err != nil {
				got = strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
			}
			if *update {
				ar.Files[want].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(ar.Files[want].Data), got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("a secret stands in a fault")
			}
		})
	}
}

// TestEveryKeyByEnvironment sets each key by its variable to a wrong value or
// reads it back: none may be forgotten.
func TestEveryKeyByEnvironment(t *testing.T) {
	values := map[string]string{
		"listen.public": "1.2.3.4:1", "listen.internal": "1.2.3.4:2", "listen.url": "https://profbot.example.com", "data": "/d", "link_key": strings.Repeat("k", 32),
		"retention": "48h", "log.level": "debug", "log.format": "json", "slack.token": "xoxb-other", "slack.channel": "C9999999999", "slack.channels": "live-api=C8888888888",
		"slack.mode": "socket", "slack.app_token": "xapp-1-other", "slack.signing_secrets": "8f742231b10e8888abcd99yyyzzz85a5,9f742231b10e8888abcd99yyyzzz85a5", "slack.teams": "T0123456,E0123456",
		"slack.routes": "[{team: live, channel: C7777777777}]", "slack.rights": "[{groups: [S0123456], services: [live-*], may: [capture]}]", "slack.limits.user": "5", "slack.limits.service": "-1",
		"slack.digest.at": "08:30", "slack.digest.zone": "Europe/Berlin",
		"slack.api_url": "http://127.0.0.1:1/api/", "webhook.tokens": "aaaaaaaaaaaaaaaa,bbbbbbbbbbbbbbbb", "webhook.basic": "[{user: dd, password: cccccccccccccccc}]",
		"datadog.site": "datadoghq.eu", "datadog.api_key": "k1", "datadog.app_key": "k2", "datadog.metric": "kubernetes.cpu.usage.total", "datadog.requests": "trace.grpc.server.hits", "datadog.api_url": "http://127.0.0.1:2",
		"datadog.memory": "kubernetes.memory.usage", "datadog.endpoints": "trace.grpc.server.hits", "datadog.events": "false",
		"kubernetes.enabled": "true", "kubernetes.kubeconfig": "/k", "kubernetes.context": "prod", "kubernetes.namespaces": "live,chat", "kubernetes.selector": "team=live", "kubernetes.opt_in": "false",
		"kubernetes.port": "7070", "kubernetes.reach": "proxy", "kubernetes.service_tag": "app", "capture.per_service": "3", "capture.per_node": "5", "capture.jitter": "2s", "capture.failures": "7", "capture.networks": "10.9.0.0/16",
		"services": `[{name: s, env: e, targets: [{pod: p, url: "http://h:1"}]}]`, "capture.cpu": "10s", "capture.pods": "3", "capture.control": "false", "capture.cool_down": "5m",
		"capture.simultaneous": "2", "capture.max_bytes": "1MiB", "capture.max_raw_bytes": "2MiB", "verdict.min_share": "0.1", "verdict.min_samples": "50", "verdict.dominated": "0.3",
		"verdict.compress": "0.4", "verdict.gc": "0.5", "verdict.regexp_compile": "0.02", "verdict.hot": "0.2", "verdict.lock_wait": "2", "verdict.pile_up": "300", "verdict.heap_growth": "0.6",
	}
	env := slices.Clone(good)
	for _, k := range config.Keys() {
		if k.Doc == "" {
			t.Errorf("%s has no reference text", k.Name)
		}
		if k.Env == "" {
			continue
		}
		v, ok := values[k.Name]
		if !ok {
			t.Errorf("%s is not tested", k.Name)
		}
		env = append(env, k.Env+"="+v)
	}
	c, err := config.Load("", env)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", *c)
	for _, want := range []string{
		"Public:1.2.3.4:1", "Internal:1.2.3.4:2", "URL:https://profbot.example.com", "Data:/d", "Retention:48h0m0s", "Level:debug", "Format:json",
		"Channel:C9999999999", "Channels:map[live-api:C8888888888]", "Mode:socket", "Teams:[T0123456 E0123456] Routes:[{Service: Team:live Tag: Channel:C7777777777}]",
		"Rights:[{Users:[] Groups:[S0123456] Channels:[] Services:[live-*] May:[capture]}] Limits:{User:5 Service:-1} Digest:{At:08:30 Zone:Europe/Berlin}", "Site:datadoghq.eu", "Metric:kubernetes.cpu.usage.total Requests:trace.grpc.server.hits", "Name:s Env:e",
		"Memory:kubernetes.memory.usage Endpoints:trace.grpc.server.hits Events:false", "Enabled:true Kubeconfig:/k Context:prod Namespaces:[live chat] Selector:team=live OptIn:false Port:7070 Reach:proxy ServiceTag:app",
		"CPU:10s Pods:3 Control:false CoolDown:5m0s Simultaneous:2 PerService:3 PerNode:5 Jitter:2s Failures:7 Networks:[10.9.0.0/16] MaxBytes:1048576 MaxRawBytes:2097152", "MinShare:0.1 MinSamples:50 Dominated:0.3 Compress:0.4 GC:0.5 RegexpCompile:0.02 Hot:0.2 LockWait:2 PileUp:300 HeapGrowth:0.6",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if len(c.Slack.SigningSecrets) != 2 || c.Slack.AppToken.Reveal() != "xapp-1-other" || len(c.Webhook.Tokens) != 2 || c.Webhook.Basic[0].Password.Reveal() != "cccccccccccccccc" || c.Slack.Token.Reveal() != "xoxb-other" {
		t.Errorf("secrets were not read: %d tokens", len(c.Webhook.Tokens))
	}
}

func TestExampleFile(t *testing.T) {
	data, err := deploy.Files.ReadFile("profbot.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "profbot.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, good[:3])
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Services) != 1 || len(c.Services[0].Targets) != 2 {
		t.Errorf("services: %+v", c.Services)
	}
	plain, err := config.Load("", good)
	if err != nil {
		t.Fatal(err)
	}
	plain.Services, c.Services = nil, nil
	plain.Slack.Channels, c.Slack.Channels = nil, nil
	plain.Webhook, c.Webhook = config.Webhook{}, config.Webhook{}
	if d := cmp.Diff(plain, c); d != "" {
		t.Errorf("the example's values are not the defaults (-default +example):\n%s", d)
	}
	for _, k := range config.Keys() {
		last := k.Name[strings.LastIndexByte(k.Name, '.')+1:]
		if !strings.Contains(string(data), last+":") {
			t.Errorf("the example does not show %s", k.Name)
		}
	}
}

func TestSecretIsNeverSeen(t *testing.T) {
	const text = "hunter2hunter2hunter2"
	c := struct {
		S config.Secret  `json:"s"`
		P *config.Secret `json:"p"`
	}{config.Secret(text), new(config.Secret(text))}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		fmt.Fprintf(&out, verb+"\n", c.S)
		fmt.Fprintf(&out, verb+"\n", []config.Secret{c.S})
		fmt.Fprintf(&out, verb+"\n", c)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "secret", c.S, "struct", c, "error", fmt.Errorf("e %v", c.S))
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("the secret is seen:\n%s", out.String())
	}
	if c.S.Reveal() != text || config.Secret("").String() != "" {
		t.Error("Reveal or the empty secret")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("capture: {cpu: 30s}"), "PROFBOT_SERVICES=[1]")
	f.Add([]byte("services:\n  - name: [a]\n  - &x {}\n  - *x\n"), "PROFBOT_SLACK_CHANNELS=a")
	f.Add([]byte("a: b: c"), "PROFBOT_=x")
	f.Add([]byte("? {a: b}\n: c\n<<: x\n"), "PROFBOT_WEBHOOK_BASIC=[{user: 1}]")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, env string) {
		path := filepath.Join(dir, "profbot.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(env, "_FILE") {
			return
		}
		_, err := config.Load(path, []string{env})
		if err == nil {
			t.Error("a token came out of nowhere")
		}
		if _, ok := err.(config.Faults); !ok { //nolint:errorlint // Load returns it bare
			t.Errorf("error %v (%T)", err, err)
		}
	})
}

// TestLoadDatadog: who sets up Datadog has no Slack and no services yet.
func TestLoadDatadog(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name, text string
		env        []string
		want       string // the error; "" for none
	}{
		{"nothing", "", nil, ""},
		{"the rest is missing", "datadog: {api_key: a, app_key: b, site: datadoghq.eu}\n", nil, ""},
		{"the rest is wrong", "slack: {channel: '#live'}\nretention: 1s\nnonsense: 1\n", nil, ""},
		{"one key", "datadog: {api_key: a}\n", nil, "queries need both keys"},
		{"a site", "datadog: {site: example.com}\n", nil, "no Datadog site"},
		{"a token", "webhook: {tokens: [short]}\n", nil, "can be guessed"},
		{"an unknown key", "webhook: {token: x}\n", nil, "there is no such key: write tokens"},
		{"no YAML", "datadog: [\n", nil, "not found"},
		{"a variable", "", []string{"PROFBOT_DATADOG_SITE=example.com"}, "no Datadog site"},
		{"an unknown variable", "", []string{"PROFBOT_DATADOG_SIT=x"}, "write PROFBOT_DATADOG_SITE"},
	} {
		path := filepath.Join(dir, "profbot.yaml")
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.LoadDatadog(path, tc.env)
		if tc.want == "" && (err != nil || cfg.Datadog.Metric != "container.cpu.usage") || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := config.LoadDatadog(filepath.Join(dir, "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}

// TestWay: auto takes what is configured.
func TestWay(t *testing.T) {
	for want, env := range map[string][]string{
		"off":    {""},
		"socket": {"PROFBOT_SLACK_APP_TOKEN=xapp-1-a"},
		"http":   {"PROFBOT_SLACK_SIGNING_SECRETS=8f742231b10e8888abcd99yyyzzz85a5"},
	} {
		c, err := config.Load("", append(slices.Clone(good), env...))
		if err != nil || c.Slack.Way() != want {
			t.Errorf("%v: %q, %v; want %q", env, c.Slack.Way(), err, want)
		}
	}
	both := append(slices.Clone(good), "PROFBOT_SLACK_APP_TOKEN=xapp-1-a", "PROFBOT_SLACK_SIGNING_SECRETS=8f742231b10e8888abcd99yyyzzz85a5")
	for mode, want := range map[string]string{"auto": "socket", "http": "http", "off": "off"} {
		c, err := config.Load("", append(slices.Clone(both), "PROFBOT_SLACK_MODE="+mode))
		if err != nil || c.Slack.Way() != want {
			t.Errorf("%s: %q, %v; want %q", mode, c.Slack.Way(), err, want)
		}
	}
	c, err := config.Load("", good)
	if err != nil {
		t.Fatal(err)
	}
	if at, zone := c.Slack.Digest.Clock(); at != 9*time.Hour || zone.String() != "UTC" {
		t.Errorf("the digest is due at %s, %s", at, zone)
	}
}
