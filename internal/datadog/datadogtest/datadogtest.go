// Package datadogtest is a Datadog API for tests and the demo: it checks keys,
// understands the queries that profbot sends, and answers from loads that the
// caller measures.
package datadogtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Options configure a [Server].
type Options struct {
	APIKey, AppKey string
	// Metric is the metric that has data; "" means container.cpu.usage.
	Metric string
	// Requests is the counter that has data; "" means trace.http.request.hits.
	Requests string
	// Rates gives the requests a second of a service's pods; nil has none.
	Rates func(service, env string) map[string]float64
	// Loads gives the CPU of a service's pods in cores, by pod.
	Loads func(service, env string) map[string]float64
	// OnQuery, when not nil, is called before a query is answered.
	OnQuery func()
}

// Server is the fake. Its methods are safe for concurrent use.
type Server struct {
	*httptest.Server
	opt Options

	mu      sync.Mutex // protects the fields below
	queries []string
	fail    int           // queries still to be refused
	reset   time.Duration // what their answers say about the rate limit
	unit    string
}

// New starts a Server; Close ends it.
func New(opt Options) *Server {
	if opt.Metric == "" {
		opt.Metric = "container.cpu.usage"
	}
	if opt.Requests == "" {
		opt.Requests = "trace.http.request.hits"
	}
	s := &Server{opt: opt, unit: "nanocore"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/query", s.query)
	s.Server = httptest.NewServer(mux)
	return s
}

// FailNext makes the next n queries answer 429, with a rate limit that resets
// after so many whole seconds.
func (s *Server) FailNext(n int, reset time.Duration) {
	s.mu.Lock()
	s.fail, s.reset = n, reset
	s.mu.Unlock()
}

// SetUnit changes the unit of the answers; "" answers without one.
func (s *Server) SetUnit(unit string) { s.mu.Lock(); s.unit = unit; s.mu.Unlock() }

// Queries lists the queries received, the refused ones too.
func (s *Server) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

var queryForm = regexp.MustCompile(`^(avg|sum):([A-Za-z0-9_.]+)\{service:([^,}]+)(?:,env:([^,}]+))?\} by \{pod_name\}(\.as_rate\(\))?$`)

func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query().Get("query")
	s.mu.Lock()
	s.queries = append(s.queries, q)
	fail, reset, unit := s.fail, s.reset, s.unit
	s.fail = max(0, s.fail-1)
	s.mu.Unlock()
	if s.opt.OnQuery != nil {
		s.opt.OnQuery()
	}
	if r.Header.Get("DD-API-KEY") != s.opt.APIKey || r.Header.Get("DD-APPLICATION-KEY") != s.opt.AppKey {
		reply(w, http.StatusForbidden, map[string]any{"errors": []string{"Forbidden"}})
		return
	}
	w.Header().Set("X-RateLimit-Name", "query")
	w.Header().Set("X-RateLimit-Limit", "1600")
	w.Header().Set("X-RateLimit-Period", "3600")
	w.Header().Set("X-RateLimit-Remaining", "1599")
	w.Header().Set("X-RateLimit-Reset", "60")
	if fail > 0 {
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.Itoa(int(reset/time.Second)))
		reply(w, http.StatusTooManyRequests, map[string]any{"errors": []string{"Rate limit of requests reached"}})
		return
	}
	from, err1 := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	to, err2 := strconv.ParseInt(r.URL.Query().Get("to"), 10, 64)
	if err1 != nil || err2 != nil || from >= to || to > 1e11 { // milliseconds are a common mistake
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{"Invalid time range"}})
		return
	}
	m := queryForm.FindStringSubmatch(q)
	if m == nil {
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{fmt.Sprintf("Error parsing query: unable to parse %s", q)}})
		return
	}
	series := []any{}
	var values map[string]float64
	switch {
	case m[2] == s.opt.Metric && m[1] == "avg" && m[5] == "":
		values = s.opt.Loads(m[3], m[4])
	case m[2] == s.opt.Requests && m[1] == "sum" && m[5] != "" && s.opt.Rates != nil:
		values, unit = s.opt.Rates(m[3], m[4]), "hit"
	}
	for _, pod := range slices.Sorted(maps.Keys(values)) {
		series = append(series, oneSeries(q, m[2], pod, values[pod], unit, from, to))
	}
	reply(w, http.StatusOK, map[string]any{
		"status": "ok", "res_type": "time_series", "from_date": from * 1000, "to_date": to * 1000, "query": q, "series": series,
		"group_by": []string{"pod_name"}, "message": "", "resp_version": 1, "times": []any{}, "values": []any{},
	})
}

func oneSeries(query, metric, pod string, value float64, unit string, from, to int64) map[string]any {
	scale, family := map[string]float64{"nanocore": 1e-9, "microcore": 1e-6, "millicore": 1e-3, "core": 1, "kilocore": 1e3}[unit], "cpu"
	if scale == 0 {
		scale, family = 1, "other"
	}
	value /= scale
	var points [][2]any
	for at := from; at < to; at += 60 {
		points = append(points, [2]any{float64(at * 1000), value})
	}
	points = append(points, [2]any{float64(to * 1000), nil}) // the last bucket is often not filled yet
	var units any
	if unit != "" {
		units = []any{map[string]any{"family": family, "name": unit, "plural": unit + "s", "scale_factor": scale, "short_name": unit, "id": 0}, nil}
	}
	return map[string]any{
		"metric": metric, "display_name": metric, "scope": "pod_name:" + pod, "tag_set": []string{"pod_name:" + pod},
		"unit": units, "pointlist": points, "interval": 60, "length": len(points), "aggr": "avg", "expression": query,
		"start": from * 1000, "end": to * 1000, "query_index": 0, "attributes": map[string]any{},
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away is its business
}
