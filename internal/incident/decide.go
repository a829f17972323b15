package incident

// Action is what an alert makes profbot do.
type Action string

// The three things an alert can lead to.
const (
	ActionCapture Action = "capture" // profile the service, unless the cool-down says otherwise
	ActionResolve Action = "resolve" // close the incident of the same cycle
	ActionRecord  Action = "record"  // keep the alert with the reason, and do nothing
)

// Decide says what an alert leads to, and why in one plain sentence. It looks
// at the alert alone; the pipeline adds whether the service is configured, the
// store what only it can know (a second delivery, the cool-down).
func Decide(a Alert) (Action, string) {
	switch {
	case a.Verifies != "":
		return ActionCapture, "asked to prove the fix of incident " + a.Verifies
	case a.Order != nil && a.Key.Service != "":
		return ActionCapture, "asked for by a person"
	case a.Test:
		return ActionRecord, "a test notification: recorded, nothing is profiled"
	case a.Transition == TransitionRecovered:
		return ActionResolve, "the monitor recovered"
	case a.Transition == TransitionUnknown || a.Transition == "":
		return ActionRecord, "no monitor transition that profbot knows: a plain event, or a new kind of notification"
	case a.Transition == TransitionNoData:
		return ActionRecord, "the monitor has no data: there is no spike to profile"
	case a.Key.Service == "":
		return ActionRecord, "the alert names no service: add a service tag to the monitor or group it by service"
	default:
		return ActionCapture, "the monitor fired"
	}
}
