package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/profbot/profbot/deploy"
)

// Example is an alert to be sent as Datadog would: the template that deploy
// ships, its variables filled in with Datadog's escaping, Datadog's headers.
type Example struct {
	Service, Env, Namespace, Pod string // tags; "" leaves the tag out
	Monitor, MonitorName         string
	// Transition is "triggered", "re-triggered", "warn", "no-data",
	// "recovered", or "test" for what a monitor's Test Notifications sends.
	Transition       string
	Cycle            string
	EventID          string
	Value, Threshold string
	At               time.Time
	// DefaultPayload sends the payload that Datadog uses without a template.
	DefaultPayload bool
	Form           bool // form-encoded
}

// states are Datadog's words for transitions, and its alert types.
var states = map[string][2]string{
	"triggered": {"Triggered", "error"}, "re-triggered": {"Re-Triggered", "error"}, "warn": {"Warn", "warning"},
	"no-data": {"No Data", "error"}, "recovered": {"Recovered", "success"}, "test": {"Triggered", "error"},
}

// defaultPayload is what Datadog's API returns for a webhook without template.
const defaultPayload = `{"body": "$EVENT_MSG", "last_updated": "$LAST_UPDATED", "event_type": "$EVENT_TYPE", "title": "$EVENT_TITLE", "date": "$DATE", "org": {"id": "$ORG_ID", "name": "$ORG_NAME"}, "id": "$ID"}`

// Request makes the request. token is sent as a bearer token; "" sends none.
func (e Example) Request(ctx context.Context, address, token string) (*http.Request, error) {
	state, ok := states[e.Transition]
	if !ok {
		return nil, fmt.Errorf("transition %q is none of %s", e.Transition, strings.Join(slices.Sorted(maps.Keys(states)), ", "))
	}
	template := deploy.DatadogPayload
	if e.DefaultPayload {
		template = defaultPayload
	}
	body := fillIn(template, e.variables(state))
	contentType := "application/json; charset=utf-8"
	if e.Form {
		var err error
		if body, err = formOf(body); err != nil {
			return nil, err
		}
		contentType = "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	trace, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, fmt.Errorf("make a trace id: %w", err)
	}
	for k, v := range map[string]string{
		"User-Agent": "python-requests/2.32.4", "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Content-Type": contentType,
		"X-Datadog-Trace-Id": trace.String(), "X-Datadog-Parent-Id": trace.String(),
		"Traceparent": fmt.Sprintf("00-%032x-%016x-00", trace, trace),
	} {
		req.Header.Set(k, v)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

// tags are the alert's tags, sorted as Datadog sends them.
func (e Example) tags(keys ...string) []string {
	values := map[string]string{"service": e.Service, "env": e.Env, "kube_namespace": e.Namespace, "pod_name": e.Pod}
	var out []string
	for _, k := range keys {
		if v := values[k]; v != "" {
			out = append(out, k+":"+v)
		}
	}
	slices.Sort(out)
	return out
}

func (e Example) variables(state [2]string) map[string]string {
	scope := strings.Join(e.tags("service", "kube_namespace", "pod_name"), ",")
	on := ""
	if scope != "" {
		on = " on {" + scope + "}"
	}
	test, note := "", ""
	if e.Transition == "test" {
		test, note = "[TEST] ", "Test notification triggered by profbot trigger.\n\n"
	}
	title := fmt.Sprintf("[%s%s] %s%s", state[0], on, test, e.MonitorName)
	status := fmt.Sprintf("container.cpu.usage over %s was > %s on average during the last 5m (%s)", cmp.Or(scope, "*"), e.Threshold, e.Value)
	link := "https://app.datadoghq.com/monitors/" + e.Monitor
	at := fmt.Sprint(e.At.UnixMilli())
	return map[string]string{
		"ID": e.EventID, "EVENT_TYPE": "query_alert_monitor", "EVENT_TITLE": "[P2] " + title, "ALERT_TITLE": title,
		"EVENT_MSG":     fmt.Sprintf("%%%%%%\n@webhook-profbot\n\n%s%s\n\n- - -\n\n[[Monitor Status](%s)] · [[Edit Monitor](%s/edit)]\n%%%%%%", note, status, link, link),
		"TEXT_ONLY_MSG": note + status, "LINK": "https://app.datadoghq.com/event/event?id=" + e.EventID, "SNAPSHOT": "null",
		"DATE": at, "LAST_UPDATED": at, "ORG_ID": "1", "ORG_NAME": "example", "ALERT_ID": e.Monitor, "ALERT_TYPE": state[1],
		"ALERT_TRANSITION": state[0], "ALERT_STATUS": status, "ALERT_METRIC": "container.cpu.usage",
		"ALERT_QUERY": "avg(last_5m):avg:container.cpu.usage{*} by {service,kube_namespace,pod_name} > " + e.Threshold,
		"ALERT_SCOPE": scope, "ALERT_PRIORITY": "P2", "ALERT_CYCLE_KEY": e.Cycle, "AGGREG_KEY": "example", "HOSTNAME": "",
		"TAGS":          strings.Join(append(e.tags("env", "kube_namespace", "pod_name", "service"), "monitor"), ","),
		"TAGS[service]": e.Service, "TAGS[env]": e.Env, "TAGS[kube_namespace]": e.Namespace, "TAGS[pod_name]": e.Pod,
	}
}

var variable = regexp.MustCompile(`\$([A-Z_]+(?:\[[a-z_]+\])?)`)

// fillIn replaces variables as Datadog does: escaped for JSON, in ASCII. One
// that does not apply becomes the text "null".
func fillIn(template string, values map[string]string) string {
	return variable.ReplaceAllStringFunc(template, func(v string) string {
		value, ok := values[v[1:]]
		if !ok {
			return "null"
		}
		return escape(value)
	})
}

func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r < 0x80:
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// formOf encodes a JSON object's members as a form; nested ones as JSON texts.
func formOf(body string) (string, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return "", fmt.Errorf("the payload template is no JSON object: %w", err)
	}
	values := url.Values{}
	for k, raw := range m {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		values.Set(k, s)
	}
	return values.Encode(), nil
}
