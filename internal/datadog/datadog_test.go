package datadog_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	return s, client(t, s, datadog.Options{Fresh: -1})
}

// client is a client of s with the right keys.
func client(t *testing.T, s *datadogtest.Server, opt datadog.Options) *datadog.Client {
	t.Helper()
	opt.APIKey, opt.AppKey, opt.URL = apiKey, appKey, s.URL
	c, err := datadog.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var approx = cmpopts.EquateApprox(1e-6, 0)

func TestPodLoad(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	want := []incident.PodLoad{{Pod: "live-api-1", Cores: 1.75}, {Pod: "live-api-2", Cores: 0.5}, {Pod: "live-api-0", Cores: 0.1}}
	for _, env := range []string{"prod", ""} {
		got, err := c.PodLoad(t.Context(), "live-api", env, incident.MeasureCPU, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, approx); d != "" {
			t.Errorf("env %q (-want +got):\n%s", env, d)
		}
	}
	if d := cmp.Diff([]string{"avg:container.cpu.usage{service:live-api,env:prod} by {kube_namespace,pod_name}", "avg:container.cpu.usage{service:live-api} by {kube_namespace,pod_name}"}, s.Queries()); d != "" {
		t.Errorf("queries (-want +got):\n%s", d)
	}
	if got, err := c.PodLoad(t.Context(), "nobody", "", incident.MeasureCPU, 0); err != nil || len(got) != 0 {
		t.Errorf("an unknown service: %v, %v", got, err)
	}
}

// Request rates come beside the loads, and never in their way.
func TestRequests(t *testing.T) {
	s := datadogtest.New(datadogtest.Options{
		APIKey: "api", AppKey: "app", Loads: func(string, string) map[string]float64 { return map[string]float64{"a": 2, "b": 1} },
		Rates: func(string, string) map[string]float64 { return map[string]float64{"a": 300, "elsewhere": 7} },
	})
	defer s.Close()
	for _, tc := range []struct {
		metric string
		want   []incident.PodLoad
	}{
		{"trace.http.request.hits", []incident.PodLoad{{Pod: "a", Cores: 2, Requests: 300}, {Pod: "b", Cores: 1}}},
		{"no.such.counter", []incident.PodLoad{{Pod: "a", Cores: 2}, {Pod: "b", Cores: 1}}},
		{"", []incident.PodLoad{{Pod: "a", Cores: 2}, {Pod: "b", Cores: 1}}},
	} {
		c, err := datadog.New(datadog.Options{APIKey: "api", AppKey: "app", URL: s.URL, Requests: tc.metric})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.PodLoad(t.Context(), "live-api", "prod", incident.MeasureCPU, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tc.want, got, approx); d != "" {
			t.Errorf("%q (-want +got):\n%s", tc.metric, d)
		}
	}
	if got := s.Queries()[1]; got != "sum:trace.http.request.hits{service:live-api,env:prod} by {kube_namespace,pod_name}.as_rate()" {
		t.Errorf("query %q", got)
	}
	if _, err := datadog.New(datadog.Options{APIKey: "api", AppKey: "app", Requests: "hits{*}"}); err == nil {
		t.Error("a query was taken for a metric's name")
	}
}

// TestNamespaces: pods of one name are told apart where the metric can. What
// the metric of requests does not tell is taken by name where that is one pod's.
func TestNamespaces(t *testing.T) {
	s, _ := start(t, datadogtest.Options{
		Loads: func(string, string) map[string]float64 {
			return map[string]float64{"live/api-0": 2, "gift/api-0": 1, "api-1": 0.5, "live/api-2": 0.25}
		},
		Rates: func(string, string) map[string]float64 {
			return map[string]float64{"live/api-0": 300, "api-0": 7, "api-1": 20, "api-2": 10}
		},
	})
	c := client(t, s, datadog.Options{Fresh: -1, Requests: "trace.http.request.hits"})
	want := []incident.PodLoad{
		{Pod: "api-0", Namespace: "live", Cores: 2, Requests: 300},
		{Pod: "api-0", Namespace: "gift", Cores: 1},
		{Pod: "api-1", Cores: 0.5, Requests: 20},
		{Pod: "api-2", Namespace: "live", Cores: 0.25, Requests: 10},
	}
	got, err := c.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, approx); d != "" {
		t.Errorf("loads (-want +got):\n%s", d)
	}
}

func TestUnits(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	for _, unit := range []string{"core", "millicore", "microcore", "nanocore", "kilocore"} {
		s.SetUnit(unit)
		got, err := c.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0)
		if err != nil || len(got) != 3 || !cmp.Equal(got[0].Cores, 1.75, approx) {
			t.Errorf("%s: %v, %v", unit, got, err)
		}
	}
	for unit, want := range map[string]string{"": "has no unit", "byte": `unit "byte" is no unit of CPU`, "percent": `unit "percent" is no`} {
		s.SetUnit(unit)
		if _, err := c.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("unit %q: error %v", unit, err)
		}
	}
}

// TestQueryInjection: service and env come from payloads.
func TestQueryInjection(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	for _, bad := range []string{"", "a}", "a,env:*", "*", "a b", "a{", "a\nb", strings.Repeat("a", 201)} {
		if _, err := c.PodLoad(t.Context(), bad, "", incident.MeasureCPU, 0); err == nil {
			t.Errorf("service %q was asked for", bad)
		}
		if bad != "" {
			if _, err := c.PodLoad(t.Context(), "live-api", bad, incident.MeasureCPU, 0); err == nil {
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
		within, ours := strings.CutSuffix(q, " by {kube_namespace,pod_name}")
		if err == nil && (!ours || strings.Count(within, "{") != 1 || strings.Count(within, "}") != 1 || strings.Count(within, ",") > 1) {
			t.Errorf("service %q env %q became %q", service, env, q)
		}
	})
}

// bubble runs f in a synctest bubble with a client whose requests go straight
// to the handler of s: time passes only when everybody waits.
func bubble(t *testing.T, s *datadogtest.Server, f func(t *testing.T, c *datadog.Client)) {
	synctest.Test(t, func(t *testing.T) {
		c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, URL: s.URL, Transport: direct{s.Config.Handler}})
		if err != nil {
			t.Fatal(err)
		}
		f(t, c)
	})
}

type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody // what a server's handler gets
	}
	done := make(chan *http.Response, 1)
	go func() { // ended by the handler
		rec := httptest.NewRecorder()
		d.ServeHTTP(rec, r)
		done <- rec.Result()
	}()
	select {
	case resp := <-done:
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func TestRateLimit(t *testing.T) {
	for _, tc := range []struct {
		name    string
		refuse  int
		reset   time.Duration
		patient time.Duration // of the caller
		asked   int
		err     string
	}{
		{"resets soon", 1, 3 * time.Second, time.Minute, 2, ""},
		{"resets late", 1, time.Minute, time.Minute, 1, `HTTP 429: the rate limit "query" is used up for 60 s`},
		{"refuses twice", 2, time.Second, time.Minute, 2, "HTTP 429"},
		{"caller cannot wait", 1, 3 * time.Second, time.Second, 1, "ask Datadog for container.cpu.usage: gave up"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := start(t, datadogtest.Options{})
			bubble(t, s, func(t *testing.T, c *datadog.Client) {
				s.FailNext(tc.refuse, tc.reset)
				began := time.Now()
				ctx, cancel := context.WithTimeoutCause(t.Context(), tc.patient, errors.New("gave up"))
				defer cancel()
				got, err := c.PodLoad(ctx, "live-api", "", incident.MeasureCPU, 0)
				if tc.err == "" && (err != nil || len(got) != 3) || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
					t.Errorf("%v, %v", got, err)
				}
				if n := len(s.Queries()); n != tc.asked {
					t.Errorf("asked %d times, want %d", n, tc.asked)
				}
				if took := time.Since(began); took > 10*time.Second || took > tc.patient {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestTimeout(t *testing.T) {
	var hang chan struct{}
	s, _ := start(t, datadogtest.Options{OnQuery: func() { <-hang }})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		hang = make(chan struct{})
		defer close(hang)
		began := time.Now()
		_, err := c.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0)
		if want := "ask Datadog for container.cpu.usage: no answer within 10s"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %s", took)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("profbot is stopping"))
		if _, err := c.PodLoad(ctx, "live-api", "", incident.MeasureCPU, 0); err == nil || !strings.Contains(err.Error(), "profbot is stopping") {
			t.Errorf("error %v", err)
		}
	})
}

// TestAnswers is about servers that answer as they should not. None may bring
// a key into an error.
func TestAnswers(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"keys refused", 403, `{"errors":["key ` + apiKey + ` and ` + appKey + ` are wrong"]}`, `HTTP 403: check datadog.api_key, datadog.app_key (scope timeseries_query) and datadog.site; it says "key [...] and [...] are wrong"`},
		{"a bad query", 400, `{"errors":["Error parsing query"]}`, `HTTP 400: "Error parsing query"`},
		{"a key where the quote ends", 400, strings.Repeat("x", 290) + apiKey, "HTTP 400: \"xxx"},
		{"elsewhere", 307, "", "redirects are not followed"},
		{"an error in an answer", 200, `{"status":"error","error":"no such metric for ` + appKey + `"}`, `it says "no such metric for [...]"`},
		{"no JSON", 200, `<html>` + apiKey, `the answer is not understood: it begins with "<html>[...]"`},
		{"endless", 200, `{"message":"` + strings.Repeat("x", 17<<20), "the answer is larger than 16 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Location", other.URL)
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body) // a client that has enough goes away
			}))
			defer s.Close()
			c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, URL: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %s", err, tc.want)
			}
			if strings.Contains(err.Error(), apiKey[:8]) || strings.Contains(err.Error(), appKey[:8]) || len(err.Error()) > 600 {
				t.Errorf("a key, or too much, in %v", err)
			}
		})
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestFailures(t *testing.T) {
	s, c := start(t, datadogtest.Options{})
	wrong, err := datadog.New(datadog.Options{APIKey: "wrong-api-key", AppKey: "wrong-app-key", URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = wrong.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0); err == nil || !strings.Contains(err.Error(), "HTTP 403: check datadog.api_key") || strings.Contains(err.Error(), "wrong-a") {
		t.Errorf("wrong keys: %v", err)
	}
	s.Close()
	_, err = c.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0)
	if err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), apiKey) || strings.Contains(err.Error(), "query=") {
		t.Errorf("nobody is there: %v", err)
	}
}

// TestURLWithPath: an API behind a proxy may have a path of its own.
func TestURLWithPath(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	proxy := httptest.NewServer(http.StripPrefix("/dd", s.Config.Handler))
	defer proxy.Close()
	c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, URL: proxy.URL + "/dd/"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.PodLoad(t.Context(), "live-api", "prod", incident.MeasureCPU, 0); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, opt := range map[string]datadog.Options{
		"no keys":    {},
		"bad metric": {APIKey: "a", AppKey: "b", Metric: "cpu{*}"},
		"bad URL":    {APIKey: "a", AppKey: "b", URL: "ftp://x"},
		"password":   {APIKey: "a", AppKey: "b", URL: "https://u:secret@x"},
		"bad site":   {APIKey: "a", AppKey: "b", Site: "example.com"},
		"bad window": {APIKey: "a", AppKey: "b", Window: -1},
	} {
		if _, err := datadog.New(opt); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, site := range []string{"", "datadoghq.eu", "us5.datadoghq.com", "ddog-gov.com"} {
		if _, err := datadog.New(datadog.Options{APIKey: "a", AppKey: "b", Site: site}); err != nil {
			t.Errorf("site %q: %v", site, err)
		}
	}
}
