package slackbot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// monitorLine is what the monitor is set to; nil when it was not read.
func monitorLine(inc incident.Incident) slack.RichTextElement {
	m := inc.Monitor
	if m == nil {
		return nil
	}
	spans := []span{strong("Monitor:"), words(" " + clean(m.Name, 200) + " ")}
	if m.Query != "" {
		spans = append(spans, mono(clean(m.Query, 400)))
	}
	if l := limits(m); l != "" {
		spans = append(spans, words(" — "+l))
	}
	if inc.Alert.Status != "" {
		spans = append(spans, words("; now: "+clean(inc.Alert.Status, 200)))
	}
	return line(spans...)
}

// limits are the monitor's thresholds; "" when they are not known.
func limits(m *incident.Monitor) string {
	var out []string
	if m != nil && m.Critical != nil {
		out = append(out, fmt.Sprintf("critical %.6g", *m.Critical))
	}
	if m != nil && m.Warning != nil {
		out = append(out, fmt.Sprintf("warning %.6g", *m.Warning))
	}
	return strings.Join(out, ", ")
}

// costLine says what the profiles cost the pods; nil when nobody was asked for
// a CPU profile.
func costLine(u Update) slack.RichTextElement {
	asked, pods := incident.Cost(u.Captures)
	if asked == 0 {
		return nil
	}
	s := fmt.Sprintf(" profbot asked %.0f s of CPU profiling of %s", asked.Seconds(), count(pods, "pod"))
	if r := u.Report; r != nil && r.Samples > 0 {
		s += fmt.Sprintf("; writing profiles is %s of the samples (%s of %s)", percent(r.Profiling.Part), thousands(r.Profiling.Samples), thousands(r.Samples))
	}
	return line(strong("What it cost:"), words(s+"."))
}

// passedLine warns that the spike was over; nil when it was not.
func passedLine(u Update) slack.RichTextElement {
	var parts []string
	if u.Incident.Alert.Verifies != "" {
		return nil
	}
	for _, pod := range u.Report.Pods {
		i := slices.IndexFunc(u.Captures, func(c incident.Capture) bool { return c.Pod == pod.Name && c.Kind == incident.KindCPU })
		if pod.Control || i < 0 {
			continue
		}
		if s := incident.SpikePassed(u.Incident.Alert, u.Captures[i], pod.Cores, pod.Samples); s != "" {
			parts = append(parts, clean(s, 250))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return line(strong("Mind:"), words(" "+strings.Join(parts, "; ")+"."))
}

// standIns are the sentences of the choice that say which pod was profiled in
// the place of which.
func standIns(inc incident.Incident) string {
	var out []string
	for _, s := range strings.Split(inc.Choice, "; ") {
		if strings.HasSuffix(s, " was profiled in its place") {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "; ") + "." // begins with a pod's name, which stays as it is
}

// perRequest is the CPU of one request: "12.3 CPU-ms"; "" when unknown.
func perRequest(e analysis.Endpoint) string {
	if e.CPUPerRequest <= 0 {
		return ""
	}
	return fmt.Sprintf("%.3g CPU-ms", e.CPUPerRequest.Seconds()*1e3)
}
