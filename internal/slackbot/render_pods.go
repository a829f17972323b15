package slackbot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

// maxPodLines bounds the list of pods in one message.
const maxPodLines = 12

// podCaptures are the captures of one pod in the order of the plan.
type podCaptures struct {
	pod      string
	captures []incident.Capture
}

// byPod groups captures, pods in the order in which they first appear.
func byPod(captures []incident.Capture) []podCaptures {
	var out []podCaptures
	for _, c := range captures {
		i := slices.IndexFunc(out, func(p podCaptures) bool { return p.pod == c.Pod })
		if i < 0 {
			i = len(out)
			out = append(out, podCaptures{pod: c.Pod})
		}
		out[i].captures = append(out[i].captures, c)
	}
	return out
}

// counted are the captures that people count: profiles of waiting are there
// only where a process records them, and are missed by nobody.
func counted(captures []incident.Capture) []incident.Capture {
	return slices.DeleteFunc(slices.Clone(captures), func(c incident.Capture) bool { return c.Kind.Waiting() })
}

// choiceNotes is the part of the choice that the pods' own lines do not say:
// what was in the way of a better one. See [incident.Choose].
func choiceNotes(inc incident.Incident) string {
	_, notes, _ := strings.Cut(inc.Choice, "; ")
	return sentence(notes)
}

// maxBar is how many boxes a full progress bar has.
const maxBar = 12

// progress is a line with a bar: how far the pulling is, and for how long it
// will go on.
func progress(captures []incident.Capture) slack.RichTextElement {
	final, all := finals(captures)
	if all == 0 {
		return line(words("Reading the profiles."))
	}
	full := final * maxBar / all
	spans := []span{words(strings.Repeat("▰", full) + strings.Repeat("▱", maxBar-full) + " " + taken(captures))}
	switch left, until := remaining(captures); {
	case final == all:
		spans = append(spans, words(". Reading them."))
	case left == 0:
		spans = append(spans, words("."))
	case until.IsZero():
		spans = append(spans, words(", about "+spell(left)+" left."))
	default:
		spans = append(spans, words(", about "+spell(left)+" left, until "), seconds(until), words("."))
	}
	return line(spans...)
}

// finals counts the captures, and those that are over.
func finals(captures []incident.Capture) (final, all int) {
	captures = counted(captures)
	for _, c := range captures {
		if c.Status.Final() {
			final++
		}
	}
	return final, len(captures)
}

// taken is how far the pulling is: "6 of 12 profiles taken".
func taken(captures []incident.Capture) string {
	final, all := finals(captures)
	return fmt.Sprintf("%d of %s taken", final, count(all, "profile"))
}

// remaining is how long the CPU profiles that are not over will take, and until
// when, zero when nothing has begun. It is reckoned from the latest thing that
// happened, which is what the message tells: so it changes when that does.
func remaining(captures []incident.Capture) (left time.Duration, until time.Time) {
	var now time.Time
	for _, c := range captures {
		for _, t := range []time.Time{c.Started, c.Finished} {
			if t.After(now) {
				now = t
			}
		}
	}
	for _, c := range captures {
		switch {
		case c.Status.Final() || c.Window == 0:
		case now.IsZero():
			left = max(left, c.Window)
		default:
			begin := c.Started
			if begin.IsZero() {
				begin = now
			}
			if end := begin.Add(c.Window); end.After(until) {
				until = end
			}
		}
	}
	if !until.IsZero() {
		left = max(until.Sub(now), time.Second)
	}
	return left, until
}

// maxChosen is how many pods the verdict's message names.
const maxChosen = 4

// chosenPods are the pods that a verdict rests on, each with why.
func chosenPods(captures []incident.Capture) []slack.RichTextElement {
	pods := byPod(captures)
	var lines []slack.RichTextElement
	for i, p := range pods {
		if i == maxChosen {
			lines = append(lines, line(words(fmt.Sprintf("and %s in the thread", count(len(pods)-i, "more pod")))))
			break
		}
		spans := podSpans(p)
		if s := podState(p.captures); s != everything {
			spans = append(spans, words(": "+s))
		}
		lines = append(lines, line(spans...))
	}
	return lines
}

// everything is the state of a pod of which nothing is missing.
const everything = "all profiles taken"

// podSpans say which pod, and why it was chosen.
func podSpans(p podCaptures) []span {
	c := p.captures[0]
	spans := []span{mono(clean(p.pod, 100)), words(" " + role(c.Role))}
	if c.Why != "" {
		spans = append(spans, words(", "+clean(c.Why, 150)))
	}
	return spans
}

// podLines are one line for each pod: which, why, and what came of it.
func podLines(captures []incident.Capture) []slack.RichTextElement {
	pods := byPod(captures)
	var lines []slack.RichTextElement
	for i, p := range pods {
		if i == maxPodLines {
			lines = append(lines, line(words(fmt.Sprintf("and %s", count(len(pods)-i, "more pod")))))
			break
		}
		spans := append(podSpans(p), words(": "+podState(p.captures)))
		for _, f := range failures(p.captures) {
			spans = append(spans, f...)
		}
		lines = append(lines, line(spans...))
	}
	return lines
}

// role is a pod's role as people say it.
func role(r incident.Role) string {
	if r == incident.RoleControl {
		return "to compare"
	}
	return string(r)
}

// podState counts a pod's captures.
func podState(captures []incident.Capture) string {
	captures = counted(captures)
	stored, final := 0, 0
	for _, c := range captures {
		if c.Status.Final() {
			final++
		}
		if c.Status == incident.CaptureStored {
			stored++
		}
	}
	switch {
	case stored == len(captures):
		return everything
	case final == len(captures) && stored == 0:
		return "no profile"
	default:
		return fmt.Sprintf("%d of %s taken", stored, count(len(captures), "profile"))
	}
}

// failures say what went wrong with a pod's captures, the same outcome once
// for all its kinds, with the target's own words marked as such.
func failures(captures []incident.Capture) [][]span {
	type key struct {
		outcome incident.Outcome
		detail  string
		tries   int
	}
	captures = counted(captures)
	var order []key
	kinds := map[key][]string{}
	for _, c := range captures {
		if c.Status != incident.CaptureFailed {
			continue
		}
		k := key{c.Outcome, c.Detail, c.Tries}
		if kinds[k] == nil {
			order = append(order, k)
		}
		kinds[k] = append(kinds[k], kindName(c.Kind))
	}
	var out [][]span
	for _, k := range order {
		what := strings.Join(kinds[k], ", ")
		if len(kinds[k]) == len(captures) {
			what = "all of them"
		}
		if k.tries > 0 {
			what = fmt.Sprintf("%s, asked %d times", what, k.tries+1)
		}
		spans := []span{words("; " + what + ": " + string(k.outcome) + " ")}
		if k.detail != "" {
			spans = append(spans, mono(clean(k.detail, 200)))
		}
		out = append(out, spans)
	}
	return out
}

// kindName is a kind of profile as people say it.
func kindName(k incident.Kind) string {
	switch k {
	case incident.KindCPU:
		return "CPU"
	case incident.KindAllocsBefore:
		return "allocs before"
	case incident.KindAllocsAfter:
		return "allocs after"
	}
	return strings.ReplaceAll(string(k), "-", " ")
}

// renderFailure adds why there is no verdict, every pod's outcome and what to
// do about each kind of outcome.
func renderFailure(p *page, u Update, fallback string) string {
	why := u.Incident.Failure
	// The pods' own lines follow: what they say is not said twice.
	if head, tail, ok := strings.Cut(why, ": "); ok && repeats(tail, u.Captures) {
		why = head
	}
	if why != "" {
		why = sentence(why)
		fallback += ". " + why
	}
	p.add(rich(line(words(why)), list(podLines(u.Captures)...)))
	var todo []slack.RichTextElement
	for _, a := range remedies(u.Captures) {
		todo = append(todo, line(words(a)))
	}
	if len(todo) > 0 {
		p.add(rich(line(strong("What to do:")), list(todo...)))
		fallback += " Next: " + remedies(u.Captures)[0]
	}
	p.add(small(choiceNotes(u.Incident)))
	return fallback
}

// repeats reports whether a text holds the outcome of every failed CPU
// profile, of which there is at least one.
func repeats(text string, captures []incident.Capture) bool {
	n := 0
	for _, c := range captures {
		if c.Kind == incident.KindCPU && c.Status == incident.CaptureFailed {
			if !strings.Contains(text, c.Pod+": "+string(c.Outcome)) {
				return false
			}
			n++
		}
	}
	return n > 0
}

// sentence begins with a capital letter and ends with a period.
func sentence(s string) string {
	s = strings.TrimRight(clean(s, maxSentence-1), ".")
	r := []rune(s)
	if len(r) == 0 {
		return ""
	}
	return strings.ToUpper(string(r[0])) + string(r[1:]) + "."
}

// remedies says what to do about the outcomes, each once.
func remedies(captures []incident.Capture) []string {
	if len(captures) == 0 {
		return []string{"See with profbot doctor which pods are found, and whether they carry the service's name as the alert spells it."}
	}
	var out []string
	for _, c := range captures {
		if c.Status != incident.CaptureFailed {
			continue
		}
		if r := remedy(c.Outcome); r != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

func remedy(o incident.Outcome) string {
	switch o {
	case incident.OutcomeBusy:
		return "Only one CPU profile can run in a process at a time: see who else profiles these pods, such as a continuous profiler."
	case incident.OutcomeNoPprof:
		return "Serve net/http/pprof in the service, and check that the configured address is its index (…/debug/pprof)."
	case incident.OutcomeDenied:
		return "Give profbot the authorization that the pods' pprof asks for."
	case incident.OutcomeUnreachable:
		return "Check the configured address and port, and the network policies between profbot and the pods."
	case incident.OutcomeDiscovery:
		return "Nobody told where the pods are, so they were not asked: see whether the cluster's API server, or the name server, answers profbot."
	case incident.OutcomeTimeout:
		return "If the server has a WriteTimeout shorter than a CPU profile, serve pprof on a listener of its own."
	case incident.OutcomeTooLarge:
		return "Raise the size limit of a profile in profbot's configuration."
	case incident.OutcomeNotProfile:
		return "Something else than pprof answers at the configured address: check it."
	case incident.OutcomeGone:
		return "The pods are gone; the next alert chooses among those that are there."
	case incident.OutcomeMoved:
		return "The pods were replaced while they were to be profiled; the next alert chooses among those that are there."
	case incident.OutcomeRefused:
		return "Check the networks that profbot may dial (capture.networks), and which profiles the pods' annotations switch off."
	case incident.OutcomeTargetError:
		return "The target's own words are beside its name: its log may say more."
	case incident.OutcomeEmpty:
		return "Nothing happened while the profile was taken: profile again while the load is there."
	case incident.OutcomeCanceled:
		return "The profiling was stopped before its end: profile again."
	case incident.OutcomeResting:
		return "Too many profiles of the service have failed lately, so it is left alone for a while: see to the reasons, and profbot asks again by itself."
	}
	return ""
}
