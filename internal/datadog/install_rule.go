package datadog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	api "github.com/DataDog/datadog-api-client-go/v2/api/datadog"
)

// Rule sends the notifications of every monitor that has all the tags to the
// webhook, and touches no monitor.
type Rule struct {
	Tags    []string // "service:live-api"; 1 to 20
	Webhook string   // name, as in @webhook-NAME
}

const (
	rulesPath = "/api/v2/monitor/notification_rule"
	rulesPage = 100
	maxRules  = 1000 // an organisation's limit
	ruleType  = "monitor-notification-rule"
	ruleName  = "profbot: " // the beginning of the names of our own
)

// tag is one whole tag.
var tag = regexp.MustCompile(`^\p{L}[\p{L}\p{N}_\-./:]{0,199}$`)

// ruleData is a notification rule as version 2 of the API has it. Fields that
// are not named here are not changed by an update.
type ruleData struct {
	ID         string         `json:"id,omitempty"`
	Type       string         `json:"type"`
	Attributes ruleAttributes `json:"attributes"`
}

type ruleAttributes struct {
	Name       string     `json:"name"`
	Filter     ruleFilter `json:"filter"`
	Recipients []string   `json:"recipients"`
}

type ruleFilter struct {
	Tags []string `json:"tags,omitempty"`
}

// InstallRule makes the notification rule, unless one for the same tags tells
// the webhook already, whoever made it. Of rules it changes only its own, known
// by their name: when somebody took the webhook out, it is put back.
func (c *Client) InstallRule(ctx context.Context, r Rule) (Step, error) {
	step := Step{What: "notification rule for " + strings.Join(r.Tags, ", "), Result: Unchanged}
	if len(r.Tags) == 0 || len(r.Tags) > 20 {
		return step, errors.New("a notification rule has 1 to 20 tags")
	}
	tags := make([]string, len(r.Tags))
	for i, t := range r.Tags {
		if tags[i] = strings.ToLower(t); !tag.MatchString(t) {
			return step, fmt.Errorf("%q is no tag: write a key and a value, such as service:live-api", t)
		}
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	if !webhookName.MatchString(r.Webhook) {
		return step, fmt.Errorf("%q is no name of a webhook: letters, digits, _ and - only", r.Webhook)
	}
	recipient := "webhook-" + r.Webhook // without the @ of a message
	have, err := c.ruleFor(ctx, tags, recipient)
	if err != nil {
		return step, err
	}
	switch {
	case have == nil:
		step.Result = Created
		body := ruleData{Type: ruleType, Attributes: ruleAttributes{
			Name: cut(ruleName+strings.Join(tags, ", "), 500), Filter: ruleFilter{tags}, Recipients: []string{recipient},
		}}
		return step, c.rules(ctx, operation{"CreateMonitorNotificationRule", "create the " + step.What, "monitor_config_policy_write"},
			http.MethodPost, rulesPath, nil, map[string]any{"data": body}, nil)
	case slices.Contains(have.Attributes.Recipients, recipient):
		return step, nil
	}
	step.Result, step.Note = Updated, recipient+" added to "+strconv.Quote(have.Attributes.Name)
	have.Attributes.Recipients = append(have.Attributes.Recipients, recipient)
	return step, c.rules(ctx, operation{"UpdateMonitorNotificationRule", "update the " + step.What, "monitor_config_policy_write"},
		http.MethodPatch, rulesPath+"/"+url.PathEscape(have.ID), nil, map[string]any{"data": have}, nil)
}

// ruleFor finds the rule with the same tags that has the recipient, else one of
// our own; nil when there is none.
func (c *Client) ruleFor(ctx context.Context, tags []string, recipient string) (*ruleData, error) {
	op := operation{"GetMonitorNotificationRules", "read the notification rules", "monitors_read"}
	var found *ruleData
	for page := range maxRules / rulesPage {
		var list struct {
			Data []ruleData `json:"data"`
		}
		query := url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(rulesPage)}}
		if err := c.rules(ctx, op, http.MethodGet, rulesPath, query, nil, &list); err != nil {
			return nil, err
		}
		for _, r := range list.Data {
			if r.ID == "" || !slices.Equal(slices.Sorted(slices.Values(r.Attributes.Filter.Tags)), tags) {
				continue
			}
			if slices.Contains(r.Attributes.Recipients, recipient) || found == nil && strings.HasPrefix(r.Attributes.Name, ruleName) {
				found = &r
			}
		}
		if len(list.Data) < rulesPage {
			break
		}
	}
	return found, nil
}

// rules makes a call of version 2 through the core of the client.
func (c *Client) rules(ctx context.Context, op operation, method, path string, query url.Values, body, answer any) error {
	client := c.reader
	if method != http.MethodGet {
		client = c.writer
	}
	_, err := call(ctx, c, op, func(ctx context.Context) (struct{}, *http.Response, error) {
		none := struct{}{}
		base, err := client.Cfg.ServerURLWithContext(ctx, queryPods)
		if err != nil {
			return none, nil, err
		}
		headers := map[string]string{"Accept": "application/json"}
		if body != nil {
			headers["Content-Type"] = "application/json"
		}
		api.SetAuthKeys(ctx, &headers, [2]string{"apiKeyAuth", "DD-API-KEY"}, [2]string{"appKeyAuth", "DD-APPLICATION-KEY"})
		req, err := client.PrepareRequest(ctx, base+path, method, body, headers, query, nil, nil)
		if err != nil {
			return none, nil, err
		}
		resp, err := client.CallAPI(req)
		if err != nil || resp == nil {
			return none, resp, cmp.Or(err, errors.New("no answer"))
		}
		data, err := api.ReadBody(resp)
		if err != nil {
			return none, resp, err
		}
		if resp.StatusCode >= 300 {
			return none, resp, api.GenericOpenAPIError{ErrorBody: data, ErrorMessage: resp.Status}
		}
		if answer != nil {
			if err := json.Unmarshal(data, answer); err != nil {
				return none, resp, api.GenericOpenAPIError{ErrorBody: data, ErrorMessage: err.Error()}
			}
		}
		return none, resp, nil
	})
	return err
}
