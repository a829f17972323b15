package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/deploy"
)

// TestSlackAppLink: whoever decodes the link gets the manifest, and the link
// is short enough for browsers and chats.
func TestSlackAppLink(t *testing.T) {
	link, err := slackAppLink(deploy.SlackManifestJSON)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.Host != "api.slack.com" || u.Path != "/apps" || u.Query().Get("new_app") != "1" {
		t.Errorf("link %s, %v", link, err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(u.Query().Get("manifest_json")), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(deploy.SlackManifestJSON), &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-manifest +link):\n%s", d)
	}
	if len(link) > 2000 || strings.ContainsAny(link, " +\"\n") {
		t.Errorf("%d characters: %s", len(link), link)
	}
	// Every scope has its reason for the reviewer.
	for _, scope := range want.(map[string]any)["oauth_config"].(map[string]any)["scopes"].(map[string]any)["bot"].([]any) {
		if !strings.Contains(deploy.SlackManifest, "- "+scope.(string)+" # ") {
			t.Errorf("the manifest gives no reason for %s", scope)
		}
	}
	if _, err := slackAppLink("{"); err == nil {
		t.Error("no error for what is no JSON")
	}
}

// TestSlackOverHTTP: both forms of the manifest say the same of the address,
// and differ from those of Socket Mode in nothing else.
func TestSlackOverHTTP(t *testing.T) {
	const address = "https://profbot.example.com/base/slack"
	text, manifest, err := overHTTP(deploy.SlackManifest, deploy.SlackManifestJSON, "https://profbot.example.com/base/")
	if err != nil {
		t.Fatal(err)
	}
	var fromYAML, fromJSON any
	if err := yaml.Unmarshal([]byte(text), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(manifest), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fromYAML, fromJSON); d != "" {
		t.Errorf("(-yaml +json):\n%s", d)
	}
	if n := strings.Count(manifest, address); n != 4 || strings.Contains(manifest, `"socket_mode_enabled":true`) {
		t.Errorf("the address stands there %d times: %s", n, manifest)
	}
	var added []string
	for l := range strings.SplitSeq(text, "\n") {
		if !strings.Contains(deploy.SlackManifest, l+"\n") {
			added = append(added, l)
		}
	}
	if len(added) != 5 {
		t.Errorf("changed lines: %q", added)
	}
	for _, bad := range []string{"http://profbot.example.com", "profbot.example.com", "https://", "https://a:b@c", "https://c?d=e", "::"} {
		if _, _, err := overHTTP(deploy.SlackManifest, deploy.SlackManifestJSON, bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
