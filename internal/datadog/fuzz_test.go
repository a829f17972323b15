package datadog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/incident"
)

// answering answers every call with the same.
type answering struct {
	status int
	limit  string // X-RateLimit-Reset, -Remaining and -Name
	body   []byte
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	h := http.Header{"Content-Type": {"application/json"}}
	for i, key := range []string{"X-RateLimit-Reset", "X-RateLimit-Remaining", "X-RateLimit-Name"} {
		if words := strings.SplitN(a.limit, " ", 3); i < len(words) {
			h.Set(key, words[i])
		}
	}
	return &http.Response{StatusCode: a.status, Status: strconv.Itoa(a.status), Header: h, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswers: whatever the API answers, no call crashes, hangs, or brings a
// key or more than a few words into an error, and no load is no number.
func FuzzAnswers(f *testing.F) {
	names, err := filepath.Glob("testdata/recorded/*.json")
	if err != nil || len(names) < 20 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		r := recorded(f, strings.TrimSuffix(filepath.Base(name), ".json"))
		f.Add(r.Status, "60 599 event_stream_api", []byte(r.Response))
	}
	f.Add(200, "9223372036854775807 -1", []byte(`{"status":"ok","series":[{"scope":"pod_name:a","pointlist":[[1,1e308],[2,1e308],[null],[],[3]],"unit":[{"name":"kilocore","family":"cpu","scale_factor":1e300}]}]}`))
	f.Add(429, "5 0 query", []byte(apiKey+`{"errors":["`+appKey+`"]}`))
	f.Add(466, "", []byte(apiKey[:20]+"\xb9"+apiKey[20:])) // a key when the byte is taken out
	f.Add(200, "", []byte(`{"data":[{"id":"","attributes":{"filter":{"tags":null}}}]}`))
	f.Add(200, "", []byte(`[{"id":1,"tags":["service:live-api","created_by:profbot"],"options":{"thresholds":{"critical":null}}}]`))
	f.Add(200, "", []byte(`{"name":"x","url":"http://u:p@h/%zz","custom_headers":"{\"a\":1}","is_secret":"no"}`))
	f.Fuzz(func(t *testing.T, status int, limit string, body []byte) {
		if status < 200 || status > 499 || bytes.Contains(body, []byte(apiKey)) && status == 200 && len(body) > 1<<16 {
			return // 5xx is asked again, seconds later
		}
		c, err := datadog.New(datadog.Options{
			APIKey: apiKey, AppKey: appKey, Endpoints: "hits", Requests: "hits", Transport: answering{status, limit, body}, Fresh: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		// A 429 is waited for up to five seconds, which no fuzzer has.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var errs []error
		for _, of := range []incident.Measure{incident.MeasureCPU, incident.MeasureMemory} {
			loads, err := c.PodLoad(ctx, "live-api", "", of, 0)
			for _, l := range loads {
				if math.IsNaN(l.Cores+l.Bytes) || math.IsInf(l.Cores+l.Bytes, 0) || l.Pod == "" {
					t.Errorf("load %+v", l)
				}
			}
			errs = append(errs, err)
		}
		rates, err := c.EndpointRates(ctx, "live-api", "", 0)
		for name := range rates {
			incident.RateOf(rates, name)
		}
		_, merr := c.Monitor(ctx, "7")
		_, verr := c.Validate(ctx)
		_, serr := c.ClockSkew(ctx)
		_, herr := c.InstallWebhook(ctx, datadog.Webhook{Name: "profbot", URL: "https://x", Payload: "{}", Variable: "V", Token: "t"})
		_, ierr := c.InstallMonitor(ctx, datadog.CPUMonitor{Service: "live-api", Webhook: "profbot"})
		_, rerr := c.InstallRule(ctx, datadog.Rule{Tags: []string{"a:b"}, Webhook: "profbot"})
		errs = append(errs, err, merr, verr, serr, herr, ierr, rerr,
			c.PostEvent(ctx, incident.Event{Incident: "i", Title: "t"}, false), c.PostEvent(ctx, incident.Event{Incident: "i", Title: "t"}, true), c.CheckWebhook(ctx, "profbot", "https://x"))
		for _, err := range errs {
			if err == nil {
				continue
			}
			if s := err.Error(); strings.Contains(s, apiKey) || strings.Contains(s, appKey) || len(s) > 3000 {
				t.Errorf("a key, or too much, in %q", s)
			}
		}
	})
}

// FuzzEvent: whatever a verdict says, its event is within Datadog's limits and
// marked as Markdown from its beginning to its end.
func FuzzEvent(f *testing.F) {
	f.Add("inc-7", "title", "text", "https://profbot/i/7", "live-api", "prod", "42")
	f.Add("a b", "%%%", strings.Repeat("%", 5000), "%%%%%%%", "A", "", "x")
	f.Add("x", strings.Repeat("é", 600), strings.Repeat("é\n", 3000), "http://(\xff)", "\xff", "}", "")
	f.Fuzz(func(t *testing.T, id, title, text, link, service, env, monitor string) {
		var body map[string]any
		c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, DryRun: func(c datadog.Call) {
			if err := json.Unmarshal([]byte(c.Body), &body); err != nil {
				t.Errorf("body %s: %v", c.Body, err)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		e := incident.Event{Incident: id, Title: title, Text: text, URL: link, Key: incident.Key{Service: service, Env: env, Monitor: monitor}}
		if err := c.PostEvent(t.Context(), e, false); err != nil {
			return // no incident or no title
		}
		got, _ := body["text"].(string)
		if len(got) > 4000 || !strings.HasPrefix(got, "%%% \n") || !strings.HasSuffix(got, "\n %%%") || strings.Count(got, "%%%") != 2 {
			t.Errorf("text %q", got)
		}
		if s := body["title"].(string); len(s) > 500 || s == "" || strings.Contains(s, "\n") {
			t.Errorf("title %q", s)
		}
		if s := body["aggregation_key"].(string); len(s) > 100 {
			t.Errorf("key %q", s)
		}
		for _, tag := range body["tags"].([]any) {
			if s := tag.(string); len(s) > 200 || strings.ToLower(s) != s || strings.ContainsAny(s, " ,\n{}") {
				t.Errorf("tag %q", s)
			}
		}
	})
}
