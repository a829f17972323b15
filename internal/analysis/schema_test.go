package analysis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The description of the JSON report and its schema are made of the types and
// their comments, so that neither can say what the code does not.

// source is what the package's files say of its types.
type sourceDocs struct {
	types  map[string]string            // doc of a type
	fields map[string]string            // "Type.Field" to its comment
	enums  map[string][]string          // a string type's constants, in order
	values map[string]map[string]string // their comments
}

func readDocs(t *testing.T) sourceDocs {
	t.Helper()
	d := sourceDocs{map[string]string{}, map[string]string{}, map[string][]string{}, map[string]map[string]string{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			last := ""
			for _, spec := range g.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					d.types[s.Name.Name] = flatten(s.Doc, g.Doc)
					st, ok := s.Type.(*ast.StructType)
					if !ok {
						continue
					}
					above := ""
					for _, field := range st.Fields.List {
						if field.Doc != nil || len(field.Names) == 0 {
							above = flatten(field.Doc)
						}
						for _, n := range field.Names {
							text := flatten(field.Doc, field.Comment)
							// One comment may be over several fields, by name.
							if text == "" && regexp.MustCompile(`\b`+n.Name+`\b`).MatchString(above) {
								text = above
							}
							d.fields[s.Name.Name+"."+n.Name] = text
						}
					}
				case *ast.ValueSpec:
					if id, ok := s.Type.(*ast.Ident); ok {
						last = id.Name
					}
					if last == "" || g.Tok != token.CONST || len(s.Values) != 1 {
						continue
					}
					lit, ok := s.Values[0].(*ast.BasicLit)
					if !ok || lit.Kind != token.STRING {
						continue
					}
					v, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					d.enums[last] = append(d.enums[last], v)
					if d.values[last] == nil {
						d.values[last] = map[string]string{}
					}
					d.values[last][v] = flatten(s.Doc, s.Comment)
				}
			}
		}
	}
	return d
}

var links = regexp.MustCompile(`\[(?:[A-Z]\w*\.)?([A-Z]\w*)\]`)

func flatten(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if g != nil {
			return links.ReplaceAllString(strings.Join(strings.Fields(g.Text()), " "), "$1")
		}
	}
	return ""
}

// structs lists the types that a report is made of, in the order in which
// they are met.
func structs(of reflect.Type, seen []reflect.Type) []reflect.Type {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || slices.Contains(seen, of) {
		return seen
	}
	seen = append(seen, of)
	for i := range of.NumField() {
		seen = structs(of.Field(i).Type, seen)
	}
	return seen
}

func jsonName(f reflect.StructField) (name string, optional bool) {
	name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, strings.Contains(rest, "omitempty")
}

// schemaOf is the schema of one value.
func schemaOf(t reflect.Type, d sourceDocs) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "integer", "description": "nanoseconds"}
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), d)
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": []any{"array", "null"}, "items": schemaOf(t.Elem(), d)}
	case t.Kind() == reflect.Struct:
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return map[string]any{"type": "number"}
	case t.Kind() == reflect.String:
		return map[string]any{"type": "string"}
	default:
		return map[string]any{"type": "integer"}
	}
}

func makeSchema(d sourceDocs) map[string]any {
	defs := map[string]any{}
	for _, t := range structs(reflect.TypeFor[Report](), nil) {
		props, required := map[string]any{}, []any{}
		for i := range t.NumField() {
			f := t.Field(i)
			name, optional := jsonName(f)
			s := schemaOf(f.Type, d)
			if _, ref := s["$ref"]; !ref {
				s["description"] = d.fields[t.Name()+"."+f.Name]
			}
			if f.Type == reflect.TypeFor[time.Duration]() {
				s["description"] = "nanoseconds; " + d.fields[t.Name()+"."+f.Name]
			}
			props[name] = s
			if !optional {
				required = append(required, name)
			}
		}
		defs[t.Name()] = map[string]any{"type": "object", "description": d.types[t.Name()], "properties": props, "required": required}
	}
	return map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "profbot report, version " + fmt.Sprint(ReportVersion),
		"$ref": "#/$defs/Report", "$defs": defs,
	}
}

const docHead = `# The report as JSON

` + "`profbot analyze --json FILE`" + ` writes it, and the report page has it as ` + "`report.json`" + `. [report.schema.json](report.schema.json) is
its JSON Schema. Both files are made of the types in ` + "`internal/analysis`" + ` and their comments, by ` + "`go test ./internal/analysis -run Schema -update`" + `.

**The promise.** ` + "`version`" + ` is %d. It grows when a field is removed or changes its meaning or unit. Fields may be added, and words
to the enumerations, without a new version: ignore what you do not know. Optional fields are left out when they are empty, zero or
do not apply.

**Units.** Names end in their unit where they have one: ` + "`_ns`" + ` is nanoseconds. Shares and parts are from 0 to 1. Every share carries its
samples and its 95 %% interval; rules ask for the lower end of it. Samples are Go's CPU samples, one for 10 ms of CPU, unless the field
says otherwise.

**Without a CPU profile** the report is a partial one: ` + "`kinds`" + ` does not hold "cpu", ` + "`samples`" + ` is 0, there are no endpoints, and ` + "`findings`" + ` say
what the other profiles show.
`

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "integer, ns"
	case t.Kind() == reflect.Pointer:
		return typeName(t.Elem())
	case t.Kind() == reflect.Slice:
		return "list of " + typeName(t.Elem())
	case t.Kind() == reflect.Struct:
		return "[" + t.Name() + "](#" + strings.ToLower(t.Name()) + ")"
	case t.Kind() == reflect.String && t.PkgPath() != "":
		return "[" + t.Name() + "](#" + strings.ToLower(t.Name()) + ")"
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.String:
		return "string"
	}
	return "integer"
}

func makeDoc(d sourceDocs) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, docHead, ReportVersion)
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	var enums []string
	for _, t := range structs(reflect.TypeFor[Report](), nil) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", t.Name(), d.types[t.Name()])
		for i := range t.NumField() {
			f := t.Field(i)
			name, optional := jsonName(f)
			kind := typeName(f.Type)
			if optional {
				kind += ", optional"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, kind, cell(d.fields[t.Name()+"."+f.Name]))
			e := f.Type
			for e.Kind() == reflect.Slice || e.Kind() == reflect.Pointer {
				e = e.Elem()
			}
			if e.Kind() == reflect.String && e.PkgPath() != "" && !slices.Contains(enums, e.Name()) {
				enums = append(enums, e.Name())
			}
		}
	}
	for _, e := range enums {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| value | meaning |\n|---|---|\n", e, d.types[e])
		for _, v := range d.enums[e] {
			fmt.Fprintf(&b, "| `%s` | %s |\n", v, cell(d.values[e][v]))
		}
	}
	return b.Bytes()
}

func TestSchemaAndDoc(t *testing.T) {
	d := readDocs(t)
	for _, s := range structs(reflect.TypeFor[Report](), nil) {
		if d.types[s.Name()] == "" {
			t.Errorf("%s has no comment", s.Name())
		}
		for i := range s.NumField() {
			if name, _ := jsonName(s.Field(i)); name == "" {
				t.Errorf("%s.%s has no JSON name", s.Name(), s.Field(i).Name)
			}
			if d.fields[s.Name()+"."+s.Field(i).Name] == "" {
				t.Errorf("%s.%s says nothing of itself", s.Name(), s.Field(i).Name)
			}
		}
	}
	schema, err := json.MarshalIndent(makeSchema(d), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../../docs/report.schema.json", append(schema, '\n'))
	golden(t, "../../../docs/report-json.md", makeDoc(d))
}

// conforms holds a value against the parts of JSON Schema that the schema uses.
func conforms(v any, s, root map[string]any, at string) (bad []string) {
	if ref, ok := s["$ref"].(string); ok {
		return conforms(v, root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), root, at)
	}
	is := ""
	switch x := v.(type) {
	case nil:
		is = "null"
	case bool:
		is = "boolean"
	case string:
		is = "string"
	case float64:
		if is = "number"; x == math.Trunc(x) {
			is = "integer"
		}
	case []any:
		is = "array"
		if items, ok := s["items"].(map[string]any); ok {
			for i, e := range x {
				bad = append(bad, conforms(e, items, root, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		is = "object"
		props := s["properties"].(map[string]any)
		for k, e := range x {
			p, ok := props[k].(map[string]any)
			if !ok {
				bad = append(bad, at+"."+k+" is not in the schema")
				continue
			}
			bad = append(bad, conforms(e, p, root, at+"."+k)...)
		}
		for _, k := range s["required"].([]any) {
			if _, ok := x[k.(string)]; !ok {
				bad = append(bad, at+"."+k.(string)+" is missing")
			}
		}
	}
	want, list := s["type"].([]any)
	if !list {
		want = []any{s["type"]}
	}
	if !slices.Contains(want, any(is)) && !(is == "integer" && slices.Contains(want, any("number"))) {
		bad = append(bad, fmt.Sprintf("%s is %s, want %v", at, is, want))
	}
	return bad
}

// builtAt matches where the corpus was built, which says nothing to a reader.
var builtAt = regexp.MustCompile(`"/[^"]*/truth/`)

// TestReportsConform holds reports of every kind against the schema on disk,
// which is what others read.
func TestReportsConform(t *testing.T) {
	data, err := os.ReadFile("../../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	check := func(v any) []string {
		return conforms(v, schema, schema, "report")
	}
	pods := []PodProfiles{
		{
			Pod: "a", CPU: load(t, "only-live-std.cpu.pb.gz"), AllocsBefore: load(t, "only-live-std.allocs0.pb.gz"), AllocsAfter: load(t, "only-live-std.allocs1.pb.gz"),
			Goroutine: gorOf(map[string]int64{"main.wait#3;runtime.chanrecv1" + park: 500}),
		},
		{Pod: "b", CPU: load(t, "router-gin.cpu.pb.gz"), HeapAfter: heapOf(0, map[string]int64{"main.keep#7": 9 * mb})},
	}
	res, err := Analyze(pods, Options{Service: "live-api", Rates: map[string]float64{"(*server).handleLive": 1000}})
	if err != nil {
		t.Fatal(err)
	}
	base, err := Analyze(pods[1:], Options{})
	if err != nil {
		t.Fatal(err)
	}
	res.Report.Diff = DiffReports(base.Report, res.Report)
	partial, err := Analyze([]PodProfiles{{Pod: "c", HeapAfter: heapOf(0, map[string]int64{"main.keep#7": 9 * mb})}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Report{"whole": res.Report, "partial": partial.Report} {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		for _, b := range check(v) {
			t.Errorf("%s: %s", name, b)
		}
		golden(t, "report-"+name+".json", append(builtAt.ReplaceAll(data, []byte(`"/src/`)), '\n'))
		var again Report
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, &again); d != "" {
			t.Errorf("%s is another after reading it back:\n%s", name, d)
		}
	}
	// The check bites.
	for text, want := range map[string]string{
		`{}`: "report.version is missing", `[]`: "report is array, want [object]", `{"samples":1.5}`: "report.samples is number, want [integer]",
		`{"notes":[1]}`: "report.notes[0] is integer, want [string]", `{"speed":1}`: "report.speed is not in the schema",
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(check(v), want) {
			t.Errorf("%s: %q, want %q", text, check(v), want)
		}
	}
}
