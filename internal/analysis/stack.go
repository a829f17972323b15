package analysis

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fn is one function as the analysis knows it, interned: two frames of the
// same function share one fn, and everything derived from the name is derived
// once. Fields below the line are filled by classify.
type fn struct {
	id   int    // place in funcs.all
	name string // type parameters dropped, %2e decoded: "encoding/json.(*Decoder).Decode"
	pkg  string // "encoding/json"; "" for symbols without one, which are the runtime's
	sym  string // the name after the package: "(*Decoder).Decode"
	last string // the last element of sym that is not a closure's: "Decode"
	base string // name without closure suffixes: what a goroutine's closure was made in
	file string
	line int64 // of the function's start

	makers []string // see makers; nil until asked for

	origin   origin
	category Category // of a frame that is in no codec
	codec    *codec   // nil when it belongs to none
	squeeze  *codec   // the compressor it belongs to; nil for none
	dir      way
	source   *source // nil unless bytes enter the process or leave a store here
	flags    flags
}

// origin says whose code a function is.
type origin uint8

const (
	originStd origin = iota
	originThird
	originApp
)

// flags are yes-or-no facts that several rules ask for.
type flags uint32

const (
	isClosure    flags = 1 << iota // a function literal
	isDispatcher                   // calls the next handler: see endpoint.go
	isServer                       // framework or transport code that is never a handler
	isServerRoot                   // marks a goroutine that serves requests
	isIO                           // below a codec it makes the sample I/O
	isAlloc                        // allocation or GC assist
	isGCRoot                       // root of background GC work
	isLogging                      // a logger: what it encodes is not a reply
	isRPCGlue                      // generated code that names service and method
	isGateway                      // generated code that serves an RPC method over HTTP
	isBorrowed                     // does its caller's work
	isSuspect                      // sounds like a codec and is in no table
	isCarrier                      // reads all of whatever it is given
	isCacheName                    // the application's, and called like a cache
)

func (f *fn) has(x flags) bool { return f.flags&x != 0 }

// funcs interns functions over all profiles of one analysis.
type funcs struct {
	byKey map[[2]string]*fn
	all   []*fn
}

// closureTail is what the compiler appends for function literals and
// wrappers: ".func1", ".func1.2", ".gowrap1", ".deferwrap2", "-range1", "-fm".
var closureTail = regexp.MustCompile(`(?:\.func\d+|\.gowrap\d+|\.deferwrap\d+|-range\d+|-fm|\.\d+)+$`)

func (t *funcs) intern(name, file string, line int64) *fn {
	key := [2]string{name, file}
	if x := t.byKey[key]; x != nil {
		return x
	}
	x := newFn(printable(name), printable(file), line)
	x.id = len(t.all)
	t.byKey[key] = x
	t.all = append(t.all, x)
	return x
}

func newFn(name, file string, line int64) *fn {
	x := &fn{file: file, line: line}
	x.pkg, x.sym = splitName(dropTypes(name))
	x.name = x.sym
	if x.pkg != "" {
		x.name = x.pkg + "." + x.sym
	}
	x.base = x.name
	if endsLikeClosure(x.name) {
		if loc := closureTail.FindStringIndex(x.name); loc != nil && loc[0] > 0 {
			x.base = x.name[:loc[0]]
			x.flags |= isClosure
		}
	}
	sym := strings.TrimPrefix(x.base, x.pkg+".")
	if i := strings.LastIndexByte(sym, '.'); i >= 0 {
		sym = sym[i+1:]
	}
	x.last = sym
	return x
}

// endsLikeClosure reports whether closureTail may match: most names are no
// literal's, and the expression is slow to see it.
func endsLikeClosure(name string) bool {
	if name == "" {
		return false
	}
	last := name[len(name)-1]
	return last >= '0' && last <= '9' || last == 'm' // "-fm"
}

// dropTypes drops type parameters ("[...]", "[go.shape.int]": any instance's may
// be reported, golang/go#64528).
func dropTypes(s string) string {
	if strings.IndexByte(s, '[') < 0 {
		return s
	}
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth = max(0, depth-1)
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// printable replaces what would write to a terminal more than a name.
func printable(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// splitName cuts "example.com/a/b.(*T).M" into "example.com/a/b" and "(*T).M".
// The linker escapes dots in the last element of a package's path
// ("gopkg.in/yaml%2ev3", "github.com/nats-io/nats%2ego"); they are dots again
// in the result.
func splitName(s string) (pkg, sym string) {
	// What the compiler makes for a type is called after it.
	if strings.HasPrefix(s, "type:.") || strings.HasPrefix(s, "type..") || strings.HasPrefix(s, "go:") {
		return "", s
	}
	// A receiver may hold a path of its own; the package ends before it.
	end := len(s)
	if i := strings.IndexByte(s, '('); i >= 0 {
		end = i
	}
	slash := strings.LastIndexByte(s[:end], '/')
	rest := s[slash+1:]
	dot := strings.IndexByte(rest, '.')
	if dot < 0 {
		return "", s
	}
	// Some tools undo the escape: "gopkg.in/yaml.v3.Unmarshal".
	if strings.HasPrefix(rest[dot:], ".v") {
		if m := versioned.FindStringIndex(rest); m != nil {
			dot = m[1] - 1
		}
	}
	pkg = s[:slash+1+dot]
	if strings.Contains(pkg, "%2e") {
		pkg = strings.ReplaceAll(pkg, "%2e", ".")
	}
	// GOPATH builds name vendored packages by the directory they lie in.
	if i := strings.LastIndex(pkg, "/vendor/"); i >= 0 {
		pkg = pkg[i+len("/vendor/"):]
	}
	return pkg, rest[dot+1:]
}

// versioned matches the last element of a gopkg.in path: "yaml.v3.".
var versioned = regexp.MustCompile(`^[^.]+\.v\d+\.`)
