package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Aliases under which public receivers of Datadog's webhook know a field.
// Templates are written by people, so shapes differ; the first key that has a
// value wins.
var (
	idKeys         = []string{"id", "event_id", "eventid", "event.id", "alert.event_id"}
	monitorKeys    = []string{"alert_id", "monitor_id", "alertid", "monitorid", "alert.id", "alert.alert_id", "alert.monitor_id", "monitor.id", "detail.monitor_id", "detail.meta.monitor.id"}
	transitionKeys = []string{"alert_transition", "transition", "alerttransition", "alert.transition", "alert.alert_transition", "detail.meta.transition.trans_name"}
	titleKeys      = []string{"title", "event_title", "alert_title", "alerttitle", "alert.title", "alert.name"}
	bodyKeys       = []string{"body", "event_msg", "msg", "text", "text_only_msg", "message", "alert.message"}
	statusKeys     = []string{"alert_status", "alertstatus", "alert.status", "status"}
	scopeKeys      = []string{"alert_scope", "scope", "scopes", "alertscope", "alert.scope", "alert.scopes"}
	tagKeys        = []string{"tags", "alert.tags", "event.tags", "detail.tags"}
	cycleKeys      = []string{"alert_cycle_key", "cycle_key", "cyclekey", "alertcyclekey", "alert.cycle_key", "alert.alert_cycle_key"}
	linkKeys       = []string{"link", "url", "event_url", "alert.url", "alert.link", "alert_url"}
	dateKeys       = []string{"date", "last_updated", "alert.date", "timestamp"}
)

var (
	// monitorLink finds the monitor in a message's links, the only place of
	// the default payload that names it.
	monitorLink = regexp.MustCompile(`https://[a-z0-9.-]+/monitors/(\d+)`)
	// titleState reads "[P2] [Re-Triggered on {service:live-api}] name".
	titleState = regexp.MustCompile(`^\s*(?:\[P[1-5]\]\s*)?\[((?:Re-)?(?:Triggered|Recovered|No Data|Warn|Renotify)|Renotify|Recovered[^\]{]*)(?:\s+on\s+\{([^}]*)\})?\]`)
	titleTest  = regexp.MustCompile(`\]\s*\[TEST\]`)
	number     = regexp.MustCompile(`^\d{1,20}$`)
)

// parse understands a body. It fails when the body is no JSON object or form;
// an object that says nothing useful is an alert with an unknown transition.
func parse(body []byte, form bool, now time.Time) (incident.Alert, error) {
	p, err := read(body, form)
	if err != nil {
		return incident.Alert{}, err
	}
	title := p.text(500, titleKeys...)
	text := strings.Join(p[firstKey(p, bodyKeys)], "\n")
	a := incident.Alert{
		Source:   "datadog",
		ID:       p.text(200, idKeys...),
		Cycle:    p.text(200, cycleKeys...),
		Title:    title,
		Status:   p.text(1000, statusKeys...),
		Metric:   p.text(200, "alert_metric", "metric", "alertmetric", "alert.metric"),
		Query:    p.text(1000, "alert_query", "query", "alertquery", "alert.query"),
		Priority: p.text(10, "alert_priority", "priority", "alertpriority", "alert.priority"),
		URL:      httpURL(p.text(2000, linkKeys...)),
		Host:     p.text(255, "hostname", "host", "alert.host"),
		At:       at(p.text(30, dateKeys...), now),
		Tags:     p.list(tagKeys...),
	}
	if a.ID == "" {
		// Sent again after a lost answer, the body is the same.
		sum := sha256.Sum256(body)
		a.ID = "sha256:" + hex.EncodeToString(sum[:16])
	}
	if m := p.text(50, monitorKeys...); number.MatchString(m) {
		a.Key.Monitor = m
	} else if m := monitorLink.FindStringSubmatch(text + " " + a.URL); m != nil {
		a.Key.Monitor = m[1]
		if a.URL == "" {
			a.URL = m[0]
		}
	}
	state := titleState.FindStringSubmatch(title)
	a.Transition = transition(p.text(50, transitionKeys...))
	var titleScope []string
	if state != nil {
		titleScope = splitTags(state[2])
		if a.Transition == incident.TransitionUnknown && firstKey(p, transitionKeys) == "" {
			a.Transition = transition(state[1])
		}
	}
	a.Test = titleTest.MatchString(title) || strings.Contains(text, "Test notification triggered by")

	// Most exact first: a field that the template made for it, the group that
	// alerts, then the monitor's tags.
	from := [][]string{p.list(scopeKeys...), titleScope, a.Tags}
	a.Key.Service = one(p.text(200, "service", "alert.service"), from, "service")
	a.Key.Env = one(p.text(200, "env", "alert.env"), from, "env")
	a.Namespace = one(p.text(200, "namespace", "kube_namespace"), from, "kube_namespace", "namespace")
	a.Pod = one(p.text(255, "pod", "pod_name"), from, "pod_name", "pod")
	return a, nil
}

func firstKey(p payload, keys []string) string {
	for _, k := range keys {
		if len(p[k]) > 0 {
			return k
		}
	}
	return ""
}

// transition folds Datadog's spellings: by prefix and in any case, since
// versions append to "Recovered".
func transition(s string) incident.Transition {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, t := range []struct {
		prefix string
		is     incident.Transition
	}{
		{"recovered", incident.TransitionRecovered},
		{"re-recovered", incident.TransitionRecovered},
		{"triggered", incident.TransitionTriggered},
		{"re-triggered", incident.TransitionRetriggered},
		{"renotify", incident.TransitionRetriggered},
		{"no data", incident.TransitionNoData},
		{"re-no data", incident.TransitionNoData},
		{"warn", incident.TransitionWarn},
		{"re-warn", incident.TransitionWarn},
	} {
		if strings.HasPrefix(s, t.prefix) {
			return t.is
		}
	}
	return incident.TransitionUnknown
}

// one is the explicit value, else the value of the first of the tags found.
func one(explicit string, lists [][]string, keys ...string) string {
	if explicit != "" {
		return explicit
	}
	for _, tags := range lists {
		for _, key := range keys {
			for _, tag := range tags {
				// Values may hold colons: "service:eu/ecs:gateway".
				if k, v, ok := strings.Cut(tag, ":"); ok && k == key && v != "" {
					return v
				}
			}
		}
	}
	return ""
}

func splitTags(s string) []string {
	var out []string
	for _, t := range strings.Split(s, ",") {
		if t = clean(t, 200); t != "" {
			out = append(out, t)
		}
	}
	return out
}

// httpURL keeps an address that may be shown as a link.
func httpURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.String()
}

// at reads epochs in milliseconds, or seconds from templates of other origin.
// What cannot be right is now.
func at(s string, now time.Time) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return now
	}
	t := time.UnixMilli(n)
	if n < 1e11 {
		t = time.Unix(n, 0)
	}
	if t.After(now.Add(365*24*time.Hour)) || t.Year() < 2000 {
		return now
	}
	return t
}
