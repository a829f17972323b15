package slacktest

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// maxBlocksChars is how long all blocks of a message together may be. It is
// written nowhere (slackapi/bolt-js#2509).
const maxBlocksChars = 13_200

// node is a block, or any part of one. Which fields are set depends on Type.
type node struct {
	Type     string          `json:"type"`
	BlockID  string          `json:"block_id"`
	ActionID string          `json:"action_id"`
	Text     json.RawMessage `json:"text"`  // a string, or an object with its own type
	Style    json.RawMessage `json:"style"` // a string, or the styles of a piece of rich text
	Elements []node          `json:"elements"`
	Fields   []node          `json:"fields"`
	Rows     [][]node        `json:"rows"`
	Columns  []struct {
		Align string `json:"align"`
	} `json:"column_settings"`

	// Of blocks and elements that people read.
	Title     *node           `json:"title"`
	Label     *node           `json:"label"`
	Hint      *node           `json:"hint"`
	Optional  bool            `json:"optional"`
	Accessory *node           `json:"accessory"`
	Element   *node           `json:"element"`
	URL       string          `json:"url"`
	ImageURL  string          `json:"image_url"`
	AltText   string          `json:"alt_text"`
	SlackFile json.RawMessage `json:"slack_file"`

	// Of elements that people use.
	Value        json.RawMessage `json:"value"` // a string, or the number of a cell
	Says         string          `json:"accessibility_label"`
	Placeholder  *node           `json:"placeholder"`
	Confirm      *confirm        `json:"confirm"`
	Options      []option        `json:"options"`
	OptionGroups []struct {
		Label   *node    `json:"label"`
		Options []option `json:"options"`
	} `json:"option_groups"`
	InitialOption  *option  `json:"initial_option"`
	InitialOptions []option `json:"initial_options"`
	InitialValue   string   `json:"initial_value"`
	Decimal        *bool    `json:"is_decimal_allowed"`
	MinValue       string   `json:"min_value"`
	MaxValue       string   `json:"max_value"`
	MinLength      int      `json:"min_length"`
	MaxLength      int      `json:"max_length"`
	MaxSelected    *int     `json:"max_selected_items"`

	// Of rich text.
	Timestamp int64  `json:"timestamp"`
	Format    string `json:"format"`
	Fallback  string `json:"fallback"`
	Name      string `json:"name"`
	UserID    string `json:"user_id"`
	GroupID   string `json:"usergroup_id"`
	Channel   string `json:"channel_id"`
	Range     string `json:"range"`
	Indent    int    `json:"indent"`
	Border    int    `json:"border"`
}

// option is one of a menu's.
type option struct {
	Text        *node  `json:"text"`
	Value       string `json:"value"`
	Description *node  `json:"description"`
	URL         string `json:"url"`
}

// confirm asks whether something is really meant.
type confirm struct {
	Title   *node           `json:"title"`
	Text    *node           `json:"text"`
	Confirm *node           `json:"confirm"`
	Deny    *node           `json:"deny"`
	Style   json.RawMessage `json:"style"`
}

// plain is the text of a node whose text is a string.
func (n node) plain() string {
	var s string
	if json.Unmarshal(n.Text, &s) != nil {
		return ""
	}
	return s
}

// object is the text object of a node.
func (n node) object() (kind, text string) {
	var o struct{ Type, Text string }
	if json.Unmarshal(n.Text, &o) != nil {
		return "", ""
	}
	return o.Type, o.Text
}

// styles are the styles of a piece of rich text.
func (n node) styles() (s struct{ Bold, Italic, Strike, Code bool }) {
	_ = json.Unmarshal(n.Style, &s) // absent, or the style of a list
	return s
}

// word is the style of an element or a list.
func (n node) word() string { return word(n.Style) }

func word(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // absent, or the styles of a piece of rich text
	return s
}

// caption is the text of a text object; "" for none.
func (n *node) caption() string {
	if n == nil {
		return ""
	}
	return n.plain()
}

// CheckMessage says what is wrong with a message: with the JSON of one that has
// text and blocks, or of its blocks alone. It checks the limits that Slack
// documents at docs.slack.dev/reference/block-kit, and the total size that it
// does not. A problem is worded as Slack's, with its place; nil is none.
func CheckMessage(data []byte) []string {
	var m struct {
		Text   *string         `json:"text"`
		Blocks json.RawMessage `json:"blocks"`
	}
	c := &checker{surface: "message"}
	if len(data) > 0 && data[0] == '[' {
		m.Blocks = data
	} else if err := json.Unmarshal(data, &m); err != nil {
		return []string{"invalid JSON: " + err.Error()}
	} else if m.Text == nil || *m.Text == "" {
		c.problem("/text", "what notifications and screen readers say is missing")
	} else {
		c.chars("/text", *m.Text, maxText)
	}
	if n := utf8.RuneCount(m.Blocks); n > maxBlocksChars {
		c.problem("/blocks", fmt.Sprintf("msg_blocks_too_long: %d characters", n))
	}
	if len(m.Blocks) > 0 {
		c.blocks(m.Blocks, 50)
	}
	return c.problems
}

// CheckView says what is wrong with the JSON of a modal or of a home, as
// [CheckMessage] does of a message.
func CheckView(data []byte) []string {
	var v struct {
		Type     string          `json:"type"`
		Title    *node           `json:"title"`
		Submit   *node           `json:"submit"`
		Close    *node           `json:"close"`
		Private  string          `json:"private_metadata"`
		Callback string          `json:"callback_id"`
		External string          `json:"external_id"`
		Blocks   json.RawMessage `json:"blocks"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return []string{"invalid JSON: " + err.Error()}
	}
	c := &checker{surface: v.Type}
	switch v.Type {
	case "modal":
		c.need("/title", v.Title, 24, "plain_text")
		c.maybe("/submit", v.Submit, 24, "plain_text")
		c.maybe("/close", v.Close, 24, "plain_text")
	case "home":
		if v.Title != nil || v.Submit != nil || v.Close != nil {
			c.problem("", "a home has no title, submit or close")
		}
	default:
		c.problem("/type", fmt.Sprintf("unsupported type: %q", v.Type))
	}
	c.limit("/private_metadata", "characters", utf8.RuneCountInString(v.Private), 0, 3000)
	c.limit("/callback_id", "characters", utf8.RuneCountInString(v.Callback), 0, 255)
	c.limit("/external_id", "characters", utf8.RuneCountInString(v.External), 0, 255)
	if len(v.Blocks) == 0 {
		c.problem("/blocks", "missing required field: blocks")
		return c.problems
	}
	blocks := c.blocks(v.Blocks, 100)
	for i, b := range blocks {
		if b.Type == "input" && v.Type == "modal" && v.Submit == nil {
			c.problem(fmt.Sprintf("/blocks/%d", i), "a modal with an input needs a submit")
			break
		}
	}
	return c.problems
}

// parseBlocks reads the blocks of a message. The problems are worded as
// Slack's, with the place of each.
func parseBlocks(data []byte) ([]node, []string) {
	c := &checker{surface: "message"}
	return c.blocks(data, 50), c.problems
}
