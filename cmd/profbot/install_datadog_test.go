package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/deploy"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
)

const installToken = "0123456789abcdef-install"

// install runs profbot install datadog against s with a configuration that has
// nothing but Datadog and the webhook.
func install(t *testing.T, s *datadogtest.Server, tokens string, args ...string) (code int, out, errs string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "profbot.yaml")
	text := "datadog:\n  api_key: install-api-key\n  app_key: install-app-key\n  api_url: " + s.URL + "\n" + tokens
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	code = run(append([]string{"install", "datadog", "--config", file}, args...), streams{strings.NewReader(""), &o, &e})
	if all := o.String() + e.String(); strings.Contains(all, installToken) || strings.Contains(all, "install-api-key") || strings.Contains(all, "install-app-key") {
		t.Errorf("%q: a secret in %s", args, all)
	}
	return code, o.String(), e.String()
}

func startDatadog(t *testing.T, permissions ...string) *datadogtest.Server {
	s := datadogtest.New(datadogtest.Options{
		APIKey: "install-api-key", AppKey: "install-app-key", Permissions: permissions,
		Loads: func(string, string) map[string]float64 { return map[string]float64{"live-api-0": 1} },
	})
	t.Cleanup(s.Close)
	return s
}

func TestInstallDatadog(t *testing.T) {
	s := startDatadog(t)
	tokens := "webhook:\n  tokens: [" + installToken + "]\n"
	all := []string{"--url=https://profbot.example.com/", "--monitor=live-api", "--env=prod", "--critical=1.5", "--notify-tag=service:live-api,env:prod", "--notify-tag=team:live"}

	code, out, errs := install(t, s, tokens, append(all, "--dry-run")...)
	if code != 0 || errs != "" || len(s.Writes()) != 0 {
		t.Fatalf("dry run: %d, %s, %d writes", code, errs, len(s.Writes()))
	}
	for _, want := range []string{
		"POST /api/v1/integration/webhooks/configuration/custom-variables\n{\n  \"is_secret\": true,\n  \"name\": \"PROFBOT_TOKEN\",\n  \"value\": \"[...]\"\n}\n",
		`"custom_headers": "{\"Authorization\":\"Bearer $PROFBOT_TOKEN\"}"`, `"url": "https://profbot.example.com/webhooks/datadog"`,
		"POST /api/v1/monitor\n", "POST /api/v2/monitor/notification_rule\n", "webhook profbot: would be created\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("dry run lacks %s:\n%s", want, out)
		}
	}

	code, out, errs = install(t, s, tokens, all...)
	out = regexp.MustCompile(`monitors/\d+`).ReplaceAllString(out, "monitors/N")
	if d := cmp.Diff(`custom variable PROFBOT_TOKEN: created (hidden from view)
webhook profbot: created
monitor of live-api in prod: created (https://app.datadoghq.com/monitors/N)
notification rule for service:live-api, env:prod: created
notification rule for team:live: created
`, out); code != 0 || errs != "" || d != "" {
		t.Errorf("%d, %s (-want +got):\n%s", code, errs, d)
	}
	if w := s.Webhooks()["profbot"]; w.Payload != deploy.DatadogPayload || w.EncodeAs != "json" || s.Variables()["PROFBOT_TOKEN"].Value != installToken {
		t.Errorf("webhook %+v", w)
	}

	before := len(s.Writes())
	code, out, errs = install(t, s, tokens, all...)
	if code != 0 || errs != "" || strings.Count(out, ": unchanged") != 5 || len(s.Writes()) != before {
		t.Errorf("again: %d, %s\n%s", code, errs, out)
	}
	code, out, _ = install(t, s, tokens, "--url=https://profbot.example.com/webhooks/datadog", "--rotate")
	if code != 0 || !strings.Contains(out, "custom variable PROFBOT_TOKEN: updated") || !strings.Contains(out, "webhook profbot: unchanged") || !strings.Contains(out, "@webhook-profbot") {
		t.Errorf("rotate: %d\n%s", code, out)
	}
}

func TestInstallDatadogNotes(t *testing.T) {
	s := startDatadog(t)
	for address, want := range map[string]string{
		"https://profbot.example.com": "", "http://profbot.example.com": "in the open", "https://10.1.2.3": "10.1.2.3 is not this machine",
		"https://localhost:8080": "localhost is not", "https://[::1]": "::1 is not",
	} {
		_, out, _ := install(t, s, "webhook:\n  tokens: ["+installToken+"]\n", "--url="+address)
		if strings.Contains(out, "note:") != (want != "") || !strings.Contains(out, want) {
			t.Errorf("%s:\n%s", address, out)
		}
	}
}

// TestInstallDatadogMakesAToken: without one it is made, shown once, and what
// Datadog has.
func TestInstallDatadogMakesAToken(t *testing.T) {
	s := startDatadog(t)
	made := regexp.MustCompile(`it is not shown again:\n  (\S{24,})\n`)
	if _, out, _ := install(t, s, "", "--url=https://profbot.example.com", "--dry-run"); made.MatchString(out) || !strings.Contains(out, "one would be made") {
		t.Errorf("dry run:\n%s", out)
	}
	// The second step fails: the token must be seen all the same.
	s.FaultNext(1, datadogtest.Fault{Call: "POST /api/v1/integration/webhooks/configuration/webhooks", Status: 500})
	code, out, errs := install(t, s, "", "--url=https://profbot.example.com")
	m := made.FindStringSubmatch(out)
	if code != 1 || m == nil || s.Variables()["PROFBOT_TOKEN"].Value != m[1] || !strings.Contains(errs, "create the webhook profbot: HTTP 500") || strings.Contains(errs, m[1]) {
		t.Fatalf("%d, %s\n%s", code, errs, out)
	}
	if code, out, _ := install(t, s, "", "--url=https://profbot.example.com"); code != 0 || strings.Contains(out, "was made") || !strings.Contains(out, "webhook profbot: created") {
		t.Errorf("again: %d\n%s", code, out)
	}
	if code, out, _ := install(t, s, "", "--url=https://profbot.example.com", "--rotate"); code != 0 || !made.MatchString(out) || made.FindStringSubmatch(out)[1] == m[1] {
		t.Errorf("rotate: %d\n%s", code, out)
	}
}

// TestInstallDatadogInThePod: with the environment that the manifests give,
// Datadog gets the token that the server waits for, and nobody sees it.
func TestInstallDatadogInThePod(t *testing.T) {
	s := startDatadog(t)
	t.Setenv("PROFBOT_WEBHOOK_TOKENS", installToken+",0123456789abcdef-the-old-one")
	for _, args := range [][]string{{"--dry-run"}, nil} {
		code, out, errs := install(t, s, "", append(args, "--url=https://profbot.example.com")...) // it looks for secrets
		if code != 0 || errs != "" || strings.Contains(out, "was made") || strings.Contains(out, "would be made") || strings.Contains(out, "the-old-one") {
			t.Errorf("%q: %d, %s\n%s", args, code, errs, out)
		}
		if got := s.Variables()["PROFBOT_TOKEN"].Value; got != map[bool]string{true: "", false: installToken}[len(args) > 0] {
			t.Errorf("%q: Datadog has %q", args, got)
		}
	}
}

func TestInstallDatadogFails(t *testing.T) {
	s := startDatadog(t, "timeseries_query")
	good := "webhook:\n  tokens: [" + installToken + "]\n"
	for _, tc := range []struct {
		name, more string
		args       []string
		code       int
		want       string
	}{
		{"no address", good, nil, 2, "--url"},
		{"an address that is none", good, []string{"--url=profbot.example.com"}, 1, "write it whole, such as https://profbot.example.com"},
		{"a password in the address", good, []string{"--url=https://u:p@profbot.example.com"}, 1, "leave user, password and query out"},
		{"thresholds of nothing", good, []string{"--url=https://x", "--critical=2"}, 1, "name its service with --monitor"},
		{"a short token", "", []string{"--url=https://x", "--token=short"}, 1, "5 characters can be guessed"},
		{"a fault elsewhere does not count", good + "slack:\n  channel: '#live'\n", []string{"--url=https://x"}, 1, "lacks the permission integrations_read"},
		{"a fault in its own keys", good + "datadog: {}\n", []string{"--url=https://x"}, 1, "profbot.yaml"},
		{"a key that is none", "webhook:\n  token: [x]\n", []string{"--url=https://x"}, 1, "webhook.token: there is no such key: write tokens"},
		{"another site", good, []string{"--url=https://x", "--site=example.com"}, 1, "integrations_read"}, // api_url replaces the site
		{"a wrong key", good, []string{"--url=https://x", "--api-key=wrong"}, 1, "HTTP 403: check datadog.api_key, datadog.app_key (scope integrations_read) and datadog.site"},
	} {
		code, _, errs := install(t, s, tc.more, tc.args...)
		if code != tc.code || !strings.Contains(errs, tc.want) {
			t.Errorf("%s: %d, %s", tc.name, code, errs)
		}
	}
	t.Setenv("DD_API_KEY", "")
	t.Setenv("DD_APP_KEY", "")
	var o, e bytes.Buffer
	if code := run([]string{"install", "datadog", "--url=https://x"}, streams{strings.NewReader(""), &o, &e}); code != 1 || !strings.Contains(e.String(), "set datadog.api_key and datadog.app_key, or DD_API_KEY and DD_APP_KEY") {
		t.Errorf("%d, %s", code, e.String())
	}
}
