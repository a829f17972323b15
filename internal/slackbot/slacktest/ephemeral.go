package slacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Ephemeral is a message that one person saw, and nobody later.
type Ephemeral struct {
	TS                      string // when
	Channel, ThreadTS, User string
	Text                    string
	Blocks                  json.RawMessage
	// Response tells whether it came to a response address, and not by
	// chat.postEphemeral.
	Response bool
}

// private is what single persons were shown.
type private struct {
	seen  []Ephemeral
	hooks map[string]*hook
}

// hook is a response address.
type hook struct {
	channel, user string
	made          time.Time
	used          int
}

// How long and how often a response address works.
const (
	hookFor  = 30 * time.Minute
	hookUses = 5
)

// ResponseURL makes an address to answer one person at, as commands and clicks
// carry it.
func (s *Server) ResponseURL(channel, user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.private.hooks == nil {
		s.private.hooks = map[string]*hook{}
	}
	id := fmt.Sprintf("r%d", len(s.private.hooks)+1)
	s.private.hooks[id] = &hook{channel: channel, user: user, made: s.opt.Now()}
	return s.url + "/response/" + id
}

// Ephemerals lists what single persons were shown, oldest first.
func (s *Server) Ephemerals() []Ephemeral {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.private.seen)
}

func (s *Server) showLocked(e Ephemeral) (ts string) {
	e.TS = s.nextLocked()
	s.private.seen = append(s.private.seen, e)
	s.changeLocked()
	return e.TS
}

func (s *Server) chatPostEphemeral(form url.Values) (answer, string) {
	c, code := s.writable(form.Get("channel"))
	if code != "" {
		return nil, code
	}
	var m Message
	if out, code := content(&m, form); code != "" {
		return out, code
	}
	if form.Get("user") == "" {
		return nil, "user_not_in_channel"
	}
	ts := s.showLocked(Ephemeral{Channel: c.ID, ThreadTS: form.Get("thread_ts"), User: form.Get("user"), Text: m.Text, Blocks: m.Blocks})
	return answer{"message_ts": ts}, ""
}

// serveResponse takes what is posted to a response address. Who knows it needs
// no token.
func (s *Server) serveResponse(w http.ResponseWriter, r *http.Request) {
	fault, ok := s.begin(w, "response", "")
	if !ok {
		return
	}
	code := s.respond(r.PathValue("secret"), http.MaxBytesReader(w, r.Body, maxForm))
	s.end(w, r, "response", fault)
	if code != "" {
		writeJSON(w, http.StatusNotFound, answer{"ok": false, "error": code})
		return
	}
	fmt.Fprint(w, "ok")
}

func (s *Server) respond(id string, body io.Reader) (code string) {
	var m struct {
		Type   string          `json:"response_type"`
		Text   string          `json:"text"`
		Blocks json.RawMessage `json:"blocks"`
	}
	data, err := io.ReadAll(body)
	if err != nil || json.Unmarshal(data, &m) != nil {
		return "invalid_payload"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.private.hooks[id]
	switch {
	case h == nil:
		return "no_service"
	case s.opt.Now().Sub(h.made) > hookFor:
		return "expired_url"
	case h.used == hookUses:
		return "used_url"
	case m.Type != "ephemeral":
		return "unsupported_type" // this workspace has only what profbot may use
	}
	if _, code := content(&Message{}, url.Values{"text": {m.Text}, "blocks": {string(m.Blocks)}}); code != "" {
		return code
	}
	h.used++
	s.showLocked(Ephemeral{Channel: h.channel, User: h.user, Text: m.Text, Blocks: m.Blocks, Response: true})
	return ""
}
