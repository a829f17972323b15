package datadog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

// CPUMonitor is a monitor of the CPU of each pod of a service, which calls
// profbot for the pod that uses too much.
type CPUMonitor struct {
	Service string
	Env     string // "" watches the service in every env
	Webhook string // name, as in @webhook-NAME
	// Critical and Warning are the cores of one pod, over five minutes. Zero
	// leaves what is set; a new monitor then has a critical threshold of one
	// core and no warning.
	Critical, Warning float64
}

// defaultCritical is the threshold of a new monitor, in cores: one pod keeps a
// whole core busy.
const defaultCritical = 1

// knownUnits are the units of metrics whose answers cannot say, since nothing
// reports them yet: cores in one unit.
var knownUnits = map[string]float64{DefaultMetric: 1e-9, "kubernetes.cpu.usage.total": 1e-9}

// InstallMonitor makes the monitor, or brings the one it made before (known by
// its tags) to the thresholds that are given. What people changed about it
// stays: of its query only the threshold at the end is written, and of its
// message nothing but the webhook, where it is missing. The note has the
// monitor's address. With an error the step says what was tried.
func (c *Client) InstallMonitor(ctx context.Context, m CPUMonitor) (Step, error) {
	step := Step{What: "monitor of " + m.Service, Result: Unchanged}
	if m.Env != "" {
		step.What += " in " + m.Env
	}
	within, err := scope(m.Service, m.Env)
	if err != nil {
		return step, err
	}
	if !webhookName.MatchString(m.Webhook) {
		return step, fmt.Errorf("%q is no name of a webhook: letters, digits, _ and - only", m.Webhook)
	}
	for _, v := range []float64{m.Critical, m.Warning} {
		if !(v >= 0 && v <= 1e6) {
			return step, fmt.Errorf("%v cores are no threshold: write a number above 0", v)
		}
	}
	tags := append(strings.Split(within, ","), "created_by:profbot")
	have, err := c.ourMonitor(ctx, tags, m.Env)
	if err != nil {
		return step, err
	}
	if have == nil {
		step.Result = Created
		return c.createMonitor(ctx, step, m, within, tags)
	}
	// Not the client's constructor: its defaults would publish a draft.
	body, changes := &v1.MonitorUpdateRequest{}, []string{}
	if m.Critical > 0 || m.Warning > 0 {
		changed, err := c.moveThresholds(ctx, m, have, body)
		if err != nil {
			return step, err
		}
		if changed {
			changes = append(changes, "thresholds")
		}
	}
	if handle := "@webhook-" + m.Webhook; !slices.Contains(strings.Fields(have.GetMessage()), handle) {
		body.SetMessage(strings.TrimSpace(have.GetMessage() + "\n\n" + handle))
		changes = append(changes, handle)
	}
	step.Note = c.monitorURL(have.GetId())
	if len(changes) == 0 {
		return step, nil
	}
	step.Result, step.Note = Updated, strings.Join(changes, ", ")+"; "+step.Note
	op := operation{"UpdateMonitor", fmt.Sprintf("update the monitor %d", have.GetId()), "monitors_write"}
	_, err = call(ctx, c, op, func(ctx context.Context) (v1.Monitor, *http.Response, error) {
		return v1.NewMonitorsApi(c.writer).UpdateMonitor(ctx, have.GetId(), *body)
	})
	return step, err
}

// threshold is the end of a query that alerts above a number.
var threshold = regexp.MustCompile(`(> ?=? *)[0-9.eE+-]+\s*$`)

// moveThresholds writes the thresholds that are given into an update, and
// reports whether they differ from what is set.
func (c *Client) moveThresholds(ctx context.Context, m CPUMonitor, have *v1.Monitor, body *v1.MonitorUpdateRequest) (changed bool, err error) {
	per, err := c.coreUnit(ctx, m.Service, m.Env)
	if err != nil {
		return false, err
	}
	want, err := m.thresholds(have.GetOptions().Thresholds, per)
	if err != nil || sameThresholds(have.GetOptions().Thresholds, want) {
		return false, err
	}
	if !threshold.MatchString(have.GetQuery()) {
		return false, fmt.Errorf("the query of %s does not end in a threshold any more: change it there", c.monitorURL(have.GetId()))
	}
	body.SetQuery(threshold.ReplaceAllString(have.GetQuery(), "${1}"+number(want.GetCritical())))
	options := have.GetOptions()
	options.Thresholds = want
	body.SetOptions(options)
	return true, nil
}

func (c *Client) createMonitor(ctx context.Context, step Step, m CPUMonitor, within string, tags []string) (Step, error) {
	per, err := c.coreUnit(ctx, m.Service, m.Env)
	if err != nil {
		return step, err
	}
	want, err := m.thresholds(nil, per)
	if err != nil {
		return step, err
	}
	query := fmt.Sprintf("avg(last_5m):avg:%s{%s} by {pod_name} > %s", c.opt.Metric, within, number(want.GetCritical()))
	body := &v1.Monitor{Query: query, Type: v1.MONITORTYPE_METRIC_ALERT}
	name := "CPU of " + m.Service
	if m.Env != "" {
		name += " in " + m.Env
	}
	body.SetName(name + ": {{pod_name.name}}")
	body.SetMessage("{{pod_name.name}} uses {{value}} of CPU, more than {{threshold}}. profbot takes its profile and tells in Slack what it does.\n\n@webhook-" + m.Webhook)
	body.SetTags(tags)
	options := &v1.MonitorOptions{Thresholds: want}
	options.SetIncludeTags(true)
	options.SetNotifyNoData(false) // a service that is scaled to nothing is not hot
	options.SetRequireFullWindow(false)
	// A process that starts warms up and fills its caches.
	options.SetNewGroupDelay(int64(2 * time.Minute / time.Second))
	body.SetOptions(*options)
	op := operation{"CreateMonitor", "create the " + step.What, "monitors_write"}
	made, err := call(ctx, c, op, func(ctx context.Context) (v1.Monitor, *http.Response, error) {
		return v1.NewMonitorsApi(c.writer).CreateMonitor(ctx, *body)
	})
	if err == nil && made.GetId() > 0 {
		step.Note = c.monitorURL(made.GetId())
	}
	return step, err
}

// ourMonitor finds the monitor that was made before; nil when there is none.
func (c *Client) ourMonitor(ctx context.Context, tags []string, env string) (*v1.Monitor, error) {
	op := operation{"ListMonitors", "look for the monitor at Datadog", "monitors_read"}
	all, err := call(ctx, c, op, func(ctx context.Context) ([]v1.Monitor, *http.Response, error) {
		return c.monitors.ListMonitors(ctx, *v1.NewListMonitorsOptionalParameters().WithMonitorTags(strings.Join(tags, ",")).WithPage(0).WithPageSize(100))
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(m v1.Monitor) bool {
		have := m.GetTags()
		// Without an env it must not be the monitor of one.
		other := env == "" && slices.ContainsFunc(have, func(t string) bool { return strings.HasPrefix(t, "env:") })
		missing := slices.ContainsFunc(tags, func(t string) bool { return !slices.Contains(have, t) })
		return other || missing || m.GetId() == 0
	})
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return &all[0], nil
	}
	var pages []string
	for _, m := range all {
		pages = append(pages, c.monitorURL(m.GetId()))
	}
	return nil, fmt.Errorf("several monitors have the tags %s: keep one of %s", strings.Join(tags, ", "), strings.Join(pages, ", "))
}

// coreUnit says how many cores one of the metric's unit is, as Datadog's
// answer says, or, when nothing reports it, as is known of the metric.
func (c *Client) coreUnit(ctx context.Context, service, env string) (float64, error) {
	query, err := c.Query(service, env)
	if err != nil {
		return 0, err
	}
	all, err := c.series(ctx, c.opt.Metric, query, "pod_name", time.Hour)
	if err != nil {
		return 0, err
	}
	if len(all) > 0 {
		return coresPer(all[0].unit)
	}
	if per, ok := knownUnits[c.opt.Metric]; ok {
		return per, nil
	}
	return 0, fmt.Errorf("%s has no data for this service, so that its unit is not known: check datadog.metric and the service's name", c.opt.Metric)
}

// thresholds are what the monitor should have, in the metric's unit: what is
// given, else what it has.
func (m CPUMonitor) thresholds(have *v1.MonitorThresholds, per float64) (*v1.MonitorThresholds, error) {
	want := v1.NewMonitorThresholds()
	if have != nil {
		*want = *have
	}
	switch {
	case m.Critical > 0:
		want.SetCritical(units(m.Critical, per))
	case want.Critical == nil:
		want.SetCritical(units(defaultCritical, per))
	}
	if m.Warning > 0 {
		want.SetWarning(units(m.Warning, per))
	}
	if w := want.Warning.Get(); w != nil && *w >= want.GetCritical() {
		return nil, errors.New("the warning threshold must be below the critical one")
	}
	return want, nil
}

// units turns cores into the metric's unit, without the dust that a division
// leaves.
func units(cores, per float64) float64 {
	v := cores / per
	if r := math.Round(v); math.Abs(v-r) < 1e-6*v {
		return r
	}
	return v
}

// number writes a threshold as the query has it: without an exponent.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func sameThresholds(a, b *v1.MonitorThresholds) bool {
	return a != nil && a.GetCritical() == b.GetCritical() && cmp.Compare(a.GetWarning(), b.GetWarning()) == 0
}
