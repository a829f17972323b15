package analysis

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func reportOf(t *testing.T, stacks map[string]int64, rates map[string]float64) *Report {
	t.Helper()
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(stacks)}}, Options{Rates: rates})
	if err != nil {
		t.Fatal(err)
	}
	return res.Report
}

func trends(ds []Delta) map[string]Trend {
	out := map[string]Trend{}
	for _, d := range ds {
		out[d.Name] = d.Trend
	}
	return out
}

func TestDiff(t *testing.T) {
	before := reportOf(t, map[string]int64{
		serve + "main.list#12;encoding/json.Unmarshal": 500,
		serve + "main.list#14;main.sort":               100,
		serve + "main.user#3;main.work":                390,
		serve + "main.old#3;main.work":                 60,
		serve + "main.rare#3;main.work":                4,
	}, map[string]float64{"list": 100, "user": 10})
	after := reportOf(t, map[string]int64{
		serve + "main.list#12;encoding/json.Unmarshal":              30,
		serve + "main.list#14;main.sort":                            110,
		serve + "main.user#3;main.work":                             400,
		serve + "main.user#4;main.match;regexp.MustCompile":         200,
		serve + "main.fresh#3;compress/gzip.(*Writer).Write":        300,
		serve + "main.rare#3;main.work":                             6,
		"runtime.gcBgMarkWorker;runtime.gcDrain;runtime.scanobject": 5,
	}, map[string]float64{"list": 300})
	d := DiffReports(before, after)
	if diff := cmp.Diff(map[string]Trend{"list": TrendShrank, "user": TrendGrew, "fresh": TrendNew, "old": TrendGone, "rare": TrendFew}, trends(d.Endpoints)); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if w := trends(d.Work); w["decoding"] != TrendShrank || w["compression"] != TrendNew {
		t.Errorf("work %v", w)
	}
	for _, x := range d.Endpoints {
		if x.Change.Low > x.Point || x.Change.High < x.Point {
			t.Errorf("%s: %v is outside %+v", x.Name, x.Point, x.Change)
		}
		if x.Name == "list" && (x.PerRequestBefore != 6e6 || x.PerRequestAfter < 0.46e6 || x.PerRequestAfter > 0.47e6) {
			t.Errorf("CPU a request %s, then %s", x.PerRequestBefore, x.PerRequestAfter)
		}
		if x.Name == "user" && x.PerRequestBefore != 0 {
			t.Error("a rate that is known once is compared")
		}
	}
	if d.RequestsPerCPUSecondAfter < 12*d.RequestsPerCPUSecondBefore {
		t.Errorf("requests per CPU-second %.1f, then %.1f", d.RequestsPerCPUSecondBefore, d.RequestsPerCPUSecondAfter)
	}
	if diff := cmp.Diff([]FindingRef{
		{RuleCompress, "fresh", "compresses again and again", "main.fresh"},
		{RuleRegexpCompile, "user", "compiles regular expressions in requests", "main.match"},
	}, d.New); diff != "" {
		t.Errorf("new (-want +got):\n%s", diff)
	}
	if len(d.Gone)+len(d.Kept) != 0 {
		t.Errorf("gone %+v, kept %+v", d.Gone, d.Kept)
	}
	var b bytes.Buffer
	if err := WriteDiff(&b, d); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.txt", b.Bytes())
}

// TestDiffOfTheSame finds nothing, whatever is compared.
func TestDiffOfTheSame(t *testing.T) {
	for _, name := range []string{"router-std", "router-gin", "router-grpc"} {
		res, err := Analyze([]PodProfiles{{Pod: "a", CPU: load(t, name+".cpu.pb.gz")}}, Options{Thresholds: Thresholds{MinSamples: 40}})
		if err != nil {
			t.Fatal(err)
		}
		d := DiffReports(res.Report, res.Report)
		for _, list := range [][]Delta{d.Endpoints, d.Work, d.Parts, d.Codecs} {
			for _, x := range list {
				if x.Significant() || x.Point != 0 {
					t.Errorf("%s: %+v", name, x)
				}
			}
		}
		if len(d.New)+len(d.Gone) != 0 || len(d.Kept) == 0 || d.Tests == 0 {
			t.Errorf("%s: new %v, gone %v, kept %v of %d", name, d.New, d.Gone, d.Kept, d.Tests)
		}
	}
}

// TestManyComparisons: what one comparison would call significant is not, among
// many.
func TestManyComparisons(t *testing.T) {
	side := func(first int64) *Report {
		r := &Report{Samples: 10000}
		r.Endpoints = append(r.Endpoints, Endpoint{Name: "first", Share: share(first, 10000)})
		for i := range 40 {
			r.Endpoints = append(r.Endpoints, Endpoint{Name: string(rune('a'+i)) + "x", Share: share(200, 10000)})
		}
		return r
	}
	before, after := side(500), side(570) // z = 2.2
	if d := DiffReports(before, after); trends(d.Endpoints)["first"] != TrendSame {
		t.Errorf("among %d: %s", d.Tests, trends(d.Endpoints)["first"])
	}
	before.Endpoints, after.Endpoints = before.Endpoints[:1], after.Endpoints[:1]
	if d := DiffReports(before, after); d.Tests != 1 || trends(d.Endpoints)["first"] != TrendGrew {
		t.Errorf("alone of %d: %s", d.Tests, trends(d.Endpoints)["first"])
	}
}

// TestMatchAcrossBuilds: numbers of function literals shift when one is added.
func TestMatchAcrossBuilds(t *testing.T) {
	lit := func(n string, line, samples int64) Endpoint {
		f := newFn("main.routes.func"+n, "", 0)
		return Endpoint{Name: pretty(f) + " (main.go:" + n + ")", How: "stack", Handler: f.name, Line: line, Share: share(samples, 1000)}
	}
	named := func(name, handler, how string, samples int64) Endpoint {
		return Endpoint{Name: name, Handler: handler, How: how, Share: share(samples, 1000)}
	}
	type pair struct {
		was, name     string
		before, after int64
	}
	for _, tc := range []struct {
		name          string
		before, after []Endpoint
		want          []pair
	}{
		{
			"as many, in the order of their lines",
			[]Endpoint{lit("1", 10, 5), lit("2", 20, 7)},
			[]Endpoint{lit("9", 25, 8), lit("8", 15, 6)},
			[]pair{{"routes.func1 (main.go:1)", "routes.func8 (main.go:8)", 5, 6}, {"routes.func2 (main.go:2)", "routes.func9 (main.go:9)", 7, 8}},
		},
		{
			"one more: together",
			[]Endpoint{lit("1", 10, 5)},
			[]Endpoint{lit("1", 10, 8), lit("2", 15, 6)},
			[]pair{{"routes (its 1 and now 2 function literals together)", "routes (its 1 and now 2 function literals together)", 5, 14}},
		},
		{
			"routes keep their names",
			[]Endpoint{named("GET /a", "main.a", "label:endpoint", 5)},
			[]Endpoint{named("GET /a", "main.b", "label:endpoint", 6)},
			[]pair{{"GET /a", "GET /a", 5, 6}},
		},
		{
			"a handler that got a route",
			[]Endpoint{named("a", "main.a", "stack", 5)},
			[]Endpoint{named("GET /a", "main.a", "label:endpoint", 6)},
			[]pair{{"a", "GET /a", 5, 6}},
		},
		{
			"one gone, one new",
			[]Endpoint{named("a", "main.a", "stack", 5)},
			[]Endpoint{named("b", "main.b", "stack", 6)},
			[]pair{{"a", "a", 5, 0}, {"b", "b", 0, 6}},
		},
	} {
		var got []pair
		for _, p := range matchEndpoints(tc.before, tc.after) {
			got = append(got, pair{p.was, p.name, p.before, p.after})
		}
		if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(pair{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
}
