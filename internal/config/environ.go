package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

const envPrefix = "PROFBOT_"

// flagVariables belong to command line flags, not to the configuration.
var flagVariables = []string{"PROFBOT_CONFIG", "PROFBOT_URL", "PROFBOT_INTERNAL_URL", "PROFBOT_WEBHOOK_TOKEN"}

// Key describes one key for reference texts.
type Key struct {
	Name    string // "capture.cpu"
	Env     string // "PROFBOT_CAPTURE_CPU"
	Default string // "" for none
	Doc     string
	Secret  bool
}

// Keys lists every key that can be set, in the order of the file. Keys of list
// items stand under their list: "services[].name" has no variable of its own.
func Keys() []Key {
	var out []Key
	walk("", reflect.ValueOf(defaults()).Elem(), func(name string, f reflect.StructField, v reflect.Value) {
		k := Key{Name: name, Doc: f.Tag.Get("doc"), Secret: holdsSecret(v.Type())}
		if !strings.Contains(name, "[]") {
			k.Env = envName(name)
		}
		if v.Type() != secretType && v.IsValid() && !v.IsZero() && v.Kind() != reflect.Slice {
			k.Default = fmt.Sprint(v.Interface())
		}
		out = append(out, k)
	})
	return out
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// walk visits the leaves of a struct: what is set by one value, list or map.
func walk(prefix string, v reflect.Value, visit func(name string, f reflect.StructField, v reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := join(prefix, f.Tag.Get("yaml"))
		if f.Type.Kind() == reflect.Struct {
			walk(name, v.Field(i), visit)
			continue
		}
		visit(name, f, v.Field(i))
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
			walk(name+"[]", reflect.New(f.Type.Elem()).Elem(), visit)
		}
	}
}

// environ reads the variables. Lists are separated by commas, maps are
// name=value pairs separated by commas, and lists of mappings are YAML.
// Secrets may come from a file: PROFBOT_SLACK_TOKEN_FILE=/run/secrets/token.
func (l *loader) environ(environ []string) {
	type field struct {
		key string
		v   reflect.Value
	}
	fields := map[string]field{}
	walk("", reflect.ValueOf(l.cfg).Elem(), func(name string, _ reflect.StructField, v reflect.Value) {
		if !strings.Contains(name, "[]") {
			fields[envName(name)] = field{name, v}
		}
	})
	var known []string
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	for _, kv := range environ {
		name, text, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(flagVariables, name) {
			continue
		}
		l.file = name
		f, ok := fields[name]
		if !ok {
			base, isFile := strings.CutSuffix(name, "_FILE")
			if f, ok = fields[base]; isFile && ok && holdsSecret(f.v.Type()) {
				if text == "" {
					continue
				}
				data, err := readFile(text)
				if err != nil {
					l.faults = append(l.faults, Fault{File: name, Key: f.key, Problem: err.Error(), Fix: "name a file that profbot can read, or set " + base})
					continue
				}
				text = strings.TrimRight(string(data), "\r\n")
			} else {
				fix := "see deploy/profbot.example.yaml for the keys"
				if near := nearest(name, known); near != "" {
					fix = "write " + near
				}
				l.faults = append(l.faults, Fault{File: name, Problem: "there is no such key", Fix: fix})
				continue
			}
		}
		if text == "" {
			continue // as good as unset, which is what an empty line in a manifest means
		}
		l.places[f.key] = place{file: name}
		delete(l.empty, f.key)
		l.setEnv(f.key, text, f.v)
	}
	l.file = ""
}

func holdsSecret(t reflect.Type) bool {
	return t == secretType || t.Kind() == reflect.Slice && t.Elem() == secretType
}

func (l *loader) setEnv(key, text string, v reflect.Value) {
	bad := func(problem, fix string) {
		l.faults = append(l.faults, Fault{File: l.file, Key: key, Problem: problem, Fix: fix})
	}
	if !utf8.ValidString(text) {
		bad("this is no UTF-8", "")
		return
	}
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		l.yaml(l.file, []byte(text), key, v)
	case v.Kind() == reflect.Slice:
		out := reflect.MakeSlice(v.Type(), 0, 2)
		for _, item := range strings.Split(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				e := reflect.New(v.Type().Elem()).Elem()
				e.SetString(item)
				out = reflect.Append(out, e)
			}
		}
		v.Set(out)
	case v.Kind() == reflect.Map:
		out := reflect.MakeMap(v.Type())
		for _, pair := range strings.Split(text, ",") {
			name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if !ok {
				bad("this is no list of name=value", "write name=value,name=value")
				return
			}
			out.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(value))
		}
		v.Set(out)
	default:
		if problem := setText(v, strings.TrimSpace(text)); problem != "" {
			bad(problem, "write "+example(key, v.Type()))
		}
	}
}
