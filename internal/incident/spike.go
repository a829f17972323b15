package incident

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// passedBelow is the part of its load when it was chosen, or of the alert's
// value, below which a pod is said to have calmed down. The metric is a mean
// over minutes and the profile one over seconds, and traffic wavers by tenths:
// a half is neither.
const passedBelow = 0.5

// minSpike is the load in cores below which there was no spike to pass.
const minSpike = 0.05

// SpikePassed ends the sentences of [SpikesPassed].
const SpikePassed = "the spike had already passed"

// Seen is what the CPU profile of a hot pod saw.
type Seen struct {
	Pod     string  // see [Capture.Pod]
	Cores   float64 // that its samples stand for
	Samples int64
}

// SpikesPassed says in one sentence each which pods used clearly less CPU
// while they were profiled than the alert says, or than when they were chosen.
// The alert's value counts where its unit is known and it is of the pod alone;
// where it is the mean of the service's pods it is held against the mean of
// those profiled, which were the hottest. A fix is profiled when it is calm, so
// nothing is said of a verification.
func SpikesPassed(inc Incident, captures []Capture, seen []Seen) []string {
	if inc.Alert.Verifies != "" {
		return nil
	}
	alert := alertCPU(inc)
	var out []string
	var all Seen
	window := 0.0
	for _, s := range seen {
		i := slices.IndexFunc(captures, func(c Capture) bool { return c.Pod == s.Pod && c.Kind == KindCPU })
		if i < 0 {
			continue
		}
		c := captures[i]
		all.Cores += s.Cores
		all.Samples += s.Samples
		window += c.Window.Seconds()
		mine := inc.Alert.Pod != "" && c.Is(Target{Namespace: inc.Alert.Namespace, Pod: inc.Alert.Pod})
		switch {
		case alert.by == ofPod && mine && s.below(alert.cores, c.Window.Seconds()):
			out = append(out, fmt.Sprintf("%s used %s while it was profiled, %s by the alert: %s", s.Pod, MeasureCPU.Text(s.Cores), alert, SpikePassed))
		case s.below(c.Load.Cores, c.Window.Seconds()):
			out = append(out, fmt.Sprintf("%s used %s while it was profiled, %s when it was chosen: %s", s.Pod, MeasureCPU.Text(s.Cores), MeasureCPU.Text(c.Load.Cores), SpikePassed))
		}
	}
	if n := float64(len(seen)); len(out) == 0 && alert.by == ofAll && window > 0 {
		all.Cores /= n
		if all.below(alert.cores, window) {
			out = append(out, fmt.Sprintf("the hot pods used %s each on average while they were profiled, %s by the alert: %s", MeasureCPU.Text(all.Cores), alert, SpikePassed))
		}
	}
	return out
}

// below tells whether s is clearly below a load of so many cores, by the upper
// end of what so few samples allow, at 95 %: a short profile says nothing that
// it cannot know. window is in seconds.
func (s Seen) below(cores, window float64) bool {
	high := 0.0
	if n := float64(s.Samples); n > 0 {
		high = s.Cores * (n + 2*math.Sqrt(n) + 2) / n
	} else if window > 0 {
		high = 0.03 / window // three samples of 10 ms: what may be missed
	}
	return cores >= minSpike && high < passedBelow*cores
}

// cpuValue is an amount of CPU as an alert tells it.
type cpuValue struct {
	cores float64
	over  bool // it was more than that: the alert tells the threshold alone
	by    grouping
}

// String is "2.50 cores", or "over 2.50 cores".
func (v cpuValue) String() string {
	if v.over {
		return "over " + MeasureCPU.Text(v.cores)
	}
	return MeasureCPU.Text(v.cores)
}

// grouping is what an alert's value is about.
type grouping int

const (
	ofNothing grouping = iota // nothing that a pod's CPU can be held against
	ofPod                     // the pod that the alert names
	ofAll                     // the mean of the service's pods
)

const number = `([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)`

var (
	// unit is what may stand behind a number. Datadog writes "1.72 cores".
	unit = `(?:\s*((?:nano|micro|milli|n|u|m)?cores?)\b)?`
	// How monitors say their value: "(2.5)" at the end of "was > 1.5 on average
	// during the last 5m (2.5)", and "1.72 cores > 1.5". The first that fits
	// counts. One without a value tells its threshold: "was > 1.5".
	valueLast      = regexp.MustCompile(`(?i)>=?\s*` + number + unit + `.*\(` + number + unit + `\)\s*$`)
	valueFirst     = regexp.MustCompile(`(?i)(?:^|[\s(])` + number + unit + `\s*>=?\s*` + number)
	valueThreshold = regexp.MustCompile(`(?i)>=?\s*` + number + unit)

	// plainQuery is a query of one metric, without a formula: "avg(last_5m):
	// avg:container.cpu.usage{service:a} by {pod_name} > 1500000000".
	plainQuery = regexp.MustCompile(`^\s*(?:avg|max|min)\(last_\w+\):\s*(avg|max|min|sum):([A-Za-z][\w.]*)\{[^{}]*\}(?:\s*by\s*\{([^{}]*)\})?\s*>`)
)

// nanocores are the metrics of CPU whose values Datadog's agent reports in
// nanocores.
var nanocores = []string{"container.cpu.usage", "kubernetes.cpu.usage.total"}

// servicewide are the groups within which the pods of a service are all there is.
var servicewide = []string{"service", "env", "kube_namespace", "kube_deployment", "kube_cluster_name"}

// alertCPU reads the CPU that an alert tells, where its unit is known: it says
// so, or the monitor asks for a metric whose unit is known and does not reckon
// with it. A percentage of a limit is of no use without the limit.
func alertCPU(inc Incident) cpuValue {
	a, query := inc.Alert, inc.Alert.Query
	if inc.Monitor != nil && inc.Monitor.Query != "" {
		query = inc.Monitor.Query
	}
	var v cpuValue
	plain := plainQuery.FindStringSubmatch(query)
	switch {
	case plain == nil && query != "":
		return v // a formula, a change, an anomaly: its value may be anything
	case a.Pod != "" && (plain == nil || plain[1] != "sum"): // a sum has sidecars in it
		v.by = ofPod
	case a.Pod == "" && plain != nil && plain[1] == "avg" && within(plain[3], servicewide):
		v.by = ofAll
	default:
		return v
	}
	bare := 0.0 // cores in a number without a unit
	if plain != nil && slices.Contains(nanocores, plain[2]) {
		bare = 1e-9
	}
	if m := valueLast.FindStringSubmatch(a.Status); m != nil {
		v.cores = cores(m[3], m[4], bare)
	} else if m := valueFirst.FindStringSubmatch(a.Status); m != nil {
		v.cores = cores(m[1], m[2], bare)
	} else if m := valueThreshold.FindStringSubmatch(a.Status); m != nil {
		v.cores, v.over = cores(m[1], m[2], bare), true
	}
	return v
}

// within tells whether all of a list of tags' names are among some.
func within(list string, some []string) bool {
	for _, name := range strings.Split(list, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(some, name) {
			return false
		}
	}
	return true
}

// cores reads an amount; 0 when its unit is not known.
func cores(value, unit string, bare float64) float64 {
	switch unit = strings.TrimSuffix(strings.ToLower(unit), "s"); unit {
	case "core":
		bare = 1
	case "millicore", "mcore":
		bare = 1e-3
	case "microcore", "ucore":
		bare = 1e-6
	case "nanocore", "ncore":
		bare = 1e-9
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0
	}
	return n * bare
}
