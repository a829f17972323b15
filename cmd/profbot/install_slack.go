package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/profbot/profbot/deploy"
)

type installSlackCmd struct {
	Manifest bool   `help:"Print the manifest alone, in YAML, with the reason for each scope." xor:"only"`
	Link     bool   `help:"Print the link alone." xor:"only"`
	URL      string `name:"url" help:"Address of listen.public as Slack reaches it, such as https://profbot.example.com: for requests by HTTP in place of Socket Mode." placeholder:"URL"`
}

// Run prints and asks nobody: Slack makes the app when a person opens the link.
func (c *installSlackCmd) Run(io streams) error {
	yaml, manifest := deploy.SlackManifest, deploy.SlackManifestJSON
	way := `  4. make an app-level token with the scope connections:write under "Basic Information"
     and copy it (xapp-...) into slack.app_token: commands come in through it, by Socket Mode.`
	if c.URL != "" {
		var err error
		if yaml, manifest, err = overHTTP(yaml, manifest, c.URL); err != nil {
			return err
		}
		way = `  4. copy the Signing Secret from "Basic Information" into slack.signing_secrets: commands
     come in by HTTP, signed with it.`
	}
	link, err := slackAppLink(manifest)
	if err != nil {
		return err
	}
	switch {
	case c.Manifest:
		fmt.Fprint(io.out, yaml)
	case c.Link:
		fmt.Fprintln(io.out, link)
	default:
		fmt.Fprintf(io.out, `Make the app by this link: choose the workspace, then Create, then Install to Workspace.

%s

Then
  1. copy the Bot User OAuth Token (xoxb-...) from "OAuth & Permissions" into slack.token,
  2. copy the id of the channel for incidents, at the end of its link, into slack.channel,
  3. if that channel is private, type "/invite @profbot" in it,
%s

What the link asks for:

%s`, link, way, indent(yaml))
	}
	return nil
}

// overHTTP are the manifests for an app whose requests come by HTTP, in YAML
// and in JSON.
func overHTTP(yaml, manifest, base string) (string, string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", errors.New("--url: write an https address without a query, such as https://profbot.example.com: Slack takes no other")
	}
	address := u.JoinPath(slackPath).String()
	for _, m := range []struct{ old, add string }{
		{"    - command: /profbot\n", "      url: " + address + "\n"},
		{"  event_subscriptions:\n", "    request_url: " + address + "\n"},
		{"  interactivity:\n", "    request_url: " + address + "\n    message_menu_options_url: " + address + " # the form's menu\n"},
	} {
		yaml = strings.Replace(yaml, m.old, m.old+m.add, 1)
	}
	yaml = strings.Replace(yaml, "  socket_mode_enabled: true # no address that Slack can reach is needed\n", "  socket_mode_enabled: false # requests come to the address above\n", 1)

	var all map[string]map[string]any
	if err := json.Unmarshal([]byte(manifest), &all); err != nil {
		return "", "", fmt.Errorf("the Slack manifest: %w", err)
	}
	settings := all["settings"]
	settings["socket_mode_enabled"] = false
	settings["event_subscriptions"].(map[string]any)["request_url"] = address
	settings["interactivity"].(map[string]any)["request_url"] = address
	settings["interactivity"].(map[string]any)["message_menu_options_url"] = address
	for _, c := range all["features"]["slash_commands"].([]any) {
		c.(map[string]any)["url"] = address
	}
	out, err := json.Marshal(all)
	return yaml, string(out), err
}

// slackPath is where the public listener takes what Slack sends.
const slackPath = "/slack"

// slackAppLink opens Slack's page for a new app with the manifest filled in.
func slackAppLink(manifest string) (string, error) {
	var short bytes.Buffer
	if err := json.Compact(&short, []byte(manifest)); err != nil {
		return "", fmt.Errorf("the Slack manifest: %w", err)
	}
	// A space as %20: a + would stay one where the text is decoded as a path is.
	escaped := strings.ReplaceAll(url.QueryEscape(short.String()), "+", "%20")
	return "https://api.slack.com/apps?new_app=1&manifest_json=" + escaped, nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}
