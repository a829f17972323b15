package datadogtest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Rule is a notification rule of monitors.
type Rule struct {
	ID, Name   string
	Tags       []string
	Recipients []string // without @
}

// PutRule adds a rule, whatever Datadog would say to it.
func (s *Server) PutRule(r Rule) { s.mu.Lock(); s.rules = append(s.rules, &r); s.mu.Unlock() }

// Rules lists the notification rules.
func (s *Server) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Rule
	for _, r := range s.rules {
		out = append(out, Rule{r.ID, r.Name, slices.Clone(r.Tags), slices.Clone(r.Recipients)})
	}
	return out
}

type ruleBody struct {
	Data struct {
		Type       string  `json:"type"`
		ID         *string `json:"id"`
		Attributes struct {
			Name   *string `json:"name"`
			Filter struct {
				Tags []string `json:"tags"`
			} `json:"filter"`
			Recipients []string `json:"recipients"`
		} `json:"attributes"`
	} `json:"data"`
}

// bad says what is wrong with a rule; "" when nothing is.
func (b *ruleBody) bad() string {
	a := b.Data.Attributes
	switch {
	case b.Data.Type != "monitor-notification-rule":
		return fmt.Sprintf("Invalid type: %q", b.Data.Type)
	case a.Name == nil || *a.Name == "" || len(*a.Name) > 1000:
		return "Invalid name"
	case len(a.Filter.Tags) < 1 || len(a.Filter.Tags) > 20:
		return "Invalid filter: 1 to 20 tags"
	case len(a.Recipients) < 1 || len(a.Recipients) > 20:
		return "Invalid recipients: 1 to 20"
	}
	for _, r := range a.Recipients {
		if strings.HasPrefix(r, "@") {
			return "Invalid recipients: Recipient handle should not start with '@'" // Datadog's words
		}
	}
	return badTags(a.Filter.Tags)
}

func (r *Rule) answer() map[string]any {
	return map[string]any{
		"type": "monitor-notification-rule", "id": r.ID,
		"attributes": map[string]any{
			"created_at": "2025-05-29T02:36:15.639714+00:00", "modified_at": "1970-01-01T00:00:00+00:00",
			"name": r.Name, "filter": map[string]any{"tags": r.Tags}, "recipients": r.Recipients,
		},
	}
}

func (s *Server) listRules(c call) reply {
	v := c.URL.Query()
	for key := range v {
		if !slices.Contains([]string{"page", "per_page", "sort", "filters", "include"}, key) {
			return refuse("unknown parameter " + key)
		}
	}
	per, page := 100, 0
	for _, p := range []struct {
		key      string
		to       *int
		low, top int
	}{{"per_page", &per, 1, 100}, {"page", &page, 0, 1000}} {
		if t := v.Get(p.key); t != "" {
			n, err := strconv.Atoi(t)
			if err != nil || n < p.low || n > p.top {
				return refuse("Invalid " + p.key)
			}
			*p.to = n
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, r := range s.rules[min(page*per, len(s.rules)):] {
		if len(list) < per {
			list = append(list, r.answer())
		}
	}
	return reply{http.StatusOK, map[string]any{"data": list}}
}

func (s *Server) createRule(c call) reply {
	var b ruleBody
	if words := decode(c.body, &b); words != "" {
		return refuse(words)
	}
	if words := b.bad(); words != "" {
		return refuse(words)
	}
	if b.Data.ID != nil {
		return refuse("a new rule has no id")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Rule{fmt.Sprintf("00000000-0000-4000-8000-%012d", s.nextID()), *b.Data.Attributes.Name, b.Data.Attributes.Filter.Tags, b.Data.Attributes.Recipients}
	s.rules = append(s.rules, r)
	return reply{http.StatusOK, map[string]any{"data": r.answer()}}
}

func (s *Server) updateRule(c call) reply {
	var b ruleBody
	if words := decode(c.body, &b); words != "" {
		return refuse(words)
	}
	if words := b.bad(); words != "" {
		return refuse(words)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.rules, func(r *Rule) bool { return r.ID == c.PathValue("id") })
	switch {
	case i < 0:
		return reply{http.StatusNotFound, "Notification rule not found"}
	case b.Data.ID == nil || *b.Data.ID != s.rules[i].ID:
		return refuse("the id of the body is not that of the path")
	}
	r := s.rules[i]
	r.Name, r.Tags, r.Recipients = *b.Data.Attributes.Name, b.Data.Attributes.Filter.Tags, b.Data.Attributes.Recipients
	return reply{http.StatusOK, map[string]any{"data": r.answer()}}
}
