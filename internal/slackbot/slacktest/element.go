package slacktest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// place is a kind of block that elements stand in.
type place string

const (
	inActions place = "actions"
	inSection place = "section"
	inInput   place = "input"
)

// places says which elements stand where, as Slack documents it. Selects of all
// kinds stand anywhere.
var places = map[string][]place{
	"button":           {inActions, inSection},
	"workflow_button":  {inActions, inSection},
	"overflow":         {inActions, inSection},
	"image":            {inSection},
	"checkboxes":       {inActions, inSection, inInput},
	"radio_buttons":    {inActions, inSection, inInput},
	"datepicker":       {inActions, inSection, inInput},
	"timepicker":       {inActions, inSection, inInput},
	"datetimepicker":   {inActions, inInput},
	"rich_text_input":  {inActions, inInput},
	"plain_text_input": {inInput},
	"number_input":     {inInput},
	"email_text_input": {inInput},
	"url_text_input":   {inInput},
	"file_input":       {inInput},
}

// menus are the selects by where their options come from.
var menus = []string{"static_select", "external_select", "users_select", "conversations_select", "channels_select"}

// element checks what people click, choose from and type into.
func (c *checker) element(at string, e node, in place) {
	where, known := places[e.Type]
	menu := strings.TrimPrefix(e.Type, "multi_")
	isMenu := slices.Contains(menus, menu)
	switch {
	case !known && !isMenu:
		c.problem(at, fmt.Sprintf("unsupported type: %q", e.Type))
		return
	case known && !slices.Contains(where, in):
		c.problem(at, fmt.Sprintf("unsupported type: %q in a block of type %q", e.Type, in))
	}
	if e.Type == "image" {
		c.image(at, e)
		return
	}
	c.upTo(at+"/action_id", e.ActionID, 255)
	if e.ActionID != "" && c.actions[e.ActionID] {
		c.problem(at+"/action_id", "is there already in this block")
	}
	c.actions[e.ActionID] = true
	c.maybe(at+"/placeholder", e.Placeholder, 150, "plain_text")
	c.confirm(at+"/confirm", e.Confirm)
	switch {
	case isMenu:
		c.menu(at, e, menu)
		return
	}
	switch e.Type {
	case "button":
		c.text(at+"/text", e, 75, "plain_text")
		c.upTo(at+"/value", word(e.Value), 2000)
		c.upTo(at+"/url", e.URL, 3000)
		c.upTo(at+"/accessibility_label", e.Says, 75)
		c.oneOf(at+"/style", e.word(), "primary", "danger")
	case "overflow":
		c.options(at, e.Options, 5, "plain_text")
	case "checkboxes", "radio_buttons":
		c.options(at, e.Options, 10, "plain_text", "mrkdwn")
		c.among(at, e, e.Options)
	case "plain_text_input":
		c.limit(at+"/min_length", "as min_length", e.MinLength, 0, 3000)
		c.limit(at+"/max_length", "as max_length", e.MaxLength, 0, 3000)
		if e.MaxLength > 0 && e.MaxLength < e.MinLength {
			c.problem(at+"/max_length", "is less than min_length")
		}
		c.upTo(at+"/initial_value", e.InitialValue, 3000)
	case "number_input":
		c.number(at, e)
	}
}

// number checks an input of numbers: its bounds are written as texts.
func (c *checker) number(at string, e node) {
	if e.Decimal == nil {
		c.problem(at+"/is_decimal_allowed", "missing required field")
	}
	values := map[string]float64{}
	for name, s := range map[string]string{"min_value": e.MinValue, "max_value": e.MaxValue, "initial_value": e.InitialValue} {
		if s == "" {
			continue
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			c.problem(at+"/"+name, "is not a number")
			continue
		}
		values[name] = f
	}
	least, hasLeast := values["min_value"]
	most, hasMost := values["max_value"]
	first, hasFirst := values["initial_value"]
	switch {
	case hasLeast && hasMost && least > most:
		c.problem(at+"/min_value", "is more than max_value")
	case hasFirst && (hasLeast && first < least || hasMost && first > most):
		c.problem(at+"/initial_value", "is out of bounds")
	}
}

// menu checks a select, of one or several.
func (c *checker) menu(at string, e node, kind string) {
	if e.MaxSelected != nil && *e.MaxSelected < 1 {
		c.problem(at+"/max_selected_items", "must be at least 1")
	}
	if kind != "static_select" {
		if len(e.Options)+len(e.OptionGroups) > 0 {
			c.problem(at+"/options", "are for static menus")
		}
		return
	}
	all := slices.Clone(e.Options)
	switch {
	case len(e.OptionGroups) == 0:
		c.options(at, e.Options, 100, "plain_text")
	case len(e.Options) > 0:
		c.problem(at, "options or option_groups, and not both")
	default:
		c.limit(at+"/option_groups", "items", len(e.OptionGroups), 1, 100)
		for i, g := range e.OptionGroups {
			at := fmt.Sprintf("%s/option_groups/%d", at, i)
			c.need(at+"/label", g.Label, 75, "plain_text")
			c.options(at, g.Options, 100, "plain_text")
			all = append(all, g.Options...)
		}
	}
	c.among(at, e, all)
}

func (c *checker) options(at string, options []option, most int, kinds ...string) {
	c.limit(at+"/options", "items", len(options), 1, most)
	for i, o := range options {
		at := fmt.Sprintf("%s/options/%d", at, i)
		c.need(at+"/text", o.Text, 75, kinds...)
		c.upTo(at+"/value", o.Value, 75)
		c.maybe(at+"/description", o.Description, 75, kinds...)
		c.upTo(at+"/url", o.URL, 3000)
	}
}

// among checks that what is chosen at first can be chosen.
func (c *checker) among(at string, e node, options []option) {
	chosen := e.InitialOptions
	if e.InitialOption != nil {
		chosen = append(slices.Clone(chosen), *e.InitialOption)
	}
	for _, o := range chosen {
		if !slices.ContainsFunc(options, func(p option) bool { return p.Value == o.Value && p.Text.caption() == o.Text.caption() }) {
			c.problem(at+"/initial_option", "is not among the options")
		}
	}
}

func (c *checker) confirm(at string, d *confirm) {
	if d == nil {
		return
	}
	c.maybe(at+"/title", d.Title, 100, "plain_text")
	c.need(at+"/text", d.Text, 300, "plain_text", "mrkdwn")
	c.maybe(at+"/confirm", d.Confirm, 30, "plain_text")
	c.maybe(at+"/deny", d.Deny, 30, "plain_text")
	c.oneOf(at+"/style", word(d.Style), "primary", "danger")
}
