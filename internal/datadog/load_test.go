package datadog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/datadog/datadogtest"
	"github.com/profbot/profbot/internal/incident"
)

func TestMemory(t *testing.T) {
	s, c := start(t, datadogtest.Options{Memory: func(service, env string) map[string]float64 {
		return map[string]float64{service + "-0": 1 << 30, service + "-1": 3 << 30}
	}})
	want := []incident.PodLoad{{Pod: "live-api-1", Bytes: 3 << 30}, {Pod: "live-api-0", Bytes: 1 << 30}}
	for _, unit := range []string{"bit", "byte", "kibibyte", "mebibyte", "gibibyte", "tebibyte", "pebibyte"} {
		s.SetMemoryUnit(unit)
		got, err := c.PodLoad(t.Context(), "live-api", "prod", incident.MeasureMemory, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, approx); d != "" {
			t.Errorf("%s (-want +got):\n%s", unit, d)
		}
	}
	for unit, want := range map[string]string{"": "has no unit; set it to byte", "nanocore": `unit "nanocore" is no unit of memory`, "page": `unit "page" is no`} {
		s.SetMemoryUnit(unit)
		if _, err := c.PodLoad(t.Context(), "live-api", "", incident.MeasureMemory, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("unit %q: error %v", unit, err)
		}
	}
	if q := s.Queries()[0]; q != "avg:container.memory.usage{service:live-api,env:prod} by {kube_namespace,pod_name}" {
		t.Errorf("query %q", q)
	}
	if _, err := c.PodLoad(t.Context(), "live-api", "", "disk", 0); err == nil || err.Error() != "no metric is known for disk" {
		t.Errorf("error %v", err)
	}
}

// TestEndpointRates: the names are those of the tags, and the busiest come first.
func TestEndpointRates(t *testing.T) {
	many := map[string]float64{}
	for i := range 300 {
		many[fmt.Sprintf("GET /%d", i)] = float64(i)
	}
	s, _ := start(t, datadogtest.Options{Endpoints: func(service, env string) map[string]float64 {
		switch service {
		case "live-api":
			return map[string]float64{"GET /live/list": 1200, "GET /users/{id}": 30, "POST /idle": 0}
		case "many":
			return many
		}
		return nil
	}})
	c := client(t, s, datadog.Options{Endpoints: "trace.http.request.hits"})
	rates, err := c.EndpointRates(t.Context(), "live-api", "prod", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]float64{"get_/live/list": 1200, "get_/users/_id": 30}, rates, approx); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got, ok := incident.RateOf(rates, "GET /users/{id}"); !ok || got != 30 {
		t.Errorf("%v, %v", got, ok)
	}
	if got := s.Queries()[0]; got != "top(sum:trace.http.request.hits{service:live-api,env:prod} by {resource_name}.as_rate(), 200, 'mean', 'desc')" {
		t.Errorf("query %q", got)
	}
	rates, err = c.EndpointRates(t.Context(), "many", "", 0)
	if _, ok := incident.RateOf(rates, "GET /299"); err != nil || len(rates) != 200 || !ok {
		t.Errorf("%d rates, %v, %v", len(rates), ok, err)
	}
	if got, err := c.EndpointRates(t.Context(), "nobody", "", 0); err != nil || len(got) != 0 {
		t.Errorf("no data: %v, %v", got, err)
	}
	if _, err := c.EndpointRates(t.Context(), "a}", "", 0); err == nil {
		t.Error("a service that is no tag was asked for")
	}
	none := client(t, s, datadog.Options{})
	if got, err := none.EndpointRates(t.Context(), "live-api", "", 0); err != nil || len(got) != 0 {
		t.Errorf("no metric: %v, %v", got, err)
	}
}

// TestFresh: the same question is asked once in a while.
func TestFresh(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		for _, tc := range []struct {
			after  time.Duration
			env    string
			window time.Duration
			asked  int
		}{
			{0, "prod", 0, 1},
			{14 * time.Second, "prod", 0, 1},
			{0, "", 0, 2},
			{0, "prod", time.Minute, 3},
			{time.Second, "prod", 0, 4}, // 15 s old
		} {
			time.Sleep(tc.after)
			got, err := c.PodLoad(t.Context(), "live-api", tc.env, incident.MeasureCPU, tc.window)
			if err != nil || len(got) != 3 {
				t.Fatal(got, err)
			}
			got[0] = incident.PodLoad{} // the caller's own
			if n := len(s.Queries()); n != tc.asked {
				t.Errorf("%+v: asked %d times", tc, n)
			}
		}
		s.FailNext(1, time.Hour)
		for range 2 { // a failure is not kept
			_, err := c.PodLoad(t.Context(), "gift-api", "", incident.MeasureCPU, 0)
			if err == nil {
				t.Error("no error")
			}
		}
	})
}

// TestShared: callers with one question at once share a call; one that leaves
// fails nobody else, and when all have left the call ends.
func TestShared(t *testing.T) {
	hang := make(chan struct{})
	s, _ := start(t, datadogtest.Options{OnQuery: func() { <-hang }})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		hang = make(chan struct{})
		ask := func(ctx context.Context) error {
			got, err := c.PodLoad(ctx, "live-api", "", incident.MeasureCPU, 0)
			if err == nil && len(got) != 3 {
				err = fmt.Errorf("got %v", got)
			}
			return err
		}
		leaving, leave := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		var errs [50]error
		for i := range errs {
			wg.Go(func() {
				ctx := t.Context()
				if i%2 == 0 {
					ctx = leaving
				}
				errs[i] = ask(ctx)
			})
			if i == 0 {
				synctest.Wait() // the one that leaves asks first
			}
		}
		synctest.Wait()
		leave(errors.New("gave up"))
		synctest.Wait()
		close(hang)
		wg.Wait()
		for i, err := range errs {
			if left := i%2 == 0; left && (err == nil || err.Error() != "ask Datadog for container.cpu.usage: gave up") || !left && err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		if n := len(s.Queries()); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		hang = make(chan struct{})
		defer close(hang)
		began := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("gave up"))
		defer cancel()
		if _, err := c.PodLoad(ctx, "live-api", "", incident.MeasureCPU, 0); err == nil || !strings.Contains(err.Error(), "gave up") {
			t.Error(err)
		}
		synctest.Wait()
		if time.Since(began) != time.Second {
			t.Error("somebody still waits")
		}
		// The next caller does not get the end of the call that was left.
		ctx, cancel = context.WithTimeoutCause(t.Context(), time.Second, errors.New("gave up again"))
		defer cancel()
		if _, err := c.PodLoad(ctx, "live-api", "", incident.MeasureCPU, 0); err == nil || !strings.Contains(err.Error(), "gave up again") {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// TestLimitUsedUp: when the headers say that no call is left, none is made
// until the period is over.
func TestLimitUsedUp(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		s.SetLimit("query", 3, time.Minute) // the bubble's clock begins at a whole minute
		ask := func(i int) error {
			_, err := c.PodLoad(t.Context(), fmt.Sprintf("service-%d", i), "", incident.MeasureCPU, 0)
			return err
		}
		time.Sleep(10 * time.Second)
		for i := range 3 {
			if err := ask(i); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for i := range 20 {
			err := ask(100 + i)
			want := `ask Datadog for container.cpu.usage: not asked, since Datadog's rate limit "query" is used up until 00:01:00 UTC (for 51s)`
			if err == nil || err.Error() != want {
				t.Fatalf("error %v\nwant  %s", err, want)
			}
		}
		if n := len(s.Queries()); n != 3 || time.Since(began) != 0 {
			t.Errorf("asked %d times in %s", n, time.Since(began))
		}
		// Another limit is not this one, and an answer that is kept is no call.
		if _, err := c.Monitor(t.Context(), "1"); err == nil || strings.Contains(err.Error(), "rate limit") {
			t.Errorf("error %v", err)
		}
		if err := ask(0); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Second)
		if err := ask(7); err != nil {
			t.Errorf("in the next period: %v", err)
		}
	})
}

// TestLimitInAStorm: what is left is counted before the answers come, so that
// many callers at once do not all ask.
func TestLimitInAStorm(t *testing.T) {
	s, _ := start(t, datadogtest.Options{})
	bubble(t, s, func(t *testing.T, c *datadog.Client) {
		s.SetLimit("query", 10, time.Minute)
		if _, err := c.PodLoad(t.Context(), "first", "", incident.MeasureCPU, 0); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { _, _ = c.PodLoad(t.Context(), fmt.Sprintf("s%d", i), "", incident.MeasureCPU, 0) })
		}
		wg.Wait()
		if n := len(s.Queries()); n != 10 {
			t.Errorf("asked %d times of 10", n)
		}
	})
}

// TestBroken: every way in which an answer can break ends in plain words
// within the time limit, and 5xx is asked once more.
func TestBroken(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault datadogtest.Fault
		asked int
		want  string
	}{
		{"500", datadogtest.Fault{Status: 500, Body: `{"errors":["Internal error"]}`}, 2, `HTTP 500: "Internal error"`},
		{"502 of a proxy", datadogtest.Fault{Status: 502}, 2, `HTTP 502: "<html><h1>Bad Gateway`},
		{"reset", datadogtest.Fault{Reset: true}, 1, "reset"},
		{"half", datadogtest.Fault{Half: true, After: true}, 1, "the connection was closed before the answer was complete"},
		{"half of JSON", datadogtest.Fault{Status: 200, Body: `{"status":"ok","series":[{`}, 1, "the answer is not understood"},
		{"a list", datadogtest.Fault{Status: 200, Body: `["hunter2"]`}, 1, "the answer is not understood: it is JSON of another shape"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // a repetition takes two seconds
			s, c := start(t, datadogtest.Options{})
			s.FaultNext(10, tc.fault)
			_, err := c.PodLoad(t.Context(), "live-api", "", incident.MeasureCPU, 0)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if n := len(s.Queries()); n != tc.asked {
				t.Errorf("asked %d times, want %d", n, tc.asked)
			}
		})
	}
}

// TestBounds: thousands of questions, and limits of as many names, are not all
// remembered, and the latest are.
func TestBounds(t *testing.T) {
	asked := 0
	c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, Transport: counted(func(r *http.Request) (*http.Response, error) {
		asked++
		limit := fmt.Sprintf("%d 1000 limit-%d", 60-asked%2*59, asked) // some end soon
		return answering{http.StatusOK, limit, []byte(`{"status":"ok","series":[]}`)}.RoundTrip(r)
	})})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		for range 2 {
			if _, err := c.PodLoad(t.Context(), fmt.Sprint("s", i), "", incident.MeasureCPU, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if asked != 2000 {
		t.Errorf("asked %d times", asked)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 5000 {
		if _, err := c.PodLoad(t.Context(), fmt.Sprint("t", i), "", incident.MeasureCPU, 0); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 {
		t.Errorf("%d bytes are held after 5,000 more questions", grown)
	}
}

type counted func(*http.Request) (*http.Response, error)

func (f counted) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestOddLimitHeaders: a header that makes no sense stops nothing.
func TestOddLimitHeaders(t *testing.T) {
	for _, limit := range []string{"", "60", "60 -1 query", "-5 0 query", "x 0 query", "60 x query", "99999999999999999999 0 query", "0 0 query", "60 0 " + strings.Repeat("n", 200)} {
		c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, Transport: answering{http.StatusOK, limit, []byte(`{"status":"ok","series":[]}`)}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, err := c.PodLoad(t.Context(), fmt.Sprint("s", i), "", incident.MeasureCPU, 0); err != nil {
				t.Errorf("%q: %v", limit, err)
			}
		}
	}
	// A period that is far too long is believed for an hour at most.
	now := time.Unix(1_700_000_000, 0)
	c, err := datadog.New(datadog.Options{APIKey: apiKey, AppKey: appKey, Now: func() time.Time { return now }, Fresh: -1, Transport: answering{http.StatusOK, "999999 0", []byte(`{"status":"ok"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", `rate limit "QueryMetrics" is used up until 23:13:20 UTC`, ""} {
		if i == 2 {
			now = now.Add(time.Hour)
		}
		if _, err := c.PodLoad(t.Context(), "s", "", incident.MeasureCPU, 0); fmt.Sprint(err) != "<nil>" && want == "" || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
