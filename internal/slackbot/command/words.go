package command

import (
	"regexp"
	"strings"
	"unicode"
)

// typed maps what phones make of quotes, dashes and spaces back to the keys
// that were meant.
var typed = strings.NewReplacer(
	"“", `"`, "”", `"`, "„", `"`, "‟", `"`, "«", `"`, "»", `"`, "″", `"`, "＂", `"`,
	"‘", "'", "’", "'", "‚", "'", "‛", "'", "′", "'", "´", "'",
	"‐", "-", "‑", "-", "‒", "-", "–", "-", "—", "-", "―", "-", "−", "-", "﹣", "-", "－", "-",
	"＝", "=", "：", ":", "…", "...",
	// Marks that nobody sees: soft hyphen, zero width, direction, byte order.
	"\u00ad", "", "\u200b", "", "\u200c", "", "\u200d", "", "\u2060", "", "\ufeff", "", "\u200e", "", "\u200f", "",
	"`", " ", "*", " ",
)

// entities are the three characters that Slack escapes.
var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// markup is what Slack puts in angle brackets: links, people, channels.
var markup = regexp.MustCompile(`<([^<>|]*)(?:\|([^<>]*))?>`)

// unmark undoes Slack's markup. A link that Slack made of a name is the name
// again; people and groups are nobody's argument.
func unmark(s string) string {
	s = markup.ReplaceAllStringFunc(s, func(m string) string {
		parts := markup.FindStringSubmatch(m)
		switch {
		case strings.HasPrefix(parts[1], "@"), strings.HasPrefix(parts[1], "!"):
			return " "
		case parts[2] != "":
			return parts[2]
		default:
			return parts[1]
		}
	})
	return entities.Replace(s)
}

// word is one word of a line.
type word struct {
	text   string
	quoted bool // has no meaning but itself
}

// split makes words of a line. Quotes group where a word, or the value of an
// option, begins; one that is never closed ends with the line.
func split(line string) []word {
	line = typed.Replace(unmark(strings.ToValidUTF8(line, "")))
	var words []word
	for {
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		if line == "" {
			return words
		}
		var w word
		if w.text, line, w.quoted = cutQuoted(line); w.quoted {
			words = append(words, w)
			continue
		}
		end := strings.IndexFunc(line, unicode.IsSpace)
		if end < 0 {
			end = len(line)
		}
		if key, _, ok := strings.Cut(line[:end], "="); ok && isSetter(key) {
			value, rest, ok := cutQuoted(line[len(key)+1:])
			if ok {
				words, line = append(words, word{text: key + "=" + value}), rest
				continue
			}
		}
		w.text, line = line[:end], line[end:]
		// As in a sentence: "why live-api?"
		if t := strings.TrimRight(w.text, ",;.!?"); t != "" {
			w.text = t
		}
		words = append(words, w)
	}
}

// cutQuoted takes what is in quotes from the front of a line.
func cutQuoted(line string) (text, rest string, ok bool) {
	if line == "" || (line[0] != '"' && line[0] != '\'') {
		return "", line, false
	}
	text, rest, _ = strings.Cut(line[1:], line[:1])
	return text, rest, true
}
