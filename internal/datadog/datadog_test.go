package datadog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/incident"
)

const (
	apiKey = "0123456789abcdef0123456789abcdef"
	appKey = "fedcba9876543210fedcba9876543210fedcba98"
)

func start(t *testing.T, opt datadogtest.Options) (*datadogtest.Server, *datadog.Client) {
	t.Helper()
	opt.APIKey, opt.AppKey = apiKey, appKey
	if opt.Loads == nil {
		opt.Loads = func(service, env string) map[string]float64 {
			if service == "live-api" && (env == "" || env == "prod") {
				return map[string]float64{"live-api-0": 0.1, "live-api-1": 1.75, "live-api-2": 0.5}
			}
			return nil
		}
	}
	s := datadogtest.New(opt)
	t.Cleanup(s.Close)
	c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

var approx = cmpopts.EquateApprox(1e-6, 0)

func TestPodLoad(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	want := []incident.PodLoad{{Pod: "live-api-1", Cores: 1.75}, {Pod: "live-api-2", Cores: 0.5}, {Pod: "live-api-0", Cores: 0.1}}
	for _, env := range []string{"prod", ""} {
		got, err := c.PodLoad(t.Context(), "live-api", env)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, approx); d != "" {
			t.Errorf("env %q (-want +got):\n%s", env, d)
		}
	}
	if d := cmp.Diff([]string{"avg:container.cpu.usage{service:live-api,env:prod} by {pod_name}", "avg:container.cpu.usage{service:live-api} by {pod_name}"}, s.Queries()); d != "" {
		t.Errorf("queries (-want +got):\n%s", d)
	}
	if got, err := c.PodLoad(t.Context(), "nobody", ""); err != nil || len(got) != 0 {
		t.Errorf("an unknown service: %v, %v", got, err)
	}
}

func TestUnits(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	for _, unit := range []string{"core", "millicore", "microcore", "nanocore"} {
		s.SetUnit(unit)
		got, err := c.PodLoad(t.Context(), "live-api", "")
		if err != nil || len(got) != 3 || !cmp.Equal(got[0].Cores, 1.75, approx) {
			t.Errorf("%s: %v, %v", unit, got, err)
		}
	}
	for unit, want := range map[string]string{"": "has no unit", "byte": `unit "byte" is no unit of CPU`} {
		s.SetUnit(unit)
		if _, err := c.PodLoad(t.Context(), "live-api", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("unit %q: error %v", unit, err)
		}
	}
}

// TestQueryInjection: service and env come from payloads.
func TestQueryInjection(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	for _, bad := range []string{"", "a}", "a,env:*", "*", "a b", "a{", "a\nb", strings.Repeat("a", 201)} {
		if _, err := c.PodLoad(t.Context(), bad, ""); err == nil {
			t.Errorf("service %q was asked for", bad)
		}
		if bad != "" {
			if _, err := c.PodLoad(t.Context(), "live-api", bad); err == nil {
				t.Errorf("env %q was asked for", bad)
			}
		}
	}
	if q := s.Queries(); len(q) != 0 {
		t.Errorf("queries were sent: %q", q)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("live-api", "prod")
	f.Add("a} by {host}", "")
	c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, service, env string) {
		q, err := c.Query(service, env)
		if err == nil && (strings.Count(q, "{") != 2 || strings.Count(q, "}") != 2 || strings.Count(q, ",") > 1) {
			t.Errorf("service %q env %q became %q", service, env, q)
		}
	})
}

func TestFailures(t *testing.T) {
	t.Run("wrong keys", func(t *testing.T) {
		s, _ := start(t, datadogtest.Options{})
		c, err := datadog.New(datadog.Options{APIKey: "wrong-api-key", AppKey: "wrong-app-key", URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.PodLoad(t.Context(), "live-api", "")
		if err == nil || !strings.Contains(err.Error(), "HTTP 403: check datadog.api_key") || strings.Contains(err.Error(), "wrong-a") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("rate limit, then an answer", func(t *testing.T) {
		s, c := start(t, datadogtest.Options{})
		s.FailNext(1)
		if got, err := c.PodLoad(t.Context(), "live-api", ""); err != nil || len(got) != 3 {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("nobody answers in time", func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("gave up"))
		defer cancel()
		_, c := start(t, datadogtest.Options{OnQuery: func() { <-ctx.Done() }})
		if _, err := c.PodLoad(ctx, "live-api", ""); err == nil || !strings.Contains(err.Error(), "gave up") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("nobody is there", func(t *testing.T) {
		s, c := start(t, datadogtest.Options{})
		s.Close()
		if _, err := c.PodLoad(t.Context(), "live-api", ""); err == nil || strings.Contains(err.Error(), apiKey) {
			t.Errorf("error %v", err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, opt := range map[string]datadog.Options{
		"no keys":    {},
		"bad metric": {APIKey: "a", AppKey: "b", Metric: "cpu{*}"},
		"bad URL":    {APIKey: "a", AppKey: "b", URL: "ftp://x"},
	} {
		if _, err := datadog.New(opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
