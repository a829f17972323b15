// Package incident is the vocabulary that the rest of profbot shares: an
// [Alert] comes in, opens an [Incident], the incident plans [Capture]s on
// [Target]s, and what was told about it is remembered as [Effect]s.
//
// Everything here is plain data and pure rules: no I/O, no clock, no logger.
// Start with [Decide], the rule that says what an alert makes profbot do.
package incident

import "time"

// Key names what an alert is about. Two alerts with the same key and the same
// [Alert.Cycle] belong to the same incident.
type Key struct {
	Service string `json:"service"`           // Datadog's unified service tag
	Env     string `json:"env,omitempty"`     // Datadog's unified env tag; "" when the alert names none
	Monitor string `json:"monitor,omitempty"` // the monitor's numeric id as text; "" when unknown
}

// Transition says how a monitor's state changed.
type Transition string

// The transitions profbot tells apart. Datadog's spelling differs between
// versions ("Triggered", "Re-Triggered", "Renotify"); package webhook folds
// them into these.
const (
	TransitionTriggered   Transition = "triggered"
	TransitionRetriggered Transition = "re-triggered" // also renotify
	TransitionWarn        Transition = "warn"         // also re-warn
	TransitionNoData      Transition = "no-data"      // also re-no-data
	TransitionRecovered   Transition = "recovered"
	TransitionUnknown     Transition = "unknown" // absent, or a word this version does not know
)

// VerifyCycle begins the cycle of an alert that asks to verify a fix: no
// monitor's cycle, so that no monitor's recovery is about it.
const VerifyCycle = "verify/"

// Alert is one notification that asked for profbot's attention, as understood
// from the outside world. Texts are as received: not escaped for Slack.
type Alert struct {
	Source     string     `json:"source"` // "datadog", "cli"
	ID         string     `json:"id"`     // unique per notification; a second delivery has the same ID
	Key        Key        `json:"key"`
	Cycle      string     `json:"cycle,omitempty"` // same from trigger to recovery; "" when unknown
	Transition Transition `json:"transition"`
	Test       bool       `json:"test,omitempty"` // a monitor's "Test Notifications"

	Title     string    `json:"title,omitempty"`
	Status    string    `json:"status,omitempty"` // value against threshold, in the monitor's words
	Metric    string    `json:"metric,omitempty"`
	Query     string    `json:"query,omitempty"`
	Priority  string    `json:"priority,omitempty"`
	URL       string    `json:"url,omitempty"` // the event or monitor page; shown, never fetched
	At        time.Time `json:"at"`
	Tags      []string  `json:"tags,omitempty"` // "key:value" or bare words
	Namespace string    `json:"namespace,omitempty"`
	Pod       string    `json:"pod,omitempty"` // the pod the alert names; "" when it names none
	Host      string    `json:"host,omitempty"`

	RequestedBy string `json:"requested_by,omitempty"` // a person, when a person asked
	// Verifies is the incident whose fix is to be proven: the same service is
	// profiled again and compared with it. "" for all other alerts.
	Verifies string `json:"verifies,omitempty"`
	// Order is what a person asked for; nil for a monitor's alert.
	Order *Order `json:"order,omitempty"`
	// Place is where the answer belongs.
	Place Place `json:"place,omitzero"`
}

// Status is where an incident stands.
type Status string

// An incident moves down this list and never up. Recovery is not a status:
// the monitor may recover before or after the work is done.
const (
	StatusAccepted  Status = "accepted"  // stored, no pods chosen yet
	StatusCapturing Status = "capturing" // pods chosen, profiles being pulled
	StatusReporting Status = "reporting" // every capture is final, report being made and told
	StatusDone      Status = "done"      // told; final
	StatusFailed    Status = "failed"    // nothing to analyse, and that was told; final
)

// Final reports whether no more work is planned for the incident.
func (s Status) Final() bool { return s == StatusDone || s == StatusFailed }

// Incident is one answer to one firing monitor: one Slack thread.
type Incident struct {
	ID     string `json:"id"`
	Alert  Alert  `json:"alert"` // the alert that opened it
	Status Status `json:"status"`

	// Measure is what the alert is about, and so what the pods were chosen by;
	// "" is CPU.
	Measure Measure `json:"measure,omitempty"`
	// Monitor is what the monitor was set to when the pods were chosen; nil
	// when it was not asked for or did not answer.
	Monitor *Monitor `json:"monitor,omitempty"`
	// Choice says in one plain sentence which pods were chosen and why.
	Choice string `json:"choice,omitempty"`
	// Fleet is what was known of the service's pods when some were chosen; nil
	// before.
	Fleet *Fleet `json:"fleet,omitempty"`
	// Rates are the requests of the service's endpoints while it was profiled,
	// kept so that a report made anew is the same; nil until they were asked for.
	Rates *Rates `json:"rates,omitempty"`
	// Failure says in one plain sentence why there is no report.
	Failure string `json:"failure,omitempty"`
	// Reports is how often the report was begun, without the attempts that a
	// stop or an error of the disk ended: a process that dies of the profiles
	// leaves its mark here.
	Reports int `json:"reports,omitempty"`

	Opened    time.Time `json:"opened"`
	Finished  time.Time `json:"finished,omitzero"`
	Recovered time.Time `json:"recovered,omitzero"`
}

// Choice is which pods were chosen, with all that was known then.
type Choice struct {
	Says    string // see [Incident.Choice]
	Measure Measure
	Monitor *Monitor
	Fleet   Fleet
}

// Fleet is what was known of a service's pods.
type Fleet struct {
	Pods     int     `json:"pods"`               // how many
	Requests float64 `json:"requests,omitempty"` // of all of them, a second; 0 when unknown
	// Next are the loads of those that were not chosen, the hottest first, not
	// all of them: who is next in line when a chosen one cannot be profiled.
	Next []PodLoad `json:"next,omitempty"`
}

// Rates are the requests of a service's endpoints.
type Rates struct {
	// PerSecond is of all pods together, by the names that the traces give
	// the endpoints; empty when there is no such metric.
	PerSecond map[string]float64 `json:"per_second,omitempty"`
	// Part is the part of them that the profiled hot pods serve, 0 to 1, and
	// Basis says in plain words how that is known.
	Part  float64 `json:"part,omitempty"`
	Basis string  `json:"basis,omitempty"`
	// Failure says why they are not known; "" when they are, or nobody counts.
	Failure string `json:"failure,omitempty"`
}

// Role says why a pod is profiled.
type Role string

// Roles of a pod in an incident.
const (
	RoleHot     Role = "hot"     // the pod in trouble
	RoleControl Role = "control" // a cool pod of the same service, to compare with
)

// CaptureStatus is where one capture stands.
type CaptureStatus string

// A capture moves from waiting to one of the final states.
const (
	CaptureWaiting CaptureStatus = "waiting"
	CapturePulling CaptureStatus = "pulling"
	CaptureStored  CaptureStatus = "stored" // final: the bytes are safe
	CaptureFailed  CaptureStatus = "failed" // final: Outcome and Detail say why
)

// Final reports whether the capture will not be pulled again.
func (s CaptureStatus) Final() bool { return s == CaptureStored || s == CaptureFailed }

// Outcome names how a pull ended, in words that the thread can show.
type Outcome string

// Outcomes of a pull.
const (
	OutcomeStored      Outcome = "stored"
	OutcomeBusy        Outcome = "profiler busy"        // another CPU profile is running in the target
	OutcomeNoPprof     Outcome = "no pprof"             // 404, or an answer that is no pprof endpoint's
	OutcomeDenied      Outcome = "access denied"        // 401 or 403
	OutcomeUnreachable Outcome = "unreachable"          // refused, reset, no route, no such host
	OutcomeTimeout     Outcome = "timeout"              // no complete answer in time
	OutcomeTooLarge    Outcome = "too large"            // over the compressed or decompressed limit
	OutcomeNotProfile  Outcome = "not a profile"        // 200 with something else
	OutcomeTargetError Outcome = "target error"         // any other status; Detail has the target's words
	OutcomeGone        Outcome = "pod no longer listed" // discovery does not know the pod any more
	OutcomeMoved       Outcome = "pod moved"            // its name or address belongs to another pod by now
	OutcomeRefused     Outcome = "not allowed"          // an address outside the allowed networks, or a kind that the owner switched off
	OutcomeResting     Outcome = "service resting"      // too many pulls of the service have failed: its breaker is open
	OutcomeCanceled    Outcome = "canceled"
	OutcomeEmpty       Outcome = "empty" // stored, and there was nothing in it: no bytes are kept
)

// Capture is one profile to be pulled, or pulled, from one pod.
type Capture struct {
	Incident string        `json:"incident"`
	Pod      string        `json:"pod"`
	Kind     Kind          `json:"kind"`
	Role     Role          `json:"role"`
	Why      string        `json:"why"`              // why this pod, in a few plain words
	Window   time.Duration `json:"window,omitempty"` // CPU profiles: how long the target was asked to sample
	Load     PodLoad       `json:"load,omitzero"`    // CPU profiles: what the metrics said when the pod was chosen
	// Tries is how often the CPU profile was asked for again after a wait.
	Tries int `json:"tries,omitempty"`
	// For is the pod in whose place this one is profiled; "" for a pod that
	// was chosen at first.
	For string `json:"for,omitempty"`
	UID string `json:"uid,omitempty"` // the chosen pod's; see [Target.UID]
	// Asked is how long the target was asked to sample for this capture, with
	// the attempts that came to nothing: what the profile cost it.
	Asked time.Duration `json:"asked,omitempty"`

	Status   CaptureStatus `json:"status"`
	Outcome  Outcome       `json:"outcome,omitempty"`
	Detail   string        `json:"detail,omitempty"` // the target's own words when it failed
	Blob     string        `json:"blob,omitempty"`   // name of the stored bytes
	Bytes    int64         `json:"bytes,omitempty"`  // stored size, gzipped
	Started  time.Time     `json:"started,omitzero"`
	Finished time.Time     `json:"finished,omitzero"`
}

// Difference is how an incident's profiles differ from others of the service,
// as the thread shows it.
type Difference struct {
	// Against says with what in a few plain words: "live-api-7d9f-c4, a cool pod
	// of the same time", "incident 7f3a of 12 March".
	Against string
	Picture []byte   // PNG of a flame graph that shows what grew; nil for none
	Lines   []string // what grew and what shrank, the most first, a sentence each
}

// Effect is the memory of one step that the outside world can see (a message
// posted, a file shared). It is saved before the step as [EffectBegun] and
// after it as [EffectDone], so that a crash between the two is known to have
// left the outcome open, and the step looks at the world before it acts again.
type Effect struct {
	State EffectState `json:"state"`
	// Ref is what the outside world calls the result: a message timestamp, a
	// file id.
	Ref string `json:"ref,omitempty"`
	// Digest identifies the content last sent, so that the same content is
	// not sent twice.
	Digest string    `json:"digest,omitempty"`
	At     time.Time `json:"at"`
}

// EffectState is how far a step came.
type EffectState string

// The zero state means that the step was never begun.
const (
	EffectBegun EffectState = "begun"
	EffectDone  EffectState = "done"
)

// Receipt says what became of an alert that was accepted and stored.
type Receipt struct {
	Action   Action `json:"action"`
	Incident string `json:"incident,omitempty"` // the incident opened, joined or closed; "" for none
	Reason   string `json:"reason"`             // one plain sentence, kept with the alert
	Repeated bool   `json:"repeated,omitempty"` // this alert ID had been accepted before; nothing new was done
}
