package datadog

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/profbot/profbot/internal/incident"
)

// freshMonitor is how long a monitor's settings are used again: they change
// when a person changes them.
const freshMonitor = 5 * time.Minute

// Monitor reads what a monitor is set to. The id is the number in its address.
// Settings read within the last five minutes are used again.
func (c *Client) Monitor(ctx context.Context, id string) (incident.Monitor, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return incident.Monitor{}, fmt.Errorf("read the monitor: %.40q is no monitor's id", id)
	}
	op := operation{name: "GetMonitor", doing: fmt.Sprintf("read the monitor %d", n), permission: "monitors_read"}
	return shared(ctx, c, op.doing, op.doing, freshMonitor, func(ctx context.Context) (incident.Monitor, error) {
		m, err := call(ctx, c, op, func(ctx context.Context) (v1.Monitor, *http.Response, error) { return c.monitors.GetMonitor(ctx, n) })
		if statusOf(err) == http.StatusNotFound {
			return incident.Monitor{}, fmt.Errorf("%s: Datadog has none with this id for these keys; was it deleted, or is it another organisation's?", op.doing)
		}
		if err != nil {
			return incident.Monitor{}, err
		}
		out := monitorOf(m)
		out.ID, out.URL = strconv.FormatInt(n, 10), c.monitorURL(n)
		return out, nil
	})
}

// monitorURL is the monitor's page; see [Client.site].
func (c *Client) monitorURL(id int64) string { return fmt.Sprintf("%s/monitors/%d", c.site(), id) }

// monitorOf reads the client's monitor. The client knows the types of monitors
// of its day: one of a later type it leaves as it came.
func monitorOf(m v1.Monitor) incident.Monitor {
	if m.UnparsedObject != nil {
		var raw struct {
			Name, Type, Query string
			Options           struct {
				Thresholds struct{ Critical, Warning *float64 }
			}
		}
		// What is of another type than expected stays empty.
		if data, err := json.Marshal(m.UnparsedObject); err == nil {
			_ = json.Unmarshal(data, &raw)
		}
		return incident.Monitor{
			Name: raw.Name, Type: raw.Type, Query: raw.Query,
			Critical: raw.Options.Thresholds.Critical, Warning: raw.Options.Thresholds.Warning,
		}
	}
	out := incident.Monitor{Name: m.GetName(), Type: string(m.GetType()), Query: m.GetQuery()}
	if o := m.GetOptions(); o.Thresholds != nil {
		out.Critical, out.Warning = o.Thresholds.Critical, o.Thresholds.Warning.Get()
	}
	return out
}
