// Package command understands what people type after /profbot, or after the
// bot's name.
package command

import (
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

// Command is one understood line. Zero fields were not given.
type Command struct {
	Verb    Verb
	Kind    incident.Kind // of a capture: KindCPU, KindHeap, KindGoroutine, KindMutex, KindBlock, KindAllocsAfter
	Service string
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
