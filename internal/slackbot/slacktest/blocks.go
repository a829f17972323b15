package slacktest

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Limits of blocks, as Slack documents them at docs.slack.dev/reference/block-kit.
const (
	maxBlocks      = 50
	maxBlocksChars = 13_200 // all blocks together; undocumented (slackapi/bolt-js#2509)
	maxSectionText = 3000
	maxFields      = 10
	maxFieldText   = 2000
	maxHeaderText  = 150
	maxContext     = 10
	maxActions     = 25
	maxButtonText  = 75
	maxURL         = 3000
	maxAltText     = 2000
	maxTableRows   = 100
	maxTableCols   = 20
)

// node is a block, or any part of one. Which fields are set depends on Type.
type node struct {
	Type     string          `json:"type"`
	Text     json.RawMessage `json:"text"` // a string, or an object with its own type
	Style    json.RawMessage `json:"style"`
	Elements []node          `json:"elements"`
	Fields   []node          `json:"fields"`
	Rows     [][]node        `json:"rows"`
	Columns  []struct {
		Align string `json:"align"`
	} `json:"column_settings"`
	URL       string          `json:"url"`
	ImageURL  string          `json:"image_url"`
	AltText   string          `json:"alt_text"`
	SlackFile json.RawMessage `json:"slack_file"`
	Timestamp int64           `json:"timestamp"`
	Fallback  string          `json:"fallback"`
	Name      string          `json:"name"`
	UserID    string          `json:"user_id"`
	Channel   string          `json:"channel_id"`
	Range     string          `json:"range"`
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

// parseBlocks reads the blocks of a message. The problems are worded as
// Slack's, with the place of each.
func parseBlocks(data []byte) ([]node, []string) {
	var blocks []node
	if err := json.Unmarshal(data, &blocks); err != nil {
		return nil, []string{"invalid JSON: " + err.Error()}
	}
	c := &checker{}
	c.limit("/blocks", "items", len(blocks), 0, maxBlocks)
	tables := 0
	for i, b := range blocks {
		at := fmt.Sprintf("/blocks/%d", i)
		c.block(at, b)
		if b.Type == "table" {
			tables++
		}
	}
	if tables > 1 {
		c.problem("/blocks", "only one table is allowed")
	}
	return blocks, c.problems
}

type checker struct{ problems []string }

func (c *checker) problem(at, text string) {
	c.problems = append(c.problems, fmt.Sprintf("%s [json-pointer:%s]", text, at))
}

func (c *checker) limit(at, what string, n, least, most int) {
	if n < least {
		c.problem(at, fmt.Sprintf("must have at least %d %s", least, what))
	}
	if n > most {
		c.problem(at, fmt.Sprintf("no more than %d %s allowed", most, what))
	}
}

func (c *checker) chars(at, s string, most int) {
	c.limit(at, "characters", utf8.RuneCountInString(s), 1, most)
}

// text checks a text object of one of the kinds.
func (c *checker) text(at string, n node, most int, kinds ...string) {
	kind, text := n.object()
	for _, k := range kinds {
		if kind == k {
			c.chars(at+"/text", text, most)
			return
		}
	}
	c.problem(at, fmt.Sprintf("unsupported type: %q", kind))
}

func (c *checker) block(at string, b node) {
	switch b.Type {
	case "divider":
	case "header":
		c.text(at+"/text", b, maxHeaderText, "plain_text")
	case "section":
		if len(b.Text) == 0 && len(b.Fields) == 0 {
			c.problem(at, "missing required field: text or fields")
		}
		if len(b.Text) > 0 {
			c.text(at+"/text", b, maxSectionText, "mrkdwn", "plain_text")
		}
		c.limit(at+"/fields", "items", len(b.Fields), 0, maxFields)
		for i, f := range b.Fields {
			c.limit(fmt.Sprintf("%s/fields/%d", at, i), "characters", utf8.RuneCountInString(f.plain()), 1, maxFieldText)
		}
	case "context":
		c.limit(at+"/elements", "items", len(b.Elements), 1, maxContext)
		for i, e := range b.Elements {
			at := fmt.Sprintf("%s/elements/%d", at, i)
			switch e.Type {
			case "mrkdwn", "plain_text":
				c.limit(at+"/text", "characters", utf8.RuneCountInString(e.plain()), 1, maxSectionText)
			case "image":
				c.chars(at+"/alt_text", e.AltText, maxAltText)
			default:
				c.problem(at, fmt.Sprintf("unsupported type: %q", e.Type))
			}
		}
	case "actions":
		c.limit(at+"/elements", "items", len(b.Elements), 1, maxActions)
		for i, e := range b.Elements {
			at := fmt.Sprintf("%s/elements/%d", at, i)
			if e.Type != "button" {
				c.problem(at, fmt.Sprintf("unsupported type: %q", e.Type))
				continue
			}
			c.text(at+"/text", e, maxButtonText, "plain_text")
			c.limit(at+"/url", "characters", utf8.RuneCountInString(e.URL), 0, maxURL)
		}
	case "image":
		c.chars(at+"/alt_text", b.AltText, maxAltText)
		if (b.ImageURL == "") == (len(b.SlackFile) == 0) {
			c.problem(at, "image_url or slack_file is required, and not both")
		}
	case "rich_text":
		c.rich(at, b.Elements)
	case "table":
		c.limit(at+"/rows", "items", len(b.Rows), 1, maxTableRows)
		for i, row := range b.Rows {
			at := fmt.Sprintf("%s/rows/%d", at, i)
			c.limit(at, "items", len(row), 1, maxTableCols)
			for j, cell := range row {
				at := fmt.Sprintf("%s/%d", at, j)
				switch cell.Type {
				case "raw_text":
					c.chars(at+"/text", cell.plain(), maxSectionText)
				case "rich_text":
					c.rich(at, cell.Elements)
				default:
					c.problem(at, fmt.Sprintf("unsupported type: %q", cell.Type))
				}
			}
		}
	default:
		c.problem(at, fmt.Sprintf("unsupported type: %q", b.Type))
	}
}

// rich checks the parts of rich text.
func (c *checker) rich(at string, parts []node) {
	c.limit(at+"/elements", "items", len(parts), 1, 1000)
	for i, p := range parts {
		at := fmt.Sprintf("%s/elements/%d", at, i)
		switch p.Type {
		case "rich_text_list":
			c.rich(at, p.Elements)
		case "rich_text_section", "rich_text_quote", "rich_text_preformatted":
			c.limit(at+"/elements", "items", len(p.Elements), 1, 1000)
			for j, e := range p.Elements {
				c.inline(fmt.Sprintf("%s/elements/%d", at, j), e)
			}
		default:
			c.problem(at, fmt.Sprintf("unsupported type: %q", p.Type))
		}
	}
}

func (c *checker) inline(at string, e node) {
	switch e.Type {
	case "text":
		c.limit(at+"/text", "characters", utf8.RuneCountInString(e.plain()), 1, maxText)
	case "link":
		c.chars(at+"/url", e.URL, maxURL)
	case "date":
		if e.Timestamp == 0 {
			c.problem(at, "missing required field: timestamp")
		}
	case "emoji", "user", "usergroup", "channel", "broadcast":
	default:
		c.problem(at, fmt.Sprintf("unsupported type: %q", e.Type))
	}
}
