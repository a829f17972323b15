package slackbot

// The ids of what can be clicked in an incident's thread. The value of each is
// the incident's id.
const (
	ActionHeap      = "incident:heap"      // take heap profiles of the same pods
	ActionGoroutine = "incident:goroutine" // take goroutine profiles of the same pods
	ActionAgain     = "incident:again"     // profile the service again
	ActionCompare   = "incident:compare"   // compare with what was before
	ActionMute      = "incident:mute"      // keep the service's alerts from being profiled for a while
	ActionWhy       = "incident:why"       // say why these pods, and why this verdict
	ActionVerify    = "incident:verify"    // a fix was shipped: profile again and compare
	ActionFlame     = "incident:flame"     // opens a page by itself, and asks for nothing
)
