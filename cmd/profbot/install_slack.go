package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/profbot/profbot/deploy"
)

type installSlackCmd struct {
	Manifest bool `help:"Print the manifest alone, in YAML, with the reason for each scope." xor:"only"`
	Link     bool `help:"Print the link alone." xor:"only"`
}

// Run prints and asks nobody: Slack makes the app when a person opens the link.
func (c *installSlackCmd) Run(io streams) error {
	link, err := slackAppLink(deploy.SlackManifestJSON)
	if err != nil {
		return err
	}
	switch {
	case c.Manifest:
		fmt.Fprint(io.out, deploy.SlackManifest)
	case c.Link:
		fmt.Fprintln(io.out, link)
	default:
		fmt.Fprintf(io.out, `Make the app by this link: choose the workspace, then Create, then Install to Workspace.

%s

Then
  1. copy the Bot User OAuth Token (xoxb-...) from "OAuth & Permissions" into slack.token,
  2. type "/invite @profbot" in the channel for incidents,
  3. copy the channel's id, at the end of its link, into slack.channel.

What the link asks for:

%s`, link, indent(deploy.SlackManifest))
	}
	return nil
}

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
