package main

import (
	"math"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/analysis"
)

func sh(part, low, high float64) analysis.Share {
	return analysis.Share{Part: part, Low: low, High: high, Samples: int64(part * 1000), Of: 1000}
}

func TestConditions(t *testing.T) {
	r := &analysis.Report{
		Samples: 2000, GC: sh(0.30, 0.28, 0.32),
		Endpoints: []analysis.Endpoint{
			{
				Name: "GET /live: all=1", Share: analysis.Share{Part: 0.5, Low: 0.48, High: 0.52, Samples: 1000, Of: 2000}, Decode: sh(0.40, 0.37, 0.43), Encode: sh(0.01, 0, 0.02),
				Verdict: analysis.Verdict{Rule: analysis.RuleCacheDecode, Flagged: true, Title: "decodes cached bytes"},
			},
			{Name: "tiny", Share: analysis.Share{Part: 0.01, Low: 0.006, High: 0.016, Samples: 20, Of: 2000}, Decode: sh(0.90, 0.8, 0.95)},
		},
		Findings: []analysis.Finding{
			{Rule: analysis.RuleGC, Severity: analysis.SeverityMedium, Title: "busy with garbage"},
			{Rule: analysis.RuleLock, Severity: analysis.SeverityInfo, Title: "only said"},
		},
		Diff: &analysis.Diff{Endpoints: []analysis.Delta{
			{Name: "GET /live: all=1", Point: 0.12, Change: analysis.Range{Low: 0.08, High: 0.16}, Trend: analysis.TrendGrew},
			{Name: "noise", Point: 0.30, Change: analysis.Range{Low: 0.25, High: 0.35}, Trend: analysis.TrendSame},
			{Name: "better", Point: -0.30, Change: analysis.Range{Low: -0.35, High: -0.25}, Trend: analysis.TrendShrank},
		}},
	}
	th := analysis.Thresholds{}.WithDefaults()
	for _, tc := range []struct {
		text   string
		broken string // part of the reason; "" holds
	}{
		{"decode=60%", "the process: decode 65 %"}, // 400 and 900 of 2000 samples
		{"decode=64%", ""},                         // the share is above, its lower end is not
		{"GET /live: all=1:decode=37%", "GET /live: all=1: decode 40 %"},
		{"GET /live: all=1:decode=38%", ""}, // the share is above, its lower end is not
		{"*:decode=37%", "GET /live: all=1"},
		{"*:decode=50%", ""}, // tiny is not judged
		{"tiny:decode=50%", "tiny: decode"},
		{"GET /live: all=1:encode=1%", ""},
		{"GET /live: all=1:cpu=48%", "cpu 50 %"},
		{"gc=28%", "the process: gc 30 %"},
		{"gc=29%", ""},
		{"verdict=cache-decode", "decodes cached bytes"},
		{"verdict=gc", "busy with garbage"},
		{"verdict=lock-contention", ""}, // said, and no problem
		{"verdict=regexp", ""},
		{"tiny:verdict=cache-decode", ""},
		{"GET /live: all=1:verdict=cache-decode", "decodes cached bytes"},
		{"grew=8%", "grew by 12.0 points"},
		{"grew=9%", ""},
		{"better:grew=1%", ""},
	} {
		var c condition
		if err := c.UnmarshalText([]byte(tc.text)); err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		why, _ := c.broken(r, th)
		if why == "" != (tc.broken == "") || !strings.Contains(why, tc.broken) {
			t.Errorf("%s: %q, want %q", tc.text, why, tc.broken)
		}
	}
	var c condition
	if err := c.UnmarshalText([]byte("GET /gone:decode=1%")); err != nil {
		t.Fatal(err)
	}
	if why, unseen := c.broken(r, th); why != "" || !unseen {
		t.Errorf("an endpoint that is not there: %q, %t", why, unseen)
	}
}

func TestConditionsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "want a condition",
		"decode":              "want a condition",
		"decode=30":           "want a share",
		"decode=0%":           "want a share",
		"decode=NaN%":         "want a share",
		"decode=101%":         "want a share",
		"decode=x%":           "want a share",
		"speed=30%":           `"speed" is not known`,
		"verdict=slow":        "no rule is called that",
		":decode=30%":         "no endpoint before the colon",
		"GET /x:gc=30%":       "gc is of the process",
		"cpu=30%":             "name an endpoint",
		"GET /x:decode =30 %": "",
	} {
		var c condition
		err := c.UnmarshalText([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]rate{
		"GET /x=1200/s":    {"GET /x", 1200},
		"GET /x?a=b=60/m":  {"GET /x?a=b", 1},
		"rpc = 3600/h":     {"rpc", 1},
		"f (main.go:3)=.5": {"f (main.go:3)", 0.5},
	} {
		var r rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "=1", "x=", "x=0", "x=-1/s", "x=1/y", "x=Inf", "x=NaN/s", "x=1e300"} {
		var r rate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s was taken for %+v", text, r)
		}
	}
	if _, err := rateMap([]rate{{"x", 1}, {"x", 2}}); err == nil {
		t.Error("a rate that is given twice was taken")
	}
	for text, want := range map[string]keys{"50": {"*", 50}, "GET /x=3": {"GET /x", 3}} {
		var k keys
		if err := k.UnmarshalText([]byte(text)); err != nil || k != want {
			t.Errorf("%s: %+v, %v", text, k, err)
		}
	}
}

// FuzzCondition: what is taken for a condition is one, and reads again as the
// same.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{"decode=30%", "GET /x:y:decode=1e-3%", "verdict=gc", "*:grew=5 %", "a=b:c=d%", "=%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var c, again condition
		if c.UnmarshalText([]byte(s)) != nil {
			return
		}
		if c.metric != "verdict" && !(c.limit > 0 && c.limit <= 1) {
			t.Errorf("%q: limit %v", s, c.limit)
		}
		if err := again.UnmarshalText([]byte(c.text)); err != nil || again != c {
			t.Errorf("%q: %+v, then %+v, %v", s, c, again, err)
		}
		c.broken(&analysis.Report{Diff: &analysis.Diff{}}, analysis.Thresholds{})
	})
}

// FuzzRate: what is taken for a rate is a number that can be divided by.
func FuzzRate(f *testing.F) {
	for _, s := range []string{"GET /x=1200/s", "x=0x1p-2/m", "=1", "x=1//s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r rate
		if r.UnmarshalText([]byte(s)) == nil && (!(r.perSecond > 0) || math.IsInf(r.perSecond, 0) || r.endpoint == "") {
			t.Errorf("%q: %+v", s, r)
		}
		var k keys
		if k.UnmarshalText([]byte(s)) == nil && (k.n < 1 || k.endpoint == "") {
			t.Errorf("%q: %+v", s, k)
		}
	})
}
