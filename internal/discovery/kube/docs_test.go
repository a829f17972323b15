package kube

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// annotation is the form of a key that a pod may carry.
var annotation = regexp.MustCompile(`^[a-z.-]+\.(io|com)/[A-Za-z][A-Za-z0-9._-]*$`)

// TestDocs: the document for users has every key that is read, and none that
// is not.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	kind := regexp.MustCompile(`^(profiles\.grafana\.com/|pyroscope\.io/profile-)(cpu|memory|mem|goroutine|mutex|block)(\..*|-enabled)$`)
	read := map[string]bool{}
	for _, key := range keysRead(t) {
		if m := kind.FindStringSubmatch(key); m != nil {
			key = m[1] + "KIND" + m[3]
			if !strings.Contains(string(text), "`"+m[2]+"`") {
				t.Errorf("the document does not say the kind %s of %s", m[2], key)
			}
		}
		read[key] = true
		if !strings.Contains(string(text), "`"+key+"`") && !strings.Contains(string(text), "`"+key+`: "`) {
			t.Errorf("the document lacks %s", key)
		}
	}
	if len(read) < 30 {
		t.Errorf("only %d keys are read: %v", len(read), read)
	}
	// Those of tables; prose also names keys that are not read, to say so.
	for line := range strings.Lines(string(text)) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			key := strings.ReplaceAll(m[1], "CONTAINER.", "")
			if strings.HasPrefix(line, "|") && annotation.MatchString(key) && !read[key] && key != "app.kubernetes.io/name" {
				t.Errorf("the document has %s, which is not read", m[1])
			}
		}
	}
}

// keysRead are the keys of the tables in reading.go, and those that stand in
// the code as they are, or behind one of its two prefixes.
func keysRead(t *testing.T) []string {
	t.Helper()
	var keys []string
	for _, s := range slices.Concat(sources, switches, []source{profbot}) {
		for _, key := range []string{s.enable, s.port, s.portName, s.scheme, s.path} {
			if key != "" {
				keys = append(keys, key)
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	prefixes := map[string]string{"own": own, "datadog": datadog}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				prefix, isName := n.X.(*ast.Ident)
				if lit := literal(n.Y); isName && prefixes[prefix.Name] != "" && lit != "" {
					keys = append(keys, prefixes[prefix.Name]+lit)
				}
			case *ast.CallExpr: // the tags of Datadog, in identify
				if f, isName := n.Fun.(*ast.Ident); isName && f.Name == "unified" {
					keys = append(keys, datadog+literal(n.Args[0]))
				}
			case *ast.BasicLit:
				if lit := literal(n); annotation.MatchString(lit) {
					keys = append(keys, lit)
				}
			}
			return true
		})
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// literal is a string as it stands in the code; "" for all else.
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}
