package receive

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// decoded is what a payload turned out to be: a request, or something that is
// acknowledged and done with.
type decoded struct {
	request Request
	// ignored says why there is no request; "" when there is one.
	ignored string
	// limited says that Slack holds events back, since there are too many.
	limited bool
	// challenge is what a url_verification wants to read.
	challenge string
}

func ignore(format string, args ...any) decoded {
	return decoded{ignored: fmt.Sprintf(format, args...)}
}

// decodeCommand reads the fields of a slash command.
func decodeCommand(form url.Values) decoded {
	if form.Get("command") == "" {
		return ignore("no command")
	}
	channel := form.Get("channel_id")
	return decoded{request: Request{
		Kind: Command, ID: form.Get("trigger_id"),
		App: form.Get("api_app_id"), Team: form.Get("team_id"), Enterprise: form.Get("enterprise_id"),
		User: form.Get("user_id"), UserName: form.Get("user_name"),
		Channel: channel, Thread: form.Get("thread_ts"), Direct: strings.HasPrefix(channel, "D"),
		Text: form.Get("text"), Trigger: form.Get("trigger_id"), Response: form.Get("response_url"),
	}}
}

// decodeJSON reads an event or an interaction. JSON of another shape is none of
// ours, and none that Slack should send again.
func decodeJSON(data []byte) decoded {
	var head struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return ignore("%v", err)
	}
	switch head.Type {
	case "url_verification":
		return decoded{ignored: "Slack checks the address", challenge: head.Challenge}
	case "app_rate_limited":
		return decoded{ignored: "Slack holds events back", limited: true}
	case "event_callback":
		return decodeEvent(data)
	case "block_actions", "view_submission", "block_suggestion", "shortcut", "message_action":
		return decodeInteraction(head.Type, data)
	default:
		return ignore("type %.40q", head.Type)
	}
}

// event is the envelope of the Events API, with the fields of the three events
// that are of use.
type event struct {
	EventID        string `json:"event_id"`
	TeamID         string `json:"team_id"`
	EnterpriseID   string `json:"enterprise_id"`
	APIAppID       string `json:"api_app_id"`
	Authorizations []struct {
		UserID string `json:"user_id"`
		IsBot  bool   `json:"is_bot"`
	} `json:"authorizations"`
	Event json.RawMessage `json:"event"`
}

type message struct {
	Subtype     string          `json:"subtype"`
	BotID       string          `json:"bot_id"`
	User        string          `json:"user"`
	Team        string          `json:"team"`
	UserTeam    string          `json:"user_team"`
	Text        string          `json:"text"`
	TS          string          `json:"ts"`
	ThreadTS    string          `json:"thread_ts"`
	Channel     string          `json:"channel"`
	ChannelType string          `json:"channel_type"`
	Edited      json.RawMessage `json:"edited"`
	Tab         string          `json:"tab"`
	View        *view           `json:"view"`
}

func decodeEvent(data []byte) decoded {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return ignore("event: %v", err)
	}
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(e.Event, &head); err != nil {
		return ignore("event without a type")
	}
	if head.Type != "app_mention" && head.Type != "message" && head.Type != "app_home_opened" {
		return ignore("event %.40q", head.Type)
	}
	var m message
	if err := json.Unmarshal(e.Event, &m); err != nil {
		return ignore("event %s: %v", head.Type, err)
	}
	bot := ""
	for _, a := range e.Authorizations {
		if a.IsBot {
			bot = a.UserID
		}
	}
	r := Request{
		Kind: Mention, App: e.APIAppID, Team: e.TeamID, Enterprise: e.EnterpriseID,
		User: m.User, UserTeam: cmp.Or(m.UserTeam, m.Team), Channel: m.Channel, Direct: strings.HasPrefix(m.Channel, "D"),
	}
	switch {
	case head.Type == "app_home_opened" && m.Tab == "home":
		r.Kind, r.ID, r.Channel, r.Direct, r.View = Home, e.EventID, "", false, m.View.out()
		return decoded{request: r}
	case head.Type == "app_home_opened":
		return ignore("another tab of the home")
	case head.Type == "message" && m.ChannelType != "im":
		return ignore("message that is not to us")
	case m.Subtype != "", m.BotID != "", m.User == "", m.User == bot, len(m.Edited) > 0:
		return ignore("message of a program, or not a new one")
	}
	r.ID, r.Message, r.Thread = "message "+m.Channel+" "+m.TS, m.TS, m.ThreadTS
	r.Text = behind(m.Text, bot)
	return decoded{request: r}
}

// behind is what follows the first mention of the bot, or, where its id is not
// known, a mention that the text begins with. Without one it is the whole text.
func behind(text, bot string) string {
	mention := `^\s*<@[^<>]*>`
	if bot != "" {
		mention = "<@" + regexp.QuoteMeta(bot) + `(\|[^<>]*)?>`
	}
	if at := regexp.MustCompile(mention).FindStringIndex(text); at != nil {
		text = text[at[1]:]
	}
	return strings.TrimSpace(text)
}
