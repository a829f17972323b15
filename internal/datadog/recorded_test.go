package datadog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/incident"
)

// recording is one call in the shape that the official client's tests have
// recorded; see testdata/recorded.
type recording struct {
	Source, Note string
	Method, Path string
	Query        map[string]string
	Request      json.RawMessage
	Status       int
	Header       map[string]string
	Response     json.RawMessage
}

func recorded(t testing.TB, name string) recording {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "recorded", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// replay answers the calls of a client from recordings, in this order, and
// holds the calls to them: the same method and path, the same parameters, and
// a body that has at least what the recording has, each of the same type.
type replay struct {
	t     testing.TB
	names []string
}

func (r *replay) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(r.names) == 0 {
		r.t.Errorf("an unexpected call: %s %s", req.Method, req.URL)
		return nil, fmt.Errorf("no recording is left")
	}
	name := r.names[0]
	r.names = r.names[1:]
	rec := recorded(r.t, name)
	if got, want := req.Method+" "+req.URL.Path, rec.Method+" "+rec.Path; got != want {
		r.t.Errorf("%s: call %s, recorded %s", name, got, want)
	}
	if rec.Query != nil {
		if d := cmp.Diff(slices.Sorted(maps.Keys(rec.Query)), slices.Sorted(maps.Keys(req.URL.Query()))); d != "" {
			r.t.Errorf("%s: parameters (-recorded +sent):\n%s", name, d)
		}
		for key, want := range rec.Query {
			// Numbers of ten digits are seconds; milliseconds have thirteen.
			if got := req.URL.Query().Get(key); digits(want) && (!digits(got) || len(got) != len(want)) {
				r.t.Errorf("%s: parameter %s is %q, recorded %q", name, key, got, want)
			}
		}
	}
	if got := req.Header.Get("Accept"); got == "" {
		r.t.Errorf("%s: no Accept header", name)
	}
	if rec.Request != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		if ct := req.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
			r.t.Errorf("%s: Content-Type %q", name, ct)
		}
		var sent, want any
		if json.Unmarshal(body, &sent) != nil || json.Unmarshal(rec.Request, &want) != nil {
			r.t.Fatalf("%s: a body is no JSON: %s", name, body)
		}
		for _, fault := range shape("", want, sent) {
			r.t.Errorf("%s: %s", name, fault)
		}
	}
	resp := &http.Response{
		StatusCode: rec.Status, Status: fmt.Sprintf("%d %s", rec.Status, http.StatusText(rec.Status)), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(string(rec.Response))), Request: req,
	}
	for k, v := range rec.Header {
		resp.Header.Set(k, v)
	}
	return resp, nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// shape lists what of want is missing in got or has another type.
func shape(at string, want, got any) []string {
	if w, ok := want.(map[string]any); ok {
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %T, recorded an object", at, got)}
		}
		var out []string
		for k := range w {
			if _, ok := g[k]; !ok {
				out = append(out, fmt.Sprintf("%s.%s is missing", at, k))
				continue
			}
			out = append(out, shape(at+"."+k, w[k], g[k])...)
		}
		return out
	}
	if a, b := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); a != b {
		return []string{fmt.Sprintf("%s is %s, recorded %s", at, b, a)}
	}
	return nil
}

// TestRecorded makes every call against the shapes of the official client.
func TestRecorded(t *testing.T) {
	hook := datadog.Webhook{Name: "profbot", URL: "https://example.com/webhook", Payload: `{"id": "$ID"}`, Variable: "PROFBOT_TOKEN", Token: "a-token-of-some-length"}
	event := incident.Event{Incident: "inc-7", Key: incident.Key{Service: "live-api", Monitor: "4242"}, Title: "a verdict", Text: "text", At: time.Now().Add(-time.Minute)}
	say := func(a ...any) string { return strings.TrimSuffix(fmt.Sprintln(a...), "\n") }
	for _, tc := range []struct {
		name  string
		calls []string
		do    func(ctx context.Context, c *datadog.Client) string
		want  string // what do returns ends with
	}{
		{"a metric without pods", []string{"query"}, func(ctx context.Context, c *datadog.Client) string {
			got, err := c.PodLoad(ctx, "live-api", "prod", incident.MeasureCPU, 0)
			return say(got, err)
		}, "[] <nil>"},
		{"loads of pods", []string{"query_by_pod"}, func(ctx context.Context, c *datadog.Client) string {
			got, err := c.PodLoad(ctx, "live-api", "prod", incident.MeasureCPU, 0)
			return say(got, err)
		}, "[{live-api-1  1.5 0 0} {live-api-0  0.5 0 0}] <nil>"},
		{"a monitor", []string{"monitor"}, func(ctx context.Context, c *datadog.Client) string {
			m, err := c.Monitor(ctx, "48359620")
			return say(m.ID, m.Name, m.Type, m.URL, *m.Critical, *m.Warning, err)
		}, "48359620 Test-Monitors-1633350129 log alert https://app.datadoghq.com/monitors/48359620 2 1 <nil>"},
		{"no such monitor", []string{"monitor_not_found"}, func(ctx context.Context, c *datadog.Client) string {
			_, err := c.Monitor(ctx, "12345")
			return say(err)
		}, "another organisation's?"},
		{"an event", []string{"event"}, func(ctx context.Context, c *datadog.Client) string { return say(c.PostEvent(ctx, event, false)) }, "<nil>"},
		{"an event that is too old", []string{"event_past"}, func(ctx context.Context, c *datadog.Client) string { return say(c.PostEvent(ctx, event, false)) }, `HTTP 400: "Event too far in the past"`},
		{"an event that is there", []string{"events"}, func(ctx context.Context, c *datadog.Client) string { return say(c.PostEvent(ctx, event, true)) }, "<nil>"},
		{"the API key", []string{"validate_forbidden"}, func(ctx context.Context, c *datadog.Client) string {
			_, err := c.Validate(ctx)
			return say(err)
		}, `HTTP 403: check datadog.api_key and datadog.site; it says "API key required"`},
		{"the clock", []string{"validate"}, func(ctx context.Context, c *datadog.Client) string {
			_, err := c.ClockSkew(ctx)
			return say(err)
		}, "its answer has no date"},
		{"a webhook to correct", []string{"variable", "variable_update", "webhook", "webhook_update"}, func(ctx context.Context, c *datadog.Client) string {
			steps, err := c.InstallWebhook(ctx, hook)
			return say(steps[0].Result, steps[1].Result, err)
		}, "updated updated <nil>"},
		{"a webhook without a header", []string{"webhook"}, func(ctx context.Context, c *datadog.Client) string {
			return say(c.CheckWebhook(ctx, "profbot", "https://example.com/webhook"))
		}, "sends no Authorization header"},
		{"a rule to correct", []string{"rules", "rule_update"}, func(ctx context.Context, c *datadog.Client) string {
			step, err := c.InstallRule(ctx, datadog.Rule{Tags: []string{"service:live-api"}, Webhook: "profbot"})
			return say(step.Result, err)
		}, "updated <nil>"},
		{"a new rule", []string{"rules", "rule_create"}, func(ctx context.Context, c *datadog.Client) string {
			step, err := c.InstallRule(ctx, datadog.Rule{Tags: []string{"team:live"}, Webhook: "profbot"})
			return say(step.Result, err)
		}, "created <nil>"},
		{"a rule that is refused", []string{"rules", "rule_bad"}, func(ctx context.Context, c *datadog.Client) string {
			_, err := c.InstallRule(ctx, datadog.Rule{Tags: []string{"team:live"}, Webhook: "profbot"})
			return say(err)
		}, `HTTP 400: "Invalid recipients: Recipient handle should not start with '@'"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &replay{t, tc.calls}
			c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, Metric: "system.cpu.idle", Transport: r})
			if err != nil {
				t.Fatal(err)
			}
			if got := tc.do(t.Context(), c); !strings.HasSuffix(got, tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if len(r.names) > 0 {
				t.Errorf("calls that were not made: %q", r.names)
			}
		})
	}
}

// TestRecordedCreates makes what is not there. What the recordings lack, the
// answer that there is nothing, stands between.
func TestRecordedCreates(t *testing.T) {
	r := &replay{t, []string{"variable_create", "webhook_create"}}
	c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, Transport: absent{r}})
	if err != nil {
		t.Fatal(err)
	}
	steps, err := c.InstallWebhook(t.Context(), datadog.Webhook{
		Name: "profbot", URL: "https://example.com/webhook", Payload: `{"id": "$ID"}`, Variable: "PROFBOT_TOKEN", Token: "a-token-of-some-length",
	})
	if err != nil || len(steps) != 2 || steps[0].Result != datadog.Created || steps[1].Result != datadog.Created || len(r.names) > 0 {
		t.Errorf("%v, %v, left %q", steps, err, r.names)
	}
	for _, tc := range []struct {
		recording, want string
	}{
		{"monitor_create", "https://app.datadoghq.com/monitors/107235710"},
		{"monitor_bad", "HTTP 400: \"The value provided for parameter 'query' is invalid"},
	} {
		r := &replay{t, []string{tc.recording}}
		c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, Transport: absent{r}})
		if err != nil {
			t.Fatal(err)
		}
		step, err := c.InstallMonitor(t.Context(), datadog.CPUMonitor{Service: "live-api", Webhook: "profbot"})
		if got := step.Note + fmt.Sprint(err); !strings.Contains(got, tc.want) || len(r.names) > 0 {
			t.Errorf("%s: %s", tc.recording, got)
		}
	}
}

// absent answers reading calls as though there was nothing, and gives the
// others to the replay.
type absent struct{ *replay }

func (a absent) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		return a.replay.RoundTrip(req)
	}
	status, body := http.StatusNotFound, `{"errors":["Not found"]}`
	switch req.URL.Path {
	case "/api/v1/monitor":
		status, body = http.StatusOK, `[]`
	case "/api/v1/query":
		status, body = http.StatusOK, `{"status":"ok","series":[]}`
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: req,
	}, nil
}
