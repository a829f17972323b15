package datadogtest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/datadog/datadogtest"
)

const (
	hooks     = "/api/v1/integration/webhooks/configuration/webhooks"
	variables = "/api/v1/integration/webhooks/configuration/custom-variables"
	rules     = "/api/v2/monitor/notification_rule"
)

func start(t *testing.T, opt datadogtest.Options) *datadogtest.Server {
	opt.APIKey, opt.AppKey = "api", "app"
	if opt.Loads == nil {
		opt.Loads = func(string, string) map[string]float64 { return map[string]float64{"pod-0": 1} }
	}
	s := datadogtest.New(opt)
	t.Cleanup(s.Close)
	return s
}

// do makes a call as the official client does, but for what change does.
func do(t *testing.T, s *datadogtest.Server, method, path, body string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("DD-API-KEY", "api")
	if !(method == http.MethodPost && strings.HasPrefix(path, "/api/v1/events")) {
		req.Header.Set("DD-APPLICATION-KEY", "app")
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

func object(fields map[string]any) string {
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// TestRightCalls: what is as it should be is accepted, with the statuses and
// words that were recorded.
func TestRightCalls(t *testing.T) {
	s := start(t, datadogtest.Options{})
	now := time.Now().Unix()
	for _, tc := range []struct {
		method, path, body string
		status             int
		words              string
	}{
		{"GET", "/api/v1/validate", "", 200, `{"valid":true}`},
		{"GET", fmt.Sprintf("/api/v1/query?from=%d&to=%d&query=avg:container.cpu.usage{service:a}+by+{pod_name}", now-60, now), "", 200, `"nanocore"`},
		{"GET", fmt.Sprintf("/api/v1/query?from=%d&to=%d&query=avg:system.cpu.idle{*}", now-60, now), "", 200, `"series":[]`},
		{"POST", "/api/v1/events", `{"tags":["test:a"],"text":"A text message.","title":"t"}`, 202, `"status":"ok"`},
		{"GET", fmt.Sprintf("/api/v1/events?start=%d&end=%d&tags=test:a&unaggregated=true", now-60, now+60), "", 200, `"A text message."`},
		{"POST", "/api/v1/monitor", `{"message":"m","name":"n","options":{"thresholds":{"critical":0.5}},"query":"avg(last_5m):avg:system.load.5{*} > 0.5","type":"metric alert"}`, 200, `"query alert"`},
		{"GET", "/api/v1/monitor/4202", "", 200, `"overall_state":"No Data"`},
		{"GET", "/api/v1/monitor/1", "", 404, `{"errors":["Monitor not found"]}`},
		{"PUT", "/api/v1/monitor/4202", `{"message":"other"}`, 200, `"message":"other"`},
		{"GET", "/api/v1/monitor?page=0&page_size=10&monitor_tags=none:here", "", 200, `[]`},
		{"POST", hooks, `{"name":"profbot","url":"https://example.com/webhook"}`, 201, `"custom_headers":null`},
		{"POST", hooks, `{"name":"profbot","url":"https://example.com/webhook"}`, 400, `{"errors":["Webhook already exists"]}`},
		{"PUT", hooks + "/profbot", `{"url":"https://example.com/webhook-updated"}`, 200, `webhook-updated`},
		{"GET", hooks + "/other", "", 404, "not found"},
		{"POST", variables, `{"is_secret":true,"name":"TOKEN","value":"v"}`, 201, `{"is_secret":true,"name":"TOKEN"}`},
		{"GET", variables + "/TOKEN", "", 200, `{"is_secret":true,"name":"TOKEN"}`},
		{"POST", variables, `{"is_secret":false,"name":"PLAIN","value":"v"}`, 201, `"value":"v"`},
		{"PUT", variables + "/TOKEN", `{"value":"w"}`, 200, `{"is_secret":true,"name":"TOKEN"}`},
		{"POST", rules, `{"data":{"attributes":{"filter":{"tags":["test:a"]},"name":"test rule","recipients":["slack-test-channel"]},"type":"monitor-notification-rule"}}`, 200, `"recipients":["slack-test-channel"]`},
		{"GET", rules + "?page=0&per_page=100", "", 200, `"name":"test rule"`},
	} {
		status, body, _ := do(t, s, tc.method, tc.path, tc.body, nil)
		if status != tc.status || !strings.Contains(body, tc.words) {
			t.Errorf("%s %s %s: %d %s, want %d with %s", tc.method, tc.path, tc.body, status, body, tc.status, tc.words)
		}
	}
	if got := s.Variables()["TOKEN"].Value; got != "w" {
		t.Errorf("value %q", got)
	}
}

// TestWrongCalls: each wrong call is refused, and changes nothing.
func TestWrongCalls(t *testing.T) {
	s := start(t, datadogtest.Options{})
	now := time.Now()
	seconds, millis := now.Unix(), now.UnixMilli()
	event := func(change map[string]any) string {
		fields := map[string]any{"title": "t", "text": "x", "tags": []string{"a:b"}}
		for k, v := range change {
			if fields[k] = v; v == nil {
				delete(fields, k)
			}
		}
		return object(fields)
	}
	monitor := func(change map[string]any) string {
		fields := map[string]any{
			"name": "n", "message": "m", "type": "metric alert", "query": "avg(last_5m):avg:system.load.5{*} > 2",
			"options": map[string]any{"thresholds": map[string]any{"critical": 2}},
		}
		for k, v := range change {
			fields[k] = v
		}
		return object(fields)
	}
	hook := func(change map[string]any) string {
		fields := map[string]any{"name": "profbot", "url": "https://x"}
		for k, v := range change {
			fields[k] = v
		}
		return object(fields)
	}
	rule := func(tags, recipients any, more string) string {
		return fmt.Sprintf(`{"data":{"attributes":{"filter":{"tags":%v},"name":"r","recipients":%v}%s,"type":"monitor-notification-rule"}}`, tags, recipients, more)
	}
	query := func(from, to int64, q string) string {
		return fmt.Sprintf("/api/v1/query?from=%d&to=%d&query=%s", from, to, strings.ReplaceAll(q, " ", "+"))
	}
	const good = "avg:container.cpu.usage{service:a} by {pod_name}"
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		words              string
	}{
		"event: no title":            {"POST", "/api/v1/events", event(map[string]any{"title": nil}), 400, "title is required"},
		"event: no text":             {"POST", "/api/v1/events", event(map[string]any{"text": nil}), 400, "text is required"},
		"event: text too long":       {"POST", "/api/v1/events", event(map[string]any{"text": strings.Repeat("é", 4001)}), 400, "4000"},
		"event: title too long":      {"POST", "/api/v1/events", event(map[string]any{"title": strings.Repeat("t", 501)}), 400, "500"},
		"event: title of two lines":  {"POST", "/api/v1/events", event(map[string]any{"title": "a\nb"}), 400, "one line"},
		"event: key too long":        {"POST", "/api/v1/events", event(map[string]any{"aggregation_key": strings.Repeat("k", 101)}), 400, "100"},
		"event: milliseconds":        {"POST", "/api/v1/events", event(map[string]any{"date_happened": millis}), 400, "future"},
		"event: too old":             {"POST", "/api/v1/events", event(map[string]any{"date_happened": seconds - 18*3600 - 60}), 400, "Event too far in the past"},
		"event: date as text":        {"POST", "/api/v1/events", event(map[string]any{"date_happened": fmt.Sprint(seconds)}), 400, "date_happened"},
		"event: alert type":          {"POST", "/api/v1/events", event(map[string]any{"alert_type": "fatal"}), 400, "alert_type"},
		"event: priority":            {"POST", "/api/v1/events", event(map[string]any{"priority": "high"}), 400, "priority"},
		"event: source":              {"POST", "/api/v1/events", event(map[string]any{"source_type_name": "profbot"}), 400, "source_type_name"},
		"event: field of version 2":  {"POST", "/api/v1/events", event(map[string]any{"message": "x"}), 400, `unknown field \"message\"`},
		"event: tags as text":        {"POST", "/api/v1/events", event(map[string]any{"tags": "a:b"}), 400, "tags"},
		"event: a tag with a space":  {"POST", "/api/v1/events", event(map[string]any{"tags": []string{"a b"}}), 400, "not a valid tag"},
		"event: a tag in capitals":   {"POST", "/api/v1/events", event(map[string]any{"tags": []string{"A:b"}}), 400, "not a valid tag"},
		"event: a long tag":          {"POST", "/api/v1/events", event(map[string]any{"tags": []string{"a:" + strings.Repeat("b", 200)}}), 400, "not a valid tag"},
		"event: many tags":           {"POST", "/api/v1/events", event(map[string]any{"tags": strings.Split(strings.Repeat("a:b,", 100)+"a:b", ",")}), 400, "limited to 100"},
		"event: no JSON":             {"POST", "/api/v1/events", "title=t", 400, "Invalid JSON"},
		"events: milliseconds":       {"GET", fmt.Sprintf("/api/v1/events?start=%d&end=%d", millis-1000, millis), "", 400, "seconds"},
		"events: turned around":      {"GET", fmt.Sprintf("/api/v1/events?start=%d&end=%d", seconds, seconds-5), "", 400, "start param must be greater than end param"},
		"events: no start":           {"GET", fmt.Sprintf("/api/v1/events?end=%d", seconds), "", 400, "seconds"},
		"events: a long range":       {"GET", fmt.Sprintf("/api/v1/events?start=%d&end=%d", seconds-90*86400, seconds), "", 400, "too long"},
		"events: parameter":          {"GET", fmt.Sprintf("/api/v1/events?start=%d&end=%d&tag=a", seconds-5, seconds), "", 400, "unknown parameter tag"},
		"query: milliseconds":        {"GET", query(millis-60000, millis, good), "", 400, "Invalid time range"},
		"query: turned around":       {"GET", query(seconds, seconds-60, good), "", 400, "Invalid time range"},
		"query: syntax":              {"GET", query(seconds-60, seconds, "avg:container.cpu.usage{service:a} by pod_name"), "", 400, "Error parsing query"},
		"query: injected":            {"GET", query(seconds-60, seconds, "avg:m{service:a},env:*} by {pod_name}"), "", 400, "Error parsing query"},
		"query: a tag in capitals":   {"GET", query(seconds-60, seconds, "avg:m{service:A} by {pod_name}"), "", 400, "is no tag"},
		"query: top of nothing":      {"GET", query(seconds-60, seconds, "top("+good+", 0, 'mean', 'desc')"), "", 400, "Error parsing query"},
		"query: top of the oddest":   {"GET", query(seconds-60, seconds, "top("+good+", 5, 'odd', 'desc')"), "", 400, "Error parsing query"},
		"query: parameter":           {"GET", query(seconds-60, seconds, good) + "&interval=5", "", 400, "unknown parameter"},
		"query: a body":              {"GET", query(seconds-60, seconds, good), "{}", 400, "a body"},
		"monitor: threshold":         {"POST", "/api/v1/monitor", monitor(map[string]any{"query": "avg(last_5m):avg:system.load.5{*} > 3"}), 400, "Alert threshold (2) does not match that used in the query (3)."},
		"monitor: warning":           {"POST", "/api/v1/monitor", monitor(map[string]any{"options": map[string]any{"thresholds": map[string]any{"critical": 2, "warning": 2}}}), 400, "Warning threshold"},
		"monitor: no threshold":      {"POST", "/api/v1/monitor", monitor(map[string]any{"options": map[string]any{}}), 400, "thresholds.critical"},
		"monitor: query":             {"POST", "/api/v1/monitor", monitor(map[string]any{"query": "query"}), 400, "The value provided for parameter 'query' is invalid: invalid operator specified: "},
		"monitor: type":              {"POST", "/api/v1/monitor", monitor(map[string]any{"type": "cpu alert"}), 400, "'type'"},
		"monitor: no name":           {"POST", "/api/v1/monitor", monitor(map[string]any{"name": ""}), 400, "'name'"},
		"monitor: field":             {"POST", "/api/v1/monitor", monitor(map[string]any{"text": "x"}), 400, "unknown field"},
		"monitor: option":            {"POST", "/api/v1/monitor", monitor(map[string]any{"options": map[string]any{"renotify": 5, "thresholds": map[string]any{"critical": 2}}}), 400, "unknown field"},
		"monitor: option's type":     {"POST", "/api/v1/monitor", monitor(map[string]any{"options": map[string]any{"renotify_interval": "5", "thresholds": map[string]any{"critical": 2}}}), 400, "renotify_interval"},
		"monitor: none":              {"PUT", "/api/v1/monitor/1", `{"message":"x"}`, 404, "Monitor not found"},
		"monitors: page":             {"GET", "/api/v1/monitor?page_size=0", "", 400, "page_size"},
		"monitors: parameter":        {"GET", "/api/v1/monitor?tag=a", "", 400, "unknown parameter"},
		"webhook: no name":           {"POST", hooks, hook(map[string]any{"name": ""}), 400, "name is required"},
		"webhook: no URL":            {"POST", hooks, hook(map[string]any{"url": ""}), 400, "Invalid URL"},
		"webhook: encoding":          {"POST", hooks, hook(map[string]any{"encode_as": "xml"}), 400, "encode_as"},
		"webhook: payload":           {"POST", hooks, hook(map[string]any{"payload": "{"}), 400, "payload"},
		"webhook: payload as object": {"POST", hooks, hook(map[string]any{"payload": map[string]any{"a": "b"}}), 400, "payload"},
		"webhook: headers":           {"POST", hooks, hook(map[string]any{"custom_headers": "Authorization: x"}), 400, "custom headers"},
		"webhook: headers as object": {"POST", hooks, hook(map[string]any{"custom_headers": map[string]any{"a": "b"}}), 400, "custom_headers"},
		"webhook: field":             {"POST", hooks, hook(map[string]any{"headers": "{}"}), 400, "unknown field"},
		"webhook: none":              {"PUT", hooks + "/none", `{"url":"https://x"}`, 404, "not found"},
		"variable: no value":         {"POST", variables, `{"name":"A","is_secret":true}`, 400, "required"},
		"variable: no secrecy":       {"POST", variables, `{"name":"A","value":"x"}`, 400, "required"},
		"variable: name":             {"POST", variables, `{"name":"a-b","value":"x","is_secret":true}`, 400, "capitals"},
		"variable: empty":            {"POST", variables, `{"name":"A","value":"","is_secret":true}`, 400, "empty"},
		"variable: none":             {"PUT", variables + "/NONE", `{"value":"x"}`, 404, "not found"},
		"rule: @":                    {"POST", rules, rule(`["a:b"]`, `["@slack-x"]`, ""), 400, "Invalid recipients: Recipient handle should not start with '@'"},
		"rule: nobody":               {"POST", rules, rule(`["a:b"]`, `[]`, ""), 400, "Invalid recipients"},
		"rule: no tags":              {"POST", rules, rule(`[]`, `["slack-x"]`, ""), 400, "Invalid filter"},
		"rule: many tags":            {"POST", rules, rule(`["a:1"`+strings.Repeat(`,"a:2"`, 20)+`]`, `["slack-x"]`, ""), 400, "Invalid filter"},
		"rule: field":                {"POST", rules, rule(`["a:b"]`, `["slack-x"]`, `,"color":"red"`), 400, "unknown field"},
		"rule: type":                 {"POST", rules, `{"data":{"attributes":{"name":"r","filter":{"tags":["a:b"]},"recipients":["x"]},"type":"rule"}}`, 400, "Invalid type"},
		"rule: no envelope":          {"POST", rules, `{"name":"r"}`, 400, "unknown field"},
		"rule: none":                 {"PATCH", rules + "/7", rule(`["a:b"]`, `["x"]`, `,"id":"7"`), 404, "not found"},
		"rules: page":                {"GET", rules + "?per_page=1000", "", 400, "per_page"},
		"no such path":               {"GET", "/api/v1/hosts", "", 404, ""},
		"no such method":             {"DELETE", "/api/v1/monitor/1", "", 405, ""},
	} {
		status, body, _ := do(t, s, tc.method, tc.path, tc.body, nil)
		words := body
		var errs struct{ Errors []string }
		if json.Unmarshal([]byte(body), &errs) == nil {
			words += strings.Join(errs.Errors, "; ")
		}
		if status != tc.status || !strings.Contains(words, tc.words) {
			t.Errorf("%s: %d %s, want %d with %s", name, status, body, tc.status, tc.words)
		}
	}
	if len(s.Events())+len(s.Monitors())+len(s.Webhooks())+len(s.Variables())+len(s.Rules()) != 0 {
		t.Error("a wrong call changed something")
	}
}

func TestKeysAndPermissions(t *testing.T) {
	s := start(t, datadogtest.Options{Permissions: []string{"monitors_read"}})
	with := func(api, app string) func(*http.Request) {
		return func(r *http.Request) {
			for k, v := range map[string]string{"DD-API-KEY": api, "DD-APPLICATION-KEY": app} {
				if r.Header.Del(k); v != "" {
					r.Header.Set(k, v)
				}
			}
		}
	}
	const event = `{"title":"t","text":"x"}`
	for _, tc := range []struct {
		name               string
		method, path, body string
		change             func(*http.Request)
		status             int
		words              string
	}{
		{"no API key", "GET", "/api/v1/validate", "", with("", ""), 403, `{"errors":["API key required"]}`},
		{"a wrong API key", "GET", "/api/v1/monitor", "", with("x", "app"), 403, "Forbidden"},
		{"no application key", "GET", "/api/v1/monitor", "", with("api", ""), 403, "Forbidden"},
		{"a wrong application key", "GET", "/api/v1/monitor", "", with("api", "x"), 403, "Forbidden"},
		{"both", "GET", "/api/v1/monitor", "", nil, 200, "[]"},
		{"a permission that is lacking", "GET", hooks + "/x", "", nil, 403, "Failed permission authorization checks"},
		{"an event needs the API key alone", "POST", "/api/v1/events", event, with("api", ""), 202, "ok"},
		{"and should not be sent more", "POST", "/api/v1/events", event, with("api", "app"), 400, "not needed"},
		{"no content type", "POST", "/api/v1/events", event, func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "application/json"},
	} {
		if status, body, _ := do(t, s, tc.method, tc.path, tc.body, tc.change); status != tc.status || !strings.Contains(body, tc.words) {
			t.Errorf("%s: %d %s", tc.name, status, body)
		}
	}
}

func TestRateLimits(t *testing.T) {
	now := time.Unix(1_700_000_020, 0) // 10 s after half past a minute
	s := start(t, datadogtest.Options{Now: func() time.Time { return now }})
	s.SetLimit("monitor", 2, 30*time.Second)
	for i, want := range []struct {
		status           int
		remaining, reset string
	}{{200, "1", "20"}, {200, "0", "20"}, {429, "0", "20"}, {429, "0", "20"}} {
		status, body, h := do(t, s, "GET", "/api/v1/monitor", "", nil)
		if status != want.status || h.Get("X-RateLimit-Remaining") != want.remaining || h.Get("X-RateLimit-Reset") != want.reset ||
			h.Get("X-RateLimit-Name") != "monitor" || h.Get("X-RateLimit-Limit") != "2" || h.Get("X-RateLimit-Period") != "30" {
			t.Errorf("%d: %d %s %v", i, status, body, h)
		}
	}
	now = now.Add(20 * time.Second)
	if status, _, _ := do(t, s, "GET", "/api/v1/monitor", "", nil); status != 200 {
		t.Errorf("in the next period: %d", status)
	}
	if len(s.Requests()) != 5 || s.Calls()[0] != "GET /api/v1/monitor" {
		t.Errorf("%q", s.Calls())
	}
}
