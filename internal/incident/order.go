package incident

import (
	"slices"
	"time"
)

// Order is what a person asked for, beside the service: a capture that no
// monitor started. Its zero fields mean what an alert would get.
type Order struct {
	// Kinds are the profiles to take, by the name of what is looked at: KindCPU,
	// KindHeap, KindAllocsAfter, KindGoroutine, KindMutex, KindBlock. Empty is
	// what the measure's plan has.
	Kinds []Kind `json:"kinds,omitempty"`
	// Window is the length of the CPU profile, or of the time between two
	// snapshots where there is none.
	Window time.Duration `json:"window,omitempty"`
	Pods   int           `json:"pods,omitempty"` // hot pods to take
	// Against is the incident whose profiles the new ones are compared with; ""
	// for none.
	Against string `json:"against,omitempty"`
}

// Place is where in Slack something is told: a channel, and the message whose
// thread it belongs into; "" for the channel itself. The zero Place is where
// the service's incidents are told.
type Place struct {
	Channel string `json:"channel,omitempty"`
	Thread  string `json:"thread,omitempty"`
}

// Mute keeps a service's alerts from being profiled for a while. What a person
// asks for is done all the same.
type Mute struct {
	Service string    `json:"service"`
	Env     string    `json:"env,omitempty"` // "" for every env
	Until   time.Time `json:"until"`
	By      string    `json:"by"` // who asked for it, as Slack knows them
	At      time.Time `json:"at"`
}

// Covers reports whether alerts of k are muted at a time.
func (m Mute) Covers(k Key, now time.Time) bool {
	return m.Service == k.Service && (m.Env == "" || k.Env == "" || m.Env == k.Env) && now.Before(m.Until)
}

// Muted is the mute that covers k for longest; nil for none.
func Muted(mutes []Mute, k Key, now time.Time) *Mute {
	var out *Mute
	for _, m := range mutes {
		if m.Covers(k, now) && (out == nil || m.Until.After(out.Until)) {
			out = &m
		}
	}
	return out
}

// Deed is one thing that a person asked for, as the audit log keeps it: also
// when it was refused.
type Deed struct {
	At      time.Time `json:"at"`
	User    string    `json:"user"`              // id in Slack
	Name    string    `json:"name,omitempty"`    // what they are called there
	Team    string    `json:"team,omitempty"`    // id of their workspace
	Channel string    `json:"channel,omitempty"` // where they asked
	What    string    `json:"what"`              // as understood: "cpu live-api 30s"
	Service string    `json:"service,omitempty"`
	// Refused says in plain words why it was not done; "" when it was.
	Refused  string `json:"refused,omitempty"`
	Incident string `json:"incident,omitempty"` // what came of it
}

// Asks reports whether k is among the kinds an order names; an order that names
// none asks for all, and so does a nil one, which is no order.
func (o *Order) Asks(k Kind) bool {
	return o == nil || len(o.Kinds) == 0 || slices.ContainsFunc(o.Kinds, func(a Kind) bool { return a.Profile() == k.Profile() })
}

// PlanOf is [Plan] for what was ordered. Who asks for a CPU profile, or names
// nothing, gets what an alert gets: the other profiles are what its report
// rests on. Who asks for others gets these alone, each with the snapshot that it
// is subtracted from, and no pod to compare with.
func PlanOf(o *Order, m Measure, role Role, refuses []Kind) []Kind {
	if o.Asks(KindCPU) {
		if o != nil && len(o.Kinds) > 0 && o.Asks(KindHeap) {
			m = MeasureMemory
		}
		return Plan(m, role, refuses)
	}
	if role != RoleHot {
		return nil
	}
	var befores, out []Kind
	for _, k := range o.Kinds {
		if b := k.Before(); b != "" {
			befores = append(befores, b)
		}
		out = append(out, k)
	}
	out = append(befores, out...)
	return slices.DeleteFunc(out, func(k Kind) bool { return k.RefusedBy(refuses) })
}

// Main is the kind that an incident is about first: without it a pod is of
// little use.
func (o *Order) Main(m Measure) Kind {
	switch {
	case o.Asks(KindCPU) && m == MeasureMemory:
		return KindHeap
	case o.Asks(KindCPU):
		return KindCPU
	}
	return o.Kinds[0]
}
