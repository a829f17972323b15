package datadog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

// Access is whether the application key may do one thing that profbot wants.
type Access struct {
	Permission string // Datadog's name: "timeseries_query"
	Use        string // what profbot does with it, in a few plain words
	Err        error  // nil when it may; [Next] says what to do
}

// Validate tells whether the keys are good for what profbot reads. The error
// is about the API key and the site; each Access about the application key,
// which is asked nothing when there is an error. It makes four cheap calls and
// changes nothing. What installing needs beside (integrations_read,
// create_webhooks, manage_integrations, monitors_write,
// monitor_config_policy_write) is named when it is lacking.
func (c *Client) Validate(ctx context.Context) ([]Access, error) {
	if _, err := c.validate(ctx); err != nil {
		return nil, err
	}
	now := c.opt.Now()
	_, query := call(ctx, c, operation{"QueryMetrics", "ask Datadog for a metric", "timeseries_query"}, func(ctx context.Context) (v1.MetricsQueryResponse, *http.Response, error) {
		return c.metrics.QueryMetrics(ctx, now.Add(-time.Minute).Unix(), now.Unix(), fmt.Sprintf("avg:%s{*}", c.opt.Metric))
	})
	_, monitors := call(ctx, c, operation{"ListMonitors", "read a monitor", "monitors_read"}, func(ctx context.Context) ([]v1.Monitor, *http.Response, error) {
		return c.monitors.ListMonitors(ctx, *v1.NewListMonitorsOptionalParameters().WithPage(0).WithPageSize(1))
	})
	_, events := call(ctx, c, operation{"ListEvents", "read events", "events_read"}, func(ctx context.Context) (v1.EventListResponse, *http.Response, error) {
		return c.events.ListEvents(ctx, now.Add(-time.Minute).Unix(), now.Unix(), *v1.NewListEventsOptionalParameters().WithTags("source:profbot"))
	})
	return []Access{
		{"timeseries_query", "choose the hot pods", query},
		{"monitors_read", "show the monitor's name, query and thresholds", monitors},
		{"events_read", "find out whether an event was posted before", events},
	}, nil
}

// validate asks whether the API key is good, and returns the answer's header.
func (c *Client) validate(ctx context.Context) (http.Header, error) {
	var header http.Header
	v, err := call(ctx, c, operation{name: "Validate", doing: "check the API key at Datadog"}, func(ctx context.Context) (v1.AuthenticationValidationResponse, *http.Response, error) {
		v, hr, err := c.auth.Validate(ctx)
		if hr != nil {
			header = hr.Header
		}
		return v, hr, err
	})
	if err == nil && !v.GetValid() {
		err = fmt.Errorf("check the API key at Datadog: %w", &failure{
			words: fmt.Sprintf("%s does not know it; check datadog.api_key and datadog.site", c.opt.Site), next: c.renew(""),
		})
	}
	return header, err
}

// ClockSkew is how far Datadog's clock is ahead of this one, to about a
// second: events and queries with a time go wrong when it is minutes.
func (c *Client) ClockSkew(ctx context.Context) (time.Duration, error) {
	before := c.opt.Now()
	header, err := c.validate(ctx)
	after := c.opt.Now()
	if err != nil {
		return 0, err
	}
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0, errors.New("compare clocks with Datadog: its answer has no date")
	}
	// The date was written between the two, and its fraction of a second is
	// cut off.
	ours := before.Add(after.Sub(before) / 2)
	return theirs.Add(500 * time.Millisecond).Sub(ours).Round(time.Second), nil
}

// CheckWebhook tells whether the webhook of a name exists, points to the
// address and sends an Authorization header. [Next] of the error says what to do.
func (c *Client) CheckWebhook(ctx context.Context, name, address string) error {
	have, err := c.webhook(ctx, name)
	bad := func(format string, args ...any) error {
		return &failure{
			words: fmt.Sprintf("the webhook %q in Datadog ", name) + fmt.Sprintf(format, args...),
			next:  fmt.Sprintf("profbot install datadog --name %s --url %s", name, strings.TrimSuffix(address, "/webhooks/datadog")),
		}
	}
	switch {
	case statusOf(err) == http.StatusNotFound:
		return bad("does not exist")
	case err != nil:
		return err
	case have.GetUrl() != address:
		return bad("points to %s and not to %s", withoutSecrets(have.GetUrl()), address)
	}
	headers := map[string]string{}
	_ = json.Unmarshal([]byte(have.GetCustomHeaders()), &headers) // a text that is no JSON sends no header
	for k := range headers {
		if strings.EqualFold(k, "Authorization") {
			return nil
		}
	}
	return bad("sends no Authorization header")
}
