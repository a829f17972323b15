package slackbot

import (
	"context"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// Backend is what the answers to people rest on. Its errors are said to the
// person who asked: in plain words, with what to do, and without secrets. An
// incident that is not there is [incident.ErrNotFound].
type Backend interface {
	// Accept stores an alert, here one with an order or a verification, and says
	// what becomes of it. What was accepted will be done.
	Accept(ctx context.Context, a incident.Alert) (incident.Receipt, error)
	// Verify profiles an incident's service again and tells what has changed.
	Verify(ctx context.Context, id, by string) (incident.Receipt, error)
	// Show is what an incident's thread shows.
	Show(ctx context.Context, id string) (Update, error)
	// Find is the incident whose message, or whose thread's, it is; "" for none.
	Find(ctx context.Context, at incident.Place) (id string, err error)

	// Services lists what can be profiled, by name, without what was found last:
	// every order asks for it.
	Services(ctx context.Context) ([]Known, error)
	// Latest is the latest incident of each service.
	Latest(ctx context.Context) (map[string]Past, error)
	// History lists a service's incidents, newest first; "" is of all services.
	History(ctx context.Context, service string, limit int) ([]Past, error)
	// Baseline is the latest incident of a service with a verdict from before a
	// time, to compare with; [incident.ErrNotFound] when there is none.
	Baseline(ctx context.Context, service, env string, before time.Time) (Past, error)
	// Why lists the latest alerts of a service, or the one with that id, with
	// what became of each.
	Why(ctx context.Context, what string, limit int) ([]Received, error)
	// Status is how profbot itself is.
	Status(ctx context.Context) (State, error)
	// Offenders are the endpoints that were flagged since a time, the most
	// expensive first, one line for each endpoint of a service.
	Offenders(ctx context.Context, since time.Time) ([]Offender, error)

	// Mutes lists those that still hold.
	Mutes(ctx context.Context) ([]incident.Mute, error)
	// Mute sets one; with an end that has passed it lifts it.
	Mute(ctx context.Context, m incident.Mute) error
	// Note writes to the audit log.
	Note(ctx context.Context, d incident.Deed) error
	// Deeds lists the latest of the audit log, newest first.
	Deeds(ctx context.Context, limit int) ([]incident.Deed, error)
	// Digests are the channels that want a weekly digest, with when each had
	// its last; Digest sets it, and the zero time means that it wants none.
	Digests(ctx context.Context) (map[string]time.Time, error)
	Digest(ctx context.Context, channel string, last time.Time) error
	// Once reports whether nobody has asked about the key within fifteen minutes.
	Once(ctx context.Context, key string) (bool, error)
}

// Known is a service that can be profiled.
type Known struct {
	Service, Env string
	Pods         int
	Team         string // who owns it, where that is configured; "" otherwise
	Last         *Past  // its latest incident; nil for none, and where nobody looked
}

// Past is an incident as a list shows it.
type Past struct {
	Incident incident.Incident
	Headline string // the verdict, or why there is none; "" while it is worked on
	Place    incident.Place
	// Flagged are the endpoints that the verdict names.
	Flagged []string
	// Proven says what a verification found; "" when there was none.
	Proven string
	Report string // address of its page; "" for none
}

// Received is an alert with what became of it.
type Received struct {
	At      time.Time
	Alert   incident.Alert
	Receipt incident.Receipt
}

// State is how profbot itself is.
type State struct {
	Version  string
	Since    time.Time // of this process
	Running  []Past    // incidents that are worked on, oldest first
	Waiting  int       // captures that wait for their turn
	Profiles int       // CPU profiles that run now
	Most     int       // how many may run at once
	// Untold are incidents of which not everything was told, and Trouble says
	// of each part that does not work what is wrong, in plain words.
	Untold  int
	Trouble []string
	Resting []string // services that are left alone for a while, and until when
}

// Offender is an endpoint that decodes, or does other work, too much.
type Offender struct {
	Service, Env, Endpoint string
	Verdict                string         // the rule's words
	Share                  analysis.Share // of the endpoint's CPU
	Cores                  float64        // what it cost at the time; 0 when unknown
	Incident               string
	At                     time.Time
	Proven                 string // what a verification found since; "" for none
}
