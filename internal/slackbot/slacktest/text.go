package slacktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Text is a channel with its threads as a person reads it, as plain text:
// replies are indented below their message.
func (s *Server) Text(channel string) string {
	var b strings.Builder
	name := channel
	if c := s.channel(channel); c != nil {
		name = c.Name
	}
	fmt.Fprintf(&b, "#%s\n", name)
	for _, m := range s.Messages(channel) {
		b.WriteString("\n")
		for i, r := range s.Thread(channel, m.TS) {
			indent := ""
			if i > 0 {
				indent = "    | "
				b.WriteString("    |\n")
			}
			for line := range strings.Lines(s.messageText(r)) {
				b.WriteString(strings.TrimRight(indent+line, " \n") + "\n")
			}
		}
	}
	return b.String()
}

// messageText is one message as plain text.
func (s *Server) messageText(m Message) string {
	var b strings.Builder
	who := s.name(m.User)
	if m.User == s.opt.BotUser {
		who += " [APP]"
	}
	fmt.Fprintf(&b, "%s  %s", who, when(m.TS).UTC().Format("15:04"))
	if m.Edits > 0 {
		b.WriteString(" (edited)")
	}
	if m.Broadcast {
		b.WriteString(" (also sent to the channel)")
	}
	b.WriteString("\n")
	if blocks := m.blocks(); len(blocks) > 0 {
		for _, n := range blocks {
			b.WriteString(blockText(n))
		}
	} else if m.Text != "" {
		b.WriteString(mrkdwnText(m.Text) + "\n")
	}
	for _, id := range m.Files {
		s.mu.Lock()
		if f := s.fileLocked(id); f != nil {
			fmt.Fprintf(&b, "[%s: %s]\n", f.Name, f.Title)
		}
		s.mu.Unlock()
	}
	return mentioned.ReplaceAllStringFunc(b.String(), func(text string) string {
		id := mentioned.FindStringSubmatch(text)[1]
		if name := s.name(id); name != id {
			return "@" + name
		}
		return text // who is not known stands out
	})
}

// mentioned is how a text shows a person who is named.
var mentioned = regexp.MustCompile(`\[mention @?([UW][0-9A-Z]+)\]`)

func (m Message) blocks() []node {
	if m.Blocks == nil {
		return nil
	}
	var out []node
	if err := json.Unmarshal(m.Blocks, &out); err != nil {
		panic(fmt.Sprintf("slacktest: kept blocks that are no JSON: %v", err)) // they were parsed when they came
	}
	return out
}

func blockText(n node) string {
	switch n.Type {
	case "header":
		_, text := n.object()
		return text + "\n" + strings.Repeat("=", min(utf8.RuneCountInString(text), 80)) + "\n"
	case "divider":
		return "----\n"
	case "section":
		var b strings.Builder
		if len(n.Text) > 0 {
			b.WriteString(textObject(n.object()) + "\n")
		}
		for _, f := range n.Fields {
			b.WriteString("  " + strings.ReplaceAll(textObject(f.Type, f.plain()), "\n", " ") + "\n")
		}
		if n.Accessory != nil {
			b.WriteString(elementText(*n.Accessory) + "\n")
		}
		return b.String()
	case "context":
		var parts []string
		for _, e := range n.Elements {
			parts = append(parts, textObject(e.Type, e.plain()))
		}
		return "  " + strings.Join(parts, "  ") + "\n"
	case "actions":
		var parts []string
		for _, e := range n.Elements {
			parts = append(parts, elementText(e))
		}
		return strings.Join(parts, " ") + "\n"
	case "input":
		if n.Element == nil {
			return n.Label.caption() + "\n"
		}
		return n.Label.caption() + ": " + elementText(*n.Element) + "\n"
	case "image":
		return fmt.Sprintf("[image: %s]\n", n.AltText)
	case "rich_text":
		return richText(n.Elements, "")
	case "table":
		return tableText(n)
	}
	return fmt.Sprintf("[%s]\n", n.Type)
}

// elementText is what people click, choose from or type into: its words in
// brackets, with where a link leads.
func elementText(e node) string {
	_, label := e.object()
	label = cmp.Or(label, e.Placeholder.caption())
	if e.InitialOption != nil {
		label = e.InitialOption.Text.caption()
	}
	label = "[" + cmp.Or(label, e.InitialValue, e.Type) + "]"
	if e.URL != "" {
		label += " (" + e.URL + ")"
	}
	return label
}

func textObject(kind, text string) string {
	if kind == "mrkdwn" {
		return mrkdwnText(text)
	}
	return text
}

// markup is what Slack reads in mrkdwn between angle brackets.
var markup = regexp.MustCompile(`<([^<>|]+)(?:\|([^<>]*))?>`)

// mrkdwnText shows mrkdwn without its escapes; what would notify or link
// somebody is marked, so that a test sees it.
func mrkdwnText(s string) string {
	s = markup.ReplaceAllStringFunc(s, func(m string) string {
		g := markup.FindStringSubmatch(m)
		switch {
		case strings.ContainsAny(g[1][:1], "!@#"):
			return "[mention " + g[1] + "]"
		case g[2] != "":
			return g[2] + " (" + g[1] + ")"
		}
		return "(" + g[1] + ")"
	})
	return unescape(s)
}

func unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

func richText(parts []node, prefix string) string {
	var b strings.Builder
	for _, p := range parts {
		switch p.Type {
		case "rich_text_list":
			for _, item := range p.Elements {
				b.WriteString(richText([]node{item}, prefix+"• "))
			}
		case "rich_text_quote":
			b.WriteString(prefix + "> " + inlineText(p.Elements) + "\n")
		case "rich_text_preformatted":
			for line := range strings.Lines(inlineText(p.Elements)) {
				b.WriteString(prefix + "  " + strings.TrimRight(line, "\n") + "\n")
			}
		default:
			b.WriteString(prefix + inlineText(p.Elements) + "\n")
		}
	}
	return b.String()
}

func inlineText(elements []node) string {
	var b strings.Builder
	for _, e := range elements {
		st := e.styles()
		text := e.plain()
		switch e.Type {
		case "link":
			if text != "" {
				text += " (" + e.URL + ")"
			} else {
				text = e.URL
			}
		case "date":
			text = e.Fallback
		case "emoji":
			text = ":" + e.Name + ":"
		case "user", "usergroup", "channel", "broadcast":
			text = "[mention " + e.UserID + e.GroupID + e.Channel + e.Range + "]"
		}
		if st.Code {
			text = "`" + text + "`"
		}
		if st.Bold {
			text = "*" + text + "*"
		}
		b.WriteString(text)
	}
	return b.String()
}

// tableText aligns the columns of a table.
func tableText(n node) string {
	var rows [][]string
	var widths []int
	for _, row := range n.Rows {
		var cells []string
		for i, c := range row {
			text := c.plain()
			if c.Type == "rich_text" {
				text = strings.TrimSuffix(richText(c.Elements, ""), "\n")
			}
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
			cells = append(cells, text)
		}
		rows = append(rows, cells)
	}
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < len(n.Columns) && n.Columns[i].Align == "right" {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
