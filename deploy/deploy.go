// Package deploy embeds what an installation needs beside the binary, so that
// the binary can show it and the tests hold it to what the code understands.
// Manifests, chart and dashboards are not in the binary: who installs them has
// them at hand.
package deploy

import "embed"

// Files are some files of this folder, by their paths in it.
//
//go:embed datadog/payload.json profbot.example.yaml profbot.service slack/manifest.json slack/manifest.yaml
var Files embed.FS

// DatadogPayload is the payload template for the webhook in Datadog.
//
//go:embed datadog/payload.json
var DatadogPayload string

// SlackManifest describes the Slack app, in YAML, with the reason for each
// scope; SlackManifestJSON is the same in JSON, for links.
var (
	//go:embed slack/manifest.yaml
	SlackManifest string
	//go:embed slack/manifest.json
	SlackManifestJSON string
)
