package slackbot

import (
	"cmp"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

// The answers to people, pure functions of what the backend says. They have no
// tables: views take none.

// lines adds a heading and a list, as much of it as there is room for, and
// says how many items are not in.
func (p *page) lines(heading slack.RichTextElement, items []slack.RichTextElement, all int) {
	first := func(n int) slack.Block {
		in := items[:n:n]
		if n < all {
			in = append(in, line(words(fmt.Sprintf("and %s more", thousands(int64(all-n))))))
		}
		return rich(heading, list(in...))
	}
	p.add(first(sort.Search(len(items), func(n int) bool { return size(first(n+1)) > p.room()-roomBelow })))
}

// roomBelow is kept free for the small print.
const roomBelow = 600

// moment shows a day and a time in the reader's own zone.
func moment(t time.Time) span {
	fallback := t.UTC().Format("2006-01-02 15:04 UTC")
	return slack.NewRichTextSectionDateElement(t.Unix(), "{date_short_pretty} {time}", nil, &fallback)
}

// renderHelp shows a help text: what stands in backticks can be typed.
func renderHelp(text string) Message {
	var items []slack.RichTextElement
	for l := range strings.SplitSeq(text, "\n") {
		var spans []span
		for i, part := range strings.Split(l, "`") {
			if i%2 == 1 {
				spans = append(spans, mono(part))
			} else {
				spans = append(spans, words(part))
			}
		}
		if l := line(spans...); l != nil {
			items = append(items, l)
		}
	}
	p := &page{}
	p.lines(line(strong("What you can type")), items, len(items))
	p.add(small("/profbot alone opens a form. Answers come to you alone; results come into the channel."))
	return Message{Text: clean(strings.ReplaceAll(strings.ReplaceAll(text, "`", ""), "\n", "; "), 1000), Blocks: p.blocks}
}

func renderServices(known []Known) Message {
	if len(known) == 0 {
		return say("profbot knows no service: list one under services in its configuration, or let Kubernetes find them.")
	}
	p := &page{}
	var items []slack.RichTextElement
	for _, k := range known[:min(len(known), maxOptions)] {
		items = append(items, knownLine(k))
	}
	title := count(len(known), "service") + " can be profiled"
	p.lines(line(strong(title)), items, len(known))
	p.add(small("Profile one with /profbot cpu SERVICE, or with the form of /profbot, which finds a name by its beginning"))
	return Message{Text: clean(title+": "+strings.Join(names(known), ", "), 1000), Blocks: p.blocks}
}

// knownLine is a service as one item of a list.
func knownLine(k Known) slack.RichTextElement {
	about := count(k.Pods, "pod")
	if k.Team != "" {
		about += ", team " + clean(k.Team, 60)
	}
	verdict := "not profiled yet"
	if k.Last != nil {
		verdict = k.Last.title()
	}
	return line(strong(serviceName(k.Service, k.Env)), words(", "+about+": "+clean(verdict, 150)))
}

// title is a past incident in a few words.
func (p Past) title() string {
	switch {
	case p.Headline != "":
		return p.Headline
	case p.Incident.Failure != "":
		return "no verdict: " + p.Incident.Failure
	case p.Incident.Status.Final():
		return "no verdict"
	}
	return "⏳ " + string(p.Incident.Status)
}

// pastLine is a past incident as one item of a list.
func pastLine(p Past, named bool) slack.RichTextElement {
	spans := []span{moment(p.Incident.Opened), words(": ")}
	if named {
		spans = append(spans, strong(service(p.Incident)), words(" — "))
	}
	spans = append(spans, words(clean(p.title(), 200)))
	if p.Proven != "" {
		spans = append(spans, words(" — ✅ "+clean(p.Proven, 150)))
	}
	if l := link(p.Report, "report"); l != nil {
		spans = append(spans, words(" · "), l)
	}
	return line(append(spans, words(" · "), mono(clean(p.Incident.ID, 60)))...)
}

func renderHistory(name string, past []Past) Message {
	if len(past) == 0 {
		return speak(words("Nothing of "), strong(clean(name, 80)), words(" is kept. Take a profile with "), mono("/profbot cpu "+name), words("."))
	}
	var items []slack.RichTextElement
	for _, p := range past {
		items = append(items, pastLine(p, false))
	}
	title := fmt.Sprintf("The latest of %s, newest first", clean(name, 80))
	p := &page{}
	p.lines(line(strong(title)), items, len(items))
	p.add(small("Prove a fix with /profbot verify INCIDENT"))
	return Message{Text: clean(title+": "+past[0].title(), 1000), Blocks: p.blocks}
}

func renderStatus(s State, mutes []incident.Mute, now time.Time) Message {
	p := &page{}
	title := "profbot is well"
	if len(s.Trouble) > 0 {
		title = "⚠️ profbot has trouble"
	}
	p.add(rich(line(strong(title)), list(texts(s.Trouble, 10)...)))
	work := fmt.Sprintf("%d of %d CPU profiles run, %s", s.Profiles, s.Most, plural(s.Waiting, "capture waits", "captures wait"))
	if s.Untold > 0 {
		work += ", " + plural(s.Untold, "incident is", "incidents are") + " not told yet and will be"
	}
	var running []slack.RichTextElement
	for _, r := range s.Running[:min(len(s.Running), 5)] {
		running = append(running, pastLine(r, true))
	}
	if len(running) == 0 {
		work += "; no incident is worked on"
	}
	p.lines(line(strong("Work:"), words(" "+work+".")), running, len(s.Running))
	if len(s.Resting) > 0 {
		p.add(rich(line(strong("Left alone for a while, since their pods do not answer:")), list(texts(s.Resting, 10)...)))
	}
	p.add(rich(muted(mutes)...))
	p.add(small("profbot "+s.Version, "up for "+soon(now.Sub(s.Since))))
	text := strings.TrimPrefix(title, "⚠️ ") + ": " + work
	if len(s.Trouble) > 0 {
		text += ". " + strings.Join(s.Trouble, "; ")
	}
	return Message{Text: clean(text, 1000), Blocks: p.blocks}
}

func muted(mutes []incident.Mute) []slack.RichTextElement {
	if len(mutes) == 0 {
		return nil
	}
	var items []slack.RichTextElement
	for _, m := range mutes[:min(len(mutes), 10)] {
		items = append(items, line(words(serviceName(m.Service, m.Env)+" until "), moment(m.Until)))
	}
	return []slack.RichTextElement{line(strong("Muted:")), list(items...)}
}

// texts are sentences as the items of a list.
func texts(all []string, most int) []slack.RichTextElement {
	var out []slack.RichTextElement
	for _, s := range all[:min(len(all), most)] {
		out = append(out, line(words(clean(s, 300))))
	}
	if more := len(all) - most; more > 0 {
		out = append(out, line(words(fmt.Sprintf("and %d more", more))))
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// became says what became of an alert.
func became(r incident.Receipt) string {
	what := map[incident.Action]string{incident.ActionCapture: "profiled", incident.ActionResolve: "closed its incident", incident.ActionRecord: "recorded only"}[r.Action]
	return cmp.Or(what, string(r.Action)) + ": " + strings.TrimSuffix(r.Reason, ".")
}

func renderWhy(what string, received []Received) Message {
	if len(received) == 0 {
		return speak(words("profbot has received no alert "), mono(clean(what, 100)), words(" and none of a service of that name. See whether the monitor notifies the webhook, and whether its message has a service tag: "), mono("profbot doctor"), words(" looks at both."))
	}
	p := &page{}
	var items []slack.RichTextElement
	for _, r := range received {
		spans := []span{moment(r.At), words(": "), strong(clean(cmp.Or(r.Alert.Title, r.Alert.ID), 150)), words(" (" + clean(string(r.Alert.Transition), 20) + ") — " + clean(became(r.Receipt), 300))}
		if r.Receipt.Incident != "" {
			spans = append(spans, words(" · "), mono(r.Receipt.Incident))
		}
		items = append(items, line(spans...))
	}
	title := "What became of the latest alerts of " + clean(what, 100)
	p.lines(line(strong(title)), items, len(items))
	return Message{Text: clean(title+": "+became(received[0].Receipt), 1000), Blocks: p.blocks}
}

// renderReasons is why an incident is what it is.
func renderReasons(u Update, received []Received) Message {
	inc, p := u.Incident, &page{}
	title := "Why " + service(inc) + " was profiled, and why these pods"
	became := "the alert is not kept any more"
	if len(received) > 0 {
		became = strings.TrimSuffix(received[0].Receipt.Reason, ".")
	}
	p.add(rich(line(strong(title)), list(
		line(strong("Alert:"), words(" "+clean(cmp.Or(inc.Alert.Title, inc.Alert.ID), 250)+": "+clean(became, 300)+".")),
		line(strong("Pods:"), words(" "+sentence(cmp.Or(inc.Choice, "not chosen yet")))),
		verdictReason(u),
	)))
	p.add(small("incident " + inc.ID))
	return Message{Text: clean(title+": "+became+". "+sentence(inc.Choice), 1000), Blocks: p.blocks}
}

func verdictReason(u Update) slack.RichTextElement {
	switch {
	case u.Incident.Failure != "":
		return line(strong("No verdict:"), words(" "+sentence(u.Incident.Failure)))
	case u.Report == nil:
		return nil
	}
	why := ""
	for _, e := range u.Report.Flagged() {
		why = e.Name + ": " + e.Verdict.Why
		break
	}
	if problems := u.Report.Problems(); why == "" && len(problems) > 0 {
		why = problems[0].Title + ": " + problems[0].Why
	}
	return line(strong("Verdict:"), words(" "+clean(cmp.Or(why, u.Report.Headline()), maxSentence)))
}
