package sfcache_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The core pulls in what its package comment names, and nothing else.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(out))
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		"github.com/cespare/xxhash/v2", // of freecache
		"github.com/coocood/freecache",
		"github.com/profbot/profbot/pkg/sfcache",
		"golang.org/x/sync/singleflight",
	}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever is exported has a comment, and what people call has an example that
// runs.
func TestDocumented(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	names, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") && e.Name() != "example_test.go" {
			continue
		}
		file, err := parser.ParseFile(fset, e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(fset, files, "github.com/profbot/profbot/pkg/sfcache")
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	check := func(name, comment string, examples []*doc.Example, wanted bool) {
		if strings.TrimSpace(comment) == "" {
			missing = append(missing, "comment of "+name)
		}
		if !wanted {
			return
		}
		if !slices.ContainsFunc(examples, func(e *doc.Example) bool { return e.Output != "" }) {
			missing = append(missing, "example of "+name)
		}
	}
	// Methods that only make a type fit an interface.
	plain := []string{"PanicError.Error", "PanicError.Unwrap", "KeyError.Error", "KeyError.Unwrap"}
	for _, f := range p.Funcs {
		check(f.Name, f.Doc, f.Examples, true)
	}
	for _, typ := range p.Types {
		check(typ.Name, typ.Doc, nil, false)
		for _, f := range typ.Funcs {
			check(f.Name, f.Doc, f.Examples, true)
		}
		for _, m := range typ.Methods {
			if name := typ.Name + "." + m.Name; name != "KeyError.Error" {
				check(name, m.Doc, m.Examples, !slices.Contains(plain, name))
			}
		}
	}
	for _, typ := range p.Types {
		p.Consts = append(p.Consts, typ.Consts...)
		p.Vars = append(p.Vars, typ.Vars...)
	}
	for _, v := range append(p.Consts, p.Vars...) {
		for _, spec := range v.Decl.Specs {
			if s := spec.(*ast.ValueSpec); v.Doc == "" && s.Doc == nil {
				missing = append(missing, "comment of "+s.Names[0].Name)
			}
		}
	}
	if missing != nil {
		t.Errorf("missing:\n%s", strings.Join(missing, "\n"))
	}
}
