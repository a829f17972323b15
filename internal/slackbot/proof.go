package slackbot

import (
	"context"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// PublishProof tells the verification of a fix, in the thread of the incident
// that it is about, whose ledger of is. What [Bot.Publish] says of repetition
// and deletion holds here too.
func (b *Bot) PublishProof(ctx context.Context, led, of Ledger, u Update) error {
	t := &thread{Bot: b, led: led, u: u}
	ctx = inLine(ctx, turn{since: u.Incident.Opened})
	err := t.proof(ctx, of)
	if err == nil && u.Incident.Status == incident.StatusDone && u.Report != nil {
		err = t.pictures(ctx)
	}
	return t.told(ctx, err)
}

// proof posts or edits the verification's message.
func (t *thread) proof(ctx context.Context, of Ledger) error {
	root, err := of.Load(ctx, stepRoot)
	switch {
	case err != nil:
		return err
	case root.Digest == deleted:
		return errDeleted
	case root.State == incident.EffectBegun:
		return fmt.Errorf("incident %q is not told yet, and its thread is where this belongs", t.u.Incident.Alert.Verifies)
	}
	// Without a root, since the incident is not kept any more, the proof is a
	// message of its own. An incident that was told in somebody's thread is a
	// reply there, and its verification another.
	channel, parent, _ := strings.Cut(root.Ref, "/")
	if place := t.u.Incident.Alert.Place; place.Thread != "" {
		channel, parent = place.Channel, place.Thread
	}
	ref, err := t.progress(ctx, stepProof, channel, parent, RenderProof)
	t.in(ref, parent)
	return err
}

var proofHeadings = []string{"Endpoint", "Work", "Before (95 % interval)", "After", "Share of CPU", "Outcome"}

// RenderProof is the message of a verification: how far it is, and in the end
// what was before and what is now. clicks is as for [RenderRoot].
func RenderProof(u Update, clicks bool) Message {
	inc, p := u.Incident, &page{}
	var row slack.Block
	if clicks {
		row = proofButtons(u)
	}
	held := p.hold(row)
	name := service(inc)
	fallback := name + ": verifying the fix"
	switch {
	case inc.Status == incident.StatusDone && u.Proof != nil:
		fallback = renderComparison(p, u, clicks)
	case inc.Status == incident.StatusFailed:
		p.add(header("⚠️ The fix could not be verified"))
		fallback = renderFailure(p, u, name+": the fix could not be verified")
	case inc.Status == incident.StatusAccepted:
		p.add(rich(line(strong("⏳ Verifying the fix."), words(" Choosing the pods to profile."))))
	default:
		p.add(rich(line(strong("⏳ Verifying the fix.")), progress(u.Captures), list(podLines(u.Captures)...)))
		p.add(small(choiceNotes(inc)))
	}
	p.release(held)
	p.add(row)
	p.add(rich(line(asker(inc, "Asked for by ")...)))
	return Message{Text: clean(fallback, 1000), Blocks: p.blocks}
}

// renderComparison adds what was before and what is now.
func renderComparison(p *page, u Update, clicks bool) (fallback string) {
	c := u.Proof
	title, fallback := "🔎 "+c.Headline(), service(u.Incident)+": "+c.Headline()
	if c.Proven() {
		title, fallback = "✅ The fix works: "+c.Headline(), service(u.Incident)+": the fix works: "+c.Headline()
	}
	p.add(header(title))
	var rows [][]string
	for _, ch := range c.Endpoints {
		work := "decoding"
		switch ch.Rule {
		case analysis.RuleEncode:
			work = "encoding"
		case analysis.RuleCompress:
			work = "compression"
		}
		rows = append(rows, []string{
			ch.Name, work, ch.Before.String(), ch.After.String(),
			percent(ch.CPUBefore.Part) + " → " + percent(ch.CPUAfter.Part), string(ch.Outcome),
		})
	}
	if t, n := table(proofHeadings, rows, []int{2, 3, 4}, maxChars/2); n > 0 {
		p.add(t)
	}
	if c.Gain() > 0 {
		p.add(rich(line(strong("Requests per CPU-second:"), words(fmt.Sprintf(" %s before, %s now: %.1f times as many.",
			thousands(int64(c.Before)), thousands(int64(c.After)), c.Gain())))))
	}
	p.add(rich(links(u, clicks)))
	p.add(small("Shares of the endpoint's own CPU samples; an outcome is named when it is significant (two-proportion test, 5 %)."))
	return fallback
}
