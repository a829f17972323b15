// Package deploy embeds what an installation needs beside the binary, so that
// the binary can show it and the tests hold it to what the code understands.
// Manifests, chart and dashboards are not in the binary: who installs them has
// them at hand.
package deploy

import "embed"

// Files are some files of this folder, by their paths in it.
//
//go:embed datadog/payload.json profbot.example.yaml slack/manifest.yaml profbot.service
var Files embed.FS

// DatadogPayload is the payload template for the webhook in Datadog.
//
//go:embed datadog/payload.json
var DatadogPayload string

// SlackManifest describes the Slack app, in YAML.
//
//go:embed slack/manifest.yaml
var SlackManifest string
