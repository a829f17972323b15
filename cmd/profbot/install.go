package main

// installCmd sets up what profbot works with.
type installCmd struct {
	Datadog installDatadogCmd `cmd:"" help:"Make or update the webhook in Datadog, and on request a monitor or a notification rule."`
	Slack   installSlackCmd   `cmd:"" help:"Print the Slack app's manifest, and a link that makes the app."`
}
