package slacktest

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxText is where Slack cuts the text of a message.
const maxText = 40_000

// writable returns the channel of a call that writes, or the error code.
func (s *Server) writable(id string) (*Channel, string) {
	c := s.channel(id)
	switch {
	case c == nil || (c.Private && c.Outside):
		return nil, "channel_not_found"
	case c.Outside:
		return nil, "not_in_channel"
	case c.Archived:
		return nil, "is_archived"
	}
	return c, ""
}

// content takes text, blocks and metadata of a call into m.
func content(m *Message, form url.Values) (answer, string) {
	text, blocks := form.Get("text"), form.Get("blocks")
	if text == "" && blocks == "" {
		return nil, "no_text"
	}
	if utf8.RuneCountInString(text) > maxText {
		text = string([]rune(text)[:maxText])
	}
	if blocks != "" {
		parsed, problems := parseBlocks([]byte(blocks))
		if len(problems) > 0 {
			return answer{"response_metadata": answer{"messages": problems}}, "invalid_blocks"
		}
		if utf8.RuneCountInString(blocks) > maxBlocksChars {
			return nil, "msg_blocks_too_long"
		}
		m.Blocks = json.RawMessage(blocks)
		if len(parsed) == 0 {
			m.Blocks = nil
		}
	}
	if meta := form.Get("metadata"); meta != "" {
		var v struct {
			EventType    string         `json:"event_type"`
			EventPayload map[string]any `json:"event_payload"`
		}
		if json.Unmarshal([]byte(meta), &v) != nil || v.EventType == "" || v.EventPayload == nil {
			return nil, "invalid_metadata_format"
		}
		m.Metadata = json.RawMessage(meta)
	}
	m.Text = text
	return nil, ""
}

func (s *Server) chatPostMessage(form url.Values) (answer, string) {
	c, code := s.writable(form.Get("channel"))
	if code != "" {
		return nil, code
	}
	m := &Message{Channel: c.ID, User: s.opt.BotUser}
	if out, code := content(m, form); code != "" {
		return out, code
	}
	if ts := form.Get("thread_ts"); ts != "" {
		parent := s.messageLocked(c.ID, ts)
		if parent == nil {
			return nil, "thread_not_found"
		}
		m.ThreadTS = cmp.Or(parent.ThreadTS, parent.TS)
		m.Broadcast = form.Get("reply_broadcast") == "true" || form.Get("reply_broadcast") == "1"
	}
	ts := s.addLocked(m)
	return answer{"channel": c.ID, "ts": ts, "message": s.wire(m, true)}, ""
}

func (s *Server) chatUpdate(form url.Values) (answer, string) {
	c, code := s.writable(form.Get("channel"))
	if code != "" {
		return nil, code
	}
	m := s.messageLocked(c.ID, form.Get("ts"))
	if m == nil {
		return nil, "message_not_found"
	}
	if m.User != s.opt.BotUser {
		return nil, "cant_update_message"
	}
	edited := *m
	if out, code := content(&edited, form); code != "" {
		return out, code
	}
	edited.Edits++
	*m = edited
	s.changeLocked()
	return answer{"channel": c.ID, "ts": m.TS, "text": m.Text, "message": s.wire(m, true)}, ""
}

func (s *Server) conversationsHistory(form url.Values) (answer, string) {
	c, code := s.readable(form.Get("channel"))
	if code != "" {
		return nil, code
	}
	inclusive := form.Get("inclusive") == "1" || form.Get("inclusive") == "true"
	oldest, latest := form.Get("oldest"), form.Get("latest")
	var found []*Message
	for _, m := range slices.Backward(s.messages) { // newest first
		if m.Channel != c.ID || (m.ThreadTS != "" && !m.Broadcast) {
			continue
		}
		if oldest != "" && (compareTS(m.TS, oldest) < 0 || (!inclusive && compareTS(m.TS, oldest) == 0)) {
			continue
		}
		if latest != "" && (compareTS(m.TS, latest) > 0 || (!inclusive && compareTS(m.TS, latest) == 0)) {
			continue
		}
		found = append(found, m)
	}
	return s.list(found, form)
}

func (s *Server) conversationsReplies(form url.Values) (answer, string) {
	c, code := s.readable(form.Get("channel"))
	if code != "" {
		return nil, code
	}
	ts := form.Get("ts")
	if s.messageLocked(c.ID, ts) == nil {
		return nil, "thread_not_found"
	}
	var found []*Message
	for _, m := range s.messages {
		if m.Channel == c.ID && (m.TS == ts || m.ThreadTS == ts) {
			found = append(found, m)
		}
	}
	return s.list(found, form)
}

func (s *Server) readable(id string) (*Channel, string) {
	c := s.channel(id)
	switch {
	case c == nil || (c.Private && c.Outside):
		return nil, "channel_not_found"
	case c.Outside:
		return nil, "not_in_channel"
	}
	return c, ""
}

// list answers one page of messages. The cursor is the place in the list.
func (s *Server) list(found []*Message, form url.Values) (answer, string) {
	limit, start := 100, 0
	if v := form.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 999 {
			return nil, "invalid_limit"
		}
		limit = n
	}
	if v := form.Get("cursor"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > len(found) {
			return nil, "invalid_cursor"
		}
		start = n
	}
	end := min(start+limit, len(found))
	meta := form.Get("include_all_metadata") == "1" || form.Get("include_all_metadata") == "true"
	messages := []answer{}
	for _, m := range found[start:end] {
		messages = append(messages, s.wire(m, meta))
	}
	out := answer{"messages": messages, "has_more": end < len(found)}
	if end < len(found) {
		out["response_metadata"] = answer{"next_cursor": strconv.Itoa(end)}
	}
	return out, ""
}

// wire is a message as the API writes it.
func (s *Server) wire(m *Message, metadata bool) answer {
	out := answer{"type": "message", "ts": m.TS, "user": m.User, "text": m.Text}
	if m.User == s.opt.BotUser {
		out["bot_id"] = "B0TEST"
	}
	if m.ThreadTS != "" {
		out["thread_ts"] = m.ThreadTS
	}
	if m.Broadcast {
		out["subtype"] = "thread_broadcast"
	}
	if m.Blocks != nil {
		out["blocks"] = m.Blocks
	}
	if metadata && m.Metadata != nil {
		out["metadata"] = m.Metadata
	}
	if len(m.Files) > 0 {
		files := []answer{}
		for _, id := range m.Files {
			files = append(files, answer{"id": id})
		}
		out["files"] = files
	}
	if m.Edits > 0 {
		out["edited"] = answer{"user": m.User, "ts": m.TS}
	}
	return out
}

// compareTS orders timestamps by time.
func compareTS(a, b string) int { return when(a).Compare(when(b)) }
