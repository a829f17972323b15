// Package datadog asks Datadog's API how busy the pods of a service are. It is
// the only package that knows the Datadog client, and it uses version 1 of the
// API alone: compiling the client's version 2 costs minutes and gigabytes.
package datadog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	api "github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/profbot/profbot/internal/incident"
)

// DefaultMetric is the CPU metric where none is given: the Agent's container
// check, a rate in nanocores.
const DefaultMetric = "container.cpu.usage"

const (
	timeout    = 10 * time.Second // of one question with its repetition
	maxAnswer  = 16 << 20         // bytes; a pod's series is about 1 KiB
	maxWords   = 300              // bytes quoted of an answer that is an error
	queryPods  = "v1.MetricsApi.QueryMetrics"
	serverURL  = 1 // of the client's list: {protocol}://{name}
	serverSite = 0 // https://api.{site}
)

// Options configure a [Client]. APIKey and AppKey are required.
type Options struct {
	Site           string // "datadoghq.com" (the default), "datadoghq.eu", "us5.datadoghq.com", ...
	APIKey, AppKey string
	Metric         string           // of CPU, tagged with service, env and pod_name; "" means [DefaultMetric]
	Requests       string           // counter of requests with the same tags; "" means that rates are not asked for
	Window         time.Duration    // how far back to look; 0 means 10 minutes
	URL            string           // replaces https://api.SITE, for tests and proxies
	Logger         *slog.Logger     // nil discards
	Now            func() time.Time // nil means time.Now
	// Transport carries the requests; nil means the default transport.
	Transport http.RoundTripper
}

// Client asks Datadog. It is safe for concurrent use.
type Client struct {
	opt     Options
	metrics *v1.MetricsApi
	server  int               // index into the client's list of servers
	vars    map[string]string // what the server's address is made of
}

// New returns a Client. It asks nothing yet.
func New(opt Options) (*Client, error) {
	if opt.APIKey == "" || opt.AppKey == "" {
		return nil, errors.New("new Datadog client: both the API key and the application key are required")
	}
	if opt.Window < 0 {
		return nil, errors.New("new Datadog client: the window must not be negative")
	}
	opt.Site = cmp.Or(opt.Site, "datadoghq.com")
	opt.Metric = cmp.Or(opt.Metric, DefaultMetric)
	opt.Window = cmp.Or(opt.Window, 10*time.Minute)
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Transport == nil {
		opt.Transport = http.DefaultTransport
	}
	if !metricName.MatchString(opt.Metric) {
		return nil, fmt.Errorf("new Datadog client: %q is no metric name", opt.Metric)
	}
	if opt.Requests != "" && !metricName.MatchString(opt.Requests) {
		return nil, fmt.Errorf("new Datadog client: %q is no metric name", opt.Requests)
	}
	c := &Client{opt: opt, server: serverSite, vars: map[string]string{"site": opt.Site}}
	if opt.URL != "" {
		u, err := url.Parse(opt.URL)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
			return nil, errors.New("new Datadog client: the API address is no http or https address of a host and a path")
		}
		c.server = serverURL
		c.vars = map[string]string{"protocol": u.Scheme, "name": u.Host + strings.TrimRight(u.EscapedPath(), "/")}
	}
	cfg := api.NewConfiguration()
	if _, err := cfg.ServerURLWithContext(c.context(context.Background()), queryPods); err != nil {
		return nil, fmt.Errorf("new Datadog client: %q is no Datadog site", opt.Site)
	}
	cfg.UserAgent = "profbot"
	cfg.HTTPClient = &http.Client{
		Transport: limited{opt.Transport},
		// The keys travel in headers of Datadog's own, which net/http would
		// send along to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	// A limit that resets within a few seconds is worth waiting for once.
	cfg.RetryConfiguration = api.RetryConfiguration{EnableRetry: true, MaxRetries: 1, BackOffBase: 2, BackOffMultiplier: 2, HTTPRetryTimeout: timeout / 2}
	c.metrics = v1.NewMetricsApi(api.NewAPIClient(cfg))
	return c, nil
}

// limited bounds the answers, which the client reads whole.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

var (
	metricName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,199}$`)
	// tagValue is what Datadog allows in tags. A payload's service and env go
	// into a query, so nothing else may.
	tagValue = regexp.MustCompile(`^[\p{L}\p{N}_\-./:]{1,200}$`)
)

// Query is the metric query for the CPU of a service's pods.
func (c *Client) Query(service, env string) (string, error) {
	scope, err := scope(service, env)
	return fmt.Sprintf("avg:%s{%s} by {pod_name}", c.opt.Metric, scope), err
}

// scope is the part of a query that names whose metric is wanted.
func scope(service, env string) (string, error) {
	scope := []string{}
	for _, tag := range []struct{ key, value string }{{"service", service}, {"env", env}} {
		if tag.value == "" && tag.key == "env" {
			continue
		}
		if !tagValue.MatchString(tag.value) {
			return "", fmt.Errorf("%s %q cannot be a Datadog tag: letters, digits and _-./: only", tag.key, tag.value)
		}
		scope = append(scope, tag.key+":"+strings.ToLower(tag.value))
	}
	return strings.Join(scope, ","), nil
}

// PodLoad returns the mean CPU of each pod of a service over the last window
// (0 means Options.Window), hottest first, with the rate of its requests if
// there is a metric for it. An empty env means any. No data is an empty list.
// It takes 10 seconds at most a metric, with one repetition when Datadog's rate
// limit or server asks for it. Errors have Datadog's words and never a key.
func (c *Client) PodLoad(ctx context.Context, service, env string, of incident.Measure, window time.Duration) ([]incident.PodLoad, error) {
	if of != incident.MeasureCPU {
		return nil, fmt.Errorf("no metric is known for %s", of)
	}
	query, err := c.Query(service, env)
	if err != nil {
		return nil, err
	}
	var out []incident.PodLoad
	err = c.each(ctx, c.opt.Metric, query, window, func(pod string, mean float64, unit []v1.MetricsQueryUnit) error {
		factor, err := coresPer(unit)
		if err == nil {
			out = append(out, incident.PodLoad{Pod: pod, Cores: mean * factor})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.opt.Requests != "" && len(out) > 0 {
		// Nice to have: without it pods are chosen all the same.
		if err := c.requests(ctx, service, env, window, out); err != nil {
			c.opt.Logger.WarnContext(ctx, "request rates unknown", "service", service, "error", err)
		}
	}
	slices.SortFunc(out, func(a, b incident.PodLoad) int {
		return cmp.Or(cmp.Compare(b.Cores, a.Cores), cmp.Compare(a.Pod, b.Pod))
	})
	return out, nil
}

// requests fills in the rates of requests.
func (c *Client) requests(ctx context.Context, service, env string, window time.Duration, loads []incident.PodLoad) error {
	scope, err := scope(service, env)
	if err != nil {
		return err
	}
	return c.each(ctx, c.opt.Requests, fmt.Sprintf("sum:%s{%s} by {pod_name}.as_rate()", c.opt.Requests, scope), window,
		func(pod string, mean float64, _ []v1.MetricsQueryUnit) error {
			for i := range loads {
				if loads[i].Pod == pod {
					loads[i].Requests = mean
				}
			}
			return nil
		})
}

// each asks a query and calls f with each pod's mean.
func (c *Client) each(ctx context.Context, metric, query string, window time.Duration, f func(pod string, mean float64, unit []v1.MetricsQueryUnit) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	now := c.opt.Now()
	resp, hr, err := c.metrics.QueryMetrics(c.context(ctx), now.Add(-cmp.Or(window, c.opt.Window)).Unix(), now.Unix(), query)
	if hr != nil {
		_ = hr.Body.Close() // read by the client
		c.opt.Logger.DebugContext(ctx, "asked Datadog for pod loads", "query", query, "status", hr.StatusCode, "series", len(resp.GetSeries()),
			"limit", hr.Header.Get("X-RateLimit-Name"), "remaining", hr.Header.Get("X-RateLimit-Remaining"))
	}
	if err != nil {
		return fmt.Errorf("ask Datadog for %s: %w", metric, c.explain(ctx, hr, err))
	}
	if resp.GetStatus() == "error" || resp.GetError() != "" {
		return fmt.Errorf("ask Datadog for %s: it says %q", metric, c.quote(resp.GetError()))
	}
	for _, s := range resp.GetSeries() {
		pod := podOf(s)
		mean, ok := meanOf(s.GetPointlist())
		if pod == "" || !ok {
			continue
		}
		if err := f(pod, mean, s.GetUnit()); err != nil {
			return fmt.Errorf("ask Datadog for %s: %w", metric, err)
		}
	}
	return nil
}

// context adds keys and server to ctx, the client's way of configuring a call.
func (c *Client) context(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, api.ContextAPIKeys, map[string]api.APIKey{
		"apiKeyAuth": {Key: c.opt.APIKey}, "appKeyAuth": {Key: c.opt.AppKey},
	})
	ctx = context.WithValue(ctx, api.ContextServerIndex, c.server)
	return context.WithValue(ctx, api.ContextServerVariables, c.vars)
}

// explain turns a failed call into words that say what to do.
func (c *Client) explain(ctx context.Context, hr *http.Response, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	answer, ok := errors.AsType[api.GenericOpenAPIError](err)
	if hr == nil || !ok {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the address and its long query
		}
		return err
	}
	words := string(answer.ErrorBody)
	switch status := hr.StatusCode; {
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fmt.Errorf("HTTP %d: check datadog.api_key, datadog.app_key (scope timeseries_query) and datadog.site; it says %q", status, c.quote(words))
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("HTTP 429: the rate limit %q is used up for %s s", hr.Header.Get("X-RateLimit-Name"), cmp.Or(hr.Header.Get("X-RateLimit-Reset"), "?"))
	case status >= 300 && status < 400:
		return fmt.Errorf("HTTP %d: redirects are not followed, since the keys would go along; check datadog.site and datadog.api_url", status)
	case status == http.StatusOK:
		return fmt.Errorf("the answer is not understood: it begins with %q", c.quote(words))
	default:
		return fmt.Errorf("HTTP %d: %q", status, c.quote(words))
	}
}

// quote shortens what Datadog says and takes the keys out of it.
func (c *Client) quote(words string) string {
	words = strings.NewReplacer(c.opt.APIKey, "[...]", c.opt.AppKey, "[...]").Replace(words)
	return strings.ToValidUTF8(words[:min(len(words), maxWords)], "")
}

func podOf(s v1.MetricsQueryMetadata) string {
	for _, tag := range append(slices.Clone(s.GetTagSet()), strings.Split(s.GetScope(), ",")...) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(tag), "pod_name:"); ok {
			return v
		}
	}
	return ""
}

// meanOf averages the points that have a value.
func meanOf(points [][]*float64) (mean float64, ok bool) {
	n := 0
	for _, p := range points {
		if len(p) > 1 && p[1] != nil {
			mean += *p[1]
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	return mean / float64(n), true
}

// coresPer says how many cores one of the answer's unit is. The unit in the
// answer is believed, not the metric's name: integrations differ.
func coresPer(unit []v1.MetricsQueryUnit) (float64, error) {
	if len(unit) == 0 || unit[0].GetName() == "" {
		return 0, errors.New("the metric has no unit; set it to nanocore or core in Datadog's metric summary")
	}
	u := unit[0]
	switch u.GetName() {
	case "core":
		return 1, nil
	case "millicore":
		return 1e-3, nil
	case "microcore":
		return 1e-6, nil
	case "nanocore":
		return 1e-9, nil
	}
	// Datadog gives a unit's size in the base unit of its family: the core.
	if u.GetFamily() == "cpu" && u.GetScaleFactor() > 0 {
		return u.GetScaleFactor(), nil
	}
	return 0, fmt.Errorf("the metric's unit %q is no unit of CPU; core, millicore, microcore and nanocore are", u.GetName())
}
