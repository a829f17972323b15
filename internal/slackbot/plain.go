package slackbot

import (
	"strings"

	"github.com/slack-go/slack"
)

// plainest is the content of a message in one plain section: what is sent when
// Slack takes no other form of it.
func plainest(m Message) []slack.Block {
	var b strings.Builder
	for _, block := range m.Blocks {
		switch block := block.(type) {
		case *slack.HeaderBlock:
			b.WriteString(block.Text.Text + "\n")
		case *slack.ContextBlock:
			for i, e := range block.ContextElements.Elements {
				if t, ok := e.(*slack.TextBlockObject); ok {
					if i > 0 {
						b.WriteString(" · ")
					}
					b.WriteString(t.Text)
				}
			}
			b.WriteString("\n")
		case *slack.TableBlock:
			for _, row := range block.Rows {
				for i, c := range row {
					if i > 0 {
						b.WriteString(" | ")
					}
					switch c := c.(type) {
					case *slack.TableRawTextCell:
						b.WriteString(c.Text)
					case *slack.TableRichTextCell:
						writePlain(&b, c.Elements, "")
					}
				}
				b.WriteString("\n")
			}
		case *slack.RichTextBlock:
			writePlain(&b, block.Elements, "\n")
		case *slack.ActionBlock:
			for _, e := range block.Elements.ElementSet {
				if e, ok := e.(*slack.ButtonBlockElement); ok && e.URL != "" {
					b.WriteString(e.Text.Text + " " + e.URL + "\n")
				}
			}
		}
	}
	text := b.String()
	if strings.TrimSpace(text) == "" {
		text = m.Text
	}
	return []slack.Block{slack.NewSectionBlock(slack.NewTextBlockObject(slack.PlainTextType, cut(text, maxSection-100), false, false), nil, nil)}
}

// writePlain writes rich text without its styles, each paragraph followed by end.
func writePlain(b *strings.Builder, elements []slack.RichTextElement, end string) {
	for _, e := range elements {
		switch e := e.(type) {
		case *bullets:
			for _, item := range e.Elements {
				b.WriteString("• ")
				writePlain(b, []slack.RichTextElement{item}, end)
			}
		case *slack.RichTextSection:
			writeSpans(b, e.Elements)
			b.WriteString(end)
		case *slack.RichTextPreformatted:
			writeSpans(b, e.Elements)
			b.WriteString(end)
		}
	}
}

func writeSpans(b *strings.Builder, spans []span) {
	for _, s := range spans {
		switch s := s.(type) {
		case *slack.RichTextSectionTextElement:
			b.WriteString(s.Text)
		case *slack.RichTextSectionLinkElement:
			b.WriteString(s.Text + " " + s.URL)
		case *slack.RichTextSectionDateElement:
			if s.Fallback != nil {
				b.WriteString(*s.Fallback)
			}
		}
	}
}
