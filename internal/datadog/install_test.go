package datadog_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
)

const hookToken = `a-"token"-of-some-length`

func hook() datadog.Webhook {
	return datadog.Webhook{
		Name: "profbot", URL: "https://profbot.example.com/webhooks/datadog", Payload: `{"id": "$ID", "tags": "$TAGS"}`, Variable: "PROFBOT_TOKEN", Token: hookToken,
	}
}

func results(steps []datadog.Step) string {
	var out []string
	for _, s := range steps {
		out = append(out, fmt.Sprintf("%s: %s", s.What, s.Result))
	}
	return strings.Join(out, ", ")
}

func TestInstallWebhook(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	text := func(s string) *string { return &s }
	want := datadogtest.Webhook{
		Name: "profbot", URL: hook().URL, Payload: hook().Payload, CustomHeaders: text(`{"Authorization":"Bearer $PROFBOT_TOKEN"}`), EncodeAs: "json",
	}
	for _, tc := range []struct {
		name   string
		before func()
		hook   func(*datadog.Webhook)
		want   string
		writes int
	}{
		{"new", nil, nil, "custom variable PROFBOT_TOKEN: created, webhook profbot: created", 2},
		{"again", nil, nil, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: unchanged", 0},
		{"again without the token", nil, func(w *datadog.Webhook) { w.Token = "" }, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: unchanged", 0},
		{"another address", func() { w := want; w.URL = "https://old.example.com/x"; s.PutWebhook(w) }, nil, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: updated", 1},
		{"another payload", func() { w := want; w.Payload = "{}"; s.PutWebhook(w) }, nil, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: updated", 1},
		{"the payload in other white space", func() { w := want; w.Payload = `{ "tags":"$TAGS","id":"$ID" }`; s.PutWebhook(w) }, nil, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: unchanged", 0},
		{"restored", func() { s.PutWebhook(want) }, nil, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: unchanged", 0},
		{"as a form", func() { w := want; w.EncodeAs = "form"; s.PutWebhook(w) }, nil, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: updated", 1},
		{"no header", func() { w := want; w.CustomHeaders = nil; s.PutWebhook(w) }, nil, "custom variable PROFBOT_TOKEN: unchanged, webhook profbot: updated", 1},
		{"a token in plain sight", func() { s.PutVariable(datadogtest.Variable{Name: "PROFBOT_TOKEN", Value: hookToken}) }, nil, "custom variable PROFBOT_TOKEN: updated, webhook profbot: unchanged", 1},
		{"rotate", func() { s.PutVariable(datadogtest.Variable{Name: "PROFBOT_TOKEN", Value: "old", Secret: true}) }, func(w *datadog.Webhook) { w.Rotate = true }, "custom variable PROFBOT_TOKEN: updated, webhook profbot: unchanged", 1},
	} {
		before := len(s.Writes())
		if tc.before != nil {
			tc.before()
		}
		w := hook()
		if tc.hook != nil {
			tc.hook(&w)
		}
		steps, err := c.InstallWebhook(t.Context(), w)
		if err != nil || results(steps) != tc.want {
			t.Errorf("%s: %s, %v", tc.name, results(steps), err)
		}
		if n := len(s.Writes()) - before; n != tc.writes {
			t.Errorf("%s: %d calls that write, want %d", tc.name, n, tc.writes)
		}
		got := s.Webhooks()["profbot"]
		if tc.name != "the payload in other white space" {
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", tc.name, d)
			}
		}
		if d := cmp.Diff(datadogtest.Variable{Name: "PROFBOT_TOKEN", Value: hookToken, Secret: true}, s.Variables()["PROFBOT_TOKEN"]); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
		for _, r := range s.Requests() {
			if strings.Contains(r.Path+r.Query.Encode(), "token") {
				t.Errorf("%s: the token is in %s", tc.name, r.Path)
			}
		}
	}
	// It was made by somebody else between the look and the call.
	s.FaultNext(1, datadogtest.Fault{Call: "GET /api/v1/integration/webhooks/configuration/webhooks/profbot", Status: 404, Body: `{"errors":["Webhook not found"]}`})
	if steps, err := c.InstallWebhook(t.Context(), hook()); err != nil || steps[1].Result != datadog.Updated {
		t.Errorf("%v, %v", steps, err)
	}
	// What people added stays.
	w := want
	w.CustomHeaders = text(`{"X-Team":"live","authorization":"Basic old"}`)
	s.PutWebhook(w)
	if _, err := c.InstallWebhook(t.Context(), hook()); err != nil {
		t.Fatal(err)
	}
	if got := *s.Webhooks()["profbot"].CustomHeaders; got != `{"Authorization":"Bearer $PROFBOT_TOKEN","X-Team":"live"}` {
		t.Errorf("headers %s", got)
	}
}

func TestInstallWebhookRefuses(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	for name, change := range map[string]func(*datadog.Webhook){
		"name": func(w *datadog.Webhook) { w.Name = "a/b" }, "variable": func(w *datadog.Webhook) { w.Variable = "profbot" },
		"address": func(w *datadog.Webhook) { w.URL = "profbot:8080" }, "payload": func(w *datadog.Webhook) { w.Payload = "{" },
	} {
		w := hook()
		change(&w)
		if _, err := c.InstallWebhook(t.Context(), w); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d calls", n)
	}
	w := hook()
	w.Token = ""
	if _, err := c.InstallWebhook(t.Context(), w); !errors.Is(err, datadog.ErrNoToken) || len(s.Writes()) != 0 {
		t.Errorf("no token: %v, %d writes", err, len(s.Writes()))
	}
	// One step done, the next not: that is told.
	s.FaultNext(1, datadogtest.Fault{Call: "POST /api/v1/integration/webhooks/configuration/webhooks", Status: 500, Body: `{"errors":["no: ` + `a-\"token\"-of-some-length"]}`})
	secret := client(t, s, datadog.Options{Secrets: []string{hookToken}})
	steps, err := secret.InstallWebhook(t.Context(), hook())
	if results(steps) != "custom variable PROFBOT_TOKEN: created" || err == nil || !strings.Contains(err.Error(), `create the webhook profbot: HTTP 500: "no: [...]"`) {
		t.Errorf("%s, %v", results(steps), err)
	}
	// The answer to the token is lost: it may be there.
	s.FaultNext(1, datadogtest.Fault{Call: "PUT /api/v1/integration/webhooks/configuration/custom-variables", Reset: true, After: true})
	w = hook()
	w.Rotate = true
	if steps, err := c.InstallWebhook(t.Context(), w); err == nil || !strings.Contains(err.Error(), "run this again with --rotate") || len(steps) != 0 {
		t.Errorf("%v, %v", steps, err)
	}
}

// TestInstallPermissions takes each permission away in turn: the one that is
// named is the one that is missing, and what was not allowed was not done.
func TestInstallPermissions(t *testing.T) {
	all := []string{"integrations_read", "create_webhooks", "manage_integrations", "monitors_read", "monitors_write", "monitor_config_policy_write", "timeseries_query"}
	fresh := func(*datadogtest.Server) {}
	other := func(s *datadogtest.Server) {
		s.PutVariable(datadogtest.Variable{Name: "PROFBOT_TOKEN", Value: "in plain sight"})
		s.PutWebhook(datadogtest.Webhook{Name: "profbot", URL: "https://elsewhere", EncodeAs: "json", Payload: "{}"})
		s.PutRule(datadogtest.Rule{ID: "r1", Name: "profbot: a:b", Tags: []string{"a:b"}, Recipients: []string{"slack-ops"}})
	}
	hooked := func(s *datadogtest.Server) {
		other(s)
		s.PutVariable(datadogtest.Variable{Name: "PROFBOT_TOKEN", Value: hookToken, Secret: true})
	}
	webhook := func(t *testing.T, c *datadog.Client) error { return second(c.InstallWebhook(t.Context(), hook())) }
	rule := func(t *testing.T, c *datadog.Client) error {
		return second(c.InstallRule(t.Context(), datadog.Rule{Tags: []string{"a:b"}, Webhook: "profbot"}))
	}
	monitor := func(t *testing.T, c *datadog.Client) error {
		return second(c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "live-api", Webhook: "profbot"}))
	}
	for _, tc := range []struct {
		lacks, doing string
		state        func(*datadogtest.Server)
		do           func(*testing.T, *datadog.Client) error
		writes       int // that are done before
	}{
		{"integrations_read", "read the custom variable PROFBOT_TOKEN", fresh, webhook, 0},
		{"manage_integrations", "create the custom variable PROFBOT_TOKEN", fresh, webhook, 1},
		{"manage_integrations", "update the custom variable PROFBOT_TOKEN", other, webhook, 1},
		{"manage_integrations", "update the webhook profbot", hooked, webhook, 1},
		{"create_webhooks", "create the webhook profbot", fresh, webhook, 2},
		{"monitors_read", "look for the monitor at Datadog", fresh, monitor, 0},
		{"monitors_write", "create the monitor", fresh, monitor, 1},
		{"monitors_read", "read the notification rules", fresh, rule, 0},
		{"monitor_config_policy_write", "create the notification rule for a:b", fresh, rule, 1},
		{"monitor_config_policy_write", "update the notification rule for a:b", other, rule, 1},
	} {
		s, c := start(t, datadogtest.Options{Permissions: slices.DeleteFunc(slices.Clone(all), func(p string) bool { return p == tc.lacks })})
		tc.state(s)
		err := tc.do(t, c)
		if err == nil || !strings.HasPrefix(err.Error(), tc.doing) || !strings.Contains(err.Error(), "HTTP 403: datadog.app_key, or the role of its owner, lacks the permission "+tc.lacks) {
			t.Errorf("%s without %s: %v", tc.doing, tc.lacks, err)
			continue
		}
		if strings.Contains(err.Error(), "--rotate") {
			t.Errorf("%s is certain: %v", tc.doing, err)
		}
		if next := datadog.Next(err); !strings.Contains(next, tc.lacks) || !strings.Contains(next, "/organization-settings/application-keys") {
			t.Errorf("the next step is %q", next)
		}
		if n := len(s.Writes()); n != tc.writes { // the refused one is the last
			t.Errorf("%s without %s: %d calls that write", tc.doing, tc.lacks, n)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestInstallMonitor(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	do := func(m datadog.CPUMonitor, want datadog.Result, query string, warning any) {
		t.Helper()
		m.Webhook = "profbot"
		before := len(s.Writes())
		step, err := c.InstallMonitor(t.Context(), m)
		if err != nil || step.Result != want || !strings.Contains(step.Note, "https://app.datadoghq.com/monitors/") {
			t.Fatalf("%+v: %+v, %v", m, step, err)
		}
		if wrote := len(s.Writes()) - before; (want == datadog.Unchanged) != (wrote == 0) {
			t.Errorf("%+v: %s with %d writes", m, want, wrote)
		}
		all := s.Monitors()
		got := all[len(all)-1]
		if got.Query != query || !slices.Contains(strings.Fields(got.Message), "@webhook-profbot") || got.Options["thresholds"].(map[string]any)["warning"] != warning {
			t.Errorf("%+v: %+v", m, got)
		}
	}
	const prod = "avg(last_5m):avg:container.cpu.usage{service:live-api,env:prod} by {pod_name} > "
	do(datadog.CPUMonitor{Service: "live-api", Env: "prod", Critical: 1.5, Warning: 1.2}, datadog.Created, prod+"1500000000", 1.2e9)
	do(datadog.CPUMonitor{Service: "live-api", Env: "prod", Critical: 1.5, Warning: 1.2}, datadog.Unchanged, prod+"1500000000", 1.2e9)
	do(datadog.CPUMonitor{Service: "live-api", Env: "prod"}, datadog.Unchanged, prod+"1500000000", 1.2e9) // keeps what is set
	do(datadog.CPUMonitor{Service: "live-api", Env: "prod", Critical: 2.1}, datadog.Updated, prod+"2100000000", 1.2e9)
	if all := s.Monitors(); len(all) != 1 || all[0].Name != "CPU of live-api in prod: {{pod_name.name}}" ||
		!slices.Equal(all[0].Tags, []string{"service:live-api", "env:prod", "created_by:profbot"}) || all[0].Options["new_group_delay"] != 120.0 {
		t.Errorf("%+v", all)
	}
	// Without an env it is another monitor, in the unit that the metric has.
	s.SetUnit("core")
	do(datadog.CPUMonitor{Service: "live-api"}, datadog.Created, "avg(last_5m):avg:container.cpu.usage{service:live-api} by {pod_name} > 1", nil)
	do(datadog.CPUMonitor{Service: "live-api", Critical: 0.25}, datadog.Updated, "avg(last_5m):avg:container.cpu.usage{service:live-api} by {pod_name} > 0.25", nil)
	// Nothing reports yet: the unit of the Agent's metric is known.
	do(datadog.CPUMonitor{Service: "new-api"}, datadog.Created, "avg(last_5m):avg:container.cpu.usage{service:new-api} by {pod_name} > 1000000000", nil)
	if n := len(s.Monitors()); n != 3 {
		t.Errorf("%d monitors", n)
	}
}

func TestInstallMonitorKeepsWhatPeopleDid(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	s.PutMonitor(datadogtest.Monitor{
		ID: 9, Name: "ours, renamed", Type: "metric alert", Message: "Wake up @slack-live", Tags: []string{"service:live-api", "created_by:profbot", "team:live"},
		Query:   "min(last_15m):avg:container.cpu.usage{service:live-api,!host:x} by {pod_name} >= 3000000000",
		Options: map[string]any{"thresholds": map[string]any{"critical": 3e9}, "renotify_interval": 30, "notify_by": []any{"pod_name"}},
	})
	m := datadog.CPUMonitor{Service: "live-api", Webhook: "profbot"}
	if step, err := c.InstallMonitor(t.Context(), m); err != nil || step.Result != datadog.Updated || step.Note != "@webhook-profbot; https://app.datadoghq.com/monitors/9" {
		t.Errorf("%+v, %v", step, err)
	}
	m.Critical = 2
	if step, err := c.InstallMonitor(t.Context(), m); err != nil || step.Result != datadog.Updated {
		t.Errorf("%+v, %v", step, err)
	}
	got := s.Monitors()[0]
	if got.Name != "ours, renamed" || got.Message != "Wake up @slack-live\n\n@webhook-profbot" || got.Options["renotify_interval"] != 30.0 || len(got.Tags) != 3 || got.Query != "min(last_15m):avg:container.cpu.usage{service:live-api,!host:x} by {pod_name} >= 2000000000" {
		t.Errorf("%+v", got)
	}
	s.PutMonitor(datadogtest.Monitor{ID: 11, Name: "of formulas", Type: "query alert", Query: "formula(\"a\").last(\"5m\") < 5", Tags: []string{"service:odd", "created_by:profbot"}, Options: map[string]any{"thresholds": map[string]any{"critical": 5}}})
	if _, err := c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "odd", Webhook: "profbot", Critical: 2}); err == nil || !strings.Contains(err.Error(), "does not end in a threshold any more") {
		t.Errorf("error %v", err)
	}
	s.PutMonitor(datadogtest.Monitor{ID: 10, Name: "a copy", Type: "metric alert", Query: got.Query, Tags: got.Tags, Options: got.Options})
	if _, err := c.InstallMonitor(t.Context(), m); err == nil || !strings.Contains(err.Error(), "several monitors have the tags") || !strings.Contains(err.Error(), "monitors/10") {
		t.Errorf("error %v", err)
	}
}

func TestInstallMonitorRefuses(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	other := client(t, s, datadog.Options{Metric: "my.cpu"})
	for want, err := range map[string]error{
		"cannot be a Datadog tag":        second(c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "a}", Webhook: "profbot"})),
		"is no name of a webhook":        second(c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "a"})),
		"-1 cores are no threshold":      second(c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "a", Webhook: "p", Critical: -1})),
		"must be below the critical one": second(c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "a", Webhook: "p", Critical: 1, Warning: 1})),
		"my.cpu has no data":             second(other.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "a", Webhook: "p"})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if n := len(s.Writes()); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestInstallRule(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	for i := range 120 { // more than a page of others
		s.PutRule(datadogtest.Rule{ID: fmt.Sprint("other-", i), Name: "other", Tags: []string{fmt.Sprint("n:", i)}, Recipients: []string{"slack-x"}})
	}
	s.PutRule(datadogtest.Rule{ID: "theirs", Name: "to Slack", Tags: []string{"service:live-api"}, Recipients: []string{"slack-live"}})
	rule := datadog.Rule{Tags: []string{"Env:prod", "service:live-api"}, Webhook: "profbot"}
	for _, tc := range []struct {
		tags string
		want datadog.Result
	}{
		{"Env:prod,service:live-api", datadog.Created},
		{"service:live-api,env:prod", datadog.Unchanged}, // the order does not count
		{"service:live-api", datadog.Created},            // theirs is left alone
		{"service:live-api", datadog.Unchanged},
	} {
		rule.Tags = strings.Split(tc.tags, ",")
		step, err := c.InstallRule(t.Context(), rule)
		if err != nil || step.Result != tc.want {
			t.Errorf("%s: %+v, %v", tc.tags, step, err)
		}
	}
	rules := s.Rules()
	if d := cmp.Diff([]datadogtest.Rule{
		{ID: "theirs", Name: "to Slack", Tags: []string{"service:live-api"}, Recipients: []string{"slack-live"}},
		{ID: rules[121].ID, Name: "profbot: env:prod, service:live-api", Tags: []string{"env:prod", "service:live-api"}, Recipients: []string{"webhook-profbot"}},
		{ID: rules[122].ID, Name: "profbot: service:live-api", Tags: []string{"service:live-api"}, Recipients: []string{"webhook-profbot"}},
	}, rules[120:]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// Ours without the webhook gets it back, and keeps whom people added.
	s.PutRule(datadogtest.Rule{ID: "ours", Name: "profbot: team:live", Tags: []string{"team:live"}, Recipients: []string{"slack-live"}})
	if step, err := c.InstallRule(t.Context(), datadog.Rule{Tags: []string{"team:live"}, Webhook: "profbot"}); err != nil || step.Result != datadog.Updated {
		t.Errorf("%+v, %v", step, err)
	}
	if got := s.Rules()[123].Recipients; !slices.Equal(got, []string{"slack-live", "webhook-profbot"}) {
		t.Errorf("recipients %q", got)
	}
	for _, bad := range [][]string{nil, {"a b"}, {""}, {"*"}, slices.Repeat([]string{"a:b"}, 21)} {
		if _, err := c.InstallRule(t.Context(), datadog.Rule{Tags: bad, Webhook: "profbot"}); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// TestDryRun: a dry run reads, changes nothing, and shows every call that would
// be made, without a secret.
func TestDryRun(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	var calls []datadog.Call
	c := client(t, s, datadog.Options{Secrets: []string{hookToken}, DryRun: func(c datadog.Call) { calls = append(calls, c) }})
	steps, err := c.InstallWebhook(t.Context(), hook())
	if err != nil || results(steps) != "custom variable PROFBOT_TOKEN: created, webhook profbot: created" {
		t.Errorf("%s, %v", results(steps), err)
	}
	if step, err := c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "live-api", Webhook: "profbot"}); err != nil || step.Result != datadog.Created {
		t.Errorf("%+v, %v", step, err)
	}
	if step, err := c.InstallRule(t.Context(), datadog.Rule{Tags: []string{"service:live-api"}, Webhook: "profbot"}); err != nil || step.Result != datadog.Created {
		t.Errorf("%+v, %v", step, err)
	}
	if len(s.Writes()) != 0 || len(s.Webhooks())+len(s.Variables())+len(s.Monitors())+len(s.Rules()) != 0 {
		t.Error("something was changed")
	}
	var got []string
	for _, c := range calls {
		got = append(got, c.Method+" "+c.Path)
		if strings.Contains(c.Body, "of-some-length") || strings.Contains(c.Body, apiKey) {
			t.Errorf("a secret in %s", c.Body)
		}
	}
	if d := cmp.Diff([]string{
		"POST /api/v1/integration/webhooks/configuration/custom-variables", "POST /api/v1/integration/webhooks/configuration/webhooks",
		"POST /api/v1/monitor", "POST /api/v2/monitor/notification_rule",
	}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if want := `{"is_secret":true,"name":"PROFBOT_TOKEN","value":"[...]"}`; calls[0].Body != want {
		t.Errorf("body %s, want %s", calls[0].Body, want)
	}
	// Headers that people added may hold secrets of theirs.
	own := `{"X-Key":"hunter2","X-Other":"$OTHER"}`
	s.PutWebhook(datadogtest.Webhook{Name: "profbot", URL: "https://old", Payload: "{}", EncodeAs: "json", CustomHeaders: &own})
	if _, err := c.InstallWebhook(t.Context(), hook()); err != nil {
		t.Fatal(err)
	}
	if last := calls[len(calls)-1]; last.Method != http.MethodPut || strings.Contains(last.Body, "hunter2") || !strings.Contains(last.Body, `{\"Authorization\":\"Bearer $PROFBOT_TOKEN\",\"X-Key\":\"[...]\",\"X-Other\":\"$OTHER\"}`) {
		t.Errorf("shown %+v", last)
	}
	s.DropWebhook("profbot")
	// What is shown is what is sent.
	real := client(t, s, datadog.Options{})
	if _, err := real.InstallWebhook(t.Context(), hook()); err != nil {
		t.Fatal(err)
	}
	if got := s.Writes()[1]; calls[1].Body != strings.TrimSpace(got.Body) || calls[1].Path != got.Path {
		t.Errorf("shown %s, sent %s", calls[1].Body, got.Body)
	}
	if _, ok := s.Webhooks()["profbot"]; !ok {
		t.Error("no webhook was made")
	}
}
