// Package check holds what stands in deploy/ to what it is for: manifests and
// chart are rendered and decoded as strictly as the API server does, held to
// policies, to profbot's configuration and to one another; dashboards and
// alerts to the metrics that profbot has; Terraform and the image's recipes to
// the rest. It has tests only, which need no network and no other program.
package check
