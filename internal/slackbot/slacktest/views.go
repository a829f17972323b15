package slacktest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"
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
	if problems := viewProblems("modal", []byte(form.Get("view"))); len(problems) > 0 {
		return answer{"response_metadata": answer{"messages": problems}}, "invalid_arguments"
	}
	t.used = true
	v := View{ID: fmt.Sprintf("V%d", len(s.views.modals)+1), User: t.user, JSON: json.RawMessage(form.Get("view"))}
	s.views.modals = append(s.views.modals, v)
	s.changeLocked()
	return answer{"view": answer{"id": v.ID}}, ""
}

func (s *Server) viewsPublish(form url.Values) (answer, string) {
	if problems := viewProblems("home", []byte(form.Get("view"))); len(problems) > 0 {
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

// Limits of views and of what only they hold, as Slack documents them.
const (
	maxViewBlocks  = 100
	maxViewTitle   = 24
	maxViewBytes   = 250_000
	maxPrivate     = 3000
	maxID          = 255 // of blocks, actions and callbacks
	maxPlaceholder = 150
	maxLabel       = 2000
	maxOptions     = 100
	maxBoxes       = 10
	maxOptionText  = 75
	maxOptionValue = 150
)

// textOf is a text object.
type textOf struct{ Type, Text string }

type option struct {
	Text  textOf `json:"text"`
	Value string `json:"value"`
}

// field is an interactive element.
type field struct {
	Type        string   `json:"type"`
	ActionID    string   `json:"action_id"`
	Placeholder *textOf  `json:"placeholder"`
	Options     []option `json:"options"`
	Initial     []option `json:"initial_options"`
	Value       string   `json:"initial_value"`
	Least       string   `json:"min_value"`
	Most        string   `json:"max_value"`
	Decimal     *bool    `json:"is_decimal_allowed"`
	MaxLength   int      `json:"max_length"`
}

// viewProblems says what Slack would not take of a view.
func viewProblems(kind string, data []byte) []string {
	var v struct {
		Type     string            `json:"type"`
		Title    *textOf           `json:"title"`
		Submit   *textOf           `json:"submit"`
		Close    *textOf           `json:"close"`
		Private  string            `json:"private_metadata"`
		Callback string            `json:"callback_id"`
		Blocks   []json.RawMessage `json:"blocks"`
	}
	c := &checker{}
	if err := json.Unmarshal(data, &v); err != nil {
		return []string{"invalid JSON: " + err.Error()}
	}
	if v.Type != kind {
		c.problem("/view/type", fmt.Sprintf("must be %q", kind))
	}
	c.limit("/view", "bytes", len(data), 1, maxViewBytes)
	c.limit("/view/blocks", "items", len(v.Blocks), 1, maxViewBlocks)
	c.limit("/view/private_metadata", "characters", utf8.RuneCountInString(v.Private), 0, maxPrivate)
	c.limit("/view/callback_id", "characters", utf8.RuneCountInString(v.Callback), 0, maxID)
	if kind == "modal" && v.Title == nil {
		c.problem("/view/title", "missing required field: title")
	}
	for name, t := range map[string]*textOf{"title": v.Title, "submit": v.Submit, "close": v.Close} {
		if t != nil {
			c.plain("/view/"+name, *t, maxViewTitle)
		}
	}
	ids, inputs := map[string]bool{}, 0
	for i, raw := range v.Blocks {
		at := fmt.Sprintf("/view/blocks/%d", i)
		var b struct {
			Type     string  `json:"type"`
			BlockID  string  `json:"block_id"`
			Label    textOf  `json:"label"`
			Hint     *textOf `json:"hint"`
			Element  field   `json:"element"`
			Elements []field `json:"elements"`
		}
		if err := json.Unmarshal(raw, &b); err != nil && b.Type == "input" {
			c.problem(at, err.Error())
			continue
		}
		c.limit(at+"/block_id", "characters", utf8.RuneCountInString(b.BlockID), 0, maxID)
		if b.BlockID != "" && ids[b.BlockID] {
			c.problem(at+"/block_id", "block_id already exists")
		}
		ids[b.BlockID] = true
		switch b.Type {
		case "input":
			inputs++
			c.plain(at+"/label", b.Label, maxLabel)
			if b.Hint != nil {
				c.plain(at+"/hint", *b.Hint, maxLabel)
			}
			c.field(at+"/element", b.Element)
		case "table":
			c.problem(at, `unsupported type: "table"`)
		default:
			var n node
			if err := json.Unmarshal(raw, &n); err != nil {
				c.problem(at, err.Error())
				continue
			}
			c.block(at, n)
		}
	}
	if kind == "modal" && inputs > 0 && v.Submit == nil {
		c.problem("/view/submit", "missing required field: submit")
	}
	return c.problems
}

func (c *checker) plain(at string, t textOf, most int) {
	if t.Type != "plain_text" {
		c.problem(at, fmt.Sprintf("unsupported type: %q", t.Type))
	}
	c.chars(at+"/text", t.Text, most)
}

func (c *checker) field(at string, f field) {
	c.chars(at+"/action_id", f.ActionID, maxID)
	if f.Placeholder != nil {
		c.plain(at+"/placeholder", *f.Placeholder, maxPlaceholder)
	}
	most := maxOptions
	switch f.Type {
	case "checkboxes":
		most = maxBoxes
		fallthrough
	case "static_select":
		c.limit(at+"/options", "items", len(f.Options), 1, most)
	case "external_select", "plain_text_input":
	case "number_input":
		if f.Decimal == nil {
			c.problem(at, "missing required field: is_decimal_allowed")
		}
	default:
		c.problem(at, fmt.Sprintf("unsupported type: %q", f.Type))
	}
	for i, o := range f.Options {
		at := fmt.Sprintf("%s/options/%d", at, i)
		c.plain(at+"/text", o.Text, maxOptionText)
		c.chars(at+"/value", o.Value, maxOptionValue)
	}
	for i, o := range f.Initial {
		if !slices.Contains(f.Options, o) {
			c.problem(fmt.Sprintf("%s/initial_options/%d", at, i), "not among the options")
		}
	}
}
