package slacktest

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// checker collects what is wrong with blocks.
type checker struct {
	surface  string // "message", "modal" or "home"
	problems []string
	actions  map[string]bool // ids of the actions of the block that is looked at
}

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

// upTo checks a text that need not be there.
func (c *checker) upTo(at, s string, most int) {
	c.limit(at, "characters", utf8.RuneCountInString(s), 0, most)
}

// oneOf checks a word that need not be there.
func (c *checker) oneOf(at, word string, words ...string) {
	if word != "" && !slices.Contains(words, word) {
		c.problem(at, fmt.Sprintf("must be one of %q", words))
	}
}

// text checks the text object of a node, of one of the kinds.
func (c *checker) text(at string, n node, most int, kinds ...string) {
	kind, text := n.object()
	c.object(at, kind, text, most, kinds)
}

// need checks a text object that must be there, maybe one that need not.
func (c *checker) need(at string, n *node, most int, kinds ...string) {
	if n == nil {
		c.problem(at, "missing required field")
		return
	}
	c.object(at, n.Type, n.plain(), most, kinds)
}

func (c *checker) maybe(at string, n *node, most int, kinds ...string) {
	if n != nil {
		c.need(at, n, most, kinds...)
	}
}

func (c *checker) object(at, kind, text string, most int, kinds []string) {
	if !slices.Contains(kinds, kind) {
		c.problem(at, fmt.Sprintf("unsupported type: %q", kind))
		return
	}
	c.chars(at+"/text", text, most)
}

// blocks checks all blocks of a message or a view.
func (c *checker) blocks(data []byte, most int) []node {
	var blocks []node
	if err := json.Unmarshal(data, &blocks); err != nil {
		c.problem("/blocks", "invalid JSON: "+err.Error())
		return nil
	}
	c.limit("/blocks", "items", len(blocks), 0, most)
	tables, ids := 0, map[string]bool{}
	for i, b := range blocks {
		at := fmt.Sprintf("/blocks/%d", i)
		c.actions = map[string]bool{}
		c.upTo(at+"/block_id", b.BlockID, 255)
		if b.BlockID != "" && ids[b.BlockID] {
			c.problem(at+"/block_id", "is there already")
		}
		ids[b.BlockID] = true
		c.block(at, b)
		if b.Type == "table" {
			tables++
		}
	}
	if tables > 1 {
		c.problem("/blocks", "only one table is allowed")
	}
	return blocks
}

func (c *checker) block(at string, b node) {
	switch b.Type {
	case "divider":
	case "header":
		c.text(at+"/text", b, 150, "plain_text")
	case "section":
		c.section(at, b)
	case "context":
		c.limit(at+"/elements", "items", len(b.Elements), 1, 10)
		for i, e := range b.Elements {
			at := fmt.Sprintf("%s/elements/%d", at, i)
			if e.Type == "image" {
				c.image(at, e)
				continue
			}
			c.object(at, e.Type, e.plain(), 3000, []string{"mrkdwn", "plain_text"})
		}
	case "actions":
		c.limit(at+"/elements", "items", len(b.Elements), 1, 25)
		for i, e := range b.Elements {
			c.element(fmt.Sprintf("%s/elements/%d", at, i), e, inActions)
		}
	case "input":
		c.need(at+"/label", b.Label, 2000, "plain_text")
		c.maybe(at+"/hint", b.Hint, 2000, "plain_text")
		if b.Element == nil {
			c.problem(at+"/element", "missing required field")
			return
		}
		c.element(at+"/element", *b.Element, inInput)
	case "image":
		c.image(at, b)
		c.maybe(at+"/title", b.Title, 2000, "plain_text")
	case "markdown":
		if c.surface != "message" {
			c.problem(at, "markdown is for messages")
		}
		c.chars(at+"/text", b.plain(), 12_000)
	case "rich_text":
		c.rich(at, b.Elements)
	case "table":
		if c.surface != "message" {
			c.problem(at, "a table is for messages")
		}
		c.table(at, b)
	default:
		c.problem(at, fmt.Sprintf("unsupported type: %q", b.Type))
	}
}

func (c *checker) section(at string, b node) {
	if len(b.Text) == 0 && len(b.Fields) == 0 {
		c.problem(at, "missing required field: text or fields")
	}
	if len(b.Text) > 0 {
		c.text(at+"/text", b, 3000, "mrkdwn", "plain_text")
	}
	c.limit(at+"/fields", "items", len(b.Fields), 0, 10)
	for i, f := range b.Fields {
		c.object(fmt.Sprintf("%s/fields/%d", at, i), f.Type, f.plain(), 2000, []string{"mrkdwn", "plain_text"})
	}
	if b.Accessory != nil {
		c.element(at+"/accessory", *b.Accessory, inSection)
	}
}

func (c *checker) image(at string, b node) {
	c.chars(at+"/alt_text", b.AltText, 2000)
	c.upTo(at+"/image_url", b.ImageURL, 3000)
	if (b.ImageURL == "") == (len(b.SlackFile) == 0) {
		c.problem(at, "image_url or slack_file is required, and not both")
	}
}

func (c *checker) table(at string, b node) {
	c.limit(at+"/rows", "items", len(b.Rows), 1, 100)
	c.limit(at+"/column_settings", "items", len(b.Columns), 0, 20)
	for i, col := range b.Columns {
		c.oneOf(fmt.Sprintf("%s/column_settings/%d/align", at, i), col.Align, "left", "center", "right")
	}
	for i, row := range b.Rows {
		at := fmt.Sprintf("%s/rows/%d", at, i)
		c.limit(at, "items", len(row), 1, 20)
		for j, cell := range row {
			at := fmt.Sprintf("%s/%d", at, j)
			switch cell.Type {
			case "raw_text":
				c.chars(at+"/text", cell.plain(), 3000)
			case "raw_number":
				c.chars(at+"/text", cell.plain(), 3000)
				if len(cell.Value) == 0 {
					c.problem(at+"/value", "missing required field")
				}
			case "rich_text":
				c.rich(at, cell.Elements)
			default:
				c.problem(at, fmt.Sprintf("unsupported type: %q", cell.Type))
			}
		}
	}
}

// rich checks the parts of rich text.
func (c *checker) rich(at string, parts []node) {
	c.limit(at+"/elements", "items", len(parts), 1, 1000)
	for i, p := range parts {
		at := fmt.Sprintf("%s/elements/%d", at, i)
		c.limit(at+"/border", "as border", p.Border, 0, 1)
		switch p.Type {
		case "rich_text_list":
			if p.word() != "bullet" && p.word() != "ordered" {
				c.problem(at+"/style", `must be one of ["bullet" "ordered"]`)
			}
			c.limit(at+"/indent", "as indent", p.Indent, 0, 8)
			c.limit(at+"/elements", "items", len(p.Elements), 1, 1000)
			for j, item := range p.Elements {
				at := fmt.Sprintf("%s/elements/%d", at, j)
				if item.Type != "rich_text_section" {
					c.problem(at, fmt.Sprintf("unsupported type: %q", item.Type))
				}
				c.inlines(at, item.Elements)
			}
		case "rich_text_section", "rich_text_quote":
			c.inlines(at, p.Elements)
		case "rich_text_preformatted":
			for j, e := range p.Elements {
				if e.Type != "text" && e.Type != "link" {
					c.problem(fmt.Sprintf("%s/elements/%d", at, j), fmt.Sprintf("unsupported type: %q", e.Type))
				}
			}
			c.inlines(at, p.Elements)
		default:
			c.problem(at, fmt.Sprintf("unsupported type: %q", p.Type))
		}
	}
}

func (c *checker) inlines(at string, elements []node) {
	c.limit(at+"/elements", "items", len(elements), 1, 1000)
	for i, e := range elements {
		c.inline(fmt.Sprintf("%s/elements/%d", at, i), e)
	}
}

func (c *checker) inline(at string, e node) {
	id := map[string]string{"emoji": e.Name, "user": e.UserID, "usergroup": e.GroupID, "channel": e.Channel, "broadcast": e.Range}
	switch e.Type {
	case "text":
		c.chars(at+"/text", e.plain(), maxText)
	case "link":
		c.chars(at+"/url", e.URL, 3000)
	case "date":
		if e.Timestamp == 0 {
			c.problem(at, "missing required field: timestamp")
		}
		if e.Format == "" {
			c.problem(at, "missing required field: format")
		}
	case "color":
		c.chars(at+"/value", word(e.Value), 7)
	case "emoji", "user", "usergroup", "channel", "broadcast":
		c.chars(at+"/"+e.Type, id[e.Type], 255)
	default:
		c.problem(at, fmt.Sprintf("unsupported type: %q", e.Type))
	}
}
