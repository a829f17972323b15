package datadogtest

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// SetUnit changes the unit of CPU in the answers; "" answers without one.
func (s *Server) SetUnit(unit string) { s.mu.Lock(); s.unit = unit; s.mu.Unlock() }

// SetMemoryUnit changes the unit of memory in the answers; "" answers without
// one.
func (s *Server) SetMemoryUnit(unit string) { s.mu.Lock(); s.memUnit = unit; s.mu.Unlock() }

// Queries lists the queries received, the refused ones too.
func (s *Server) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

var (
	topForm   = regexp.MustCompile(`^top\((.+), (\d+), '(?:mean|max|min|last|area|l2norm|norm)', '(?:desc|asc)'\)$`)
	queryForm = regexp.MustCompile(`^(avg|sum|min|max):([A-Za-z][A-Za-z0-9_.]*)\{(\*|[^{}]+)\}(?: by \{([a-z_]+(?:,[a-z_]+)*)\})?(\.as_rate\(\))?$`)
	tagForm   = regexp.MustCompile(`^\p{L}[\p{L}\p{N}_\-./:]*$`)
)

func (s *Server) query(c call) reply {
	v := c.URL.Query()
	for key := range v {
		if !slices.Contains([]string{"from", "to", "query"}, key) {
			return refuse("unknown parameter " + key)
		}
	}
	from, ok1 := seconds(v, "from")
	to, ok2 := seconds(v, "to")
	if !ok1 || !ok2 || from >= to {
		return refuse("Invalid time range")
	}
	q := v.Get("query")
	inner, most := q, 0
	if m := topForm.FindStringSubmatch(q); m != nil {
		inner = m[1]
		if most, _ = strconv.Atoi(m[2]); most == 0 {
			return refuse("Error parsing query: top needs a number of series")
		}
	}
	m := queryForm.FindStringSubmatch(inner)
	if m == nil {
		return refuse(fmt.Sprintf("Error parsing query: unable to parse %s", q))
	}
	scope := map[string]string{}
	for _, tag := range strings.Split(m[3], ",") {
		if tag == "*" {
			continue
		}
		if !tagForm.MatchString(tag) || tag != strings.ToLower(tag) {
			return refuse(fmt.Sprintf("Error parsing query: %q is no tag", tag))
		}
		key, value, _ := strings.Cut(tag, ":")
		scope[key] = value
	}
	s.mu.Lock()
	cpuUnit, memUnit := s.unit, s.memUnit
	s.mu.Unlock()
	var values map[string]float64
	unit, service, env := "", scope["service"], scope["env"]
	rate := m[1] == "sum" && m[5] != ""
	metric, group := m[2], m[4]
	pods := group == "pod_name" || group == "kube_namespace,pod_name"
	switch {
	case metric == s.opt.Metric && pods && m[1] == "avg" && m[5] == "":
		values, unit = measured(s.opt.Loads, service, env), cpuUnit
	case metric == s.opt.MemoryMetric && pods && m[1] == "avg" && m[5] == "":
		values, unit = measured(s.opt.Memory, service, env), memUnit
	case metric == s.opt.Requests && pods && rate:
		values, unit = measured(s.opt.Rates, service, env), "hit"
	case metric == s.opt.Requests && group == "resource_name" && rate:
		values, unit = map[string]float64{}, "hit"
		for name, r := range measured(s.opt.Endpoints, service, env) {
			values[asTag(name)] += r
		}
	}
	if group == "pod_name" {
		values = inOne(values)
	}
	names := slices.Sorted(maps.Keys(values))
	if most > 0 && len(names) > most {
		slices.SortStableFunc(names, func(a, b string) int {
			if values[a] > values[b] {
				return -1
			}
			return 1
		})
		names = names[:most]
	}
	series := []any{}
	for _, name := range names {
		series = append(series, oneSeries(q, metric, tagged(group, name), values[name], unit, from, to))
	}
	groups := []string{}
	if group != "" {
		groups = strings.Split(group, ",")
	}
	return reply{http.StatusOK, map[string]any{
		"status": "ok", "res_type": "time_series", "from_date": from * 1000, "to_date": to * 1000, "query": q, "series": series,
		"group_by": groups, "message": "", "resp_version": 1, "times": []any{}, "values": []any{},
	}}
}

// tagged are the tags of a series. A pod's name may have its namespace before
// it, and what lacks a tag has N/A.
func tagged(group, name string) []string {
	keys := strings.Split(group, ",")
	if len(keys) == 1 {
		return []string{group + ":" + name}
	}
	namespace, pod, ok := strings.Cut(name, "/")
	if !ok {
		namespace, pod = "N/A", name
	}
	return []string{keys[0] + ":" + namespace, keys[1] + ":" + pod}
}

// inOne is the mean of the pods of one name, whatever their namespace.
func inOne(values map[string]float64) map[string]float64 {
	sums, counts := map[string]float64{}, map[string]float64{}
	for name, v := range values {
		pod := name[strings.IndexByte(name, '/')+1:]
		sums[pod] += v
		counts[pod]++
	}
	for pod := range sums {
		sums[pod] /= counts[pod]
	}
	return sums
}

func measured(f func(service, env string) map[string]float64, service, env string) map[string]float64 {
	if f == nil || service == "" {
		return nil
	}
	return f(service, env)
}

// asTag writes a text as Datadog's tags are: in lower case, one _ for each run
// of what is not allowed, and none at the end.
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

// sizes are units in the base unit of their family.
var sizes = map[string]struct {
	family string
	scale  float64
}{
	"nanocore": {"cpu", 1e-9}, "microcore": {"cpu", 1e-6}, "millicore": {"cpu", 1e-3}, "core": {"cpu", 1}, "kilocore": {"cpu", 1e3},
	"bit": {"bytes", 0.125}, "byte": {"bytes", 1}, "kibibyte": {"bytes", 1 << 10}, "mebibyte": {"bytes", 1 << 20}, "gibibyte": {"bytes", 1 << 30},
	"tebibyte": {"bytes", 1 << 40}, "pebibyte": {"bytes", 1 << 50},
}

func oneSeries(query, metric string, tags []string, value float64, unit string, from, to int64) map[string]any {
	size, ok := sizes[unit]
	if !ok {
		size.family, size.scale = "other", 1
	}
	value /= size.scale
	var points [][2]any
	for at := from; at < to; at += 60 {
		points = append(points, [2]any{float64(at * 1000), value})
	}
	points = append(points, [2]any{float64(to * 1000), nil}) // the last bucket is often not filled yet
	var units any
	if unit != "" {
		units = []any{map[string]any{"family": size.family, "name": unit, "plural": unit + "s", "scale_factor": size.scale, "short_name": unit, "id": 0}, nil}
	}
	return map[string]any{
		"metric": metric, "display_name": metric, "scope": strings.Join(tags, ","), "tag_set": tags,
		"unit": units, "pointlist": points, "interval": 60, "length": len(points), "aggr": "avg", "expression": query,
		"start": from * 1000, "end": to * 1000, "query_index": 0, "attributes": map[string]any{},
	}
}
