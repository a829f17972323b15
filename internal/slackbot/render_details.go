package slackbot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// Bounds of the parts of the details, so that every part has room whatever the
// others hold.
const (
	maxDetailRows  = 20
	maxDetailTable = 3200 // characters
	maxReasons     = 4
	maxLeadPlaces  = 8
	maxNotes       = 6
	maxOther       = 8
	maxGrown       = 5
	maxAltFrame    = 400  // characters of the block around the picture in words
	maxAfterCode   = 4000 // characters left for the pods and the notes
)

var detailHeadings = []string{"Endpoint", "CPU", "Decoding (95 % interval)", "Samples", "Encoding", "Codec", "Bytes from", "Verdict"}

// RenderDetails is the reply with the report in words: what every endpoint
// spends, why it was flagged, what else the CPU went to, and what all this
// rests on.
func RenderDetails(u Update) Message {
	r, p := u.Report, &page{}
	if r == nil {
		return Message{}
	}
	title := "Where the CPU of " + service(u.Incident) + " went"
	lead, others := r.Lead(), !asksCPU(u.Incident) && r.Samples == 0
	if len(lead) > 0 || others {
		title, others = othersTitle(u.Incident), true
		if r.Focus == analysis.KindHeap {
			title = "Where the memory of " + service(u.Incident) + " went"
		}
		renderLeads(p, title, lead)
		p.add(rich(nothingLine(u)))
	}
	if len(r.Endpoints) > 0 {
		renderEndpoints(p, u)
	}
	p.add(rich(differenceLines(u.Diff)...))
	reasons(p, r, lead)
	if len(r.Endpoints) > 0 {
		p.add(rich(
			otherLine(r),
			suspectedLine(r),
			line(strong("How this was decided:"), words(" An endpoint is flagged when the lower end of the 95 % interval of its decoding or encoding reaches the limit that its verdict names, so that a lucky sample flags nobody.")),
		))
	}
	p.add(rich(line(strong("Pods:")), list(reportPods(u)...), choiceLine(u), monitorLine(u.Incident), costLine(u)))
	p.add(rich(notes(r)...))
	// Last, so that it gets what room is left.
	if alt := clean(r.AltText(), min(1900, p.room()-maxAltFrame)); len(alt) > 1 {
		p.add(rich(line(strong("The flame graph in words:"), words(" "+alt))))
	}
	text := "Details: where the CPU of " + service(u.Incident) + " went, endpoint by endpoint"
	if others {
		text = "Details: " + strings.ToLower(title[:1]) + title[1:]
	}
	return Message{Text: clean(text, 300), Blocks: p.blocks}
}

// renderLeads adds all that leads a report which is not about CPU first.
func renderLeads(p *page, title string, lead []analysis.Finding) {
	p.add(rich(line(strong(title))))
	for i, f := range lead {
		if i == maxReasons {
			p.add(small(fmt.Sprintf("and %s in the report", count(len(lead)-i, "more finding"))))
			break
		}
		// A list: Slack takes one table in a message, and that is the endpoints'.
		title := strings.TrimSuffix(sentence(strings.TrimSpace(f.Endpoint+" "+f.Title)), ".")
		p.add(rich(line(strong(clean(title, 200)+":"), words(" "+clean(f.Why, 350)), ruleOf(f.Rule)), list(places(f, maxLeadPlaces)...), nextOf(f)))
	}
}

// nextOf is a finding's next step; nil for none.
func nextOf(f analysis.Finding) slack.RichTextElement {
	if f.Next == "" {
		return nil
	}
	return line(strong("Next:"), words(" "+clean(f.Next, 350)))
}

// renderEndpoints adds the table of the endpoints.
func renderEndpoints(p *page, u Update) {
	r := u.Report
	p.add(rich(line(strong("Where the CPU of " + service(u.Incident) + " went"))))
	headings, right := detailHeadings, []int{1, 3, 4}
	counted := slices.ContainsFunc(r.Endpoints, func(e analysis.Endpoint) bool { return perRequest(e) != "" })
	if counted {
		headings, right = slices.Insert(slices.Clone(headings), 2, "A request"), []int{1, 2, 4, 5}
	}
	var rows [][]string
	for _, e := range r.Endpoints[:min(len(r.Endpoints), maxDetailRows)] {
		verdict := e.Verdict.Title
		if e.Verdict.Flagged {
			verdict = "🔥 " + verdict
		}
		_, _, dir := e.Work()
		row := []string{
			e.Name, percent(e.Share.Part), e.Decode.String(), thousands(e.Share.Samples),
			percent(e.Encode.Part), codecName(e, dir), e.BytesFrom(), verdict,
		}
		if counted {
			row = slices.Insert(row, 2, perRequest(e))
		}
		rows = append(rows, row)
	}
	t, shown := table(headings, rows, right, maxDetailTable)
	p.add(t)
	if rest := r.Endpoints[shown:]; len(rest) > 0 {
		var part float64
		for _, e := range rest {
			part += e.Share.Part
		}
		p.add(small(fmt.Sprintf("and %s with %s of the CPU in all", count(len(rest), "more endpoint"), percent(part))))
	}
}

// reasons adds why endpoints were flagged and what to do about each, and the
// findings that do not lead the report.
func reasons(p *page, r *analysis.Report, lead []analysis.Finding) {
	for i, e := range r.Flagged() {
		if i == maxReasons {
			break
		}
		p.add(rich(
			line(strong(clean(e.Name, 120)), words(" "+clean(e.Verdict.Title, 150)), ruleOf(e.Verdict.Rule)),
			line(words(clean(e.Verdict.Why, 350))),
			changeLine(e),
			nextLine(e),
			gainLine(e.Gain),
			snippet(p, e),
		))
	}
	if len(lead) > 0 && r.Samples == 0 {
		return // all of them lead
	}
	found := besides(r, lead)
	for i, f := range found {
		if i == maxReasons {
			p.add(small(fmt.Sprintf("and %s in the report", count(len(found)-i, "more finding"))))
			break
		}
		p.add(rich(
			line(strong(clean(strings.TrimSpace(f.Endpoint+" "+f.Title), 200)), ruleOf(f.Rule)),
			line(words(clean(f.Why, 350))),
			list(places(f, 3)...),
			line(strong("Next:"), words(" "+clean(f.Next, 350))),
		))
	}
}

// ruleOf names the rule that found something, for who looks it up.
func ruleOf(r analysis.Rule) span { return words(" (rule " + clean(string(r), 40) + ")") }

// changeLine is the line of the code to change; nil when no profile told it.
func changeLine(e analysis.Endpoint) slack.RichTextElement {
	_, _, dir := e.Work()
	for _, c := range e.Codecs {
		if c.Direction == dir && c.CallerFile != "" {
			return line(strong("Line to change:"), words(" "), mono(clean(fmt.Sprintf("%s:%d", c.CallerFile, c.CallerLine), 200)),
				words(", where "+clean(c.Caller, 200)+" calls "+clean(c.Entry, 150)))
		}
	}
	return nil
}

// snippet is the code to put there, while there is room for it and for what
// all this rests on; nil for none.
func snippet(p *page, e analysis.Endpoint) slack.RichTextElement {
	if s := program(analysis.Snippet(e)); s != nil && p.room()-size(s) > maxAfterCode {
		return s
	}
	return nil
}

// places are the heaviest places that a finding rests on.
func places(f analysis.Finding, most int) []slack.RichTextElement {
	var out []slack.RichTextElement
	for _, e := range f.Evidence[:min(len(f.Evidence), most)] {
		out = append(out, line(words(clean(e.String(), 200))))
	}
	return out
}

func nextLine(e analysis.Endpoint) slack.RichTextElement {
	if e.Verdict.Next == "" {
		return nil
	}
	return line(strong("Next:"), words(" "+clean(e.Verdict.Next, 350)))
}

// otherLine is the CPU outside the endpoints.
func otherLine(r *analysis.Report) slack.RichTextElement {
	var parts []string
	for _, o := range r.Other {
		if o.Share.Part >= 0.005 && len(parts) < maxOther {
			parts = append(parts, fmt.Sprintf("%s %s", clean(o.Name, 60), percent(o.Share.Part)))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return line(strong("Outside the endpoints:"), words(" "+strings.Join(parts, ", ")))
}

// suspectedLine names what sounds like a codec and was not counted.
func suspectedLine(r *analysis.Report) slack.RichTextElement {
	var parts []string
	for _, s := range r.Suspected[:min(len(r.Suspected), 4)] {
		parts = append(parts, fmt.Sprintf("%s %s", clean(s.Name, 80), percent(s.Share.Part)))
	}
	if len(parts) == 0 {
		return nil
	}
	return line(strong("Not counted, but sounds like a codec:"), words(" "+strings.Join(parts, ", ")))
}

// reportPods says what each pod gave: its CPU and the sizes of its profiles.
func reportPods(u Update) []slack.RichTextElement {
	if len(u.Report.Pods) == 0 { // without a CPU profile
		return podLines(u.Captures)
	}
	taken := byPod(u.Captures)
	var lines []slack.RichTextElement
	for i, pod := range u.Report.Pods {
		if i == maxPodLines {
			lines = append(lines, line(words("and "+count(len(u.Report.Pods)-i, "more pod"))))
			break
		}
		r := "hot"
		if pod.Control {
			r = "to compare, not part of the shares"
		}
		spans := []span{mono(cmp.Or(clean(pod.Name, 100), "profile")), words(fmt.Sprintf(" %s: %s samples, %.2f cores in %s, decoding %s",
			r, thousands(pod.Samples), pod.Cores, pod.Window.Round(100*time.Millisecond), pod.Decode))}
		for _, p := range taken {
			if p.pod == pod.Name {
				spans = append(spans, words(sizes(p.captures)))
				for _, f := range failures(p.captures) {
					spans = append(spans, f...)
				}
			}
		}
		lines = append(lines, line(spans...))
	}
	return lines
}

// sizes lists the profiles that were taken: "; CPU 312 kB, goroutine 4 kB".
func sizes(captures []incident.Capture) string {
	var parts []string
	for _, c := range captures {
		if c.Status == incident.CaptureStored && c.Outcome != incident.OutcomeEmpty {
			parts = append(parts, kindName(c.Kind)+" "+bytesText(c.Bytes))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// bytesText writes a size in kB, MB or GB.
func bytesText(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	if n >= 1e6 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}

// choiceLine says why these pods, as far as the message in the channel does not:
// it has each pod with why, if they are few.
func choiceLine(u Update) slack.RichTextElement {
	why := "profbot " + clean(u.Incident.Choice, 900)
	if len(byPod(u.Captures)) <= maxChosen {
		why = choiceNotes(u.Incident)
	}
	if u.Incident.Choice == "" || why == "" {
		return nil
	}
	return line(strong("Why these pods:"), words(" "+why))
}

// notes are what the reader must know to trust the numbers.
func notes(r *analysis.Report) []slack.RichTextElement {
	var items []slack.RichTextElement
	if r.Truncated.Samples > 0 {
		items = append(items, line(words(percent(r.Truncated.Part)+" of the samples have stacks that the runtime cut off")))
	}
	told := slices.DeleteFunc(slices.Clone(r.Notes), spikePassed) // in the message in the channel
	for i, n := range told {
		if i == maxNotes {
			items = append(items, line(words("and "+count(len(told)-i, "more note")+" in the report")))
			break
		}
		items = append(items, line(words(clean(n, 250))))
	}
	if len(items) == 0 {
		return nil
	}
	return []slack.RichTextElement{line(strong("Notes:")), list(items...)}
}

// differenceLines say what grew against other profiles.
func differenceLines(d *incident.Difference) []slack.RichTextElement {
	if d == nil || len(d.Lines) == 0 {
		return nil
	}
	var items []slack.RichTextElement
	for _, l := range d.Lines[:min(len(d.Lines), maxGrown)] {
		items = append(items, line(words(clean(l, 200))))
	}
	if more := len(d.Lines) - maxGrown; more > 0 {
		items = append(items, line(words("and "+count(more, "more change")+" in the report")))
	}
	return []slack.RichTextElement{line(strong("Against " + clean(d.Against, 150) + ":")), list(items...)}
}

// renderLink is told when the picture cannot be in the thread.
func renderLink(u Update, name, reason string) Message {
	why := sentence(reason)
	p := &page{}
	where := links(u, false)
	if where == nil {
		where = line(words("It is kept with incident " + u.Incident.ID + "."))
	}
	p.add(rich(line(strong(name+" is not here."), words(" "+why)), where))
	return Message{Text: clean(name+" is not here. "+why, 500), Blocks: p.blocks}
}
