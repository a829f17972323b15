package slackbot

import (
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// A report about memory, and one without a CPU profile, has no endpoint to
// begin with: findings lead it. See [analysis.Report.Lead].

// renderLead adds what leads such a report to the message in the channel.
func renderLead(p *page, u Update, lead []analysis.Finding, fallback string) string {
	r, first := u.Report, lead[0]
	if t, n := leadTable(first, maxRootRows); n > 0 {
		p.add(t)
	}
	p.add(rich(line(words(clean(first.Why, 350)))))
	if first.Next != "" {
		p.add(rich(line(strong("Next step:"), words(" "+clean(first.Next, maxSentence)))))
		fallback += ". Next: " + first.Next
	}
	p.add(rich(alsoBeside(r, lead)))
	switch {
	case r.Samples > 0 || !asksCPU(u.Incident):
		p.add(rich(line(strong("Pods profiled, and why:")), list(chosenPods(u.Captures)...)))
	default:
		p.add(rich(line(strong("No CPU profile could be taken,"), words(" so nothing is said about shares of CPU.")), list(podLines(hotOnly(u.Captures))...)))
	}
	return fallback
}

// leadTable is a finding's places with their amounts, and how many rows it has.
func leadTable(f analysis.Finding, most int) (slack.Block, int) {
	if len(f.Evidence) == 0 {
		return nil, 0
	}
	var rows [][]string
	for _, e := range f.Evidence[:min(len(f.Evidence), most)] {
		place := e.Place()
		if e.Via != "" {
			place += " in " + e.Via
		}
		rows = append(rows, []string{place, amount(e), percent(e.Share.Part)})
	}
	what := strings.TrimSuffix(sentence(f.Evidence[0].What), ".")
	return table([]string{what, "How much", "Share"}, rows, []int{1, 2}, maxChars/4)
}

// amount is what a place stands for, in its unit.
func amount(e analysis.Evidence) string {
	switch e.Unit {
	case "bytes":
		return bytesText(e.Value)
	case "nanoseconds":
		return time.Duration(e.Value).Round(time.Millisecond).String()
	case "":
		return ""
	}
	return thousands(e.Value) + " " + e.Unit
}

// alsoBeside names what was found beside the lead: endpoints that are flagged,
// and findings.
func alsoBeside(r *analysis.Report, lead []analysis.Finding) slack.RichTextElement {
	var parts []string
	for _, e := range r.Flagged() {
		s, doing, _ := e.Work()
		parts = append(parts, clean(fmt.Sprintf("%s: %s of its CPU goes to %s", e.Name, percent(s.Part), doing), 150))
	}
	for _, f := range besides(r, lead) {
		parts = append(parts, clean(strings.TrimSpace(f.Endpoint+" "+f.Title), 150))
	}
	if len(parts) == 0 {
		return nil
	}
	if more := len(parts) - maxAlso; more > 0 {
		parts = append(parts[:maxAlso], fmt.Sprintf("%d more in the thread", more))
	}
	return line(strong("Also:"), words(" "+strings.Join(parts, "; ")))
}

// besides are the findings that ask for work and are not in the lead, and in a
// report without CPU all but the first.
func besides(r *analysis.Report, lead []analysis.Finding) []analysis.Finding {
	var out []analysis.Finding
	for i, f := range r.Findings {
		if f.Severity == analysis.SeverityInfo && (r.Samples > 0 || i == 0) {
			continue
		}
		led := false
		for j, l := range lead {
			led = led || l.Rule == f.Rule && l.Endpoint == f.Endpoint && (j == 0 || r.Samples > 0)
		}
		if !led {
			out = append(out, f)
		}
	}
	return out
}

// hotOnly are the captures of hot pods.
func hotOnly(captures []incident.Capture) []incident.Capture {
	var out []incident.Capture
	for _, c := range captures {
		if c.Role == incident.RoleHot {
			out = append(out, c)
		}
	}
	return out
}
