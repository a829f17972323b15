package slackbot

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// Message is one message as it is sent.
type Message struct {
	// Text is what notifications and screen readers get. It is plain text; it
	// is escaped on its way out.
	Text   string        `json:"text"`
	Blocks []slack.Block `json:"blocks"`
}

// Limits of a message. Slack documents 150 characters of a header, 3,000 of a
// section and 50 blocks; that all blocks together may be about 13,200
// characters is written nowhere (slackapi/bolt-js#2509), and rich text has
// been refused at 11,341 characters of text (slackapi/bolt-js#2867), so the
// whole encoded form is kept below maxChars.
const (
	maxHeader  = 150
	maxSection = 3000
	maxBlocks  = 50
	maxChars   = 10_000
	maxContext = 10 // elements of a context block
)

// page collects blocks up to the limits of a message.
type page struct {
	blocks []slack.Block
	chars  int
}

// add appends a block if there is room for it.
func (p *page) add(b slack.Block) {
	n := size(b)
	if b == nil || p.chars+n > maxChars || len(p.blocks) == maxBlocks {
		return
	}
	p.blocks, p.chars = append(p.blocks, b), p.chars+n
}

// hold keeps room for a block that comes last; release gives it back.
func (p *page) hold(b slack.Block) (held int) {
	if b != nil {
		held = size(b)
	}
	p.chars += held
	return held
}

func (p *page) release(held int) { p.chars -= held }

// room is how many characters are left.
func (p *page) room() int { return maxChars - p.chars }

// size is the number of characters of the encoded form, with the comma.
func size(v any) int {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("slackbot: a block that is no JSON: %v", err)) // plain data always is
	}
	return utf8.RuneCount(data) + 1
}

// clean makes a text from outside fit for one line: no line breaks, no control
// characters, nothing that turns the direction of writing around, and at most
// max characters.
func clean(s string, max int) string {
	return cut(strings.Join(strings.Fields(visible(s)), " "), max)
}

// visible is a text without what cannot be seen, all spaces being plain ones.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// cut shortens s to at most max characters, with an ellipsis.
func cut(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	if max < 1 {
		return ""
	}
	return strings.TrimRight(string([]rune(s)[:max-1]), " ") + "…"
}

// Bounds of a piece of text: of any, and of a sentence from outside.
const (
	maxSpan     = 2000
	maxSentence = 600
)

// The pieces of a line of rich text. What they hold is shown as it is: Slack
// reads no markup in them.
type (
	span  = slack.RichTextSectionElement
	style = slack.RichTextSectionTextStyle
)

func words(s string) span  { return styled(s, nil) }
func strong(s string) span { return styled(s, &style{Bold: true}) }
func mono(s string) span   { return styled(s, &style{Code: true}) }

// styled is nil for an empty text, which Slack would refuse. Spaces at the
// ends are kept: they part the pieces.
func styled(s string, st *style) span {
	t := clean(s, maxSpan)
	if t == "" && s != " " {
		return nil
	}
	if strings.HasPrefix(s, " ") {
		t = " " + t
	}
	if strings.HasSuffix(s, " ") && t != " " {
		t += " "
	}
	return slack.NewRichTextSectionTextElement(t, st)
}

// link is nil for an address that people should not be sent to.
func link(address, text string) span {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || len(address) > 3000 {
		return nil
	}
	return slack.NewRichTextSectionLinkElement(u.String(), text, nil)
}

// clock shows a time in the reader's own zone.
func clock(t time.Time) span {
	fallback := t.UTC().Format("15:04 UTC")
	return slack.NewRichTextSectionDateElement(t.Unix(), "{time}", nil, &fallback)
}

// seconds is clock to the second, for what will be over soon.
func seconds(t time.Time) span {
	fallback := t.UTC().Format("15:04:05 UTC")
	return slack.NewRichTextSectionDateElement(t.Unix(), "{time_secs}", nil, &fallback)
}

// line is one paragraph; nil when there is nothing in it.
func line(spans ...span) slack.RichTextElement {
	s := slack.NewRichTextSection(kept(spans)...)
	if len(s.Elements) == 0 {
		return nil
	}
	return s
}

// kept drops the spans that are nil.
func kept(spans []span) []span {
	out := make([]span, 0, len(spans))
	for _, s := range spans {
		if s != nil {
			out = append(out, s)
		}
	}
	return out
}

// bullets is a list. slack-go's own writes an offset, which Slack's types do
// not have.
type bullets struct {
	Type     slack.RichTextElementType     `json:"type"`
	Elements []slack.RichTextElement       `json:"elements"`
	Style    slack.RichTextListElementType `json:"style"`
}

func (b *bullets) RichTextElementType() slack.RichTextElementType { return b.Type }

// list is a bulleted list; nil when it is empty.
func list(items ...slack.RichTextElement) slack.RichTextElement {
	items = present(items)
	if len(items) == 0 {
		return nil
	}
	return &bullets{slack.RTEList, items, slack.RTEListBullet}
}

// program is a block of code, which keeps its lines; nil for none.
func program(src string) slack.RichTextElement {
	var lines []string
	for l := range strings.Lines(strings.ReplaceAll(src, "\t", "    ")) {
		lines = append(lines, cut(strings.TrimRight(visible(l), " "), 300))
	}
	s := strings.TrimSpace(strings.Join(lines, "\n"))
	if s == "" {
		return nil
	}
	return &slack.RichTextPreformatted{Type: slack.RTEPreformatted, Elements: []span{slack.NewRichTextSectionTextElement(cut(s, maxSpan), nil)}}
}

func present(items []slack.RichTextElement) []slack.RichTextElement {
	out := make([]slack.RichTextElement, 0, len(items))
	for _, i := range items {
		if i != nil {
			out = append(out, i)
		}
	}
	return out
}

// rich is a block of paragraphs and lists; nil when there is nothing in it.
// Paragraphs that follow each other become one section with line breaks: that
// is how Slack's own composer writes them, and so how every client shows them.
func rich(parts ...slack.RichTextElement) slack.Block {
	var out []slack.RichTextElement
	for _, p := range present(parts) {
		if section, ok := p.(*slack.RichTextSection); ok && len(out) > 0 {
			if last, ok := out[len(out)-1].(*slack.RichTextSection); ok {
				last.Elements = append(append(last.Elements, slack.NewRichTextSectionTextElement("\n", nil)), section.Elements...)
				continue
			}
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil
	}
	return slack.NewRichTextBlock("", out...)
}

func header(s string) slack.Block {
	return slack.NewHeaderBlock(plainText(s, maxHeader))
}

// small is a line of small print; each part is shown apart from the others.
func small(parts ...string) slack.Block {
	var elements []slack.MixedElement
	for _, p := range parts {
		if p = clean(p, maxSentence); p != "" && len(elements) < maxContext {
			elements = append(elements, plainText(p, maxSentence))
		}
	}
	if len(elements) == 0 {
		return nil
	}
	return slack.NewContextBlock("", elements...)
}

func plainText(s string, max int) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, clean(s, max), false, false)
}

// table is a table with a first row of headings; right lists the columns with
// numbers. Rows that are over the limit of characters are left out: the second
// result says how many of them are in.
func table(headings []string, rows [][]string, right []int, room int) (slack.Block, int) {
	t := slack.NewTableBlock("")
	settings := make([]slack.ColumnSetting, len(headings))
	for i := range settings {
		settings[i] = slack.ColumnSetting{Align: slack.ColumnAlignmentLeft, IsWrapped: true}
	}
	for _, i := range right {
		settings[i].Align = slack.ColumnAlignmentRight
	}
	t.WithColumnSettings(settings...)
	head := make([]slack.TableCell, len(headings))
	for i, h := range headings {
		head[i] = slack.NewTableRichTextCell(line(strong(h)))
	}
	t.AddRow(head...)
	used, n := size(t), 0
	for _, row := range rows {
		cells := make([]slack.TableCell, len(row))
		for i, c := range row {
			if c = clean(c, 120); c == "" {
				c = "-" // Slack refuses an empty cell
			}
			cells[i] = slack.NewTableRawTextCell(c)
		}
		if used += size(cells); used > room {
			break
		}
		t.AddRow(cells...)
		n++
	}
	if n == 0 {
		return nil, 0
	}
	return t, n
}
