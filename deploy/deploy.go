// Package deploy embeds what an installation needs beside the binary, so that
// the binary can show it and the tests hold it to what the code understands.
package deploy

import "embed"

// Files are the files of this folder, by their paths in it.
//
//go:embed datadog profbot.example.yaml slack profbot.service
var Files embed.FS

// DatadogPayload is the payload template for the webhook in Datadog.
//
//go:embed datadog/payload.json
var DatadogPayload string
