package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/profbot/profbot/internal/analysis"
)

// condition is one --fail-on: what a build must not reach. Numbers are held
// against the lower end of the 95 % interval, so that noise fails no build.
//
//	decode=30%                   of the process's CPU
//	GET /live/list:decode=30%    of that endpoint's CPU
//	*:decode=30%                 of any endpoint's that is judged at all
//	verdict=cache-decode         a verdict or finding of that rule, anywhere
//	GET /live/list:verdict=gc    the same of that endpoint
//	grew=5%                      of any endpoint, in points of the process's CPU, against --base
type condition struct {
	text     string
	endpoint string // "" is the process, "*" any endpoint
	metric   string
	limit    float64 // a share; unless metric is verdict
	rule     analysis.Rule
}

// metrics are the shares that can be held against a limit.
var metrics = map[string]func(analysis.Endpoint) analysis.Share{
	"decode":   func(e analysis.Endpoint) analysis.Share { return e.Decode },
	"encode":   func(e analysis.Endpoint) analysis.Share { return e.Encode },
	"compress": func(e analysis.Endpoint) analysis.Share { return e.Compress },
	"io":       func(e analysis.Endpoint) analysis.Share { return e.IO },
	"alloc":    func(e analysis.Endpoint) analysis.Share { return e.Alloc },
	"cpu":      func(e analysis.Endpoint) analysis.Share { return e.Share },
}

// rules are what verdict= may name.
var rules = []analysis.Rule{
	analysis.RuleCacheDecode, analysis.RuleDecode, analysis.RuleEncode, analysis.RuleCompress, analysis.RuleFewSamples,
	analysis.RuleGC, analysis.RuleRegexpCompile, analysis.RuleRegexp, analysis.RuleReflect, analysis.RuleFormat, analysis.RuleLogging,
	analysis.RuleCopy, analysis.RuleLock, analysis.RulePileUp, analysis.RuleHeapGrowth,
}

// UnmarshalText reads a condition as it is written after --fail-on.
func (c *condition) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	// An endpoint's name may hold both signs: "ginR.func3 (frameworks.go:73)".
	left, value, ok := cutLast(s, "=")
	if !ok {
		return fmt.Errorf("%q: want a condition such as decode=30%%, verdict=cache-decode or 'GET /live/list:decode=30%%'", s)
	}
	*c = condition{text: s, metric: strings.TrimSpace(left)}
	if endpoint, metric, ok := cutLast(left, ":"); ok {
		c.endpoint, c.metric = strings.TrimSpace(endpoint), strings.TrimSpace(metric)
		if c.endpoint == "" {
			return fmt.Errorf("%q: there is no endpoint before the colon", s)
		}
	}
	value = strings.TrimSpace(value)
	switch _, known := metrics[c.metric]; {
	case c.metric == "verdict":
		c.rule = analysis.Rule(value)
		if !slices.Contains(rules, c.rule) {
			return fmt.Errorf("%q: no rule is called that; known are %s", s, join(rules))
		}
		return nil
	case c.metric == "cpu" && c.endpoint == "":
		return fmt.Errorf("%q: all of the process's CPU is its CPU: name an endpoint, or *", s)
	case c.metric == "gc" && c.endpoint != "":
		return fmt.Errorf("%q: gc is of the process: leave the endpoint out, or take alloc", s)
	case !known && c.metric != "grew" && c.metric != "gc":
		return fmt.Errorf("%q: %q is not known; known are alloc, compress, cpu, decode, encode, gc, grew, io and verdict", s, c.metric)
	}
	percent, ok := strings.CutSuffix(value, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
	if err != nil || !ok || !(f > 0 && f <= 100) {
		return fmt.Errorf("%q: want a share above 0%% and up to 100%%, such as 30%%", s)
	}
	c.limit = f / 100
	return nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func join[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = string(x)
	}
	return strings.Join(out, ", ")
}

// errNoBase says that a condition compares and there is nothing to compare with.
var errNoBase = errors.New("grew compares: give what to compare with as --base")

// broken says how a report breaks the condition; "" when it does not. unseen
// reports that the endpoint it names is not in the report.
func (c condition) broken(r *analysis.Report, th analysis.Thresholds) (why string, unseen bool) {
	var of []analysis.Endpoint
	for _, e := range r.Endpoints {
		if e.Name == c.endpoint || c.endpoint == "*" && e.Share.Part >= th.MinShare && e.Share.Samples >= th.MinSamples {
			of = append(of, e)
		}
	}
	scoped := c.endpoint != "" && c.endpoint != "*"
	unseen = scoped && len(of) == 0
	switch {
	case c.metric == "verdict":
		return c.verdict(r), unseen
	case c.metric == "grew":
		return c.grew(r.Diff), unseen
	case c.metric == "gc":
		return c.over("the process", r.GC), false
	case c.endpoint == "":
		return c.over("the process", r.Total(metrics[c.metric])), false
	}
	for _, e := range of {
		if why := c.over(e.Name, metrics[c.metric](e)); why != "" {
			return why, false
		}
	}
	return "", unseen
}

func (c condition) over(what string, s analysis.Share) string {
	if s.Of == 0 || s.Low < c.limit {
		return ""
	}
	return fmt.Sprintf("%s: %s %s, n=%d", what, c.metric, s, s.Of)
}

func (c condition) verdict(r *analysis.Report) string {
	for _, e := range r.Endpoints {
		if e.Verdict.Rule == c.rule && (c.endpoint == "" || c.endpoint == "*" || c.endpoint == e.Name) {
			return e.Name + " " + e.Verdict.Title
		}
	}
	for _, f := range r.Problems() {
		if f.Rule == c.rule && (c.endpoint == "" || c.endpoint == f.Endpoint || c.endpoint == "*" && f.Endpoint != "") {
			return strings.TrimSpace(f.Endpoint + " " + f.Title)
		}
	}
	return ""
}

func (c condition) grew(d *analysis.Diff) string {
	for _, x := range d.Endpoints {
		if (c.endpoint == "" || c.endpoint == "*" || c.endpoint == x.Name) && x.Point > 0 && x.Significant() && x.Change.Low >= c.limit {
			return fmt.Sprintf("%s grew by %.1f points (%.1f to %.1f)", x.Name, 100*x.Point, 100*x.Change.Low, 100*x.Change.High)
		}
	}
	return ""
}
