package incident

import (
	"fmt"
	"regexp"
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
//
// What a person ordered is about memory when it is of the heap, or of what is
// allocated, and not of the CPU.
func MeasureOf(a Alert) Measure {
	if o := a.Order; o != nil && len(o.Kinds) > 0 {
		if !o.Asks(KindCPU) && (o.Asks(KindHeap) || o.Asks(KindAllocsAfter)) {
			return MeasureMemory
		}
		return MeasureCPU
	}
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
