package slackbot

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

// orderLine says what a person asked for, and who.
func orderLine(inc incident.Incident) slack.RichTextElement {
	spans := []span{strong("Asked for:"), words(" " + wanted(inc))}
	return line(append(spans, asker(inc, ", by ")...)...)
}

// wanted is what an order asks for: "CPU and heap profile of live-api (prod),
// 3 pods, 30 s".
func wanted(inc incident.Incident) string {
	o := inc.Alert.Order
	s := profiles(o) + " of " + service(inc)
	switch {
	case inc.Alert.Pod != "":
		s += ", pod " + clean(inc.Alert.Pod, 100)
	case o.Pods > 0:
		s += ", " + count(o.Pods, "pod")
	}
	if o.Window > 0 {
		s += ", " + spell(o.Window)
	}
	if o.Against != "" {
		s += ", to compare with incident " + clean(o.Against, 80)
	}
	return s
}

// profiles names the kinds of an order.
func profiles(o *incident.Order) string {
	var names []string
	for _, k := range o.Kinds {
		name := k.Profile()
		if k == incident.KindCPU {
			name = "CPU"
		}
		names = append(names, clean(name, 40))
	}
	switch n := len(names); n {
	case 0:
		return "the profiles of an alert"
	case 1:
		return names[0] + " profile"
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1] + " profile"
	}
}

// userID is a person as Slack knows them.
var userID = regexp.MustCompile(`^[UW][A-Z0-9]{6,20}$`)

// asker is who asked, after a few words; nothing when nobody did. Slack tells
// a person who is named in a new message, and not when an edit names them: so
// nobody is named before the first edit.
func asker(inc incident.Incident, before string) []span {
	by := inc.Alert.RequestedBy
	switch {
	case by == "":
		return nil
	case !userID.MatchString(by):
		return []span{words(before + clean(by, 80))}
	case inc.Status == incident.StatusAccepted:
		return nil
	}
	return []span{words(before), slack.NewRichTextSectionUserElement(by, nil)}
}

// asksCPU reports whether a CPU profile was wanted at all.
func asksCPU(inc incident.Incident) bool { return inc.Alert.Order.Asks(incident.KindCPU) }

// othersTitle heads the details of a report without a CPU profile.
func othersTitle(inc incident.Incident) string {
	if asksCPU(inc) {
		return "What the other profiles of " + service(inc) + " show"
	}
	return fmt.Sprintf("What the %s of %s shows", profiles(inc.Alert.Order), service(inc))
}

// nothingLine says why profiles that were asked for show nothing, where that is
// usual: most processes record no waiting. nil when there is something.
func nothingLine(u Update) slack.RichTextElement {
	o := u.Incident.Alert.Order
	if o == nil || len(o.Kinds) == 0 || len(u.Report.Findings) > 0 || u.Report.Samples > 0 {
		return nil
	}
	for _, k := range o.Kinds {
		if !k.Waiting() {
			return nil
		}
	}
	return line(strong("Nothing was recorded."), words(" A process records waiting only when it is told to: call runtime.SetMutexProfileFraction(100) for locks, runtime.SetBlockProfileRate(10000) for all else, and ask again."))
}
