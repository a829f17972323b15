// Package datadogtest is a Datadog API for tests and the demo. It knows the
// calls that profbot makes and answers them as Datadog's official client has
// recorded them; what Datadog would refuse it refuses too, and what Datadog
// would let pass but cannot be meant (a field that does not exist, milliseconds
// for seconds) as well. Loads and rates are what its owner measures.
//
// What is enforced: the keys, and which call needs which; permissions of the
// application key; required fields, types and limits; rate limits with their
// headers. What can go wrong on the way is switched on with [Server.FaultNext].
package datadogtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options configure a [Server].
type Options struct {
	APIKey, AppKey string
	// Permissions are what the application key may do; nil is everything.
	Permissions []string
	// Metric is the metric of CPU that has data; "" means container.cpu.usage.
	Metric string
	// MemoryMetric is that of memory; "" means container.memory.usage.
	MemoryMetric string
	// Requests is the counter of requests, by pod and by endpoint; "" means
	// trace.http.request.hits.
	Requests string
	// Loads gives the CPU of a service's pods in cores, by pod: "pod", or
	// "namespace/pod" for one with the tag kube_namespace. So do Memory and Rates.
	Loads func(service, env string) map[string]float64
	// Memory gives the memory of a service's pods in bytes; nil has none.
	Memory func(service, env string) map[string]float64
	// Rates gives the requests a second of a service's pods; nil has none.
	Rates func(service, env string) map[string]float64
	// Endpoints gives the requests a second of a service's endpoints, by the
	// resource names of the traces, which the answer writes as tags; nil has none.
	Endpoints func(service, env string) map[string]float64
	// Lag is how long an event takes to be listed; Datadog takes some 25 s.
	Lag time.Duration
	// OnQuery, when not nil, is called before a query is answered.
	OnQuery func()
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Request is a request as it arrived, without its keys.
type Request struct {
	Method, Path string
	Query        url.Values
	Body         string
}

// Server is the fake. Its methods are safe for concurrent use.
type Server struct {
	*httptest.Server
	opt Options

	mu        sync.Mutex // protects the fields below
	requests  []Request
	queries   []string
	fail      int           // queries still to be refused
	reset     time.Duration // what their answers say about the rate limit
	unit      string
	memUnit   string
	faults    []Fault
	limits    map[string]*limit
	events    []Event
	monitors  []*Monitor
	webhooks  map[string]*Webhook
	variables map[string]*Variable
	rules     []*Rule
	ids       int64 // the last that was given out
}

// New starts a Server; Close ends it.
func New(opt Options) *Server {
	opt.Metric = cmp.Or(opt.Metric, "container.cpu.usage")
	opt.MemoryMetric = cmp.Or(opt.MemoryMetric, "container.memory.usage")
	opt.Requests = cmp.Or(opt.Requests, "trace.http.request.hits")
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := &Server{
		opt: opt, unit: "nanocore", memUnit: "byte", webhooks: map[string]*Webhook{}, variables: map[string]*Variable{},
		limits: map[string]*limit{
			"query": {max: 1600, period: time.Hour}, "event_stream_api": {max: 600, period: time.Minute},
			"monitor": {max: 500, period: 10 * time.Second}, "global_org": {max: 12000, period: time.Minute},
		},
	}
	const hooks, variables, rules = "/api/v1/integration/webhooks/configuration/webhooks", "/api/v1/integration/webhooks/configuration/custom-variables", "/api/v2/monitor/notification_rule"
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		// permission is what x-permission of Datadog's OpenAPI says; "" needs
		// the API key alone.
		permission string
		limit      string
		handle     func(call) reply
	}{
		{"GET /api/v1/validate", "", "", s.validate},
		{"GET /api/v1/query", "timeseries_query", "query", s.query},
		{"POST /api/v1/events", "", "", s.createEvent},
		{"GET /api/v1/events", "events_read", "event_stream_api", s.listEvents},
		{"GET /api/v1/monitor", "monitors_read", "monitor", s.listMonitors},
		{"POST /api/v1/monitor", "monitors_write", "monitor", s.createMonitor},
		{"GET /api/v1/monitor/{id}", "monitors_read", "monitor", s.getMonitor},
		{"PUT /api/v1/monitor/{id}", "monitors_write", "monitor", s.updateMonitor},
		{"POST " + hooks, "create_webhooks", "global_org", s.createWebhook},
		{"GET " + hooks + "/{name}", "integrations_read", "global_org", s.getWebhook},
		{"PUT " + hooks + "/{name}", "manage_integrations", "global_org", s.updateWebhook},
		{"POST " + variables, "manage_integrations", "global_org", s.createVariable},
		{"GET " + variables + "/{name}", "integrations_read", "global_org", s.getVariable},
		{"PUT " + variables + "/{name}", "manage_integrations", "global_org", s.updateVariable},
		{"GET " + rules, "monitors_read", "global_org", s.listRules},
		{"POST " + rules, "monitor_config_policy_write", "global_org", s.createRule},
		{"PATCH " + rules + "/{id}", "monitor_config_policy_write", "global_org", s.updateRule},
	} {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r.permission, r.limit, r.handle) })
	}
	s.Server = httptest.NewServer(mux)
	return s
}

// call is a request that may be answered.
type call struct {
	*http.Request
	body []byte
}

// reply is an answer; a string as the value is an error in Datadog's form.
type reply struct {
	status int
	value  any
}

func refuse(words string) reply { return reply{http.StatusBadRequest, words} }

// serve is what all calls have in common.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, permission, limit string, handle func(call) reply) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 5<<20))
	if err != nil {
		return // the client went away
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.URL.Query(), string(body)})
	if r.URL.Path == "/api/v1/query" {
		s.queries = append(s.queries, r.URL.Query().Get("query"))
	}
	fault := s.takeFault(r)
	s.mu.Unlock()
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			return
		}
	}
	if fault.breaks() && !fault.After {
		fault.answer(w, http.StatusOK, []byte(`{"status":"ok"}`))
		return
	}
	if r.URL.Path == "/api/v1/query" && s.opt.OnQuery != nil {
		s.opt.OnQuery()
	}
	answer := s.admit(w.Header(), r, permission, limit)
	if answer.status == 0 {
		if answer = s.typed(r, body); answer.status == 0 {
			answer = handle(call{r, body})
		}
	}
	if words, ok := answer.value.(string); ok {
		answer.value = map[string]any{"errors": []string{words}}
	}
	data, err := json.Marshal(answer.value)
	if err != nil {
		panic(err) // a bug of this package
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", s.opt.Now().UTC().Format(http.TimeFormat))
	if fault.breaks() {
		fault.answer(w, answer.status, data)
		return
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(data) // a client that went away is its business
}

// admit checks keys, permission and rate limit, in this order.
func (s *Server) admit(h http.Header, r *http.Request, permission, limit string) reply {
	if r.Header.Get("DD-API-KEY") != s.opt.APIKey {
		if r.URL.Path == "/api/v1/validate" {
			return reply{http.StatusForbidden, "API key required"}
		}
		return reply{http.StatusForbidden, "Forbidden"}
	}
	if permission != "" && r.Header.Get("DD-APPLICATION-KEY") != s.opt.AppKey {
		return reply{http.StatusForbidden, "Forbidden"}
	}
	if permission == "" && r.Header.Get("DD-APPLICATION-KEY") != "" && r.Method == http.MethodPost {
		// Datadog does not mind; a key that is not needed should not travel.
		return refuse("the application key is not needed here")
	}
	if permission != "" && s.opt.Permissions != nil && !slices.Contains(s.opt.Permissions, permission) {
		return reply{http.StatusForbidden, map[string]any{"errors": []string{"Forbidden", "Failed permission authorization checks"}}}
	}
	if limit != "" {
		return s.count(h, limit)
	}
	return reply{}
}

// typed checks that a body comes where one belongs, as JSON.
func (s *Server) typed(r *http.Request, body []byte) reply {
	if r.Method == http.MethodGet {
		if len(body) > 0 {
			return refuse("a body was sent where none belongs")
		}
		return reply{}
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return reply{http.StatusUnsupportedMediaType, "Content-Type must be application/json"}
	}
	if !json.Valid(body) {
		return refuse("Invalid JSON structure")
	}
	return reply{}
}

// decode reads a body into v, whose fields are all that may be there.
func decode(body []byte, v any) (words string) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return "Invalid request: " + err.Error()
	}
	return ""
}

func (s *Server) validate(call) reply { return reply{http.StatusOK, map[string]any{"valid": true}} }

// seconds reads a time in a query. Milliseconds are a common mistake.
func seconds(v url.Values, key string) (int64, bool) {
	n, err := strconv.ParseInt(v.Get(key), 10, 64)
	return n, err == nil && n > 0 && n < 1e11
}

// Requests lists the requests received, the refused ones too.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Calls lists the requests received as "METHOD /path".
func (s *Server) Calls() []string {
	var out []string
	for _, r := range s.Requests() {
		out = append(out, r.Method+" "+r.Path)
	}
	return out
}

// Writes lists the requests received that may change something.
func (s *Server) Writes() []Request {
	return slices.DeleteFunc(s.Requests(), func(r Request) bool { return r.Method == http.MethodGet })
}

// nextID is a new id. The caller holds s.mu.
func (s *Server) nextID() int64 {
	s.ids++
	return 4200 + s.ids
}
