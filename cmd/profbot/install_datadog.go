package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/profbot/profbot/deploy"
	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/datadog"
)

type installDatadogCmd struct {
	Config string `help:"Configuration file, for the keys, the site and the webhook token. The rest of it may be incomplete." placeholder:"profbot.yaml" env:"PROFBOT_CONFIG" type:"path"`
	URL    string `help:"profbot's public address, which Datadog calls." required:"" env:"PROFBOT_URL" placeholder:"https://PROFBOT"`
	Name   string `help:"Name of the webhook, as in @webhook-NAME." default:"profbot"`
	Rotate bool   `help:"Give Datadog the token although it has one: a hidden value cannot be compared."`
	DryRun bool   `help:"Show the calls that would be made, without secrets, and change nothing."`

	Monitor   []string `help:"Also make a monitor of the CPU of each pod of this service. May be repeated." placeholder:"SERVICE"`
	Env       string   `help:"Env that the monitor watches; empty is all."`
	Critical  float64  `help:"Cores of a pod at which the monitor fires. Default: what is set, or 1."`
	Warning   float64  `help:"Cores of a pod at which the monitor warns. Default: what is set, or none."`
	NotifyTag []string `help:"Also make a notification rule: every monitor with this tag, or with all of these separated by commas, calls profbot. May be repeated." placeholder:"service:live-api" sep:"none"`

	Site   string `help:"Datadog site, in place of datadog.site."`
	APIKey string `help:"API key, in place of datadog.api_key or DD_API_KEY, which keep it out of the process list." placeholder:"KEY"`
	AppKey string `help:"Application key, in place of datadog.app_key or DD_APP_KEY." placeholder:"KEY"`
	Token  string `help:"Token that Datadog sends, in place of the first of webhook.tokens." env:"PROFBOT_WEBHOOK_TOKEN" placeholder:"TOKEN"`
}

// tokenVariable is the custom variable that holds the token.
const tokenVariable = "PROFBOT_TOKEN"

func (c *installDatadogCmd) Run(ctx context.Context, s streams) error {
	if len(c.Monitor) == 0 && (c.Env != "" || c.Critical != 0 || c.Warning != 0) {
		return errors.New("--env, --critical and --warning are about a monitor: name its service with --monitor")
	}
	cfg, err := config.LoadDatadog(c.Config, os.Environ())
	if err != nil {
		return err
	}
	address, err := hookURL(c.URL)
	if err != nil {
		return err
	}
	token, made, err := c.token(cfg)
	if err != nil {
		return err
	}
	opt := datadog.Options{
		APIKey: cmp.Or(c.APIKey, cfg.Datadog.APIKey.Reveal(), os.Getenv("DD_API_KEY")),
		AppKey: cmp.Or(c.AppKey, cfg.Datadog.AppKey.Reveal(), os.Getenv("DD_APP_KEY")),
		Site:   cmp.Or(c.Site, cfg.Datadog.Site), URL: cfg.Datadog.APIURL, Metric: cfg.Datadog.Metric,
		Secrets: []string{token},
	}
	if opt.APIKey == "" || opt.AppKey == "" {
		return errors.New("both keys of Datadog are needed: set datadog.api_key and datadog.app_key, or DD_API_KEY and DD_APP_KEY")
	}
	if c.DryRun {
		opt.DryRun = func(call datadog.Call) { printCall(s.out, call) }
	}
	dd, err := datadog.New(opt)
	if err != nil {
		return err
	}
	noteAddress(s.out, address)
	steps, err := dd.InstallWebhook(ctx, datadog.Webhook{
		Name: c.Name, URL: address, Payload: deploy.DatadogPayload, Variable: tokenVariable, Token: token, Rotate: c.Rotate,
	})
	for _, step := range steps {
		c.print(s.out, step)
	}
	// Even when the next step failed: nobody can read the token any more.
	if made && len(steps) > 0 && steps[0].Result != datadog.Unchanged {
		if c.DryRun {
			fmt.Fprintln(s.out, "no token is configured: one would be made, and printed here")
		} else {
			fmt.Fprintf(s.out, "no token was configured, so one was made. Put it into webhook.tokens now, or into PROFBOT_WEBHOOK_TOKENS; it is not shown again:\n  %s\n", token)
		}
	}
	if err != nil {
		return err
	}
	for _, service := range c.Monitor {
		step, err := dd.InstallMonitor(ctx, datadog.CPUMonitor{Service: service, Env: c.Env, Webhook: c.Name, Critical: c.Critical, Warning: c.Warning})
		if err != nil {
			return err
		}
		c.print(s.out, step)
	}
	for _, tags := range c.NotifyTag {
		step, err := dd.InstallRule(ctx, datadog.Rule{Tags: strings.Split(tags, ","), Webhook: c.Name})
		if err != nil {
			return err
		}
		c.print(s.out, step)
	}
	if len(c.Monitor)+len(c.NotifyTag) == 0 {
		fmt.Fprintf(s.out, "next: write @webhook-%s into the message of your CPU monitors, or run this again with --monitor or --notify-tag\n", c.Name)
	}
	return nil
}

// token is the token that Datadog sends, and whether it was made up here.
func (c *installDatadogCmd) token(cfg *config.Config) (token string, made bool, err error) {
	switch {
	case c.Token != "" && len(c.Token) < 16:
		return "", false, fmt.Errorf("--token: %d characters can be guessed: make one with: openssl rand -hex 24", len(c.Token))
	case c.Token != "":
		return c.Token, false, nil
	case len(cfg.Webhook.Tokens) > 0:
		return cfg.Webhook.Tokens[0].Reveal(), false, nil
	}
	return strings.ToLower(rand.Text()), true, nil // 128 bits at least
}

// hookURL is the address that Datadog calls.
func hookURL(public string) (string, error) {
	const path = "/webhooks/datadog"
	u, err := url.Parse(public)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("--url: this is no http or https address: write it whole, such as https://profbot.example.com")
	case u.User != nil || u.RawQuery != "":
		return "", errors.New("--url: leave user, password and query out: the token goes into a header that is hidden from view")
	}
	return strings.TrimSuffix(strings.TrimRight(u.String(), "/"), path) + path, nil
}

// noteAddress remarks on an address that may not do what was meant.
func noteAddress(w io.Writer, address string) {
	u, err := url.Parse(address)
	if err != nil {
		return // it was parsed before
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip.IsLoopback() || ip.IsPrivate() {
		fmt.Fprintf(w, "note: Datadog calls from the internet, where %s is not this machine\n", u.Hostname())
	}
	if u.Scheme == "http" {
		fmt.Fprintln(w, "note: with http the token travels in the open; use https")
	}
}

// print says what became of one thing, or, in a dry run, would become.
func (c *installDatadogCmd) print(w io.Writer, step datadog.Step) {
	result := string(step.Result)
	if c.DryRun && step.Result != datadog.Unchanged {
		result = "would be " + result
	}
	if step.Note != "" {
		result += " (" + step.Note + ")"
	}
	fmt.Fprintf(w, "%s: %s\n", step.What, result)
}

// printCall shows a call that is not made.
func printCall(w io.Writer, call datadog.Call) {
	fmt.Fprintf(w, "%s %s\n", call.Method, call.Path)
	var body bytes.Buffer
	if json.Indent(&body, []byte(call.Body), "", "  ") == nil && body.Len() > 0 {
		fmt.Fprintf(w, "%s\n", body.Bytes())
	}
	fmt.Fprintln(w)
}
