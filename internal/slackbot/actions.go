package slackbot

import (
	"fmt"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

// The ids of what can be clicked in an incident's thread. The value of each is
// the incident's id.
const (
	ActionHeap      = "incident:heap"      // take heap profiles of the same pods
	ActionGoroutine = "incident:goroutine" // take goroutine profiles of the same pods
	ActionAgain     = "incident:again"     // profile the service again
	ActionCompare   = "incident:compare"   // compare with what was before
	ActionMute      = "incident:mute"      // keep the service's alerts from being profiled for [MuteFor]
	ActionWhy       = "incident:why"       // say why these pods, and why this verdict
	ActionVerify    = "incident:verify"    // a fix was shipped: profile again and compare
	ActionFlame     = "incident:flame"     // opens a page by itself, and asks for nothing
)

// MuteFor is how long the button mutes a service: until somebody has looked at
// what is known already.
const MuteFor = 2 * time.Hour

// maxButton is how many characters a button may have, and what a screen reader
// says of it.
const maxButton = 75

// button is one of an incident's; says is for people who hear the page.
func button(action, id, text, says string) *slack.ButtonBlockElement {
	b := slack.NewButtonBlockElement(action, cut(id, 255), plainText(text, maxButton)) // ids are ours and short
	b.AccessibilityLabel = clean(says, maxButton)
	return b
}

// flameButton needs nobody who answers; nil when there is no page.
func flameButton(u Update) []slack.BlockElement {
	if link(u.FlameURL, "") == nil {
		return nil
	}
	b := button(ActionFlame, u.Incident.ID, "Flame graph", "Open the interactive flame graph of "+service(u.Incident))
	b.URL = u.FlameURL
	return []slack.BlockElement{b}
}

// buttons are what people can do next with an incident: one row, in the order
// in which they are likely wanted.
func buttons(u Update) slack.Block {
	inc, name := u.Incident, service(u.Incident)
	var row []slack.BlockElement
	if inc.Status == incident.StatusDone && u.Report != nil {
		row = flameButton(u)
		if len(u.Report.Flagged())+len(u.Report.Problems()) > 0 {
			b := button(ActionVerify, inc.ID, "We shipped a fix: verify", "A fix was shipped: profile "+name+" again and compare")
			b.Style = slack.StylePrimary
			row = append(row, b)
		}
		row = append(row,
			button(ActionCompare, inc.ID, "Compare", "Compare "+name+" with what was before"),
			button(ActionHeap, inc.ID, "Heap", "Take heap profiles of "+name),
			button(ActionGoroutine, inc.ID, "Goroutines", "Take goroutine profiles of "+name))
	}
	if inc.Status.Final() {
		row = append(row, button(ActionAgain, inc.ID, "Again", "Profile "+name+" again"))
	}
	if inc.Choice != "" {
		row = append(row, button(ActionWhy, inc.ID, "Why these pods?", "Say why these pods of "+name))
	}
	if inc.Alert.Order == nil { // what people ask for is never muted
		b := button(ActionMute, inc.ID, fmt.Sprintf("Mute for %.0f h", MuteFor.Hours()), "Do not profile alerts of "+name+" for a while")
		b.Confirm = slack.NewConfirmationBlockObject(
			plainText("Mute "+name+"?", 100),
			plainText(fmt.Sprintf("For %.0f hours its alerts start no profile. What people ask for is done all the same.", MuteFor.Hours()), 300),
			plainText("Mute", 30), plainText("Cancel", 30))
		row = append(row, b)
	}
	if len(row) == 0 {
		return nil
	}
	return slack.NewActionBlock("", row...)
}

// proofButtons are what can be done next with a verification: the fix's
// incident may be verified again.
func proofButtons(u Update) slack.Block {
	if !u.Incident.Status.Final() {
		return nil
	}
	row := append(flameButton(u), button(ActionVerify, u.Incident.Alert.Verifies, "Verify again", "Profile "+service(u.Incident)+" again and compare"))
	return slack.NewActionBlock("", row...)
}
