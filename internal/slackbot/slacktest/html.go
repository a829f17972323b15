package slacktest

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// markupWriter builds HTML: texts are escaped, tags are written as they are.
type markupWriter struct {
	b     strings.Builder
	name  func(id string) string // of a person or a channel, with its sign; nil for ids
	acts  bool                   // what is drawn can be used
	block string                 // the id of the block that is drawn
}

func (w *markupWriter) tag(s string)  { w.b.WriteString(s) }
func (w *markupWriter) text(s string) { w.b.WriteString(html.EscapeString(s)) }
func (w *markupWriter) lines(s string) {
	w.tag(strings.ReplaceAll(html.EscapeString(s), "\n", "<br>"))
}
func (w *markupWriter) html() template.HTML { return template.HTML(w.b.String()) }

// link writes a link, or its words alone when its address is none for the web.
func (w *markupWriter) link(address, label, class string) {
	if label == "" {
		label = address
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") {
		w.text(label)
		return
	}
	w.tag(fmt.Sprintf(`<a class="%s" href="%s" rel="noreferrer noopener" target="_blank">`, class, html.EscapeString(u.String())))
	w.text(label)
	w.tag("</a>")
}

// blocks renders the blocks of a message or a view. What can be clicked in them
// is part of a form, which the caller has opened.
func (w *markupWriter) blocks(all []node) *markupWriter {
	for _, n := range all {
		w.one(n)
	}
	return w
}

func (w *markupWriter) one(n node) {
	w.block = n.BlockID
	switch n.Type {
	case "header":
		_, text := n.object()
		w.tag(`<h3 class="header">`)
		w.text(text)
		w.tag("</h3>")
	case "divider":
		w.tag(`<hr class="divider">`)
	case "section":
		w.tag(`<div class="section">`)
		if len(n.Text) > 0 {
			w.object(n.object())
		}
		if len(n.Fields) > 0 {
			w.tag(`<div class="fields">`)
			for _, f := range n.Fields {
				w.tag("<div>")
				w.object(f.Type, f.plain())
				w.tag("</div>")
			}
			w.tag("</div>")
		}
		if n.Accessory != nil {
			w.element(*n.Accessory)
		}
		w.tag("</div>")
	case "context":
		w.tag(`<div class="context">`)
		for _, e := range n.Elements {
			w.tag("<span>")
			w.object(e.Type, e.plain())
			w.tag("</span>")
		}
		w.tag("</div>")
	case "actions":
		w.tag(`<div class="actions">`)
		for _, e := range n.Elements {
			w.element(e)
		}
		w.tag("</div>")
	case "input":
		w.tag(`<div class="section"><fieldset><legend>`)
		w.text(n.Label.caption())
		if n.Optional {
			w.tag(` <span class="soft">(optional)</span>`)
		}
		w.tag("</legend>")
		if n.Element != nil {
			w.element(*n.Element)
		}
		if hint := n.Hint.caption(); hint != "" {
			w.tag(`<div class="hint">`)
			w.text(hint)
			w.tag("</div>")
		}
		w.tag("</fieldset></div>")
	case "rich_text":
		w.tag(`<div class="rich">`)
		w.rich(n.Elements)
		w.tag("</div>")
	case "table":
		w.table(n)
	default:
		w.tag(`<div class="context"><span>`)
		w.text("[" + n.Type + "] " + n.AltText)
		w.tag("</span></div>")
	}
}

// element draws what people click, choose from or type into. Unless the page
// takes input, it is something to look at, but for links.
func (w *markupWriter) element(e node) {
	switch e.Type {
	case "button":
		_, label := e.object()
		class := "button"
		if s := e.word(); s == "primary" || s == "danger" {
			class += " " + s
		}
		if e.URL != "" {
			w.link(e.URL, label, class)
			return
		}
		kind := "button"
		if w.acts {
			kind = "submit"
		}
		w.tag(`<button type="` + kind + `" class="` + class + `"`)
		w.attribute("name", "action")
		w.attribute("value", e.ActionID)
		w.attribute("aria-label", cmp.Or(e.Says, label))
		if c := e.Confirm; c != nil {
			w.attribute("data-confirm", c.Title.caption()+"\n\n"+c.Text.caption())
		}
		w.tag(">")
		w.text(label)
		w.tag("</button>")
	case "overflow":
		w.tag(`<span class="button">⋯</span>`)
	case "static_select":
		w.tag(`<select class="field"`)
		w.field(e)
		w.tag(`><option value="">`)
		w.text(e.Placeholder.caption())
		w.tag("</option>")
		for _, o := range e.Options {
			w.tag("<option")
			w.attribute("value", o.Value)
			if e.InitialOption != nil && e.InitialOption.Value == o.Value {
				w.tag(" selected")
			}
			w.tag(">")
			w.text(o.Text.caption())
			w.tag("</option>")
		}
		w.tag("</select>")
	case "checkboxes":
		for _, o := range e.Options {
			w.tag(`<label class="choice"><input type="checkbox"`)
			w.field(e)
			w.attribute("value", o.Value)
			if slices.ContainsFunc(e.InitialOptions, func(first option) bool { return first.Value == o.Value }) {
				w.tag(" checked")
			}
			w.tag("> ")
			w.text(o.Text.caption())
			w.tag("</label>")
		}
	default: // to type into
		kind := "text"
		if e.Type == "number_input" {
			kind = "number"
		}
		w.tag(`<input class="field" type="` + kind + `"`)
		w.field(e)
		w.attribute("value", e.InitialValue)
		w.attribute("placeholder", e.Placeholder.caption())
		w.attribute("min", e.MinValue)
		w.attribute("max", e.MaxValue)
		w.tag(">")
	}
}

// field writes what every field has.
func (w *markupWriter) field(e node) {
	w.attribute("name", fieldName(w.block, e.ActionID))
	if !w.acts {
		w.tag(" disabled")
	}
}

// attribute writes one unless it is "".
func (w *markupWriter) attribute(name, value string) {
	if value != "" {
		w.tag(" " + name + `="` + html.EscapeString(value) + `"`)
	}
}

func (w *markupWriter) object(kind, text string) {
	if kind == "mrkdwn" {
		w.mrkdwn(text)
		return
	}
	w.lines(unescape(text))
}

func (w *markupWriter) table(n node) {
	w.tag(`<div class="scroll"><table>`)
	for _, row := range n.Rows {
		w.tag("<tr>")
		for i, c := range row {
			class := ""
			if i < len(n.Columns) && n.Columns[i].Align == "right" {
				class = ` class="right"`
			}
			w.tag("<td" + class + ">")
			if c.Type == "rich_text" {
				w.rich(c.Elements)
			} else {
				w.lines(c.plain())
			}
			w.tag("</td>")
		}
		w.tag("</tr>")
	}
	w.tag("</table></div>")
}

func (w *markupWriter) rich(parts []node) {
	for _, p := range parts {
		switch p.Type {
		case "rich_text_list":
			w.tag("<ul>")
			for _, item := range p.Elements {
				w.tag("<li>")
				w.inline(item.Elements)
				w.tag("</li>")
			}
			w.tag("</ul>")
		case "rich_text_quote":
			w.tag("<blockquote>")
			w.inline(p.Elements)
			w.tag("</blockquote>")
		case "rich_text_preformatted":
			w.tag("<pre>")
			for _, e := range p.Elements {
				w.text(e.plain())
			}
			w.tag("</pre>")
		default:
			w.tag("<p>")
			w.inline(p.Elements)
			w.tag("</p>")
		}
	}
}

func (w *markupWriter) inline(elements []node) {
	for _, e := range elements {
		st := e.styles()
		var closing []string
		for _, s := range []struct {
			on  bool
			tag string
		}{{st.Bold, "b"}, {st.Italic, "i"}, {st.Strike, "s"}, {st.Code, "code"}} {
			if s.on {
				w.tag("<" + s.tag + ">")
				closing = append(closing, "</"+s.tag+">")
			}
		}
		switch e.Type {
		case "link":
			w.link(e.URL, e.plain(), "")
		case "date":
			w.text(e.Fallback)
		case "emoji":
			w.text(":" + e.Name + ":")
		case "user", "usergroup", "channel", "broadcast":
			w.tag(`<span class="mention">`)
			w.text(w.mention(e.UserID + e.GroupID + e.Channel + e.Range))
			w.tag("</span>")
		default:
			w.lines(e.plain())
		}
		for i := range closing {
			w.tag(closing[len(closing)-1-i])
		}
	}
}

// What mrkdwn formats in a line, after escaping. Slack wants a boundary on
// both sides, which is why a*b*c stays as it is.
var (
	boldText   = regexp.MustCompile(`(^|[\s(])\*([^*\s](?:[^*\n]*[^*\s])?)\*($|[\s).,:;!?])`)
	italicText = regexp.MustCompile(`(^|[\s(])_([^_\s](?:[^_\n]*[^_\s])?)_($|[\s).,:;!?])`)
	strikeText = regexp.MustCompile(`(^|[\s(])~([^~\s](?:[^~\n]*[^~\s])?)~($|[\s).,:;!?])`)
)

// mrkdwn renders Slack's markup.
func (w *markupWriter) mrkdwn(s string) {
	for i, part := range strings.Split(s, "```") {
		if i%2 == 1 {
			w.tag("<pre>")
			w.text(unescape(strings.Trim(part, "\n")))
			w.tag("</pre>")
			continue
		}
		for j, span := range strings.Split(part, "`") {
			if j%2 == 1 {
				w.tag("<code>")
				w.text(unescape(span))
				w.tag("</code>")
				continue
			}
			w.mrkdwnSpan(span)
		}
	}
}

// mention is who or what is named, with the name that people know.
func (w *markupWriter) mention(id string) string {
	if w.name == nil {
		return "@" + id
	}
	return w.name(id)
}

// mrkdwnSpan renders mrkdwn without code in it.
func (w *markupWriter) mrkdwnSpan(s string) {
	for {
		at := markup.FindStringSubmatchIndex(s)
		if at == nil {
			w.formatted(s)
			return
		}
		w.formatted(s[:at[0]])
		target, label := s[at[2]:at[3]], ""
		if at[4] >= 0 {
			label = s[at[4]:at[5]]
		}
		if strings.ContainsAny(target[:1], "!@#") {
			w.tag(`<span class="mention">`)
			w.text(w.mention(strings.TrimLeft(target, "!@#")))
			w.tag("</span>")
		} else {
			w.link(unescape(target), unescape(label), "")
		}
		s = s[at[1]:]
	}
}

func (w *markupWriter) formatted(s string) {
	out := strings.ReplaceAll(html.EscapeString(unescape(s)), "\n", "<br>")
	out = boldText.ReplaceAllString(out, "$1<b>$2</b>$3")
	out = italicText.ReplaceAllString(out, "$1<i>$2</i>$3")
	out = strikeText.ReplaceAllString(out, "$1<s>$2</s>$3")
	w.tag(out)
}
