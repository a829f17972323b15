package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/profbot/profbot/"

// rings say what a package of this module may import of this module. Pure
// packages know nothing of the world; edges know pure ones and never one
// another; the pipeline knows what it orders; app knows all; the commands and
// the demo stand on top.
var rings = map[string][]string{
	"internal/incident": {},
	"internal/spelling": {},
	"internal/profile":  {},
	"internal/analysis": {"internal/profile"},
	"internal/flame":    {"internal/analysis"},

	"internal/analysis/eval":  {"internal/analysis", "internal/profile"},
	"internal/analysis/bench": {"internal/analysis", "internal/flame", "internal/profile"},

	"internal/slackbot/command": {"internal/incident", "internal/spelling"},
	"internal/slackbot/receive": {},

	"deploy":                  {},
	"internal/version":        {},
	"internal/webhook":        {"internal/incident", "deploy"},
	"internal/config":         {"internal/spelling"},
	"internal/discovery":      {"internal/incident"},
	"internal/discovery/kube": {"internal/incident", "internal/discovery"},
	"internal/datadog":        {"internal/incident"},
	"internal/collector":      {"internal/incident"},
	"internal/slackbot":       {"internal/incident", "internal/analysis", "internal/slackbot/command", "internal/slackbot/receive", "internal/spelling"},
	"internal/store":          {"internal/incident", "internal/analysis"},
	"internal/web":            {"internal/incident", "internal/analysis"},
	"internal/metrics":        {"internal/incident", "internal/version"},

	"internal/pipeline": {"internal/incident", "internal/profile", "internal/analysis", "internal/flame"},
	"internal/app":      {"internal/*"},
	"internal/doctor":   {"internal/*"},

	"internal/collector/pproftest":     {},
	"internal/datadog/datadogtest":     {},
	"internal/slackbot/slacktest":      {},
	"internal/discovery/kube/kubetest": {},
	"internal/flame/flametest":         {},
	"pkg/pprofserve/labeltest":         {"pkg/pprofserve"},
	"internal/flame/gallery":           {"internal/analysis", "internal/flame", "internal/flame/flametest", "internal/profile"},

	"internal/demo/fleet": {"internal/incident", "pkg/pprofserve", "pkg/sfcache", "pkg/sfcache/sfredis"},
	"internal/demo":       {"internal/*"},
	"internal/archtest":   {},
	"cmd/profbot":         {"internal/*", "deploy"},
	"pkg/pprofserve":      {},
	"pkg/sfcache":         {},
	"internal/demo/storm": {"internal/*"},
	"scripts/real":        {},
	"scripts/ack":         {"internal/*"},
	"scripts/storm":       {"internal/*"},
}

// pure packages may import these beside the standard library.
var pure = map[string][]string{
	"internal/incident": {},
	"internal/profile":  {},
	"internal/analysis": {},
	"internal/flame":    {"golang.org/x/image/"},
}

// stdOnly are packages that services import: beside the standard library they
// bring nothing into them, and net/http/pprof, which puts itself on the public
// mux of whoever imports it, least of all.
var stdOnly = []string{"pkg/pprofserve"}

// impure are standard packages that a pure package may not import: I/O and
// the network. (Clocks and randomness have no package of their own to forbid.)
var impure = []string{"os", "net", "net/http", "log", "log/slog", "syscall", "os/exec", "database/sql"}

// doors name the packages that may import a big dependency; "" forbids it.
var doors = []struct {
	dependency string
	users      []string
	why        string
}{
	{"github.com/slack-go/slack", []string{"internal/slackbot", "internal/slackbot/receive", "internal/slackbot/slacktest"}, "its API changes weekly"},
	{"github.com/DataDog/datadog-api-client-go/v2/api/datadogV2", nil, "compiling it takes minutes and gigabytes"},
	{"github.com/DataDog/datadog-api-client-go", []string{"internal/datadog"}, "it is large"},
	{"k8s.io/client-go/kubernetes", nil, "every type of every API group costs tens of megabytes: internal/discovery/kube has a scheme of its own"},
	{"k8s.io/", []string{"internal/discovery/kube", "internal/discovery/kube/kubetest"}, "the cluster is one way of discovery"},
	{"sigs.k8s.io/", nil, "the cluster is one way of discovery"},
	{"github.com/riverqueue/river", []string{"internal/pipeline"}, "delivery is an implementation detail"},
	{"modernc.org/sqlite", []string{"internal/store"}, "storage is an implementation detail"},
	{"github.com/pressly/goose", []string{"internal/store"}, "storage is an implementation detail"},
	{"github.com/coocood/freecache", []string{"pkg/sfcache", "internal/demo/fleet"}, "caching is what sfcache is for"},
	{"github.com/redis/go-redis", []string{"pkg/sfcache", "internal/demo/fleet"}, "caching is what sfcache is for"},
	{"github.com/alicebob/miniredis", []string{"internal/demo/fleet"}, "it stands in for Redis in the demo"},
	{"github.com/goccy/go-yaml", []string{"internal/config"}, "only the configuration is YAML"},
	{"github.com/prometheus", []string{"internal/metrics"}, "others count by a method of internal/metrics"},
	{"github.com/alecthomas/kong", []string{"cmd/profbot"}, "only the command parses flags"},
}

// graph is the imports of every package, by its path within the module.
type graph map[string][]string

func load(t *testing.T) graph {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedImports | packages.NeedFiles, Dir: "../.."}, "./...", "./pkg/pprofserve/...", "./pkg/sfcache/...")
	if err != nil {
		t.Fatal(err)
	}
	g := graph{}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			t.Errorf("%s: %v", p.PkgPath, e)
		}
		g[strings.TrimPrefix(p.PkgPath, module)] = slices.Sorted(maps.Keys(p.Imports))
	}
	if len(g) < 15 {
		t.Fatalf("only %d packages were found", len(g))
	}
	return g
}

// check lists what breaks the rules.
func check(g graph) []string {
	var bad []string
	for _, pkg := range slices.Sorted(maps.Keys(g)) {
		allowed, known := rings[pkg]
		if !known && !strings.HasPrefix(pkg, "pkg/sfcache/") {
			bad = append(bad, fmt.Sprintf("%s has no place in the rings: give it one in imports_test.go", pkg))
			continue
		}
		for _, imp := range g[pkg] {
			if own, ok := strings.CutPrefix(imp, module); ok && !permits(allowed, own) {
				bad = append(bad, fmt.Sprintf("%s imports %s, which its ring forbids", pkg, own))
			}
			for _, d := range doors {
				if strings.HasPrefix(imp, d.dependency) {
					if !slices.Contains(d.users, pkg) && !(strings.HasPrefix(pkg, "pkg/sfcache/") && slices.Contains(d.users, "pkg/sfcache")) {
						bad = append(bad, fmt.Sprintf("%s imports %s: %s", pkg, imp, d.why))
					}
					break
				}
			}
			if strings.HasSuffix(imp, "test") && strings.HasPrefix(imp, module) && !strings.HasPrefix(pkg, "internal/demo") && pkg != "internal/flame/gallery" {
				bad = append(bad, fmt.Sprintf("%s imports %s: test support is for tests, the demo and the gallery", pkg, imp))
			}
		}
		if slices.Contains(stdOnly, pkg) {
			for _, imp := range g[pkg] {
				if strings.Contains(strings.Split(imp, "/")[0], ".") || imp == "net/http/pprof" || imp == "expvar" {
					bad = append(bad, fmt.Sprintf("%s imports %s: services import the standard library with it, and nothing that registers itself", pkg, imp))
				}
			}
		}
		if third, ok := pure[pkg]; ok {
			for _, imp := range g[pkg] {
				if slices.Contains(impure, imp) {
					bad = append(bad, fmt.Sprintf("%s imports %s: pure packages do no I/O", pkg, imp))
				}
				if strings.Contains(strings.Split(imp, "/")[0], ".") && !strings.HasPrefix(imp, module) && !slices.ContainsFunc(third, func(p string) bool { return strings.HasPrefix(imp, p) }) {
					bad = append(bad, fmt.Sprintf("%s imports %s: pure packages stay small", pkg, imp))
				}
			}
		}
	}
	return bad
}

func permits(allowed []string, own string) bool {
	for _, a := range allowed {
		if a == own || strings.HasSuffix(a, "/*") && strings.HasPrefix(own, strings.TrimSuffix(a, "*")) {
			return true
		}
	}
	return false
}

func TestImports(t *testing.T) {
	for _, b := range check(load(t)) {
		t.Error(b)
	}
}

// TestRulesBite breaks each rule in a made-up graph.
func TestRulesBite(t *testing.T) {
	for _, tc := range []struct {
		pkg, imp, want string
	}{
		{"internal/webhook", module + "internal/store", "ring forbids"},
		{"internal/slackbot", module + "internal/collector", "ring forbids"},
		{"internal/pipeline", module + "internal/slackbot", "ring forbids"},
		{"internal/analysis", "net/http", "no I/O"},
		{"internal/flame", "github.com/fogleman/gg", "stay small"},
		{"internal/app", "github.com/slack-go/slack", "changes weekly"},
		{"internal/datadog", "github.com/DataDog/datadog-api-client-go/v2/api/datadogV2", "gigabytes"},
		{"internal/pipeline", "github.com/coocood/freecache", "sfcache is for"},
		{"internal/slackbot", "github.com/prometheus/client_golang/prometheus", "internal/metrics"},
		{"internal/app", "k8s.io/client-go/rest", "one way of discovery"},
		{"internal/discovery/kube", "k8s.io/client-go/kubernetes/scheme", "scheme of its own"},
		{"internal/app", module + "internal/slackbot/slacktest", "test support"},
		{"internal/utils", "fmt", "no place in the rings"},
		{"pkg/pprofserve", "net/http/pprof", "registers itself"},
		{"pkg/pprofserve", "golang.org/x/sync/errgroup", "registers itself"},
	} {
		bad := check(graph{tc.pkg: {tc.imp}})
		if len(bad) == 0 || !strings.Contains(strings.Join(bad, "\n"), tc.want) {
			t.Errorf("%s importing %s: %q, want %q", tc.pkg, tc.imp, bad, tc.want)
		}
	}
	if bad := check(graph{"internal/slackbot": {"github.com/slack-go/slack", "net/http"}, "internal/app": {module + "internal/store"}}); len(bad) > 0 {
		t.Errorf("what is allowed was refused: %q", bad)
	}
}
