package datadogtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Monitor is a monitor. Options are as they were sent.
type Monitor struct {
	ID                         int64
	Name, Type, Query, Message string
	Tags                       []string
	Options                    map[string]any
}

// PutMonitor adds a monitor as it is, whatever Datadog would say to it, and
// returns its id; a zero ID is given one.
func (s *Server) PutMonitor(m Monitor) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.ID == 0 {
		m.ID = s.nextID()
	}
	s.monitors = append(s.monitors, &m)
	return m.ID
}

// Monitors lists the monitors.
func (s *Server) Monitors() []Monitor {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Monitor
	for _, m := range s.monitors {
		c := *m
		c.Options = maps.Clone(m.Options)
		out = append(out, c)
	}
	return out
}

// monitorBody is what may be sent of a monitor.
type monitorBody struct {
	Name     *string         `json:"name"`
	Type     *string         `json:"type"`
	Query    *string         `json:"query"`
	Message  *string         `json:"message"`
	Tags     []string        `json:"tags"`
	Options  json.RawMessage `json:"options"`
	Priority *int            `json:"priority"`
}

// optionsBody is what may be sent of a monitor's options, and of what type.
type optionsBody struct {
	Thresholds struct {
		Critical, Warning *float64
		CriticalRecovery  *float64 `json:"critical_recovery"`
		WarningRecovery   *float64 `json:"warning_recovery"`
		OK                *float64 `json:"ok"`
	} `json:"thresholds"`
	NotifyNoData      *bool            `json:"notify_no_data"`
	NoDataTimeframe   *int             `json:"no_data_timeframe"`
	NotifyAudit       *bool            `json:"notify_audit"`
	IncludeTags       *bool            `json:"include_tags"`
	RequireFullWindow *bool            `json:"require_full_window"`
	NewGroupDelay     *int             `json:"new_group_delay"`
	NewHostDelay      *int             `json:"new_host_delay"`
	EvaluationDelay   *int             `json:"evaluation_delay"`
	RenotifyInterval  *int             `json:"renotify_interval"`
	TimeoutH          *int             `json:"timeout_h"`
	Escalation        *string          `json:"escalation_message"`
	Locked            *bool            `json:"locked"`
	NotifyBy          []string         `json:"notify_by"`
	Silenced          map[string]int64 `json:"silenced"`
}

var monitorQuery = regexp.MustCompile(`^(?:avg|sum|min|max)\(last_\d+[mhd]\):((?:avg|sum|min|max):.+) (>|>=|<|<=) (-?[0-9.]+)$`)

// bad says what is wrong with a monitor; "" when nothing is.
func (m *Monitor) bad() string {
	switch {
	case m.Name == "" || len(m.Name) > 1000:
		return "The value provided for parameter 'name' is invalid"
	case m.Type != "metric alert" && m.Type != "query alert":
		return fmt.Sprintf("The value provided for parameter 'type' is invalid: %s", m.Type)
	case len(m.Message) > 40000:
		return "The value provided for parameter 'message' is invalid: too long"
	}
	if words := badTags(m.Tags); words != "" {
		return words
	}
	q := monitorQuery.FindStringSubmatch(m.Query)
	if q == nil || !queryForm.MatchString(q[1]) {
		return "The value provided for parameter 'query' is invalid: invalid operator specified: "
	}
	data, err := json.Marshal(m.Options)
	if err != nil {
		return err.Error()
	}
	var o optionsBody
	if words := decode(data, &o); words != "" {
		return words
	}
	value, err := strconv.ParseFloat(q[3], 64)
	t := o.Thresholds
	switch {
	case err != nil:
		return "The value provided for parameter 'query' is invalid: " + err.Error()
	case t.Critical == nil:
		return "thresholds.critical is required"
	case *t.Critical != value:
		return fmt.Sprintf("Alert threshold (%v) does not match that used in the query (%v).", *t.Critical, value)
	case t.Warning != nil && strings.HasPrefix(q[2], ">") && *t.Warning >= *t.Critical:
		return fmt.Sprintf("Warning threshold (%v) must be less than the alert threshold (%v).", *t.Warning, *t.Critical)
	case o.NewGroupDelay != nil && *o.NewGroupDelay < 0:
		return "new_group_delay must not be negative"
	}
	return ""
}

// with is the monitor after a body was applied to it.
func (m Monitor) with(body []byte) (*Monitor, string) {
	var b monitorBody
	if words := decode(body, &b); words != "" {
		return nil, words
	}
	for _, f := range []struct {
		to   *string
		from *string
	}{{&m.Name, b.Name}, {&m.Type, b.Type}, {&m.Query, b.Query}, {&m.Message, b.Message}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if b.Tags != nil {
		m.Tags = b.Tags
	}
	if b.Options != nil {
		m.Options = nil
		if err := json.Unmarshal(b.Options, &m.Options); err != nil {
			return nil, "The value provided for parameter 'options' is invalid"
		}
	}
	return &m, m.bad()
}

func (s *Server) createMonitor(c call) reply {
	m, words := Monitor{}.with(c.body)
	if words != "" {
		return refuse(words)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.ID = s.nextID()
	s.monitors = append(s.monitors, m)
	return reply{http.StatusOK, s.monitorAnswer(m)}
}

func (s *Server) updateMonitor(c call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.monitorOf(c)
	if m == nil {
		return reply{http.StatusNotFound, "Monitor not found"}
	}
	next, words := m.with(c.body)
	if words != "" {
		return refuse(words)
	}
	*m = *next
	return reply{http.StatusOK, s.monitorAnswer(m)}
}

func (s *Server) getMonitor(c call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.monitorOf(c); m != nil {
		return reply{http.StatusOK, s.monitorAnswer(m)}
	}
	return reply{http.StatusNotFound, "Monitor not found"}
}

// monitorOf finds the monitor that a path names. The caller holds s.mu.
func (s *Server) monitorOf(c call) *Monitor {
	for _, m := range s.monitors {
		if strconv.FormatInt(m.ID, 10) == c.PathValue("id") {
			return m
		}
	}
	return nil
}

func (s *Server) listMonitors(c call) reply {
	v := c.URL.Query()
	for key := range v {
		if !slices.Contains([]string{"group_states", "name", "tags", "monitor_tags", "with_downtimes", "id_offset", "page", "page_size"}, key) {
			return refuse("unknown parameter " + key)
		}
	}
	size := 1000
	if p := v.Get("page_size"); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 1000 {
			return refuse("page_size must be between 1 and 1000")
		}
		size = n
	}
	page, _ := strconv.Atoi(v.Get("page"))
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, m := range s.monitors {
		if t := v.Get("monitor_tags"); t != "" && slices.ContainsFunc(strings.Split(t, ","), func(t string) bool { return !slices.Contains(m.Tags, t) }) {
			continue
		}
		list = append(list, s.monitorAnswer(m))
	}
	list = list[min(page*size, len(list)):]
	return reply{http.StatusOK, list[:min(size, len(list))]}
}

// monitorAnswer is a monitor as the API writes it.
func (s *Server) monitorAnswer(m *Monitor) map[string]any {
	kind := m.Type
	if kind == "metric alert" {
		kind = "query alert" // what Datadog makes of it
	}
	now := s.opt.Now().UTC()
	stamp := now.Format("2006-01-02T15:04:05.000000+00:00")
	return map[string]any{
		"id": m.ID, "org_id": 321813, "type": kind, "name": m.Name, "message": m.Message, "tags": append([]string{}, m.Tags...), "query": m.Query,
		"options": m.Options, "multi": strings.Contains(m.Query, " by {"), "created_at": now.Truncate(time.Second).UnixMilli(),
		"created": stamp, "modified": stamp, "deleted": nil, "restricted_roles": nil, "priority": nil, "overall_state_modified": nil,
		"overall_state": "No Data", "creator": map[string]any{"name": nil, "handle": "frog@datadoghq.com", "email": "frog@datadoghq.com", "id": 1445416},
	}
}
