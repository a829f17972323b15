package slacktest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// What people do in the workspace, as the app hears of it through its socket.

// appID is the id of the app.
const appID = "A0TEST"

var escapeText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Type types the app's slash command with a text, and shows the person the
// answer that comes with the acknowledgement.
func (s *Server) Type(ctx context.Context, user, channel, text string) error {
	command := s.Command(user, channel, text)
	command["user_name"] = s.name(user)
	got, err := s.Send(ctx, "slash_commands", command)
	var m struct {
		Text   string          `json:"text"`
		Blocks json.RawMessage `json:"blocks"`
	}
	if err == nil && len(got) > 0 {
		err = json.Unmarshal(got, &m)
	}
	if err != nil {
		m.Text = fmt.Sprintf("/%s failed: %v", s.opt.BotName, err)
	} else if m.Text == "" && len(m.Blocks) == 0 {
		return nil
	}
	shown := Message{}
	if _, code := content(&shown, url.Values{"text": {m.Text}, "blocks": {string(m.Blocks)}}); code != "" {
		return fmt.Errorf("the answer to a command: %s", code)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.showLocked(Ephemeral{Channel: channel, User: user, Text: shown.Text, Blocks: shown.Blocks})
	return err
}

// Write posts what a person typed, in a thread unless that is "". When it names
// the app, as in "@profbot help", the app hears of it.
func (s *Server) Write(ctx context.Context, user, channel, thread, text string) (ts string, err error) {
	text = escapeText.Replace(text)
	named := strings.ReplaceAll(text, "@"+s.opt.BotName, "<@"+s.opt.BotUser+">")
	ts = s.Say(channel, thread, user, named)
	if named == text {
		return ts, nil
	}
	event := answer{"type": "app_mention", "user": user, "team": teamID, "text": named, "ts": ts, "event_ts": ts, "channel": channel}
	if thread != "" {
		event["thread_ts"] = thread
	}
	return ts, s.event(ctx, ts, event)
}

// OpenHome opens the app's home, which the app then publishes.
func (s *Server) OpenHome(ctx context.Context, user string) error {
	s.mu.Lock()
	s.lastID++
	id := fmt.Sprintf("home-%d", s.lastID)
	s.mu.Unlock()
	return s.event(ctx, id, answer{"type": "app_home_opened", "user": user, "tab": "home", "channel": "D0" + user})
}

func (s *Server) event(ctx context.Context, id string, event answer) error {
	_, err := s.Send(ctx, "events_api", answer{
		"type": "event_callback", "event_id": "Ev" + id, "team_id": teamID, "api_app_id": appID,
		"authorizations": []answer{{"team_id": teamID, "user_id": s.opt.BotUser, "is_bot": true}}, "event": event,
	})
	return err
}

// Click presses a button of a message.
func (s *Server) Click(ctx context.Context, user, channel, ts, action string) error {
	s.mu.Lock()
	m := s.messageLocked(channel, ts)
	if m == nil {
		s.mu.Unlock()
		return fmt.Errorf("there is no message %s to click on", ts)
	}
	clicked, thread := *m, m.ThreadTS
	if slices.ContainsFunc(s.messages, func(reply *Message) bool { return reply.Channel == channel && reply.ThreadTS == ts }) {
		thread = ts // it has a thread
	}
	s.mu.Unlock()
	b, ok := find(clicked.blocks(), action)
	if !ok {
		return fmt.Errorf("message %s has no button %s", ts, action)
	}
	container := answer{"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": false}
	if thread != "" {
		container["thread_ts"] = thread
	}
	return s.press(ctx, user, b, answer{
		"channel": answer{"id": channel}, "container": container, "message": s.wire(&clicked, false), "response_url": s.ResponseURL(channel, user),
	})
}

// ClickHome presses a button of the app's home.
func (s *Server) ClickHome(ctx context.Context, user, action string) error {
	v := s.HomeOf(user)
	b, ok := find(v.content().Blocks, action)
	if !ok {
		return fmt.Errorf("the home of %s has no button %s", user, action)
	}
	return s.press(ctx, user, b, answer{
		"container": answer{"type": "view", "view_id": v.ID}, "view": answer{"id": v.ID, "type": "home", "state": answer{"values": answer{}}},
	})
}

func (s *Server) press(ctx context.Context, user string, b node, payload answer) error {
	action := answer{"type": b.Type, "action_id": b.ActionID, "block_id": b.BlockID, "text": b.Text}
	if b.Value != nil {
		action["value"] = b.Value
	}
	payload["actions"] = []answer{action}
	_, err := s.interact(ctx, user, "block_actions", payload)
	return err
}

func (s *Server) interact(ctx context.Context, user, kind string, payload answer) (json.RawMessage, error) {
	payload["type"], payload["trigger_id"], payload["api_app_id"] = kind, s.Trigger(user), appID
	payload["team"], payload["user"] = answer{"id": teamID}, answer{"id": user, "username": s.name(user), "name": s.name(user), "team_id": teamID}
	return s.Send(ctx, "interactive", payload)
}

// find returns an element with its block's id.
func find(blocks []node, action string) (node, bool) {
	for _, b := range blocks {
		in := slices.Clone(b.Elements)
		for _, e := range []*node{b.Accessory, b.Element} {
			if e != nil {
				in = append(in, *e)
			}
		}
		for _, e := range in {
			if e.ActionID == action {
				e.BlockID = b.BlockID
				return e, true
			}
		}
	}
	return node{}, false
}

// Submit hands in a modal. What was chosen or typed is by the names of
// [fieldName]; what the app says to it changes the modal, or closes it.
func (s *Server) Submit(ctx context.Context, user, id string, form url.Values) error {
	v := s.Modal(user)
	if v.ID != id || id == "" {
		return fmt.Errorf("the modal %s is not open", id)
	}
	c, values := v.content(), map[string]answer{}
	for _, b := range c.Blocks {
		if e := b.Element; e != nil {
			values[b.BlockID] = answer{e.ActionID: e.filled(form[fieldName(b.BlockID, e.ActionID)])}
		}
	}
	got, err := s.interact(ctx, user, "view_submission", answer{"view": answer{
		"id": id, "type": "modal", "callback_id": c.Callback, "private_metadata": c.Private, "state": answer{"values": values},
	}})
	if err != nil {
		return err
	}
	var says struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   json.RawMessage   `json:"view"`
	}
	if len(got) > 0 {
		if err := json.Unmarshal(got, &says); err != nil {
			return fmt.Errorf("the answer to a modal: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views.wrong == nil {
		s.views.wrong = map[string][]string{}
	}
	s.views.wrong[id] = nil
	switch says.Action {
	case "errors":
		for _, block := range slices.Sorted(maps.Keys(says.Errors)) {
			s.views.wrong[id] = append(s.views.wrong[id], says.Errors[block])
		}
		s.changeLocked()
	case "update":
		if problems := CheckView(says.View); len(problems) > 0 {
			return fmt.Errorf("the answer to a modal: %s", strings.Join(problems, "; "))
		}
		i := slices.IndexFunc(s.views.modals, func(v View) bool { return v.ID == id })
		s.views.modals[i].JSON = says.View
		s.changeLocked()
	default:
		s.closeLocked(id)
	}
	return nil
}

// fieldName is what a form calls an element.
func fieldName(block, action string) string { return block + "/" + action }

// filled is an element with what was chosen or typed, as Slack sends it.
func (n node) filled(in []string) answer {
	out := answer{"type": n.Type}
	switch n.Type {
	case "static_select", "external_select":
		out["selected_option"] = nil
		if len(in) > 0 && in[0] != "" {
			out["selected_option"] = answer{"value": in[0]}
		}
	case "checkboxes":
		chosen := []answer{}
		for _, o := range in {
			chosen = append(chosen, answer{"value": o})
		}
		out["selected_options"] = chosen
	default:
		out["value"] = nil
		if len(in) > 0 && in[0] != "" {
			out["value"] = in[0]
		}
	}
	return out
}

// name is what people call a user.
func (s *Server) name(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nameLocked(user)
}

func (s *Server) nameLocked(user string) string {
	if user == s.opt.BotUser {
		return s.opt.BotName
	}
	return cmp.Or(s.people.users[user].Name, user)
}

// called is a person, a channel or a word such as "here", with its sign.
func (s *Server) called(id string) string {
	if c := s.channel(id); c != nil {
		return "#" + c.Name
	}
	return "@" + s.name(id)
}
