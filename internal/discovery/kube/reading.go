package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/profbot/profbot/internal/incident"
)

// rules are what an operator decides about reading pods.
type rules struct {
	everyone   bool   // no opt-in needed
	port       int    // of pods that do not say theirs
	serviceTag string // label that names a service
}

// reading is what a pod says of itself.
type reading struct {
	service, env, version string

	found   string // how it is a target, in a few words; "" when it is none
	scheme  string // "" when it says none
	port    int
	path    string // without trailing slash; "" when it says none
	refuses []incident.Kind
	remarks []string // what it says that cannot be meant
}

// source is one way in which a pod says that it serves pprof, and where.
type source struct {
	enable   string // annotation: "true" opts in, anything else out
	port     string // annotation: a number or the name of a container's port
	portName string // annotation: such a name, going before port
	scheme   string // annotation: http or https
	path     string // annotation: the path of the index, or with profile of that one profile
	profile  string // what ends path then
	// anyPort: without a port the tool asks every port that is declared.
	anyPort bool
	// kinds are all that the source speaks of; nil means the whole pod.
	kinds []incident.Kind
	words string // how the target is known; "" means by annotation enable
	env   string // the port itself, from a container's environment
}

const own = "profbot.io/"

// allocKinds go together: to a tool all of them are "memory".
var allocKinds = []incident.Kind{incident.KindAllocsBefore, incident.KindAllocsAfter, incident.KindHeap}

var profbot = source{enable: own + "scrape"} // its other keys count for every source

// sources are other tools' annotations, as their documentation and Helm charts
// have them. The first that opts in and can be understood says where. Not among
// them is prometheus.io/scrape: it is about /metrics, which says nothing of
// pprof; its port is a hint all the same, see guessPort.
var sources = []source{
	alloy("cpu", "profile", incident.KindCPU),
	alloy("memory", "heap", allocKinds...),
	alloy("goroutine", "goroutine", incident.KindGoroutine),
	alloy("mutex", "mutex", incident.KindMutex),
	alloy("block", "block", incident.KindBlock),
	{enable: "pyroscope.io/scrape", port: "pyroscope.io/port", scheme: "pyroscope.io/scheme", path: "pyroscope.io/profile-cpu-path", profile: "profile", anyPort: true},
	{enable: "coroot.com/profile-scrape", port: "coroot.com/profile-port"},
	{enable: "profefe.com/enable", port: "profefe.com/port", path: "profefe.com/path"},
}

// alloy is one kind of profile in the annotations of Grafana's Alloy: each kind
// has all keys of its own, and path is the whole path of that profile.
func alloy(kind, profile string, kinds ...incident.Kind) source {
	p := "profiles.grafana.com/" + kind + "."
	return source{
		enable: p + "scrape", port: p + "port", portName: p + "port_name", scheme: p + "scheme",
		path: p + "path", profile: profile, anyPort: true, kinds: kinds,
	}
}

// switches are Pyroscope's annotations for single profiles: "false" refuses
// them, "true" says nothing new.
var switches = []source{
	{enable: "pyroscope.io/profile-cpu-enabled", kinds: []incident.Kind{incident.KindCPU}},
	{enable: "pyroscope.io/profile-mem-enabled", kinds: allocKinds},
	{enable: "pyroscope.io/profile-goroutine-enabled", kinds: []incident.Kind{incident.KindGoroutine}},
	{enable: "pyroscope.io/profile-mutex-enabled", kinds: []incident.Kind{incident.KindMutex}},
	{enable: "pyroscope.io/profile-block-enabled", kinds: []incident.Kind{incident.KindBlock}},
}

// ilogtail is the variable by which a container tells iLogtail its pprof port:
// only containers that have it are profiled there, so it opts in.
const ilogtail = "ILOGTAIL_PROFILE_PORT"

// read understands a pod.
//
// An owner's "false" always wins, of profbot's own annotation over those of
// other tools, which speak of themselves. What cannot be understood is never
// guessed at: it makes no target, and a remark.
func read(p *corev1.Pod, rules rules) reading {
	var r reading
	r.decide(p, rules)
	r.identify(p, rules.serviceTag)
	if r.service == "" && r.found != "" {
		r.found = ""
		r.remark("nothing names its service: set the label tags.datadoghq.com/service")
	}
	slices.Sort(r.refuses)
	r.refuses = slices.Compact(r.refuses)
	return r
}

// decide finds whether and where the pod serves pprof.
func (r *reading) decide(p *corev1.Pod, rules rules) {
	var offers []source
	out := false
	for _, s := range slices.Concat(sources, switches) {
		switch r.flag(p, s.enable) {
		case saysYes:
			if s.port != "" {
				offers = append(offers, s)
			}
		case saysNo:
			r.refuses = append(r.refuses, s.kinds...)
			out = out || s.kinds == nil
		}
	}
	mine := r.flag(p, profbot.enable)
	if !r.ownKinds(p) || mine == saysNo || mine == saysNothing && out {
		return
	}
	if port := environment(p, ilogtail); port != "" {
		offers = append(offers, source{env: port, words: "variable " + ilogtail})
	}
	switch {
	case mine == saysYes:
		offers = []source{profbot}
	case len(offers) == 0 && rules.everyone:
		offers = []source{{words: "no opt-in is asked for"}}
	}
	for _, s := range offers {
		if r.locate(p, s, rules) {
			r.found = cmp.Or(s.words, "annotation "+s.enable)
			return
		}
	}
}

// flag values.
const (
	saysNothing = iota
	saysYes
	saysNo
)

func (r *reading) flag(p *corev1.Pod, key string) int {
	value, there := p.Annotations[key]
	switch {
	case !there:
		return saysNothing
	case strings.EqualFold(strings.TrimSpace(value), "true"):
		return saysYes
	case !strings.EqualFold(strings.TrimSpace(value), "false"):
		r.remark("annotation %s is %s, neither true nor false: taken as false", key, word(value))
	}
	return saysNo
}

// ownKinds reads which profiles may be pulled. It is false when that cannot be
// understood.
func (r *reading) ownKinds(p *corev1.Pod) bool {
	key := own + "kinds"
	list, there := p.Annotations[key]
	if !there {
		return true
	}
	kinds := map[string][]incident.Kind{
		"cpu": {incident.KindCPU}, "allocs": {incident.KindAllocsBefore, incident.KindAllocsAfter}, "heap": {incident.KindHeap},
		"goroutine": {incident.KindGoroutine}, "mutex": {incident.KindMutex}, "block": {incident.KindBlock},
	}
	r.refuses = nil // what other tools may not pull is another matter
	for name := range strings.FieldsFuncSeq(list, func(c rune) bool { return c == ',' || c == ' ' }) {
		if kinds[name] == nil {
			r.remark("annotation %s has %s, which is none of cpu, allocs, heap, goroutine, mutex and block", key, word(name))
			return false
		}
		kinds[name] = []incident.Kind{}
	}
	for _, refused := range kinds {
		r.refuses = append(r.refuses, refused...)
	}
	return true
}

func (r *reading) remark(format string, args ...any) {
	r.remarks = append(r.remarks, fmt.Sprintf(format, args...))
}

// word is a value as a remark quotes it.
func word(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return strconv.Quote(s)
}
