package slackbot

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// maxRootRows is how many endpoints the message in the channel shows; the
// details have more.
const maxRootRows = 5

// maxRootTable is how many characters they may take, so that the next step, the
// pods and the buttons have room whatever the endpoints are called.
const maxRootTable = 3500

// RenderRoot is the message in the channel: where the incident stands, and in
// the end its verdict. clicks says that somebody answers buttons.
func RenderRoot(u Update, clicks bool) Message {
	inc, p := u.Incident, &page{}
	var row slack.Block
	if clicks {
		row = buttons(u)
	}
	foot := small(smallPrint(u)...)
	held := p.hold(row) + p.hold(foot)
	title, fallback := headline(u)
	p.add(header(title))
	p.add(rich(alertLine(inc), recoveredLine(inc)))
	switch {
	case inc.Status == incident.StatusDone && u.Report != nil:
		fallback = renderVerdict(p, u, fallback, clicks)
	case inc.Status == incident.StatusFailed:
		fallback = renderFailure(p, u, fallback)
	case inc.Status == incident.StatusAccepted:
		p.add(rich(acceptedLine(inc)))
	case inc.Status == incident.StatusCapturing:
		p.add(rich(progress(u.Captures), list(podLines(u.Captures)...)))
		p.add(small(choiceNotes(inc)))
		fallback += ": " + taken(u.Captures)
	default:
		p.add(rich(progress(u.Captures), list(podLines(u.Captures)...)))
	}
	p.release(held)
	p.add(row)
	p.add(foot)
	return Message{Text: clean(fallback, 1000), Blocks: p.blocks}
}

// headline is the first line of the message, and how a notification says it.
func headline(u Update) (title, fallback string) {
	name, order := service(u.Incident), u.Incident.Alert.Order
	switch u.Incident.Status {
	case incident.StatusAccepted:
		title = "⏳ " + name + ": alert received"
		if order != nil {
			title = "⏳ " + name + ": " + profiles(order) + " asked for"
		}
		if u.Incident.Waiting != nil {
			title += ", its pods are not known yet"
		}
	case incident.StatusCapturing:
		title = fmt.Sprintf("⏳ %s: profiling %s", name, count(len(byPod(u.Captures)), "pod"))
	case incident.StatusFailed:
		what := "no verdict"
		if order != nil {
			what = profiles(order) + ": nothing to show"
		}
		return "⚠️ " + name + ": " + what, name + ": " + what
	case incident.StatusDone:
		if u.Report == nil {
			return name + ": done", name + ": done"
		}
		title = u.Report.Headline()
		fallback = name + ": " + title
		if len(u.Report.Flagged())+len(u.Report.Problems()) > 0 {
			title = "🔥 " + title
		}
		return title, fallback
	default:
		title = "⏳ " + name + ": reading the profiles"
	}
	return title, strings.TrimPrefix(title, "⏳ ")
}

// acceptedLine says what is done before pods are chosen.
func acceptedLine(inc incident.Incident) slack.RichTextElement {
	w := inc.Waiting
	if w == nil {
		return line(words("Choosing the pods to profile."))
	}
	return line(words("Waiting since "), clock(w.Since), words(" for the list of the service's pods, asking every few seconds until "), clock(w.Until),
		words(": "+clean(w.Why, maxSentence)))
}

// service names what the incident is about: "live-api (prod)".
func service(inc incident.Incident) string {
	key := inc.Alert.Key
	name := cmp.Or(key.Service, "unknown service")
	if key.Env != "" {
		name += " (" + key.Env + ")"
	}
	return clean(name, 80)
}

// alertLine says what fired.
func alertLine(inc incident.Incident) slack.RichTextElement {
	a := inc.Alert
	if a.Order != nil {
		return orderLine(inc)
	}
	title := cmp.Or(clean(a.Title, 250), "from "+cmp.Or(a.Source, "an unknown source"))
	spans := []span{strong("Alert on " + service(inc) + ":"), words(" " + title)}
	if value := cmp.Or(clean(a.Status, 250), limits(inc.Monitor)); value != "" {
		spans = append(spans, words(" — "+value))
	}
	if !inc.Opened.IsZero() {
		spans = append(spans, words(", at "), clock(inc.Opened))
	}
	spans = append(spans, asker(inc, ", asked for by ")...)
	where := "Open alert"
	if a.Source == "datadog" {
		where = "Open in Datadog"
	}
	if l := link(a.URL, where); l != nil {
		spans = append(spans, words(" · "), l)
	}
	return line(spans...)
}

func recoveredLine(inc incident.Incident) slack.RichTextElement {
	if inc.Recovered.IsZero() {
		return nil
	}
	return line(words("✅ "), strong("Recovered"), words(" at "), clock(inc.Recovered))
}

// renderRecovered is what the channel hears when the monitor has recovered: for
// how long it was, and what is left to do.
func renderRecovered(u Update) Message {
	inc, p := u.Incident, &page{}
	title := service(inc) + " recovered"
	if d := inc.Recovered.Sub(inc.Opened); d > 0 && !inc.Opened.IsZero() {
		title += " after " + spell(d)
	}
	lines := []slack.RichTextElement{line(words("✅ "), strong(title), words(" at "), clock(inc.Recovered), words("."))}
	fallback := title + "."
	if inc.Status == incident.StatusDone && u.Report != nil {
		found := sentence(u.Report.Headline())
		lines = append(lines, line(words(found)))
		fallback += " " + found
		if _, next, _ := nextStep(u.Report); next != "" {
			lines = append(lines, line(strong("Still to do:"), words(" "+clean(next, maxSentence))))
			fallback += " Still to do: " + next
		}
	}
	p.add(rich(lines...))
	return Message{Text: clean(fallback, 1000), Blocks: p.blocks}
}

// spell writes a time as people say it: "40 s", "7 min", "3 h". Only what is
// short is exact.
func spell(d time.Duration) string {
	switch {
	case d < 2*time.Minute && d%time.Minute != 0:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

// renderVerdict adds the result of a finished incident.
func renderVerdict(p *page, u Update, fallback string, clicks bool) string {
	r := u.Report
	p.add(rich(passedLine(r)))
	if lead := r.Lead(); len(lead) > 0 {
		fallback = renderLead(p, u, lead, fallback)
		p.add(rich(links(u, clicks)))
		p.add(small(standIns(u.Incident)))
		return fallback
	}
	flagged := r.Flagged()
	shown := flagged
	if len(shown) == 0 {
		shown = r.Endpoints
	}
	rows := endpointRows(shown[:min(len(shown), maxRootRows)])
	if t, n := table(rootHeadings, rows, []int{1, 3}, maxRootTable); n > 0 {
		p.add(t)
		if more := len(shown) - n; more > 0 {
			p.add(small(fmt.Sprintf("and %s in the thread", count(more, "more endpoint"))))
		}
	}
	p.add(rich(nothingLine(u)))
	if whose, next, gain := nextStep(r); next != "" {
		p.add(rich(line(strong("Next step for "+clean(whose, 120)+":"), words(" "+clean(next, maxSentence))), gainLine(gain)))
		fallback += ". Next: " + next
	}
	p.add(rich(alsoLine(r)))
	p.add(rich(line(strong("Pods profiled, and why:")), list(chosenPods(u.Captures)...)))
	p.add(rich(links(u, clicks)))
	p.add(small(standIns(u.Incident)))
	return fallback
}

// nextStep is the step that is worth the channel's attention, whose it is, and
// what it would save; next is "" for none.
func nextStep(r *analysis.Report) (whose, next string, gain *analysis.Gain) {
	for _, e := range r.Flagged() {
		if e.Verdict.Next != "" {
			return e.Name, e.Verdict.Next, e.Gain
		}
	}
	for _, f := range r.Problems() {
		return cmp.Or(f.Endpoint, "the process"), f.Next, nil
	}
	for _, e := range r.Endpoints {
		if e.Verdict.Next != "" {
			return e.Name, e.Verdict.Next, nil
		}
	}
	return "", "", nil
}

// gainLine says what the next step would save; nil when that is not known.
func gainLine(g *analysis.Gain) slack.RichTextElement {
	if g == nil {
		return nil
	}
	return line(strong("Expected gain:"), words(" "+clean(g.String(), maxSentence)))
}

// maxAlso is how many findings the message in the channel names.
const maxAlso = 3

// alsoLine names what was found beside the endpoints' verdicts; nil when that
// is nothing, or the headline says it.
func alsoLine(r *analysis.Report) slack.RichTextElement {
	found := r.Problems()
	if len(r.Flagged()) == 0 && len(found) > 0 {
		found = found[1:]
	}
	if len(found) == 0 {
		return nil
	}
	var parts []string
	for _, f := range found[:min(len(found), maxAlso)] {
		parts = append(parts, clean(strings.TrimSpace(f.Endpoint+" "+f.Title), 150))
	}
	if more := len(found) - maxAlso; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more in the thread", more))
	}
	return line(strong("Also:"), words(" "+strings.Join(parts, "; ")))
}

var rootHeadings = []string{"Endpoint", "CPU", "Spent on (95 % interval)", "Samples", "Codec", "Bytes from"}

func endpointRows(es []analysis.Endpoint) [][]string {
	rows := make([][]string, 0, len(es))
	for _, e := range es {
		s, doing, dir := e.Work()
		rows = append(rows, []string{e.Name, percent(e.Share.Part), doing + " " + s.String(), thousands(s.Of), codecName(e, dir), e.BytesFrom()})
	}
	return rows
}

// codecName is the endpoint's heaviest codec in a direction; "" for none.
func codecName(e analysis.Endpoint, d analysis.Direction) string {
	for _, c := range e.Codecs {
		if c.Direction == d {
			return c.Name
		}
	}
	return ""
}

// links are the pages. Where clicks are taken the flame graph has a button;
// where they are not, Slack would mark that with a warning.
func links(u Update, clicks bool) slack.RichTextElement {
	var spans []span
	for i, l := range []span{link(u.ReportURL, "Report"), link(u.FlameURL, "Interactive flame graph")} {
		if l == nil || i == 1 && clicks {
			continue
		}
		if len(spans) > 0 {
			spans = append(spans, words(" · "))
		}
		spans = append(spans, l)
	}
	return line(spans...)
}

// smallPrint says which incident this is and what it rests on.
func smallPrint(u Update) []string {
	var parts []string
	if r := u.Report; r != nil && u.Incident.Status == incident.StatusDone {
		hot, control := 0, 0
		for _, pod := range r.Pods {
			if pod.Control {
				control++
			} else {
				hot++
			}
		}
		pods := count(hot, "pod")
		if control > 0 {
			pods += fmt.Sprintf(" and %d to compare", control)
		}
		parts = append(parts, service(u.Incident))
		if r.Samples > 0 {
			parts = append(parts, pods, fmt.Sprintf("%s CPU samples in %s", thousands(r.Samples), r.Window.Round(1e9)))
		}
	}
	return append(parts, "incident "+u.Incident.ID)
}

// percent renders 0.62 as "62 %", and below 10 % with one decimal.
func percent(f float64) string {
	if f *= 100; f != 0 && f < 9.95 {
		return fmt.Sprintf("%.1f %%", f)
	}
	return fmt.Sprintf("%.0f %%", f)
}

// thousands writes 12345 as "12,345".
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes "1 pod", "2 pods".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
