package incident

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// memoryNames are the names under which monitors look at memory: metrics of
// containers, processes and of Go's runtime (container.memory.usage,
// kubernetes.memory.rss, system.mem.used, runtime.go.mem_stats.heap_alloc,
// container_memory_working_set_bytes), and what people call it in titles. A
// word of three letters must stand alone: "rss" is no part of "across".
var memoryNames = regexp.MustCompile(`(?i)memory|heap|working[_. -]?set|oom[_. -]?kill|(^|[^a-z])(mem|mem_stats|memstats|rss|oom|oomkilled)([^a-z]|$)`)

// cpuNames are the same for CPU.
var cpuNames = regexp.MustCompile(`(?i)(^|[^a-z])(cpu|cores)([^a-z]|$)|throttl`)

// scopes are the parts of a query between braces: names of services and tags,
// which say nothing about what is measured.
var scopes = regexp.MustCompile(`\{[^}]*\}`)

// MeasureOf says which measure an alert is about, by the first of its metric,
// its query and its title that names one. It is [MeasureCPU] when none does,
// or when one names both: garbage shows in a CPU profile too.
func MeasureOf(a Alert) Measure {
	for _, text := range []string{a.Metric, scopes.ReplaceAllString(a.Query, ""), a.Title} {
		switch {
		case cpuNames.MatchString(text):
			return MeasureCPU
		case memoryNames.MatchString(text):
			return MeasureMemory
		}
	}
	return MeasureCPU
}

// Of is the load in the unit of a measure: cores or bytes.
func (l PodLoad) Of(m Measure) float64 {
	if m == MeasureMemory {
		return l.Bytes
	}
	return l.Cores
}

// Text writes an amount of the measure with its unit: "2.90 cores", "1.2 GiB".
func (m Measure) Text(v float64) string {
	if m != MeasureMemory {
		return fmt.Sprintf("%.2f cores", v)
	}
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if v >= unit.size {
			return fmt.Sprintf("%.1f %s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

// name is what the measure is called where no metric's name is known.
func (m Measure) name() string {
	if m == MeasureMemory {
		return "memory"
	}
	return "CPU"
}

// passedBelow is the part of its load when it was chosen below which a pod is
// said to have calmed down. The metric is a mean over minutes and the profile
// one over seconds, and traffic wavers by tenths: a half is neither.
const passedBelow = 0.5

// minSpike is the load in cores below which there was no spike to pass.
const minSpike = 0.05

// alertCores finds an amount of cores in a monitor's words: "1.72 cores > 1.5".
var alertCores = regexp.MustCompile(`(\d+(?:\.\d+)?) cores`)

// SpikePassed says in one sentence that a pod used clearly less CPU while it
// was profiled than when it was chosen; "" when it did not. c is its CPU
// profile, seen the cores that its samples stand for. Where no metric told the
// load, the alert's value counts, if it is in cores and of this pod alone.
func SpikePassed(a Alert, c Capture, seen float64, samples int64) string {
	was, when := c.Load.Cores, "when it was chosen"
	if was == 0 && a.Pod == c.Pod {
		if m := alertCores.FindStringSubmatch(a.Status); m != nil {
			was, _ = strconv.ParseFloat(m[1], 64)
			when = "by the alert"
		}
	}
	// The upper end of what so few samples allow, at 95 %: a short profile says
	// nothing that it cannot know.
	high := 0.0
	if n := float64(samples); n > 0 {
		high = seen * (n + 2*math.Sqrt(n) + 2) / n
	} else if c.Window > 0 {
		high = 0.03 / c.Window.Seconds() // three samples of 10 ms: what may be missed
	}
	if was < minSpike || high >= passedBelow*was {
		return ""
	}
	return fmt.Sprintf("%s used %s while it was profiled, %s %s: the spike had already passed", c.Pod, MeasureCPU.Text(seen), MeasureCPU.Text(was), when)
}
