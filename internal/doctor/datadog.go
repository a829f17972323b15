package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/profbot/profbot/internal/datadog"
	"github.com/profbot/profbot/internal/incident"
)

func (w *walk) datadog(ctx context.Context) {
	const area = "Datadog"
	d := w.Config.Datadog
	if d.APIKey == "" {
		w.tell(Result{
			Area: area, State: Skipped, What: "keys", Note: "none are configured, so pods are chosen by the alert or by name, not by load",
			Next: "set datadog.api_key and datadog.app_key to choose the hot pods",
		})
		return
	}
	c, err := datadog.New(datadog.Options{
		Site: d.Site, APIKey: d.APIKey.Reveal(), AppKey: d.AppKey.Reveal(), Metric: d.Metric, Memory: d.Memory, URL: d.APIURL, Logger: w.Logger, Now: w.Now,
	})
	if err != nil {
		w.result(area, "settings", "", err, "correct it below datadog in the configuration")
		return
	}
	access, err := c.Validate(ctx)
	w.result(area, "API key", "valid at "+d.Site, err, w.mendDatadog(err))
	if err != nil {
		return // every other call would say the same
	}
	if ahead, err := c.ClockSkew(ctx); err == nil {
		w.clocks = append(w.clocks, clock{"Datadog", ahead})
	}
	w.access(access)
	if access[0].Err == nil {
		w.metric(ctx, c)
	}
	w.webhook(ctx, c)
}

// access tells what the application key may do. Without the first permission
// an incident takes the wrong pods; without the others something is left out.
func (w *walk) access(access []datadog.Access) {
	const area = "Datadog"
	first, same := w.mendDatadog(access[0].Err), true
	for _, a := range access {
		same = same && w.mendDatadog(a.Err) == first
	}
	if same && first != "" { // it is about the key, not about what it may do
		w.result(area, "app key", "", fmt.Errorf("cannot choose the hot pods, nor anything else: %w", access[0].Err), first)
		return
	}
	for i, a := range access {
		r := Result{Area: area, What: "app key, " + a.Permission, Note: "may " + a.Use}
		if a.Err != nil {
			r.State, r.Note, r.Next = Warning, fmt.Sprintf("cannot %s: %v", a.Use, a.Err), w.mendDatadog(a.Err)
			if i == 0 {
				r.State = Bad
			}
		}
		w.tell(r)
	}
}

// webhook looks for the one that profbot install datadog makes. Alerts may
// come by another, so that none is a remark.
func (w *walk) webhook(ctx context.Context, c *datadog.Client) {
	if w.URL == "" {
		w.tell(Result{Area: "Datadog", State: Skipped, What: "webhook", Note: "profbot's public address is not known here", Next: "run it again with --url https://YOUR-PROFBOT"})
		return
	}
	r := Result{Area: "Datadog", What: "webhook", Note: fmt.Sprintf("%q leads to %s and carries a token", w.Webhook, w.URL)}
	if err := c.CheckWebhook(ctx, w.Webhook, strings.TrimRight(w.URL, "/")+"/webhooks/datadog"); err != nil {
		r.State, r.Note, r.Next = Warning, err.Error(), w.mendDatadog(err)
	}
	w.tell(r)
}

// mendDatadog is the next step after a call that failed; "" for none.
func (w *walk) mendDatadog(err error) string {
	if err == nil {
		return ""
	}
	d := w.Config.Datadog
	return cmp.Or(datadog.Next(err), server{"api." + cmp.Or(d.Site, datadog.DefaultSite), d.APIURL, "datadog.api_url"}.reach(err))
}

// metric looks whether the metrics that pods are chosen by have data, of the
// services that are configured by name.
func (w *walk) metric(ctx context.Context, c *datadog.Client) {
	if w.Config.Datadog.Metric == "" {
		return
	}
	for _, s := range w.chosen() {
		loads, err := c.PodLoad(ctx, s, "", incident.MeasureCPU, 0)
		r := Result{Area: "Datadog", What: w.Config.Datadog.Metric, Note: fmt.Sprintf("has data of %s of %s", count(len(loads), "pod"), s)}
		switch {
		case err != nil:
			r.State, r.Note, r.Next = Warning, err.Error(), w.mendDatadog(err)
		case len(loads) == 0:
			r.State, r.Note = Warning, fmt.Sprintf("has no data of pods of %s in the last minutes", s)
			r.Next = fmt.Sprintf("look in Datadog for %s{service:%s} by {pod_name}; another metric can be set with datadog.metric", w.Config.Datadog.Metric, s)
		}
		w.tell(r)
	}
}
