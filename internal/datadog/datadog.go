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

// Options configure a [Client]. APIKey and AppKey are required.
type Options struct {
	Site           string // "datadoghq.com" (the default), "datadoghq.eu", "us5.datadoghq.com", ...
	APIKey, AppKey string
	Metric         string        // of CPU, tagged with service, env and pod_name; "" means [DefaultMetric]
	Window         time.Duration // how far back to look; 0 means 10 minutes
	URL            string        // replaces https://api.SITE, for tests and proxies
	Logger         *slog.Logger  // nil discards
	Now            func() time.Time
	// Transport carries the requests; nil means the default transport.
	Transport http.RoundTripper
}

// Client asks Datadog. It is safe for concurrent use.
type Client struct {
	opt     Options
	metrics *v1.MetricsApi
}

// New returns a Client. It asks nothing yet.
func New(opt Options) (*Client, error) {
	if opt.APIKey == "" || opt.AppKey == "" {
		return nil, errors.New("new Datadog client: both the API key and the application key are required")
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
	if !metricName.MatchString(opt.Metric) {
		return nil, fmt.Errorf("new Datadog client: %q is no metric name", opt.Metric)
	}
	cfg := api.NewConfiguration()
	cfg.UserAgent = "profbot"
	cfg.HTTPClient = &http.Client{Timeout: 8 * time.Second, Transport: opt.Transport}
	// The caller's patience is ten seconds; one more try fits.
	cfg.RetryConfiguration = api.RetryConfiguration{EnableRetry: true, MaxRetries: 1, BackOffBase: 2, BackOffMultiplier: 2, HTTPRetryTimeout: 5 * time.Second}
	if opt.URL != "" {
		u, err := url.Parse(opt.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("new Datadog client: the API address is no http or https address")
		}
	}
	return &Client{opt: opt, metrics: v1.NewMetricsApi(api.NewAPIClient(cfg))}, nil
}

var (
	metricName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,199}$`)
	// tagValue is what Datadog allows in tags. A payload's service and env go
	// into a query, so nothing else may.
	tagValue = regexp.MustCompile(`^[\p{L}\p{N}_\-./:]{1,200}$`)
)

// Query is the metric query for a service's pods.
func (c *Client) Query(service, env string) (string, error) {
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
	return fmt.Sprintf("avg:%s{%s} by {pod_name}", c.opt.Metric, strings.Join(scope, ",")), nil
}

// PodLoad returns the mean CPU of each pod of a service over the window,
// hottest first. An empty env means any. No data is an empty list.
func (c *Client) PodLoad(ctx context.Context, service, env string) ([]incident.PodLoad, error) {
	query, err := c.Query(service, env)
	if err != nil {
		return nil, err
	}
	now := c.opt.Now()
	resp, hr, err := c.metrics.QueryMetrics(c.context(ctx), now.Add(-c.opt.Window).Unix(), now.Unix(), query)
	if hr != nil && hr.Body != nil {
		_ = hr.Body.Close() // read by the client
	}
	if err != nil {
		return nil, c.explain(ctx, hr, err)
	}
	if resp.GetStatus() == "error" || resp.GetError() != "" {
		return nil, fmt.Errorf("query %s: Datadog says %q", c.opt.Metric, resp.GetError())
	}
	var out []incident.PodLoad
	for _, s := range resp.GetSeries() {
		pod := podOf(s)
		mean, ok := meanOf(s.GetPointlist())
		if pod == "" || !ok {
			continue
		}
		factor, err := coresPer(s.GetUnit())
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", c.opt.Metric, err)
		}
		out = append(out, incident.PodLoad{Pod: pod, Cores: mean * factor})
	}
	slices.SortFunc(out, func(a, b incident.PodLoad) int {
		return cmp.Or(cmp.Compare(b.Cores, a.Cores), cmp.Compare(a.Pod, b.Pod))
	})
	return out, nil
}

// context adds keys and server to ctx, the client's way of configuring a call.
func (c *Client) context(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, api.ContextAPIKeys, map[string]api.APIKey{
		"apiKeyAuth": {Key: c.opt.APIKey}, "appKeyAuth": {Key: c.opt.AppKey},
	})
	if c.opt.URL != "" {
		u, err := url.Parse(c.opt.URL)
		if err != nil {
			return ctx // New has parsed it before
		}
		ctx = context.WithValue(ctx, api.ContextServerIndex, 1)
		return context.WithValue(ctx, api.ContextServerVariables, map[string]string{"name": u.Host, "protocol": u.Scheme})
	}
	return context.WithValue(ctx, api.ContextServerVariables, map[string]string{"site": c.opt.Site})
}

// explain turns a failed call into words that say what to do.
func (c *Client) explain(ctx context.Context, hr *http.Response, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if hr == nil {
		// The client's error may repeat the address, which is not secret, but
		// its query is long and says nothing.
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return fmt.Errorf("ask Datadog: %w", err)
	}
	words := ""
	if e, ok := errors.AsType[api.GenericOpenAPIError](err); ok {
		words = string(e.ErrorBody[:min(len(e.ErrorBody), 300)])
	}
	for _, secret := range []string{c.opt.APIKey, c.opt.AppKey} {
		words = strings.ReplaceAll(words, secret, "[redacted]")
	}
	switch hr.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("ask Datadog: HTTP %d: check datadog.api_key, datadog.app_key (scope timeseries_query) and datadog.site", hr.StatusCode)
	case http.StatusTooManyRequests:
		return fmt.Errorf("ask Datadog: HTTP 429: the rate limit %q is used up", hr.Header.Get("X-RateLimit-Name"))
	}
	return fmt.Errorf("ask Datadog: HTTP %d: %q", hr.StatusCode, words)
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

// coresPer converts the answer's unit to cores. The unit in the answer is
// believed, not the metric's name: integrations differ.
func coresPer(unit []v1.MetricsQueryUnit) (float64, error) {
	if len(unit) == 0 || unit[0].GetName() == "" {
		return 0, errors.New("the metric has no unit; set it to nanocore or core in Datadog's metric summary")
	}
	switch name := unit[0].GetName(); name {
	case "core":
		return 1, nil
	case "millicore":
		return 1e-3, nil
	case "microcore":
		return 1e-6, nil
	case "nanocore":
		return 1e-9, nil
	case "nanosecond": // per second: nanoseconds of CPU in each second
		return 1e-9, nil
	case "percent":
		return 0.01, nil
	default:
		return 0, fmt.Errorf("the metric's unit %q is no unit of CPU", name)
	}
}
