package datadog_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		permissions []string
		missing     string // words of the failures, with ; between
	}{
		{nil, ""},
		{[]string{"timeseries_query", "monitors_read"}, "events_read"},
		{[]string{"events_read"}, "timeseries_query;monitors_read"},
	} {
		_, c := start(t, datadogtest.Options{Permissions: tc.permissions})
		access, err := c.Validate(t.Context())
		if err != nil || len(access) != 3 {
			t.Fatal(access, err)
		}
		var missing []string
		for _, a := range access {
			if a.Use == "" {
				t.Errorf("%s has no use", a.Permission)
			}
			if a.Err != nil {
				missing = append(missing, a.Permission)
				if !strings.Contains(a.Err.Error(), "lacks the permission "+a.Permission) {
					t.Errorf("error %v", a.Err)
				}
			}
		}
		if got := strings.Join(missing, ";"); got != tc.missing {
			t.Errorf("%v: missing %q, want %q", tc.permissions, got, tc.missing)
		}
	}
	s, _ := start(t, datadogtest.Options{})
	for _, tc := range []struct{ api, app, want string }{
		{"wrong", appKey, "check the API key at Datadog: HTTP 403: check datadog.api_key and datadog.site"},
		{apiKey, "wrong", ""},
	} {
		c, err := datadog.New(datadog.Options{APIKey: tc.api, AppKey: tc.app, URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		access, err := c.Validate(t.Context())
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) || access != nil {
				t.Errorf("%v, %v", access, err)
			}
			continue
		}
		if err != nil || access[0].Err == nil || !strings.Contains(access[0].Err.Error(), "datadog.app_key (scope timeseries_query)") {
			t.Errorf("%v, %v", access, err)
		}
	}
	if n := len(s.Writes()); n != 0 {
		t.Errorf("%d calls that write", n)
	}
}

func TestClockSkew(t *testing.T) {
	ahead := time.Duration(0)
	s, _ := start(t, datadogtest.Options{Now: func() time.Time { return time.Now().Add(ahead) }})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		for _, ahead = range []time.Duration{0, 5 * time.Minute, -2 * time.Hour} {
			got, err := c.ClockSkew(t.Context())
			if err != nil || (got-ahead).Abs() > time.Second {
				t.Errorf("%s ahead: %s, %v", ahead, got, err)
			}
		}
	})
}

func TestCheckWebhook(t *testing.T) {
	header := func(s string) *string { return &s }
	s, c := start(t, datadogtest.Options{})
	for _, tc := range []struct {
		have *datadogtest.Webhook
		want string
	}{
		{nil, `the webhook "profbot" in Datadog does not exist`},
		{&datadogtest.Webhook{URL: "https://user:hunter2@elsewhere/x?token=hunter2"}, `points to https://elsewhere/x and not to https://profbot/webhooks/datadog`},
		{&datadogtest.Webhook{URL: "https://profbot/webhooks/datadog"}, "sends no Authorization header"},
		{&datadogtest.Webhook{URL: "https://profbot/webhooks/datadog", CustomHeaders: header(`{"X-Team": "live"}`)}, "sends no Authorization header"},
		{&datadogtest.Webhook{URL: "https://profbot/webhooks/datadog", CustomHeaders: header(`{"authorization": "Bearer $PROFBOT_TOKEN"}`)}, ""},
	} {
		if tc.have != nil {
			tc.have.Name, tc.have.EncodeAs, tc.have.Payload = "profbot", "json", "{}"
			s.PutWebhook(*tc.have)
		}
		err := c.CheckWebhook(t.Context(), "profbot", "https://profbot/webhooks/datadog")
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: error %v", tc.have, err)
		}
		if want := "profbot install datadog --name profbot --url https://profbot"; err != nil && datadog.Next(err) != want {
			t.Errorf("the next step is %q", datadog.Next(err))
		}
	}
	s.FaultNext(1, datadogtest.Fault{Status: http.StatusBadRequest})
	if err := c.CheckWebhook(t.Context(), "profbot", "x"); err == nil || !strings.Contains(err.Error(), "HTTP 400") {
		t.Errorf("error %v", err)
	}
}
