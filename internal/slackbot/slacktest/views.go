package slacktest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// View is a modal or a home as a person sees it.
type View struct {
	ID, User string
	JSON     json.RawMessage
}

// content is what a view holds.
func (v View) content() (c viewContent) {
	if v.JSON != nil && json.Unmarshal(v.JSON, &c) != nil {
		panic("slacktest: kept a view that is no JSON") // it was parsed when it came
	}
	return c
}

type viewContent struct {
	Title    *node  `json:"title"`
	Submit   *node  `json:"submit"`
	Close    *node  `json:"close"`
	Callback string `json:"callback_id"`
	Private  string `json:"private_metadata"`
	Blocks   []node `json:"blocks"`
}

// views are what people see, and the triggers that open them.
type views struct {
	triggers map[string]*trigger
	modals   []View
	closed   map[string]bool     // modals that were handed in or put away, by id
	wrong    map[string][]string // what the app said to a modal, by id
	homes    map[string]View
}

type trigger struct {
	user string
	made time.Time
	used bool
}

// triggerFor is how long a trigger works.
const triggerFor = 3 * time.Second

// Trigger is what a command or a click of a person carries to open a view with.
func (s *Server) Trigger(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views.triggers == nil {
		s.views.triggers = map[string]*trigger{}
	}
	id := fmt.Sprintf("%d.trigger", len(s.views.triggers)+1)
	s.views.triggers[id] = &trigger{user: user, made: s.opt.Now()}
	return id
}

// Modals lists the modals that were opened, oldest first.
func (s *Server) Modals() []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.views.modals)
}

// Modal is the modal that a person has open; the zero View is none.
func (s *Server) Modal(user string) View {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range slices.Backward(s.views.modals) {
		if v.User == user && !s.views.closed[v.ID] {
			return v
		}
	}
	return View{}
}

// CloseModal puts a modal away.
func (s *Server) CloseModal(user string) {
	v := s.Modal(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(v.ID)
}

func (s *Server) closeLocked(modal string) {
	if s.views.closed == nil {
		s.views.closed = map[string]bool{}
	}
	s.views.closed[modal] = true
	s.changeLocked()
}

// Wrong is what the app said is wrong with what was filled into a modal.
func (s *Server) Wrong(modal string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.views.wrong[modal])
}

// HomeOf is the app's home as a person sees it; its JSON is nil when it was
// never published.
func (s *Server) HomeOf(user string) View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.views.homes[user]
}

func (s *Server) viewsOpen(form url.Values) (answer, string) {
	t := s.views.triggers[form.Get("trigger_id")]
	switch {
	case t == nil:
		return nil, "invalid_trigger_id"
	case t.used:
		return nil, "exchanged_trigger_id"
	case s.opt.Now().Sub(t.made) > triggerFor:
		return nil, "expired_trigger_id"
	}
	if problems := viewProblems("modal", form); len(problems) > 0 {
		return answer{"response_metadata": answer{"messages": problems}}, "invalid_arguments"
	}
	t.used = true
	v := View{ID: fmt.Sprintf("V%d", len(s.views.modals)+1), User: t.user, JSON: json.RawMessage(form.Get("view"))}
	s.views.modals = append(s.views.modals, v)
	s.changeLocked()
	return answer{"view": answer{"id": v.ID}}, ""
}

func (s *Server) viewsPublish(form url.Values) (answer, string) {
	if problems := viewProblems("home", form); len(problems) > 0 {
		return answer{"response_metadata": answer{"messages": problems}}, "invalid_arguments"
	}
	if s.views.homes == nil {
		s.views.homes = map[string]View{}
	}
	v := View{ID: "VH" + form.Get("user_id"), User: form.Get("user_id"), JSON: json.RawMessage(form.Get("view"))}
	s.views.homes[v.User] = v
	s.changeLocked()
	return answer{"view": answer{"id": v.ID}}, ""
}

// viewProblems says what Slack would not take of the view in a call.
func viewProblems(kind string, form url.Values) []string {
	var v struct{ Type string }
	if err := json.Unmarshal([]byte(form.Get("view")), &v); err == nil && v.Type != kind {
		return []string{fmt.Sprintf("must be a %s [json-pointer:/view/type]", kind)}
	}
	return CheckView([]byte(form.Get("view")))
}
