package analysis

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// stdRoots are the first path elements of the standard library. "No dot in the
// path" would take a local module's "shop/decoder" for std.
var stdRoots = set("archive", "bufio", "builtin", "bytes", "cmp", "compress", "container", "context", "crypto",
	"database", "debug", "embed", "encoding", "errors", "expvar", "flag", "fmt", "go", "hash", "html", "image",
	"index", "internal", "io", "iter", "log", "maps", "math", "mime", "net", "os", "path", "plugin", "reflect",
	"regexp", "runtime", "slices", "sort", "strconv", "strings", "structs", "sync", "syscall", "testing", "text",
	"time", "type", "unicode", "unique", "unsafe", "vendor", "weak", "maphash", "cgo")

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// goroot matches the files of a toolchain that the go command downloaded.
const toolchainModule = "golang.org/toolchain@"

// moduleDir matches a module cache's directory in a file name: "example.com/x@v1.2.3/".
var moduleDir = regexp.MustCompile(`^(.*@v[^/]+)/`)

// apps knows which functions are the application's own.
type apps struct {
	prefixes []string // package path prefixes
	dirs     []string // file prefixes, for a program installed with "go install m@v"
	// byFile: files tell modules apart, so what is neither std, nor in the
	// module cache, nor vendored is the application.
	byFile bool
	// configured: the prefixes were given, and overrule files.
	configured bool
}

// findApps decides what the application is. Configured prefixes win. Else the
// main package's files tell; without them the heaviest module that is no
// well-known library is taken.
func findApps(all []*fn, weight map[*fn]int64, configured []string, program string) apps {
	var a apps
	if len(configured) > 0 {
		a.configured = true
		for _, p := range configured {
			a.prefixes = append(a.prefixes, strings.TrimSuffix(p, "/"))
		}
		return a
	}
	mainSeen := false
	for _, f := range all {
		if m := moduleDir.FindStringSubmatch(f.file); m != nil && !strings.Contains(f.file, toolchainModule) {
			a.byFile = true
		}
		if strings.Contains(f.file, "/vendor/") {
			a.byFile = true
		}
		// A build of modules with its own paths, of which no dependency was
		// seen: GOPATH builds keep the package's path in the file's.
		if path.IsAbs(f.file) && f.pkg != "main" && !stdPackage(f) && !strings.Contains(f.file, "/src/"+f.pkg+"/") && !strings.Contains(f.file, "/external/") {
			a.byFile = true
		}
	}
	for _, f := range all {
		// A third-party closure inlined into main carries main's name: the
		// shortest evidence is a main function that is no closure.
		if f.pkg != "main" || f.has(isClosure) || f.file == "" {
			continue
		}
		mainSeen = true
		if m := moduleDir.FindStringSubmatch(f.file); m != nil {
			if f.last == "main" && !slices.Contains(a.dirs, m[1]) {
				a.dirs = append(a.dirs, m[1])
				if i := strings.LastIndex(m[1], "/mod/"); i >= 0 {
					a.prefixes = append(a.prefixes, modulePath(m[1][i+len("/mod/"):]))
				} else {
					a.prefixes = append(a.prefixes, modulePath(m[1]))
				}
			}
			continue
		}
		if !path.IsAbs(f.file) && !strings.Contains(f.file, ":") { // -trimpath
			if p := moduleGuess(path.Dir(f.file)); p != "" && !slices.Contains(a.prefixes, p) {
				a.prefixes = append(a.prefixes, p)
			}
		}
	}
	if !mainSeen && (!a.byFile || !slices.ContainsFunc(all, func(f *fn) bool { return a.originOf(f) == originApp })) {
		// GOPATH, a distribution's build, Bazel, or a program that was
		// installed as a module: no file says whose it is.
		if p := heaviest(all, weight, program); p != "" {
			a.prefixes = append(a.prefixes, p)
			a.installed(all, p)
		}
	}
	return a
}

// installed finds the module directories of a program whose files lie in the
// module cache like those of its dependencies.
func (a *apps) installed(all []*fn, prefix string) {
	for _, f := range all {
		m := moduleDir.FindStringSubmatch(f.file)
		if m != nil && under(f.pkg, prefix) && !slices.Contains(a.dirs, m[1]) {
			a.dirs = append(a.dirs, m[1])
		}
	}
}

// modulePath is the path of "example.com/x@v1.2.3" without version and with
// the module cache's escape of capitals undone.
func modulePath(s string) string {
	s, _, _ = strings.Cut(s, "@")
	for i := strings.IndexByte(s, '!'); i >= 0 && i+1 < len(s); i = strings.IndexByte(s, '!') {
		s = s[:i] + strings.ToUpper(s[i+1:i+2]) + s[i+2:]
	}
	return s
}

// forges are hosts of which a module's path has an owner and a name.
var forges = set("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitee.com", "git.sr.ht", "golang.org", "cloud.google.com")

// moduleGuess guesses the module of a package path: host, owner and name on a
// forge, host and name on another host, else the first element.
func moduleGuess(pkg string) string {
	if pkg == "." || pkg == "" || pkg == "main" {
		return ""
	}
	parts := strings.Split(pkg, "/")
	n := 2 // a host of somebody's own: example.com/shop/api/v1
	switch {
	case !strings.Contains(parts[0], "."):
		n = 1
	case forges[parts[0]]:
		n = 3
	}
	return strings.Join(parts[:min(n, len(parts))], "/")
}

// heaviest finds the module with the most samples under it that no table
// knows as a library. One that is called like the program wins.
func heaviest(all []*fn, weight map[*fn]int64, program string) string {
	sum := map[string]int64{}
	for _, f := range all {
		if f.pkg == "" || f.pkg == "main" || stdPackage(f) || knownLibrary(f.pkg) {
			continue
		}
		sum[moduleGuess(f.pkg)] += weight[f]
	}
	best := ""
	named := func(p string) bool { return program != "" && path.Base(p) == program }
	for p, w := range sum {
		switch {
		case p == "" || w == 0:
		case best == "", named(p) && !named(best), named(p) == named(best) && (w > sum[best] || w == sum[best] && p < best):
			best = p
		}
	}
	return best
}

func stdPackage(f *fn) bool {
	if f.pkg == "" {
		return true // assembly: memeqbody, aeshashbody, gogo
	}
	first, _, _ := strings.Cut(f.pkg, "/")
	if !stdRoots[first] {
		return false
	}
	// A local module may be called "internal" or "log"; a versioned file that
	// is no toolchain's is somebody's module.
	if strings.Contains(f.file, "@v") && !strings.Contains(f.file, toolchainModule) {
		return false
	}
	return true
}

// originOf says whose code a function is.
func (a apps) originOf(f *fn) origin {
	if a.configured && a.prefixed(f) {
		return originApp // somebody who knows said so
	}
	if f.pkg != "main" && stdPackage(f) {
		return originStd
	}
	for _, d := range a.dirs {
		if strings.HasPrefix(f.file, d+"/") {
			return originApp
		}
	}
	// The file beats the name: a middleware's closure inlined into main's
	// constructor is called main.something, and is not main's.
	if strings.Contains(f.file, "@v") || strings.Contains(f.file, "/vendor/") || strings.HasPrefix(f.file, "vendor/") {
		return originThird
	}
	if f.pkg != "main" && strings.Contains(f.file, "/src/"+f.pkg+"/") && stdFile(f.file) {
		return originStd
	}
	if f.pkg == "main" {
		// main.x inlined from the standard library: "main.mux.HandlerFunc.func1"
		// does not exist in std, so main is the application.
		return originApp
	}
	if a.prefixed(f) {
		return originApp
	}
	if a.byFile && f.file != "" && !knownLibrary(f.pkg) {
		return originApp
	}
	return originThird
}

func (a apps) prefixed(f *fn) bool {
	return slices.ContainsFunc(a.prefixes, func(p string) bool { return under(f.pkg, p) })
}

func stdFile(file string) bool {
	return strings.Contains(file, "/go/src/") || strings.HasPrefix(file, "/usr/lib/go")
}

// knownLibrary reports whether a package belongs to a library that one of the
// tables names, or to a host's well-known library space.
func knownLibrary(pkg string) bool {
	for _, p := range []string{
		"golang.org/x/", "google.golang.org/", "go.uber.org/", "go.opentelemetry.io/", "github.com/prometheus/client_golang",
		"github.com/sirupsen/", "github.com/rs/zerolog", "gopkg.in/", "k8s.io/apimachinery", "k8s.io/client-go", "github.com/aws/", "cloud.google.com/", "github.com/google/",
		"github.com/DataDog/", "github.com/grafana/pyroscope-go", "github.com/cespare/xxhash", "github.com/stretchr/", "github.com/spf13/",
	} {
		if strings.HasPrefix(pkg, p) {
			return true
		}
	}
	return codecOf(pkg) != nil || frameworkOf(pkg) || storeOf(pkg) != nil
}
