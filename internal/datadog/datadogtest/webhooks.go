package datadogtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
)

// defaultPayload is what Datadog makes of a webhook without a payload.
const defaultPayload = `{"body": "$EVENT_MSG", "last_updated": "$LAST_UPDATED", "event_type": "$EVENT_TYPE", "title": "$EVENT_TITLE", "date": "$DATE", "org": {"id": "$ORG_ID", "name": "$ORG_NAME"}, "id": "$ID"}`

// Webhook is a webhook as the API writes it.
type Webhook struct {
	Name          string  `json:"name"`
	URL           string  `json:"url"`
	Payload       string  `json:"payload"`
	CustomHeaders *string `json:"custom_headers"`
	EncodeAs      string  `json:"encode_as"`
}

// Variable is a custom variable of the webhooks.
type Variable struct {
	Name, Value string
	Secret      bool
}

// Webhooks are the webhooks by name.
func (s *Server) Webhooks() map[string]Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Webhook{}
	for k, v := range s.webhooks {
		out[k] = *v
	}
	return out
}

// PutWebhook adds or replaces a webhook, whatever Datadog would say to it.
func (s *Server) PutWebhook(w Webhook) { s.mu.Lock(); s.webhooks[w.Name] = &w; s.mu.Unlock() }

// DropWebhook removes a webhook.
func (s *Server) DropWebhook(name string) { s.mu.Lock(); delete(s.webhooks, name); s.mu.Unlock() }

// Variables are the custom variables by name, with their values: what the API
// does not tell.
func (s *Server) Variables() map[string]Variable {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Variable{}
	for k, v := range s.variables {
		out[k] = *v
	}
	return out
}

// PutVariable adds or replaces a custom variable.
func (s *Server) PutVariable(v Variable) { s.mu.Lock(); s.variables[v.Name] = &v; s.mu.Unlock() }

type webhookBody struct {
	Name          *string `json:"name"`
	URL           *string `json:"url"`
	Payload       *string `json:"payload"`
	CustomHeaders *string `json:"custom_headers"`
	EncodeAs      *string `json:"encode_as"`
}

// with is the webhook after a body was applied to it.
func (w Webhook) with(b webhookBody) (*Webhook, string) {
	if b.Name != nil {
		w.Name = *b.Name
	}
	if b.URL != nil {
		w.URL = *b.URL
	}
	if b.Payload != nil {
		w.Payload = *b.Payload
	}
	if b.CustomHeaders != nil {
		w.CustomHeaders = b.CustomHeaders
	}
	if b.EncodeAs != nil {
		w.EncodeAs = *b.EncodeAs
	}
	u, err := url.Parse(w.URL)
	var object map[string]any
	switch {
	case w.Name == "":
		return nil, "name is required"
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, "Invalid URL"
	case w.EncodeAs != "json" && w.EncodeAs != "form":
		return nil, fmt.Sprintf("encode_as %q is not valid", w.EncodeAs)
	case w.EncodeAs == "json" && json.Unmarshal([]byte(w.Payload), &object) != nil:
		return nil, "Invalid payload: not JSON"
	case w.CustomHeaders != nil && json.Unmarshal([]byte(*w.CustomHeaders), new(map[string]string)) != nil:
		return nil, "Invalid custom headers: not a JSON object"
	}
	return &w, ""
}

func (s *Server) createWebhook(c call) reply {
	var b webhookBody
	if words := decode(c.body, &b); words != "" {
		return refuse(words)
	}
	w, words := Webhook{Payload: defaultPayload, EncodeAs: "json"}.with(b)
	if words != "" {
		return refuse(words)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.webhooks[w.Name] != nil {
		return refuse("Webhook already exists")
	}
	s.webhooks[w.Name] = w
	return reply{http.StatusCreated, *w}
}

func (s *Server) getWebhook(c call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.webhooks[c.PathValue("name")]; w != nil {
		return reply{http.StatusOK, *w}
	}
	return reply{http.StatusNotFound, "Webhook not found"}
}

func (s *Server) updateWebhook(c call) reply {
	var b webhookBody
	if words := decode(c.body, &b); words != "" {
		return refuse(words)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.webhooks[c.PathValue("name")]
	if have == nil {
		return reply{http.StatusNotFound, "Webhook not found"}
	}
	w, words := have.with(b)
	if words != "" {
		return refuse(words)
	}
	delete(s.webhooks, have.Name)
	s.webhooks[w.Name] = w
	return reply{http.StatusOK, *w}
}

var variableForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

type variableBody struct {
	Name     *string `json:"name"`
	Value    *string `json:"value"`
	IsSecret *bool   `json:"is_secret"`
}

// answer is a variable as the API writes it: a secret has no value.
func (v Variable) answer() map[string]any {
	out := map[string]any{"name": v.Name, "is_secret": v.Secret}
	if !v.Secret {
		out["value"] = v.Value
	}
	return out
}

func (s *Server) createVariable(c call) reply {
	var b variableBody
	if words := decode(c.body, &b); words != "" {
		return refuse(words)
	}
	switch {
	case b.Name == nil || b.Value == nil || b.IsSecret == nil:
		return refuse("name, value and is_secret are required")
	case !variableForm.MatchString(*b.Name):
		return refuse("the name of a custom variable has capitals, digits and underscores")
	case *b.Value == "":
		return refuse("value must not be empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.variables[*b.Name] != nil {
		return refuse("Custom variable already exists")
	}
	v := Variable{*b.Name, *b.Value, *b.IsSecret}
	s.variables[v.Name] = &v
	return reply{http.StatusCreated, v.answer()}
}

func (s *Server) getVariable(c call) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.variables[c.PathValue("name")]; v != nil {
		return reply{http.StatusOK, v.answer()}
	}
	return reply{http.StatusNotFound, "Custom variable not found"}
}

func (s *Server) updateVariable(c call) reply {
	var b variableBody
	if words := decode(c.body, &b); words != "" {
		return refuse(words)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.variables[c.PathValue("name")]
	switch {
	case v == nil:
		return reply{http.StatusNotFound, "Custom variable not found"}
	case b.Name != nil && *b.Name != v.Name:
		return refuse("this fake renames no variable")
	case b.Value != nil && *b.Value == "":
		return refuse("value must not be empty")
	}
	if b.Value != nil {
		v.Value = *b.Value
	}
	if b.IsSecret != nil {
		v.Secret = *b.IsSecret
	}
	return reply{http.StatusOK, v.answer()}
}
