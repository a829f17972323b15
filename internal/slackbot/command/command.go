// Package command understands what people type after /profbot, or after the
// bot's name: as phones and Slack itself spell it, with smart quotes, long
// dashes, links that nobody asked for and escaped characters.
//
// [Parse] turns a line into a [Command], [Command.String] turns it back into the
// line that says the same, and [Help] explains. One table holds the commands.
package command

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// Verb is what is to be done.
type Verb string

// The verbs. A capture is typed as the name of its profile.
const (
	Open     Verb = ""         // nothing was typed: offer a form
	Capture  Verb = "capture"  // cpu, heap, goroutine, mutex, block, allocs SERVICE [30s] [pod=NAME] [pods=3]
	Diff     Verb = "diff"     // diff SERVICE [since=2h]
	Verify   Verb = "verify"   // verify INCIDENT
	History  Verb = "history"  // history SERVICE
	Services Verb = "services" // services
	Status   Verb = "status"   // status
	Why      Verb = "why"      // why ALERT or SERVICE
	Mute     Verb = "mute"     // mute SERVICE 2h
	Unmute   Verb = "unmute"   // unmute SERVICE
	Digest   Verb = "digest"   // digest on, digest off: of this channel
	Help     Verb = "help"     // help [COMMAND]
)

// Changes reports whether it asks for something that stays, and not for a look.
func (v Verb) Changes() bool {
	switch v {
	case Capture, Diff, Verify, Mute, Unmute, Digest:
		return true
	}
	return false
}

// Command is one understood line. Zero fields were not given.
type Command struct {
	Verb    Verb
	Kind    incident.Kind // of a capture: KindCPU, KindHeap, KindGoroutine, KindMutex, KindBlock, KindAllocsAfter
	Service string        // as typed; who looks it up should not mind case
	Env     string        // env=prod, or SERVICE as live-api/prod
	Window  time.Duration // 30s
	Pod     string        // pod=NAME
	Pods    int           // pods=3
	// Subject is the incident to verify, the alert or service to explain, the
	// command to help with, or on or off.
	Subject string
	Since   time.Duration // of a diff
	For     time.Duration // of a mute
}

// The limits of what may be asked for.
const (
	MinWindow = time.Second
	MaxWindow = 5 * time.Minute
	MaxPods   = 20
	MinMute   = time.Minute
	MaxMute   = 30 * 24 * time.Hour
	MinSince  = time.Minute
	MaxSince  = 30 * 24 * time.Hour
)

// Error says to the person what is wrong with a line and what to type instead.
// It may hold words of the line, cut short: escape it like any text of people.
type Error struct {
	Problem string
	Try     string // a whole line that would do, without /profbot
	// Missing says that only the service, incident or alert is missing: Parse
	// returns the rest, for who knows from the thread what is meant.
	Missing bool
}

func (e *Error) Error() string { return e.Problem + ": try " + e.Try }

// plain is a word that means nothing but itself.
var plain = regexp.MustCompile(`^[\pL\pN]([\pL\pN._-]*[\pL\pN_-])?$`)

// String is the line that says the same, without /profbot: [Parse] reads it back.
func (c Command) String() string {
	var b strings.Builder
	b.WriteString(c.word())
	add := func(s string) {
		if s != "" {
			b.WriteString(" " + quoted(s))
		}
	}
	option := func(key, s string) {
		if s != "" {
			b.WriteString(" " + key + "=" + quoted(s))
		}
	}
	add(c.Service)
	add(c.Subject)
	for _, d := range []time.Duration{c.Window, c.For} {
		if d != 0 {
			b.WriteString(" " + spell(d))
		}
	}
	if c.Since != 0 {
		b.WriteString(" since=" + spell(c.Since))
	}
	option("env", c.Env)
	option("pod", c.Pod)
	if c.Pods != 0 {
		fmt.Fprintf(&b, " pods=%d", c.Pods)
	}
	return b.String()
}

// word is what a command begins with.
func (c Command) word() string {
	for _, f := range forms {
		if f.verb == c.Verb && f.kind == c.Kind {
			return f.word
		}
	}
	return string(c.Verb)
}

func quoted(s string) string {
	_, _, number := cutNumber(s)
	if plain.MatchString(s) && !number && setters[strings.ToLower(s)] == nil && units[strings.ToLower(s)] == 0 {
		return s
	}
	return `"` + s + `"`
}

// spell writes a duration in its largest whole unit.
func spell(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
