package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// payload is a received body with its nested objects flattened: {"alert":
// {"id": 1}} is found at "alert.id". Keys are in lower case.
type payload map[string][]string

const (
	maxDepth = 6   // of nested objects that are looked into
	maxItems = 200 // values of one list that are kept
)

// read parses a body. Errors say what is wrong without repeating the body.
func read(body []byte, form bool) (payload, error) {
	p := payload{}
	if form {
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, errors.New("the body is no form: check the percent escapes")
		}
		for k, vs := range values {
			for _, v := range vs {
				p.add(k, v)
			}
		}
		if len(p) == 0 {
			return nil, errors.New("the form is empty")
		}
		return p, nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // ids are larger than a float64 keeps
	var top map[string]any
	if err := dec.Decode(&top); err != nil {
		return nil, jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON object")
	}
	if top == nil {
		return nil, errors.New("the body is null, want a JSON object")
	}
	p.flatten("", top, 0)
	return p, nil
}

func jsonError(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the body is no JSON: %w at byte %d (quote every variable in the payload template)", e, e.Offset)
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return errors.New("the body is no JSON object")
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the body is empty")
	}
	return errors.New("the body is no JSON object: it ends too soon")
}

func (p payload) flatten(prefix string, obj map[string]any, depth int) {
	for k, v := range obj {
		key := prefix + strings.ToLower(k)
		switch v := v.(type) {
		case map[string]any:
			if depth < maxDepth {
				p.flatten(key+".", v, depth+1)
			}
		case []any:
			for i, item := range v {
				if i == maxItems {
					break
				}
				p.addValue(key, item)
			}
		default:
			p.addValue(key, v)
		}
	}
}

func (p payload) addValue(key string, v any) {
	switch v := v.(type) {
	case string:
		p.add(key, v)
	case json.Number:
		p.add(key, v.String())
	case bool:
		p.add(key, fmt.Sprint(v))
	}
}

func (p payload) add(key, v string) {
	v = strings.TrimSpace(v)
	// An absent variable comes as the text "null", or empty.
	if v == "" || v == "null" || v == "None" {
		return
	}
	key = strings.ToLower(key)
	if len(p[key]) < maxItems {
		p[key] = append(p[key], v)
	}
}

// text is the first value under any of the keys, cleaned and cut to limit runes.
func (p payload) text(limit int, keys ...string) string {
	for _, k := range keys {
		if vs := p[k]; len(vs) > 0 {
			if s := clean(vs[0], limit); s != "" {
				return s
			}
		}
	}
	return ""
}

// list is the values under the first of the keys that has any; each may be a
// comma list itself.
func (p payload) list(keys ...string) []string {
	for _, k := range keys {
		var out []string
		for _, v := range p[k] {
			for _, item := range strings.Split(v, ",") {
				if item = clean(item, 200); item != "" && item != "*" && len(out) < maxItems {
					out = append(out, item)
				}
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// clean drops control characters, so that a text can stand in logs and
// messages, and cuts it to limit runes.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d':
			return -1 // Cf: direction overrides and other invisible characters
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit-1]) + "…"
	}
	return s
}
