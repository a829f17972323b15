// Package datadog is profbot's side of Datadog's API: how busy the pods of a
// service are, what the monitor that fired is set to, how often each endpoint
// is called, an event with the verdict, and the installation of the webhook
// that calls profbot.
//
// It is the only package that knows the Datadog client, and it uses version 1
// of the API alone: compiling the client's version 2 costs minutes and
// gigabytes. The one call of version 2 that is needed goes through the
// client's core.
//
// Nothing here is needed for a capture. Every call is bounded in time, does
// not ask when Datadog's rate limit is known to be used up, and fails with
// words for the thread that never hold a key.
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
	"strings"
	"time"

	api "github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

// The metrics where none are given: those of the Agent's container check, a
// rate in nanocores and a gauge in bytes.
const (
	DefaultMetric = "container.cpu.usage"
	DefaultMemory = "container.memory.usage"
)

// DefaultSite is Datadog's site where none is given.
const DefaultSite = "datadoghq.com"

const (
	timeout    = 10 * time.Second // of one question with its repetition
	maxAnswer  = 16 << 20         // bytes; a pod's series is about 1 KiB
	queryPods  = "v1.MetricsApi.QueryMetrics"
	serverURL  = 1 // of the client's list: {protocol}://{name}
	serverSite = 0 // https://api.{site}
)

// Options configure a [Client]. APIKey and AppKey are required.
type Options struct {
	Site           string // "datadoghq.com" (the default), "datadoghq.eu", "us5.datadoghq.com", ...
	APIKey, AppKey string
	Metric         string // of CPU, tagged with service, env and pod_name; "" means [DefaultMetric]
	Memory         string // of memory, with the same tags; "" means [DefaultMemory]
	Requests       string // counter of requests with the same tags; "" means that rates of pods are not asked for
	// Endpoints is a counter of requests tagged with service, env and
	// resource_name; "" means that rates of endpoints are not asked for.
	Endpoints string
	Window    time.Duration // how far back to look; 0 means 10 minutes
	// Fresh is how long an answer about loads and rates is used again; 0 means
	// 15 seconds, and less than 0 never.
	Fresh  time.Duration
	URL    string           // replaces https://api.SITE, for tests and proxies
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil means time.Now
	// Transport carries the requests; nil means the default transport.
	Transport http.RoundTripper
	// Secrets are further texts that must not be seen in errors and in what
	// DryRun is given, such as a webhook's token.
	Secrets []string
	// DryRun, when not nil, is given every call that would change something,
	// in place of Datadog; the call then seems to have succeeded. Calls that
	// read are made.
	DryRun func(Call)
}

// Client asks Datadog. It is safe for concurrent use.
type Client struct {
	opt    Options
	server int               // index into the client's list of servers
	vars   map[string]string // what the server's address is made of
	secret *strings.Replacer // takes keys and secrets out of texts
	limits limits
	cache  cache
	looks  looks

	// reader repeats what failed once; writer does not, since a repeated POST
	// may do twice what an answer that got lost has done already.
	reader, writer *api.APIClient
	metrics        *v1.MetricsApi
	monitors       *v1.MonitorsApi
	events         *v1.EventsApi
	auth           *v1.AuthenticationApi
	webhooks       *v1.WebhooksIntegrationApi
}

// New returns a Client. It asks nothing yet.
func New(opt Options) (*Client, error) {
	if opt.APIKey == "" || opt.AppKey == "" {
		return nil, errors.New("new Datadog client: both the API key and the application key are required")
	}
	if opt.Window < 0 {
		return nil, errors.New("new Datadog client: the window must not be negative")
	}
	opt.Site = cmp.Or(opt.Site, DefaultSite)
	opt.Metric = cmp.Or(opt.Metric, DefaultMetric)
	opt.Memory = cmp.Or(opt.Memory, DefaultMemory)
	opt.Window = cmp.Or(opt.Window, 10*time.Minute)
	opt.Fresh = cmp.Or(opt.Fresh, 15*time.Second)
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Transport == nil {
		opt.Transport = http.DefaultTransport
	}
	for _, name := range []string{opt.Metric, opt.Memory, opt.Requests, opt.Endpoints} {
		if name != "" && !metricName.MatchString(name) {
			return nil, fmt.Errorf("new Datadog client: %q is no metric name", name)
		}
	}
	c := &Client{opt: opt, server: serverSite, vars: map[string]string{"site": opt.Site}, secret: replacer(opt)}
	if opt.URL != "" {
		u, err := url.Parse(opt.URL)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
			return nil, errors.New("new Datadog client: the API address is no http or https address of a host and a path")
		}
		c.server = serverURL
		c.vars = map[string]string{"protocol": u.Scheme, "name": u.Host + strings.TrimRight(u.EscapedPath(), "/")}
	}
	if _, err := api.NewConfiguration().ServerURLWithContext(c.context(context.Background()), queryPods); err != nil {
		return nil, fmt.Errorf("new Datadog client: %q is no Datadog site", opt.Site)
	}
	var write http.RoundTripper = limited{c}
	if opt.DryRun != nil {
		write = diverted{c}
	}
	c.reader, c.writer = apiClient(limited{c}, 1), apiClient(write, 0)
	c.metrics, c.monitors, c.events = v1.NewMetricsApi(c.reader), v1.NewMonitorsApi(c.reader), v1.NewEventsApi(c.reader)
	c.auth, c.webhooks = v1.NewAuthenticationApi(c.reader), v1.NewWebhooksIntegrationApi(c.reader)
	return c, nil
}

// apiClient makes one of the official client's clients.
func apiClient(transport http.RoundTripper, retries int) *api.APIClient {
	cfg := api.NewConfiguration()
	cfg.UserAgent = "profbot"
	cfg.HTTPClient = &http.Client{
		Transport: transport,
		// The keys travel in headers of Datadog's own, which net/http would
		// send along to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	// A limit that resets within a few seconds is worth waiting for once.
	cfg.RetryConfiguration = api.RetryConfiguration{
		EnableRetry: retries > 0, MaxRetries: retries, BackOffBase: 2, BackOffMultiplier: 2, HTTPRetryTimeout: timeout / 2,
	}
	return api.NewAPIClient(cfg)
}

var (
	metricName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,199}$`)
	// tagValue is what Datadog allows in tags. A payload's service and env go
	// into a query, so nothing else may.
	tagValue = regexp.MustCompile(`^[\p{L}\p{N}_\-./:]{1,200}$`)
)

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

// context adds keys and server to ctx, the client's way of configuring a call.
func (c *Client) context(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, api.ContextAPIKeys, map[string]api.APIKey{
		"apiKeyAuth": {Key: c.opt.APIKey}, "appKeyAuth": {Key: c.opt.AppKey},
	})
	ctx = context.WithValue(ctx, api.ContextServerIndex, c.server)
	return context.WithValue(ctx, api.ContextServerVariables, c.vars)
}

// site is the address of Datadog's pages. The rule is the one of Datadog's
// table of sites: a site of two labels ("datadoghq.com", "datadoghq.eu",
// "ddog-gov.com") has its pages at app.SITE, one of more ("us5.datadoghq.com")
// at SITE itself. Companies with a subdomain of their own are led there.
func (c *Client) site() string {
	if strings.Count(c.opt.Site, ".") == 1 {
		return "https://app." + c.opt.Site
	}
	return "https://" + c.opt.Site
}
