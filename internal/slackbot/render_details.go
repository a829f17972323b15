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

// Bounds of the parts of the details, so that every part has room whatever the
// others hold.
const (
	maxDetailRows  = 20
	maxDetailTable = 3200 // characters
	maxReasons     = 4
	maxNotes       = 6
	maxOther       = 8
	maxAltFrame    = 400 // characters of the block around the picture in words
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
	p.add(rich(line(strong("Where the CPU of " + service(u.Incident) + " went"))))
	var rows [][]string
	for _, e := range r.Endpoints[:min(len(r.Endpoints), maxDetailRows)] {
		verdict := e.Verdict.Title
		if e.Verdict.Flagged {
			verdict = "🔥 " + verdict
		}
		_, _, dir := e.Work()
		rows = append(rows, []string{
			e.Name, percent(e.Share.Part), e.Decode.String(), thousands(e.Share.Samples),
			percent(e.Encode.Part), codecName(e, dir), e.BytesFrom(), verdict,
		})
	}
	t, shown := table(detailHeadings, rows, []int{1, 3, 4}, maxDetailTable)
	p.add(t)
	if rest := r.Endpoints[shown:]; len(rest) > 0 {
		var part float64
		for _, e := range rest {
			part += e.Share.Part
		}
		p.add(small(fmt.Sprintf("and %s with %s of the CPU in all", count(len(rest), "more endpoint"), percent(part))))
	}
	reasons(p, r)
	p.add(rich(
		otherLine(r),
		suspectedLine(r),
		line(strong("How this was decided:"), words(" An endpoint is flagged when the lower end of the 95 % interval of its decoding or encoding reaches the limit that its verdict names, so that a lucky sample flags nobody.")),
	))
	p.add(rich(line(strong("Pods:")), list(reportPods(u)...), choiceLine(u)))
	p.add(rich(notes(r)...))
	// Last, so that it gets what room is left.
	if alt := clean(r.AltText(), min(1900, p.room()-maxAltFrame)); len(alt) > 1 {
		p.add(rich(line(strong("The flame graph in words:"), words(" "+alt))))
	}
	return Message{Text: clean("Details: where the CPU of "+service(u.Incident)+" went, endpoint by endpoint", 300), Blocks: p.blocks}
}

// reasons adds why endpoints were flagged and what to do about each.
func reasons(p *page, r *analysis.Report) {
	for i, e := range r.Flagged() {
		if i == maxReasons {
			break
		}
		p.add(rich(
			line(strong(clean(e.Name, 120)), words(" "+clean(e.Verdict.Title, 150))),
			line(words(clean(e.Verdict.Why, 350))),
			nextLine(e),
			gainLine(e.Gain),
		))
	}
	for i, f := range r.Problems() {
		if i == maxReasons {
			p.add(small(fmt.Sprintf("and %s in the report", count(len(r.Problems())-i, "more finding"))))
			break
		}
		p.add(rich(
			line(strong(clean(strings.TrimSpace(f.Endpoint+" "+f.Title), 200))),
			line(words(clean(f.Why, 350))),
			list(places(f)...),
			line(strong("Next:"), words(" "+clean(f.Next, 350))),
		))
	}
}

// places are the heaviest places that a finding rests on.
func places(f analysis.Finding) []slack.RichTextElement {
	var out []slack.RichTextElement
	for _, e := range f.Evidence[:min(len(f.Evidence), 3)] {
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
		if c.Status == incident.CaptureStored {
			parts = append(parts, kindName(c.Kind)+" "+bytesText(c.Bytes))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// bytesText writes a size in kB or MB.
func bytesText(n int64) string {
	if n >= 1e6 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}

func choiceLine(u Update) slack.RichTextElement {
	if u.Incident.Choice == "" {
		return nil
	}
	return line(strong("Why these pods:"), words(" profbot "+clean(u.Incident.Choice, 500)))
}

// notes are what the reader must know to trust the numbers.
func notes(r *analysis.Report) []slack.RichTextElement {
	var items []slack.RichTextElement
	if r.Truncated.Samples > 0 {
		items = append(items, line(words(percent(r.Truncated.Part)+" of the samples have stacks that the runtime cut off")))
	}
	for i, n := range r.Notes {
		if i == maxNotes {
			items = append(items, line(words("and "+count(len(r.Notes)-i, "more note")+" in the report")))
			break
		}
		items = append(items, line(words(clean(n, 250))))
	}
	if len(items) == 0 {
		return nil
	}
	return []slack.RichTextElement{line(strong("Notes:")), list(items...)}
}

// renderLink is told when the picture cannot be in the thread.
func renderLink(u Update, reason string) Message {
	why := sentence(reason)
	p := &page{}
	where := links(u)
	if where == nil {
		where = line(words("It is kept with incident " + u.Incident.ID + "."))
	}
	p.add(rich(line(strong("The flame graph is not here."), words(" "+why)), where))
	return Message{Text: clean("The flame graph is not here. "+why, 500), Blocks: p.blocks}
}
