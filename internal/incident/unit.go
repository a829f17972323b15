package incident

import "errors"

// ErrNotFound says that an incident, a report or stored bytes do not exist.
var ErrNotFound = errors.New("not found")

// ErrUnknownService says that a service is none that may be profiled, or not
// in that env.
var ErrUnknownService = errors.New("unknown service")

// ErrLeaseLost says that a lease ran out or was given to another worker.
var ErrLeaseLost = errors.New("lease lost")

// Unit is a piece of work that one worker at a time may hold: an incident's
// own progress, or the captures of one of its pods.
type Unit struct {
	Incident string
	Pod      string // "" is the incident itself
}

// Lease is the right to work on a unit until it runs out.
type Lease struct {
	Unit  Unit
	Token string // proves who holds it
}

// String is "incident" or "incident/pod".
func (u Unit) String() string {
	if u.Pod == "" {
		return u.Incident
	}
	return u.Incident + "/" + u.Pod
}
