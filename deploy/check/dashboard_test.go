package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// metric is one of profbot's own, as docs/metrics.md lists it.
type metric struct {
	kind   string // counter, gauge, histogram
	labels []string
}

// metrics are all of profbot's, which a test of internal/metrics holds the
// list to.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(profbot_\\w+)` \\| (\\w+) \\| ([a-z, ]*) \\|").FindAllStringSubmatch(string(text), -1) {
		all[m[1]] = metric{m[2], strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })}
	}
	if len(all) < 20 {
		t.Fatalf("docs/metrics.md has %d metrics", len(all))
	}
	return all
}

// promql is where a query stands, and the query.
type promql struct{ where, expr string }

// grafana lists the queries of the dashboard, which it decodes strictly.
func grafana(t *testing.T) (queries []promql) {
	t.Helper()
	text, err := os.ReadFile("../grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	// The strict decoding is for what it refuses: it returns an empty list that
	// is not nil, and takes it for an error itself, so that panels are missing.
	var strict, d dashboard.Dashboard //nolint:staticcheck // the second version of the schema is not what people import
	for _, err := range []error{strict.UnmarshalJSONStrict(text), json.Unmarshal(text, &d), d.Validate()} {
		if list, ok := errors.AsType[cog.BuildErrors](err); err != nil && (!ok || len(list) > 0) {
			t.Fatal(err)
		}
	}
	if len(d.Templating.List) != 1 || d.Templating.List[0].Name != "datasource" {
		t.Error("the data source is no variable")
	}
	ids := map[uint32]bool{}
	for _, p := range d.Panels {
		if p.RowPanel != nil {
			continue
		}
		if ids[*p.Panel.Id] {
			t.Errorf("two panels have the id %d", *p.Panel.Id)
		}
		ids[*p.Panel.Id] = true
		if pos := p.Panel.GridPos; pos.X+pos.W > 24 {
			t.Errorf("%s does not fit", *p.Panel.Title)
		}
		if *p.Panel.Datasource.Uid != "${datasource}" || len(p.Panel.Targets) == 0 {
			t.Errorf("%s has another data source, or no query", *p.Panel.Title)
		}
		for _, target := range p.Panel.Targets {
			q, ok := target.(*prometheus.Dataquery)
			if !ok {
				t.Fatalf("%s: a query of type %T", *p.Panel.Title, target)
			}
			queries = append(queries, promql{"panel " + *p.Panel.Title, q.Expr})
		}
	}
	return queries
}

// alertRules are the rules of prometheus/alerts.yaml, decoded strictly.
type alertRules struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []struct {
			Alert       string            `json:"alert"`
			Expr        string            `json:"expr"`
			For         string            `json:"for"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"rules"`
	} `json:"groups"`
}

func alerts(t *testing.T) (queries []promql) {
	t.Helper()
	text, err := os.ReadFile("../prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules alertRules
	if err := yaml.UnmarshalStrict(text, &rules); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%s says too little: %+v", r.Alert, r)
		}
		if r.For != "" && !regexp.MustCompile(`^\d+[smh]$`).MatchString(r.For) {
			t.Errorf("%s: for %q", r.Alert, r.For)
		}
		queries = append(queries, promql{"alert " + r.Alert, r.Expr})
	}
	return queries
}

// own are labels that Prometheus adds.
var own = []string{"__name__", "le", "instance", "job"}

// problem says what is wrong with a query, "" for nothing: it must be PromQL,
// its metrics must exist, and so must the labels by which it selects and sums.
func problem(expr string, known map[string]metric, used map[string]bool) string {
	expr = strings.ReplaceAll(expr, "$__rate_interval", "5m")
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return err.Error()
	}
	var bad []string
	labels := map[string]bool{}
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		base := v.Name
		m, ok := known[base]
		if !ok {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if b, cut := strings.CutSuffix(v.Name, suffix); cut && known[b].kind == "histogram" {
					base, m, ok = b, known[b], true
				}
			}
		} else if m.kind == "histogram" {
			bad = append(bad, v.Name+" is a histogram")
		}
		if !ok && !strings.HasPrefix(v.Name, "process_") && !strings.HasPrefix(v.Name, "go_") {
			bad = append(bad, "there is no metric "+v.Name)
		}
		used[base] = true
		for _, l := range m.labels {
			labels[l] = true
		}
		for _, match := range v.LabelMatchers {
			if !slices.Contains(own, match.Name) && !slices.Contains(m.labels, match.Name) {
				bad = append(bad, v.Name+" has no label "+match.Name)
			}
		}
		ranged := slices.ContainsFunc(path, func(n parser.Node) bool { _, ok := n.(*parser.MatrixSelector); return ok })
		if ok && m.kind != "gauge" && !ranged {
			bad = append(bad, v.Name+" only grows: take its rate")
		}
		return nil
	})
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, l := range a.Grouping {
				if !labels[l] && !slices.Contains(own, l) {
					bad = append(bad, "nothing has the label "+l)
				}
			}
		}
		return nil
	})
	return strings.Join(bad, "; ")
}

// TestPromQL: every query of dashboard and alerts works on profbot's metrics,
// and every metric is on the dashboard.
func TestPromQL(t *testing.T) {
	known, used := metrics(t), map[string]bool{}
	for _, q := range grafana(t) {
		if bad := problem(q.expr, known, used); bad != "" {
			t.Errorf("%s: %s in %s", q.where, bad, q.expr)
		}
	}
	for name := range known {
		if !used[name] {
			t.Errorf("%s is on no panel", name)
		}
	}
	for _, q := range alerts(t) {
		if bad := problem(q.expr, known, used); bad != "" {
			t.Errorf("%s: %s in %s", q.where, bad, q.expr)
		}
	}
}

// TestPromQLProblems: the check sees what is wrong.
func TestPromQLProblems(t *testing.T) {
	known := metrics(t)
	for expr, want := range map[string]string{
		"sum(profbot_nonsense)":                                      "no metric profbot_nonsense",
		"sum by (outcome (profbot_captures_total":                    "parse error",
		"sum by (pod) (rate(profbot_captures_total[5m]))":            "label pod",
		`rate(profbot_captures_total{color="red"}[5m])`:              "no label color",
		"profbot_captures_total":                                     "only grows",
		"rate(profbot_verdict_seconds[5m])":                          "is a histogram",
		"rate(profbot_alerts_total_sum[5m])":                         "no metric",
		"sum by (le) (rate(profbot_verdict_seconds_bucket[5m])) > 0": "",
	} {
		if got := problem(expr, known, map[string]bool{}); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// datadogName is what the Agent calls a metric, for each way that it has.
func datadogNames(name string, m metric) []string {
	name = "profbot." + strings.TrimPrefix(name, "profbot_")
	switch m.kind {
	case "counter":
		return []string{strings.TrimSuffix(name, "_total") + ".count"}
	case "histogram":
		return []string{name + ".sum", name + ".count", name + ".bucket"}
	}
	return []string{name}
}

// TestDatadogQueries: the dashboard in Datadog asks for metrics that the Agent
// makes of profbot's, by tags that they have, and for all of them. That the
// file is a dashboard is checked beside Datadog's client, in internal/datadog.
func TestDatadogQueries(t *testing.T) {
	text, err := os.ReadFile("../datadog/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	names, used := map[string]string{}, map[string]bool{}
	known := metrics(t)
	for name, m := range known {
		for _, n := range datadogNames(name, m) {
			names[n] = name
		}
	}
	var d any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&d); err != nil {
		t.Fatal(err)
	}
	query := regexp.MustCompile(`^(sum|min|max|avg):([a-z_.]+)\{\$cluster\}(?: by \{([a-z,_]+)\})?(\.as_count\(\)|\.as_rate\(\))?$`)
	walk(d, func(key string, v any) {
		q, ok := v.(string)
		if key != "query" || !ok {
			return
		}
		m := query.FindStringSubmatch(q)
		if m == nil {
			t.Errorf("%q is no query that this test understands", q)
			return
		}
		name := names[m[2]]
		if name == "" {
			t.Errorf("%s: the Agent sends no %s", q, m[2])
			return
		}
		used[name] = true
		for _, tag := range strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' }) {
			if !slices.Contains(known[name].labels, tag) {
				t.Errorf("%s: %s has no tag %s", q, name, tag)
			}
		}
		if (m[4] != "") != (known[name].kind != "gauge") {
			t.Errorf("%s: as_count and as_rate are for what is counted", q)
		}
	})
	for name := range known {
		if !used[name] {
			t.Errorf("%s is on no widget", name)
		}
	}
}

// walk calls f for every value in a tree of JSON, with its key.
func walk(v any, f func(key string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			f(k, x)
			walk(x, f)
		}
	case []any:
		for _, x := range v {
			walk(x, f)
		}
	}
}
