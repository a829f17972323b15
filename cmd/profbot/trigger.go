package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/webhook"
)

type triggerCmd struct {
	Config     string `help:"Configuration file, for the token. The rest of it may be incomplete." placeholder:"profbot.yaml" env:"PROFBOT_CONFIG" type:"path"`
	Service    string `help:"Service tag of the alert." required:"" placeholder:"NAME"`
	Env        string `help:"Env tag of the alert; none by default, which is any."`
	Pod        string `help:"Pod that the alert names; none by default, so that profbot chooses."`
	Namespace  string `help:"Kubernetes namespace of the alert."`
	Monitor    string `help:"Monitor id." default:"1234"`
	Transition string `help:"What the monitor did: ${enum}." enum:"triggered,re-triggered,warn,no-data,recovered,test" default:"triggered"`
	Cycle      string `help:"Alert cycle key; the same one joins or resolves an earlier alert. Required to recover, else a new one by default."`
	Default    bool   `help:"Send Datadog's default payload instead of the template in deploy/datadog."`
	Form       bool   `help:"Send the payload form-encoded."`
	URL        string `help:"profbot's public address." default:"${default_url}" env:"PROFBOT_URL"`
	Token      string `help:"One of webhook.tokens; by default the first one of the configuration, if there is any." env:"PROFBOT_WEBHOOK_TOKEN" placeholder:"TOKEN"`
	Print      bool   `help:"Print the request without its secret instead of sending it."`
}

// defaultURL is where profbot serve listens when nothing else is configured.
const defaultURL = "http://127.0.0.1:8080"

func (c *triggerCmd) Run(ctx context.Context, s streams) error {
	cycle := c.Cycle
	if cycle == "" {
		// A cycle that depends on the monitor alone would be swallowed by the
		// cool-down the second time; a recovery must find its alert.
		cycle = strings.ToLower(rand.Text()[:16])
		if c.Transition == "recovered" {
			return errors.New("trigger --transition=recovered needs --cycle, printed by the trigger that fired")
		}
	}
	e := webhook.Example{
		Service: c.Service, Env: c.Env, Namespace: c.Namespace, Pod: c.Pod, Monitor: c.Monitor,
		MonitorName: "CPU is high on " + c.Service, Transition: c.Transition, Cycle: cycle,
		Value: "0.93", Threshold: "0.90", At: time.Now(), DefaultPayload: c.Default, Form: c.Form,
		EventID: fmt.Sprint(time.Now().UnixNano()),
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no answer within 20s"))
	defer cancel()
	token, err := c.token()
	if err != nil {
		return err
	}
	req, err := e.Request(ctx, strings.TrimSuffix(c.URL, "/")+"/webhooks/datadog", token)
	if err != nil {
		return err
	}
	if c.Print {
		return printRequest(s.out, req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("send the alert to %s: %w", c.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	fmt.Fprintf(s.out, "%s %s\n", resp.Status, strings.TrimSpace(string(body)))
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		if token == "" {
			return errors.New("a token is needed: give profbot's configuration with --config, or one of its webhook.tokens with --token or PROFBOT_WEBHOOK_TOKEN")
		}
		return errors.New("the token was refused: give one of webhook.tokens with --token or PROFBOT_WEBHOOK_TOKEN")
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s is not profbot's public listener: give the address of listen.public with --url or PROFBOT_URL", c.URL)
	case resp.StatusCode >= 300:
		return &exitError{code: 1}
	}
	// Only a capture can be ended: an alert in its cool-down, say, is recorded
	// alone. An answer that is no receipt has no action.
	var receipt incident.Receipt
	if err := json.Unmarshal(body, &receipt); err != nil || receipt.Action != incident.ActionCapture {
		if receipt.Action == incident.ActionRecord && receipt.Incident == "" && !receipt.Repeated && c.fires() {
			return fmt.Errorf("nothing is profiled: %s", receipt.Reason)
		}
		return nil //nolint:nilerr // what is at the address accepted the alert, and its answer is printed
	}
	address, same := "", ""
	if c.Env != "" {
		address = " --env=" + c.Env
	}
	if c.URL != defaultURL {
		address += " --url=" + c.URL
	}
	switch {
	case c.Token != "":
		same = " (with the same --token)" // in words: it is a secret
	case os.Getenv("PROFBOT_CONFIG") == "" && c.Config != "":
		address += " --config=" + c.Config
	}
	fmt.Fprintf(s.out, "end it with%s: profbot trigger --service=%s --monitor=%s --transition=recovered --cycle=%s%s\n", same, c.Service, c.Monitor, cycle, address)
	return nil
}

// fires reports whether the alert is one that asks for profiles.
func (c *triggerCmd) fires() bool {
	return c.Transition == "triggered" || c.Transition == "re-triggered" || c.Transition == "warn"
}

// token is the token that is sent: where profbot's own configuration is, as in
// its pod, the one that it waits for.
func (c *triggerCmd) token() (string, error) {
	if c.Token != "" {
		return c.Token, nil
	}
	cfg, err := config.LoadDatadog(c.Config, os.Environ())
	if err != nil {
		return "", err
	}
	if len(cfg.Webhook.Tokens) == 0 {
		return "", nil
	}
	return cfg.Webhook.Tokens[0].Reveal(), nil
}

func printRequest(w io.Writer, req *http.Request) error {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s %s\n", req.Method, req.URL)
	if req.Header.Get("Authorization") != "" {
		req.Header.Set("Authorization", "Bearer [redacted]")
	}
	if err := req.Header.Write(w); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n", body)
	return err
}
