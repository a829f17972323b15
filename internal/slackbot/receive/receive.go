// Package receive takes in what people do in Slack: slash commands, clicks,
// submitted modals, mentions, and visits of the app's home.
//
// There are two ways in and one path behind them. [NewHTTP] is for a profbot
// that Slack can reach: it verifies the signature over the raw body before it
// parses anything. [NewSocket] is for one that nobody can reach: it opens Slack's
// Socket Mode itself. Both turn what came into a [Request], hand it to the one
// [Handler], and carry its [Reply] back as the acknowledgement, for which Slack
// waits three seconds.
package receive

import "context"

// Kind is what a person did.
type Kind string

// The kinds of a [Request].
const (
	Command  Kind = "command"  // a slash command
	Mention  Kind = "mention"  // a message that names the bot, or a direct message to it
	Click    Kind = "click"    // a button or a menu, of a message or a view
	Submit   Kind = "submit"   // a modal
	Suggest  Kind = "suggest"  // a menu that asks for its options while somebody types
	Shortcut Kind = "shortcut" // one of the app's shortcuts, with its callback id as Action
	Home     Kind = "home"     // somebody opened the app's home
)

// Request is one thing that a person did, whichever way it came in. Texts are
// as received.
type Request struct {
	Kind Kind
	// ID is the same for every delivery of the same deed: the trigger, the
	// event's id, or the place of a message, which Slack tells twice when it
	// names the bot in a direct message. A Suggest has none: it may be asked again.
	ID string
	// Retry is how often Slack had sent it before.
	Retry int

	App        string // the app's id
	Team       string // the workspace that the app is installed in
	Enterprise string
	User       string // id of the person
	UserName   string // as the payload has it; may be ""
	UserTeam   string // the person's own workspace, where the payload says it; differs in shared channels
	Channel    string // "" in a home or a modal
	Thread     string // ts of the thread; "" for the channel itself
	Message    string // ts of the message that was clicked on, or that mentions the bot
	Direct     bool   // in a direct message: to the bot, but a Command may be between two people

	// Text is what stands behind the command or the bot's name, with Slack's markup.
	Text string
	// Trigger opens a view, once and within three seconds.
	Trigger string
	// Response is the address for up to five answers within thirty minutes.
	Response string

	// Block, Action and Value are the clicked element's ids and value; of a menu
	// the chosen option's, and of [Suggest] what was typed.
	Block, Action, Value string

	View *View // of the modal or home that was clicked or submitted
}

// View is a modal or a home, as it came back.
type View struct {
	ID, Hash, Callback string
	Private            string // private_metadata
	// Values are what was chosen or typed, by the ids of block and action: the
	// texts of one element, several for a multi-select.
	Values map[string]map[string][]string
}

// Value is the first text of an element; "" when nothing was chosen.
func (v *View) Value(block, action string) string {
	if vs := v.Values[block][action]; len(vs) > 0 {
		return vs[0]
	}
	return ""
}

// Reply is the acknowledgement of a request. The zero Reply is an empty one.
type Reply struct {
	// Body is sent as JSON: the ephemeral answer to a command, the errors of a
	// submitted modal, the options of a menu. nil is an empty answer.
	Body any
}

// Handler answers requests. It must answer well within three seconds, and do
// what takes longer beside: ctx ends when the answer was sent. It is called by
// many goroutines at once. Requests reach it once, as far as Seen knows.
type Handler interface {
	Handle(ctx context.Context, r Request) Reply
}

// Seen remembers what was handled, for all replicas together: Once reports
// whether nobody has asked about the key within the last ten minutes. That is
// how long a signature can be valid, and longer than Slack repeats an event.
type Seen interface {
	Once(ctx context.Context, key string) (bool, error)
}
