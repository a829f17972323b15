package datadog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"

	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

// Result is what installing did to one thing.
type Result string

// The results.
const (
	Created   Result = "created"
	Updated   Result = "updated"
	Unchanged Result = "unchanged"
)

// Step is one thing that was installed.
type Step struct {
	What   string // "webhook profbot"
	Result Result
	Note   string // what a person should know, in plain words; "" for nothing
}

// Webhook is the integration through which Datadog calls profbot.
type Webhook struct {
	Name     string // as in @webhook-NAME: letters, digits, _ and -
	URL      string // of profbot's handler
	Payload  string // template of the body, JSON with $VARIABLES
	Variable string // custom variable that holds the token: capitals, digits and _
	// Token is the variable's value. It is needed when the variable does not
	// exist, or Rotate is set. Name it in Options.Secrets too.
	Token string
	// Rotate sets the variable although it exists. A hidden variable's value
	// cannot be read, so that it is not known whether it has the token.
	Rotate bool
}

var (
	webhookName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
	variableName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,99}$`)
)

// ErrNoToken is the error when a webhook's variable has to be set and there is
// no token.
var ErrNoToken = errors.New("the token for the webhook is needed, since Datadog does not have it yet")

// InstallWebhook makes the webhook and its hidden variable what they should be.
// It reads first and writes what differs, so that a second call changes
// nothing. Headers that somebody added to the webhook stay. The steps that
// were done are returned with an error too.
func (c *Client) InstallWebhook(ctx context.Context, w Webhook) ([]Step, error) {
	if !webhookName.MatchString(w.Name) {
		return nil, fmt.Errorf("%q is no name of a webhook: letters, digits, _ and - only", w.Name)
	}
	if !variableName.MatchString(w.Variable) {
		return nil, fmt.Errorf("%q is no name of a custom variable: capitals, digits and _ only", w.Variable)
	}
	if u, err := url.Parse(w.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the webhook's address is no http or https address")
	}
	if !json.Valid([]byte(w.Payload)) {
		return nil, errors.New("the webhook's payload is no JSON")
	}
	// The variable first: the webhook refers to it.
	variable, err := c.installVariable(ctx, w)
	if err != nil {
		return nil, err
	}
	hook, err := c.installHook(ctx, w)
	if err != nil {
		return []Step{variable}, err
	}
	return []Step{variable, hook}, nil
}

func (c *Client) installVariable(ctx context.Context, w Webhook) (Step, error) {
	step := Step{What: "custom variable " + w.Variable, Result: Unchanged, Note: "its value is hidden and was not compared; --rotate sets it"}
	read := operation{"GetWebhooksIntegrationCustomVariable", "read the custom variable " + w.Variable, "integrations_read"}
	have, err := call(ctx, c, read, func(ctx context.Context) (v1.WebhooksIntegrationCustomVariableResponse, *http.Response, error) {
		return c.webhooks.GetWebhooksIntegrationCustomVariable(ctx, w.Variable)
	})
	exists := statusOf(err) != http.StatusNotFound
	if exists && err != nil {
		return step, err
	}
	if exists && have.GetIsSecret() && !w.Rotate {
		return step, nil
	}
	if w.Token == "" {
		return step, ErrNoToken
	}
	write := v1.NewWebhooksIntegrationApi(c.writer)
	if !exists {
		step.Result, step.Note = Created, "hidden from view"
		op := operation{"CreateWebhooksIntegrationCustomVariable", "create the custom variable " + w.Variable, "manage_integrations"}
		_, err := call(ctx, c, op, func(ctx context.Context) (v1.WebhooksIntegrationCustomVariableResponse, *http.Response, error) {
			return write.CreateWebhooksIntegrationCustomVariable(ctx, *v1.NewWebhooksIntegrationCustomVariable(true, w.Variable, w.Token))
		})
		return step, uncertain(err)
	}
	step.Result, step.Note = Updated, "with the token, hidden from view"
	if !have.GetIsSecret() {
		step.Note = "it could be read by everybody; now it is hidden from view and has the token"
	}
	op := operation{"UpdateWebhooksIntegrationCustomVariable", "update the custom variable " + w.Variable, "manage_integrations"}
	body := v1.NewWebhooksIntegrationCustomVariableUpdateRequest()
	body.SetIsSecret(true)
	body.SetValue(w.Token)
	_, err = call(ctx, c, op, func(ctx context.Context) (v1.WebhooksIntegrationCustomVariableResponse, *http.Response, error) {
		return write.UpdateWebhooksIntegrationCustomVariable(ctx, w.Variable, *body)
	})
	return step, uncertain(err)
}

// uncertain adds to a failure after which Datadog may have the token all the
// same, without anybody being able to see which, what to do about it.
func uncertain(err error) error {
	if status := statusOf(err); err == nil || status >= 400 && status < 500 {
		return err
	}
	return fmt.Errorf("%w; Datadog may have taken the token all the same: run this again with --rotate", err)
}

// webhook reads a webhook.
func (c *Client) webhook(ctx context.Context, name string) (v1.WebhooksIntegration, error) {
	op := operation{"GetWebhooksIntegration", "read the webhook " + name, "integrations_read"}
	return call(ctx, c, op, func(ctx context.Context) (v1.WebhooksIntegration, *http.Response, error) {
		return c.webhooks.GetWebhooksIntegration(ctx, name)
	})
}

func (c *Client) installHook(ctx context.Context, w Webhook) (Step, error) {
	step := Step{What: "webhook " + w.Name, Result: Unchanged}
	have, err := c.webhook(ctx, w.Name)
	exists := statusOf(err) != http.StatusNotFound
	if exists && err != nil {
		return step, err
	}
	headers, err := withToken(have.GetCustomHeaders(), w.Variable)
	if err != nil {
		return step, fmt.Errorf("webhook %s: %w", w.Name, err)
	}
	if exists && have.GetUrl() == w.URL && have.GetEncodeAs() == v1.WEBHOOKSINTEGRATIONENCODING_JSON &&
		sameJSON(have.GetPayload(), w.Payload) && sameJSON(have.GetCustomHeaders(), headers) {
		return step, nil
	}
	write := v1.NewWebhooksIntegrationApi(c.writer)
	if !exists {
		body := v1.NewWebhooksIntegration(w.Name, w.URL)
		body.SetPayload(w.Payload)
		body.SetCustomHeaders(headers)
		op := operation{"CreateWebhooksIntegration", "create the webhook " + w.Name, "create_webhooks"}
		_, err := call(ctx, c, op, func(ctx context.Context) (v1.WebhooksIntegration, *http.Response, error) {
			return write.CreateWebhooksIntegration(ctx, *body)
		})
		// Somebody else may have made it since it was looked for.
		if status := statusOf(err); !(status == http.StatusBadRequest || status == http.StatusConflict) || !strings.Contains(err.Error(), "already exists") {
			step.Result = Created
			return step, err
		}
	}
	body := v1.NewWebhooksIntegrationUpdateRequest()
	body.SetUrl(w.URL)
	body.SetPayload(w.Payload)
	body.SetCustomHeaders(headers)
	body.SetEncodeAs(v1.WEBHOOKSINTEGRATIONENCODING_JSON)
	op := operation{"UpdateWebhooksIntegration", "update the webhook " + w.Name, "manage_integrations"}
	_, err = call(ctx, c, op, func(ctx context.Context) (v1.WebhooksIntegration, *http.Response, error) {
		return write.UpdateWebhooksIntegration(ctx, w.Name, *body)
	})
	step.Result = Updated
	if exists && have.GetUrl() != w.URL {
		step.Note = "it pointed to " + withoutSecrets(have.GetUrl())
	}
	return step, err
}

// withToken adds the header with the token to a webhook's headers.
func withToken(headers, variable string) (string, error) {
	all := map[string]string{}
	if strings.TrimSpace(headers) != "" {
		if err := json.Unmarshal([]byte(headers), &all); err != nil {
			return "", errors.New("its custom headers are no JSON object of texts; correct or empty them in Datadog")
		}
	}
	maps.DeleteFunc(all, func(k, _ string) bool { return strings.EqualFold(k, "Authorization") })
	all["Authorization"] = "Bearer $" + variable
	out, err := json.Marshal(all)
	return string(out), err
}

// sameJSON tells whether two texts are the same JSON, whatever the order and
// the white space.
func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// withoutSecrets is an address without what may be a secret in it.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "what is no address"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
