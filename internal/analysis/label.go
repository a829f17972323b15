package analysis

import "slices"

// endpointLabels are the label keys that name an endpoint, best first: ours
// (pkg/pprofserve), OpenTelemetry's and dd-trace-go's, common homemade ones.
var endpointLabels = []string{"endpoint", "http.route", "http_route", "trace endpoint", "rpc.method", "grpc.method", "grpc_method", "span_name", "route", "handler", "resource", "operation"}

// namesEndpoint reports whether a label's key may name an endpoint. No other
// label is read: request and span ids would make a stack of every request.
func namesEndpoint(key string) bool { return slices.Contains(endpointLabels, key) }

// labelKey picks the key that names endpoints in these stacks: the first that
// is there and whose values are few enough to be routes. Paths with ids in
// them would make an endpoint of every request.
func (t *paths) labelKey(stacks []stack) string {
	const maxValues = 300
	type seen struct {
		values  map[string]bool
		samples int64
	}
	keys := map[string]*seen{}
	bySet := make([]int64, len(t.labels.sets))
	for i := range stacks {
		bySet[stacks[i].labels] += stacks[i].value
	}
	for id, set := range t.labels.sets {
		for key, v := range set {
			if bySet[id] == 0 || v == "" {
				continue
			}
			if keys[key] == nil {
				keys[key] = &seen{values: map[string]bool{}}
			}
			keys[key].values[v] = true
			keys[key].samples += bySet[id]
		}
	}
	for _, key := range endpointLabels {
		if k := keys[key]; k != nil && len(k.values) <= maxValues && int64(len(k.values)) <= max(20, k.samples/4) {
			return key
		}
	}
	return ""
}

// byLabel lets labels overrule frames: they were set by somebody who knew.
// They also teach: a function that is seen under one label only belongs to
// that endpoint, which places the stacks that have no labels (allocs), and one
// that is seen under several is middleware.
func (a *attribution) byLabel(cpu []stack, all [][]stack) {
	if a.labels == "" {
		return
	}
	votes := map[*fn]map[string]int64{}
	seen := map[*fn]bool{}
	for i := range cpu {
		s := &cpu[i]
		v := a.route(s)
		if v == "" {
			continue
		}
		clear(seen)
		for _, f := range a.frames(s) {
			if f.fn.origin != originApp || seen[f.fn] {
				continue
			}
			seen[f.fn] = true
			if votes[f.fn] == nil {
				votes[f.fn] = map[string]int64{}
			}
			votes[f.fn][v] += s.value
		}
	}
	owner := make(map[*fn]string, len(votes))
	for f, by := range votes {
		var sum int64
		for _, n := range by {
			sum += n
		}
		if name := top(by); by[name]*10 >= sum*9 {
			owner[f] = name
		}
	}
	for s := range each(all) {
		want := a.route(s)
		own, h := "", -1
		fs := a.frames(s)
		for i, f := range fs {
			if v := owner[f.fn]; v != "" && (want == "" || v == want) {
				own, h = v, i
				break
			}
		}
		switch {
		case want != "":
			if h < 0 {
				if h = int(s.handler); h >= len(fs) {
					h = firstApp(fs)
				}
			}
			a.put(s, "label "+want, want, "label:"+a.labels, int32(h), at(fs, h))
		case own != "" && a.served(s):
			a.put(s, "label "+own, own, "label:"+a.labels, int32(h), at(fs, h))
		case s.end != nil && int(s.handler) < len(fs):
			if f := fs[s.handler]; len(votes[f.fn]) > 1 && owner[f.fn] == "" {
				name := "(middleware) " + pretty(f.fn)
				a.put(s, name, name, "middleware", s.handler, f)
			}
		}
	}
}

// route is the route that a stack's label names; "" for none.
func (a *attribution) route(s *stack) string { return routeOf(a.t.labels.sets[s.labels][a.labels]) }
