package receive

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// interaction holds what is of use of the payloads of clicks, modals, menus and
// shortcuts. slack-go has types for all of them, but they decode every block of
// the message, and fail as a whole on one that they do not know.
type interaction struct {
	TriggerID   string `json:"trigger_id"`
	ResponseURL string `json:"response_url"`
	CallbackID  string `json:"callback_id"`
	APIAppID    string `json:"api_app_id"`
	User        struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Name     string `json:"name"`
		TeamID   string `json:"team_id"`
	} `json:"user"`
	Team       id `json:"team"`
	Enterprise id `json:"enterprise"`
	Channel    id `json:"channel"`
	Container  struct {
		MessageTS string `json:"message_ts"`
		ThreadTS  string `json:"thread_ts"`
		ChannelID string `json:"channel_id"`
	} `json:"container"`
	Message struct {
		TS       string `json:"ts"`
		ThreadTS string `json:"thread_ts"`
	} `json:"message"`
	View    *view     `json:"view"`
	Actions []element `json:"actions"`
	// Of a menu that asks for options.
	ActionID string `json:"action_id"`
	BlockID  string `json:"block_id"`
	Value    string `json:"value"`
}

// id is an object of which only the id is of use; null is one without.
type id struct {
	ID string `json:"id"`
}

type view struct {
	ID              string `json:"id"`
	Hash            string `json:"hash"`
	CallbackID      string `json:"callback_id"`
	PrivateMetadata string `json:"private_metadata"`
	InstalledTeam   string `json:"app_installed_team_id"`
	State           struct {
		Values map[string]map[string]element `json:"values"`
	} `json:"state"`
}

// element is a clicked or filled-in element: each sort has its value in another
// field.
type element struct {
	ActionID              string   `json:"action_id"`
	BlockID               string   `json:"block_id"`
	Value                 string   `json:"value"`
	SelectedOption        *option  `json:"selected_option"`
	SelectedOptions       []option `json:"selected_options"`
	SelectedUser          string   `json:"selected_user"`
	SelectedUsers         []string `json:"selected_users"`
	SelectedChannel       string   `json:"selected_channel"`
	SelectedChannels      []string `json:"selected_channels"`
	SelectedConversation  string   `json:"selected_conversation"`
	SelectedConversations []string `json:"selected_conversations"`
	SelectedDate          string   `json:"selected_date"`
	SelectedTime          string   `json:"selected_time"`
	SelectedDateTime      int64    `json:"selected_date_time"` // Unix seconds
}

type option struct {
	Value string `json:"value"`
}

// values lists what was chosen or typed; nil for nothing.
func (e element) values() []string {
	all := []string{e.SelectedUser, e.SelectedChannel, e.SelectedConversation, e.SelectedDate, e.SelectedTime}
	if e.SelectedOption != nil {
		all = append(all, e.SelectedOption.Value)
	} else {
		all = append(all, e.Value)
	}
	for _, o := range e.SelectedOptions {
		all = append(all, o.Value)
	}
	all = append(append(append(all, e.SelectedUsers...), e.SelectedChannels...), e.SelectedConversations...)
	if e.SelectedDateTime != 0 {
		all = append(all, strconv.FormatInt(e.SelectedDateTime, 10))
	}
	var out []string
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// out is the view as handlers see it; nil for none.
func (v *view) out() *View {
	if v == nil {
		return nil
	}
	w := &View{ID: v.ID, Hash: v.Hash, Callback: v.CallbackID, Private: v.PrivateMetadata, Values: map[string]map[string][]string{}}
	for block, actions := range v.State.Values {
		for action, e := range actions {
			if vs := e.values(); len(vs) > 0 {
				if w.Values[block] == nil {
					w.Values[block] = map[string][]string{}
				}
				w.Values[block][action] = vs
			}
		}
	}
	return w
}

func decodeInteraction(kind string, data []byte) decoded {
	var i interaction
	if err := json.Unmarshal(data, &i); err != nil {
		return ignore("%s: %v", kind, err)
	}
	r := Request{
		ID: i.TriggerID, App: i.APIAppID, Team: i.Team.ID, Enterprise: i.Enterprise.ID,
		User: i.User.ID, UserName: cmp.Or(i.User.Username, i.User.Name), UserTeam: i.User.TeamID,
		Channel: cmp.Or(i.Channel.ID, i.Container.ChannelID),
		Message: cmp.Or(i.Message.TS, i.Container.MessageTS), Thread: cmp.Or(i.Container.ThreadTS, i.Message.ThreadTS),
		Trigger: i.TriggerID, Response: i.ResponseURL, View: i.View.out(),
	}
	if i.View != nil {
		r.Team = cmp.Or(r.Team, i.View.InstalledTeam)
	}
	if r.Thread == r.Message {
		r.Thread = "" // the message that a thread hangs on is in the channel itself
	}
	r.Direct = strings.HasPrefix(r.Channel, "D")
	switch kind {
	case "block_actions":
		if len(i.Actions) == 0 {
			return ignore("click on nothing")
		}
		a := i.Actions[0] // Slack sends one for each click
		r.Kind, r.Block, r.Action = Click, a.BlockID, a.ActionID
		if vs := a.values(); len(vs) > 0 {
			r.Value = vs[0]
		}
	case "view_submission":
		r.Kind = Submit
	case "block_suggestion":
		r.Kind, r.ID, r.Block, r.Action, r.Value = Suggest, "", i.BlockID, i.ActionID, i.Value
	default:
		r.Kind, r.Action = Shortcut, i.CallbackID
	}
	return decoded{request: r}
}
