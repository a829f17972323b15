package analysis

import "testing"

// decoding makes a report of one endpoint that decodes k of its n samples, out
// of all.
func decoding(name string, k, n, all int64, rule Rule) *Report {
	return &Report{Samples: all, Endpoints: []Endpoint{{
		Name: name, Share: share(n, all), Decode: share(k, n), Encode: share(n-k, n), Verdict: Verdict{Rule: rule, Flagged: rule == RuleCacheDecode || rule == RuleEncode},
	}}}
}

func TestCompare(t *testing.T) {
	before := decoding("GET /list", 180, 200, 600, RuleCacheDecode)
	for _, tc := range []struct {
		name   string
		before *Report
		after  *Report
		want   Outcome
		line   string
	}{
		{"gone", before, decoding("GET /list", 2, 80, 300, RuleNone), OutcomeFixed, "GET /list 90 % → 2.5 %"},
		{"hardly any CPU left", before, decoding("GET /list", 1, 7, 300, RuleNone), OutcomeFixed, "GET /list 90 % → 14 %"},
		{"less, and perhaps still too much", before, decoding("GET /list", 12, 60, 300, RuleNone), OutcomeBetter, "GET /list 90 % → 20 % (better, and not gone)"},
		{"as before", before, decoding("GET /list", 88, 100, 300, RuleCacheDecode), OutcomeSame, "GET /list 90 % → 88 % (no significant change)"},
		{"more", decoding("GET /list", 120, 200, 600, RuleCacheDecode), decoding("GET /list", 180, 200, 600, RuleCacheDecode), OutcomeWorse, "GET /list 60 % → 90 % (worse)"},
		{"hardly any samples at all", before, decoding("GET /list", 2, 3, 5, RuleNone), OutcomeFew, "GET /list 90 % → too few samples to say"},
		{"no traffic", before, &Report{Samples: 300}, OutcomeUnseen, "GET /list 90 % → not seen"},
		{"another name", before, decoding("GET /other", 2, 80, 300, RuleNone), OutcomeUnseen, "GET /list 90 % → not seen"},
		{"encoding is what was flagged", decoding("GET /list", 20, 200, 600, RuleEncode), decoding("GET /list", 190, 200, 600, RuleNone), OutcomeFixed, "GET /list 90 % → 5.0 %"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Compare(tc.before, tc.after, Thresholds{})
			if len(c.Endpoints) != 1 || c.Endpoints[0].Outcome != tc.want {
				t.Fatalf("%+v, want %q", c.Endpoints, tc.want)
			}
			if got := c.Headline(); got != tc.line {
				t.Errorf("headline %q, want %q", got, tc.line)
			}
			if c.Proven() != (tc.want == OutcomeFixed) {
				t.Errorf("proven = %v", c.Proven())
			}
		})
	}
}

func TestCompareNothing(t *testing.T) {
	c := Compare(decoding("GET /list", 1, 200, 600, RuleNone), decoding("GET /list", 1, 200, 600, RuleNone), Thresholds{})
	if c.Proven() || c.Headline() != "there is nothing to compare with any more" || c.Gain() != 0 {
		t.Errorf("%+v: %q", c, c.Headline())
	}
	c = Compare(decoding("a", 180, 200, 600, RuleCacheDecode), decoding("a", 2, 80, 300, RuleNone), Thresholds{})
	c.Before, c.After = 400, 1000
	if got, want := c.Headline(), "a 90 % → 2.5 %; 2.5 times the requests per CPU-second"; got != want {
		t.Errorf("headline %q, want %q", got, want)
	}
}

// The z statistic against values worked out by hand.
func TestTwoProportions(t *testing.T) {
	for _, tc := range []struct {
		a, b Share
		want float64
	}{
		{share(45, 100), share(30, 100), 2.1909},
		{share(30, 100), share(45, 100), -2.1909},
		{share(0, 50), share(0, 50), 0},
		{share(0, 0), share(5, 50), 0},
	} {
		if got := twoProportions(tc.a, tc.b); got < tc.want-1e-3 || got > tc.want+1e-3 {
			t.Errorf("%v against %v: %.4f, want %.4f", tc.a, tc.b, got, tc.want)
		}
	}
}

// TestCompareCompression: the work that was flagged is what is compared, and a
// function literal is found again under its new number.
func TestCompareCompression(t *testing.T) {
	report := func(name, handler string, k int64, rule Rule) *Report {
		return &Report{Samples: 600, Endpoints: []Endpoint{{
			Name: name, Handler: handler, How: "stack", Share: share(200, 600), Decode: share(150, 200), Compress: share(k, 200),
			Verdict: Verdict{Rule: rule, Flagged: rule == RuleCompress},
		}}}
	}
	before := report("routes.func1 (main.go:9)", "main.routes.func1", 120, RuleCompress)
	c := Compare(before, report("routes.func4 (main.go:12)", "main.routes.func4", 4, RuleDecode), Thresholds{})
	if len(c.Endpoints) != 1 || c.Endpoints[0].Outcome != OutcomeFixed || c.Endpoints[0].After.Samples != 4 {
		t.Errorf("%+v", c.Endpoints)
	}
	// What is below one limit is not below the other.
	after := report("routes.func1 (main.go:9)", "main.routes.func1", 30, RuleNone)
	if c := Compare(before, after, Thresholds{Compress: 0.1}); c.Endpoints[0].Outcome != OutcomeBetter {
		t.Errorf("%+v", c.Endpoints)
	}
}
