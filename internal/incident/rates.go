package incident

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// RateOf looks up an endpoint's rate of requests in rates by the names that
// traces give to endpoints, as EndpointRates of a monitoring service returns
// them. It reports false when none is about the endpoint, or several are and
// it is not clear which: no rate is better than another endpoint's.
//
// Names are compared as Datadog writes tags, "get_/live/list" for
// GET /live/list: in lower case, with one _ for each run of characters other
// than letters, digits and -./: and none at the end. A host in the pattern of
// net/http's ServeMux does not count, nor does a slash at the beginning, which
// gRPC's methods have or have not.
//
// When no name is equal, a parameter of the endpoint ({id}, :id, <int:id>, *,
// ?) is found under another name too: a segment that is a parameter in one of
// these ways, or begins with _ as the tag of one does. Everything else must be
// equal. An endpoint without a method has the rates of all methods together,
// and one with a method never that of a name without.
func RateOf(rates map[string]float64, endpoint string) (float64, bool) {
	want := routeOf(endpoint)
	if len(want.segments) == 0 {
		return 0, false
	}
	for _, loose := range []bool{false, true} {
		sum, found := 0.0, map[string]string{}                 // the names found, by method
		for _, name := range slices.Sorted(maps.Keys(rates)) { // the same sum every time
			have := routeOf(name)
			if want.method != "" && want.method != have.method || !want.matches(have, loose) {
				continue
			}
			tag := strings.Join(have.tags(), "/")
			if other, ok := found[have.method]; ok && other != tag {
				return 0, false
			}
			found[have.method] = tag
			sum += rates[name]
		}
		if len(found) > 0 {
			return sum, true
		}
	}
	return 0, false
}

// route is an endpoint's name, taken apart.
type route struct {
	method   string   // in lower case; "" when there is none
	segments []string // of the path, as written; the last is "" after a slash at the end
}

var methods = []string{"get", "post", "put", "delete", "patch", "head", "options", "connect", "trace", "any"}

func routeOf(name string) route {
	path, method := strings.TrimSpace(name), ""
	// A method stands before a space, which is _ in a tag.
	if i := strings.IndexAny(path, " _"); i > 0 && slices.Contains(methods, strings.ToLower(path[:i])) && strings.Contains(path[i:], "/") {
		method, path = strings.ToLower(path[:i]), strings.TrimLeft(path[i:], " _")
		path = path[strings.Index(path, "/"):] // without a host
	}
	path = strings.TrimPrefix(path, "/")
	if path == "" && method == "" {
		return route{} // a slash alone is no name
	}
	if method == "any" {
		method = ""
	}
	return route{method, strings.Split(strings.TrimSuffix(path, "{$}"), "/")}
}

// tags are the segments as Datadog writes them.
func (r route) tags() []string {
	out := make([]string, len(r.segments))
	for i, s := range r.segments {
		out[i] = asTag(s)
	}
	return out
}

// matches compares the segments; with loose, parameters match under other
// names.
func (r route) matches(have route, loose bool) bool {
	if len(r.segments) != len(have.segments) {
		return false
	}
	for i, s := range r.segments {
		if asTag(s) == asTag(have.segments[i]) {
			continue
		}
		if !loose || !parameter(s) || !parameter(have.segments[i]) && !strings.HasPrefix(have.segments[i], "_") {
			return false
		}
	}
	return true
}

// parameter reports whether a segment is one as a router or a tracer writes it.
func parameter(s string) bool {
	if s == "" {
		return false
	}
	switch s[0] {
	case ':', '*', '?':
		return true
	case '{':
		return s[len(s)-1] == '}'
	case '<':
		return s[len(s)-1] == '>'
	}
	return false
}

// asTag writes a text as Datadog writes it in a tag.
func asTag(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(s) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-./:", r) {
			gap = true
			continue
		}
		if gap {
			b.WriteByte('_')
		}
		gap = false
		b.WriteRune(r)
	}
	return b.String()
}
