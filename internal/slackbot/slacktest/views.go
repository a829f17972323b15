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

// views are what people see, and the triggers that open them.
type views struct {
	triggers map[string]*trigger
	modals   []View
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
