package datadog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/incident"
)

func TestMonitor(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	s.PutMonitor(datadogtest.Monitor{
		ID: 42, Name: "CPU of live-api", Type: "metric alert", Query: "avg(last_5m):avg:container.cpu.usage{service:live-api} by {pod_name} > 1500000000",
		Options: map[string]any{"thresholds": map[string]any{"critical": 1.5e9, "warning": 1.2e9}},
	})
	s.PutMonitor(datadogtest.Monitor{ID: 43, Name: "either", Type: "composite", Query: "42 || 44", Options: map[string]any{"thresholds": map[string]any{}}})
	// A later type than the client knows.
	s.PutMonitor(datadogtest.Monitor{ID: 44, Name: "of tomorrow", Type: "quantum alert", Query: "q > 1", Options: map[string]any{"thresholds": map[string]any{"critical": 1, "warning": nil}}})
	s.PutMonitor(datadogtest.Monitor{ID: 45, Name: "odd", Type: "quantum alert", Options: map[string]any{"thresholds": "none"}})
	critical, warning, one := 1.5e9, 1.2e9, 1.0
	for id, want := range map[string]incident.Monitor{
		"42": {ID: "42", Name: "CPU of live-api", Type: "query alert", Query: "avg(last_5m):avg:container.cpu.usage{service:live-api} by {pod_name} > 1500000000", Critical: &critical, Warning: &warning, URL: "https://app.datadoghq.com/monitors/42"},
		"43": {ID: "43", Name: "either", Type: "composite", Query: "42 || 44", URL: "https://app.datadoghq.com/monitors/43"},
		"44": {ID: "44", Name: "of tomorrow", Type: "quantum alert", Query: "q > 1", Critical: &one, URL: "https://app.datadoghq.com/monitors/44"},
		"45": {ID: "45", Name: "odd", Type: "quantum alert", URL: "https://app.datadoghq.com/monitors/45"},
	} {
		got, err := client(t, s, datadog.Options{}).Monitor(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", id, d)
		}
	}
	c := client(t, s, datadog.Options{})
	for id, want := range map[string]string{
		"": "is no monitor's id", "x": "is no monitor's id", "-1": "is no monitor's id", "42 or more": "is no monitor's id", "99999999999999999999": "is no monitor's id",
		strings.Repeat("9", 1000): "is no monitor's id", "7": "Datadog has none with this id",
	} {
		if _, err := c.Monitor(t.Context(), id); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%q: error %v", id, err)
		}
	}
}

func TestMonitorIsKept(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	id := s.PutMonitor(datadogtest.Monitor{ID: 42, Name: "CPU", Type: "metric alert", Query: "q", Options: map[string]any{}})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		for _, after := range []time.Duration{0, time.Minute, 3 * time.Minute} {
			time.Sleep(after)
			if m, err := c.Monitor(t.Context(), "42"); err != nil || m.Name != "CPU" {
				t.Fatal(m, err)
			}
		}
		if n := len(s.Calls()); n != 1 {
			t.Errorf("%d calls within 4 minutes", n)
		}
		time.Sleep(time.Minute)
		if _, err := c.Monitor(t.Context(), "42"); err != nil || len(s.Calls()) != 2 {
			t.Errorf("after 5 minutes: %d calls, %v", len(s.Calls()), err)
		}
	})
	if id != 42 {
		t.Error(id)
	}
}

// TestPages holds the addresses of pages to Datadog's table of sites.
func TestPages(t *testing.T) {
	for site, want := range map[string]string{
		"": "https://app.datadoghq.com", "datadoghq.com": "https://app.datadoghq.com", "datadoghq.eu": "https://app.datadoghq.eu", "ddog-gov.com": "https://app.ddog-gov.com",
		"us3.datadoghq.com": "https://us3.datadoghq.com", "us5.datadoghq.com": "https://us5.datadoghq.com", "ap1.datadoghq.com": "https://ap1.datadoghq.com", "ap2.datadoghq.com": "https://ap2.datadoghq.com",
	} {
		s, _ := start(t, datadogtest.Options{})
		s.PutMonitor(datadogtest.Monitor{ID: 7, Name: "n", Type: "metric alert", Query: "q", Options: map[string]any{}})
		m, err := client(t, s, datadog.Options{Site: site}).Monitor(t.Context(), "7")
		if err != nil || m.URL != want+"/monitors/7" {
			t.Errorf("%q: %s, %v", site, m.URL, err)
		}
	}
}
