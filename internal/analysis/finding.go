package analysis

import (
	"cmp"
	"fmt"
	"path"
	"slices"
)

// Finding is one thing that a rule found, of an endpoint or of the process.
type Finding struct {
	Rule     Rule     `json:"rule"`     // which rule found it
	Severity Severity `json:"severity"` // how much it matters
	// Endpoint is the name of the endpoint that it is about; "" is the process.
	Endpoint string `json:"endpoint,omitempty"`
	Title    string `json:"title"` // a few words: "compiles regular expressions in requests"
	Why      string `json:"why"`   // the rule with its numbers, one sentence
	Next     string `json:"next"`  // one next step, with the function and line
	// Impact is the part of the process's CPU that is at stake, 0 to 1; 0 when
	// the finding is not about CPU.
	Impact float64 `json:"impact,omitempty"`
	// Evidence are the places it rests on, the heaviest first.
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Severity orders findings.
type Severity string

// Severities, the most severe first.
const (
	SeverityHigh   Severity = "high"   // a mistake, or most of what the process does
	SeverityMedium Severity = "medium" // over the limit of its rule
	SeverityInfo   Severity = "info"   // said because nothing else can be: no rule fired
)

// Evidence is one place in the code that a finding rests on.
type Evidence struct {
	What string `json:"what"`           // what happens there: "allocates", "holds the lock"
	Func string `json:"func"`           // full name of the function
	File string `json:"file,omitempty"` // where it stands
	Line int64  `json:"line,omitempty"` // the line of it that was seen
	// Via is the library function that is reached from there, if it is not
	// the place itself.
	Via string `json:"via,omitempty"`
	// Share is of what the finding is about: of the endpoint's CPU samples, of
	// the bytes, of the time waited, of the goroutines. Where values are bytes
	// or time, Samples and Of are the events that the runtime sampled.
	Share Share `json:"share"`
	// Value is the amount in Unit ("bytes", "nanoseconds", "goroutines"); 0
	// where the share alone says it.
	Value int64  `json:"value,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

// Place is the evidence's place as people write it: "(*Repo).match (repo.go:12)".
func (e Evidence) Place() string { return placeName(e.Func, e.File, e.Line) }

// placeName writes a function with its line: "(*catalog).rooms (catalog.go:88)".
func placeName(name, file string, line int64) string {
	pkg, sym := splitName(name)
	out := pretty(&fn{name: name, pkg: pkg, sym: sym})
	if file == "" {
		return out
	}
	return fmt.Sprintf("%s (%s:%d)", out, path.Base(file), line)
}

// Rules of findings.
const (
	// RuleGC: allocation and the collector take much of the process's CPU.
	RuleGC Rule = "gc"
	// RuleRegexpCompile: an endpoint compiles regular expressions.
	RuleRegexpCompile Rule = "regexp-compile"
	// RuleRegexp: an endpoint spends much on matching regular expressions.
	RuleRegexp Rule = "regexp"
	// RuleReflect: an endpoint spends much on reflection outside codecs.
	RuleReflect Rule = "reflect"
	// RuleFormat: an endpoint spends much on package fmt outside loggers.
	RuleFormat Rule = "format"
	// RuleLogging: an endpoint spends much on its logger.
	RuleLogging Rule = "logging"
	// RuleCopy: an endpoint spends much on copying memory outside codecs.
	RuleCopy Rule = "copy"
	// RuleLock: goroutines wait long for locks.
	RuleLock Rule = "lock-contention"
	// RulePileUp: many goroutines wait at one place.
	RulePileUp Rule = "goroutine-pile-up"
	// RuleHeapGrowth: the live heap grows.
	RuleHeapGrowth Rule = "heap-growth"
	// RuleAllocation, RuleHeap, RuleGoroutines, RuleWaiting say what a profile
	// shows in which no rule fired, in a report without a CPU profile.
	RuleAllocation Rule = "allocation" // where memory is allocated
	RuleHeap       Rule = "live-heap"  // what lives in the heap
	RuleGoroutines Rule = "goroutines" // what the goroutines do
	RuleWaiting    Rule = "waiting"    // who is waited for, or waits
)

// severities ranks them.
var severities = []Severity{SeverityHigh, SeverityMedium, SeverityInfo}

// sortFindings puts the most severe first, then what is at stake, then names
// so that the order is always the same.
func sortFindings(fs []Finding) {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity)),
			cmp.Compare(b.Impact, a.Impact),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Endpoint, b.Endpoint),
		)
	})
}

// Problems are the findings that ask someone to change code.
func (r *Report) Problems() []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Severity != SeverityInfo {
			out = append(out, f)
		}
	}
	return out
}
