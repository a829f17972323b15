package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile is the limit on the configuration's and a secret's file.
const maxFile = 1 << 20

// place is where a key was set.
type place struct {
	file         string
	line, column int
}

// loader fills a Config and remembers where every key came from.
type loader struct {
	cfg    *Config
	faults Faults
	places map[string]place // by key; mappings and lists too
	file   string           // of the YAML being read
	lines  []string         // of that YAML
	// empty are the keys that stand there without a value; true when a comment
	// follows on the line, which may be what was meant as the value.
	empty map[string]bool
	// unread are the faults of values that could not be read: what is missing
	// because of them is not said again.
	unread Faults
}

// Load reads the file, when path is not empty, then the environment (as from
// os.Environ), and checks the whole. The error is of type [Faults] when the
// content is wrong. It opens no file that the configuration names; more may,
// and gets the Config even where that has faults.
func Load(path string, environ []string, more ...Check) (*Config, error) {
	l, err := read(path, environ)
	if err != nil {
		return nil, err
	}
	l.check()
	for _, check := range more {
		check(l.cfg, l.bad)
	}
	if len(l.faults) > 0 {
		return nil, l.faults.sorted()
	}
	return l.cfg, nil
}

// LoadDatadog is Load for who sets up Datadog, which comes before the rest of
// the configuration is complete: only faults of the keys under datadog and
// webhook count, and none of them is required.
func LoadDatadog(path string, environ []string) (*Config, error) {
	l, err := read(path, environ)
	if err != nil {
		return nil, err
	}
	if len(l.cfg.Webhook.Tokens)+len(l.cfg.Webhook.Basic) > 0 {
		l.webhook()
	}
	l.datadog()
	l.faults = slices.DeleteFunc(l.faults, func(f Fault) bool {
		section, _, _ := strings.Cut(f.Key, ".")
		return section != "" && section != "datadog" && section != "webhook"
	})
	if len(l.faults) > 0 {
		return nil, l.faults.sorted()
	}
	return l.cfg, nil
}

// Check looks for what is wrong with a configuration, and says of each such
// thing its key ("services[0].tls.ca"), the problem, and what to write.
type Check func(c *Config, bad func(key, problem, fix string))

// read reads the file and the environment.
func read(path string, environ []string) (*loader, error) {
	l := &loader{cfg: defaults(), places: map[string]place{}, empty: map[string]bool{}}
	if path != "" {
		data, err := readFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s: no such file: give the configuration's path with --config or PROFBOT_CONFIG", path)
		case err != nil:
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		l.places[""] = place{path, 1, 1} // a file without a value has none of its own
		l.yaml(path, data, "", reflect.ValueOf(l.cfg).Elem())
		l.file = path
	}
	l.environ(environ)
	l.unread = l.faults
	return l, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, err
}

// yaml parses a document into v. key is where v stands.
func (l *loader) yaml(file string, data []byte, key string, v reflect.Value) {
	l.file, l.lines = file, strings.Split(string(data), "\n")
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		f := Fault{File: file, Key: key, Problem: "this is no YAML"}
		if e, ok := errors.AsType[*yaml.SyntaxError](err); ok {
			f.Problem = unquote(e.Message)
			if e.Token != nil {
				f.Line, f.Column = e.Token.Position.Line, e.Token.Position.Column
			}
		}
		l.faults = append(l.faults, f)
		return
	}
	docs := slices.DeleteFunc(doc.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(docs) > 1 {
		l.fault(docs[1].Body, key, "a second document", "write one")
		return
	}
	if len(docs) == 1 {
		l.set(key, docs[0].Body, v)
	}
}

var quoted = regexp.MustCompile(`(?s)".*"`) // to the last quote, since the text may hold some

// unquote takes out of a parser's message what it quotes of the file, which
// may be a secret, unless that is the name of a key.
func unquote(message string) string {
	return quoted.ReplaceAllStringFunc(message, func(s string) string {
		for _, k := range Keys() {
			if slices.Contains(strings.Split(strings.ReplaceAll(k.Name, "[]", ""), "."), strings.Trim(s, `"`)) {
				return s
			}
		}
		return `"..."`
	})
}

func (l *loader) fault(n ast.Node, key, problem, fix string) {
	f := Fault{File: l.file, Key: key, Problem: problem, Fix: fix}
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		f.Line, f.Column = n.GetToken().Position.Line, n.GetToken().Position.Column
	}
	l.faults = append(l.faults, f)
}

// set puts a node into v by v's type.
func (l *loader) set(key string, n ast.Node, v reflect.Value) {
	for {
		if t, ok := n.(*ast.TagNode); ok {
			n = t.Value
			continue
		}
		break
	}
	switch n.(type) {
	case *ast.NullNode, nil:
		return // a key without a value is as good as absent
	case *ast.CommentGroupNode:
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		l.fault(n, key, "anchors and aliases are not understood", "write the value out")
		return
	}
	if pos := n.GetToken().Position; pos != nil {
		l.places[key] = place{l.file, pos.Line, pos.Column}
	}
	switch {
	case v.Kind() == reflect.Struct:
		l.setStruct(key, n, v)
	case v.Kind() == reflect.Map:
		l.setMap(key, n, v)
	case v.Kind() == reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			l.fault(n, key, "this is no list", "write each item on a line of its own that begins with -")
			return
		}
		out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
		for i, item := range seq.Values {
			l.set(fmt.Sprintf("%s[%d]", key, i), item, out.Index(i))
		}
		v.Set(out)
	default:
		text, ok := scalar(n)
		if !ok {
			l.fault(n, key, "this is no single value", "write "+example(key, v.Type()))
			return
		}
		if problem := setText(v, text); problem != "" {
			l.fault(n, key, problem, "write "+example(key, v.Type()))
		}
	}
}

func (l *loader) setStruct(key string, n ast.Node, v reflect.Value) {
	values, ok := members(n)
	if !ok {
		l.fault(n, key, "this is no mapping", "write keys with values, such as "+v.Type().Field(0).Tag.Get("yaml")+": ...")
		return
	}
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		fields[name] = i
		known = append(known, name)
	}
	for _, m := range values {
		name := keyText(m)
		i, ok := fields[name]
		if !ok {
			fix := "known are " + strings.Join(known, ", ")
			if near := nearest(name, known); near != "" {
				fix = "write " + near
			}
			l.fault(m.Key, join(key, name), "there is no such key", fix)
			continue
		}
		l.note(join(key, name), m)
		l.set(join(key, name), m.Value, v.Field(i))
	}
}

// note remembers the place of a key that has no value, since the value has none.
func (l *loader) note(key string, m *ast.MappingValueNode) {
	if _, null := m.Value.(*ast.NullNode); !null || m.Key.GetToken() == nil || m.Key.GetToken().Position == nil {
		return
	}
	pos := m.Key.GetToken().Position
	l.places[key] = place{l.file, pos.Line, pos.Column}
	after := ""
	if pos.Line <= len(l.lines) {
		_, after, _ = strings.Cut(l.lines[pos.Line-1], ":")
	}
	l.empty[key] = strings.HasPrefix(strings.TrimSpace(after), "#")
}

func (l *loader) setMap(key string, n ast.Node, v reflect.Value) {
	values, ok := members(n)
	if !ok {
		l.fault(n, key, "this is no mapping", "write name: value")
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, m := range values {
		item := reflect.New(v.Type().Elem()).Elem()
		l.note(join(key, keyText(m)), m)
		l.set(join(key, keyText(m)), m.Value, item)
		out.SetMapIndex(reflect.ValueOf(keyText(m)), item)
	}
	v.Set(out)
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func members(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func keyText(m *ast.MappingValueNode) string {
	if s, ok := scalar(m.Key); ok {
		return s
	}
	return m.Key.String()
}

// scalar is a node's text as it was written, so that a channel id of digits
// stays one.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		return "", true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	return "", false
}
