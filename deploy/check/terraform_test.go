package check

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

const terraformDir = "../datadog/terraform"

// arguments are those of the provider's resources that the configuration uses,
// from the provider's documentation: required ones first, then a bar. The
// provider itself cannot be had without a network.
var arguments = map[string]string{
	"datadog_webhook":                   "name url | custom_headers encode_as payload",
	"datadog_webhook_custom_variable":   "name value is_secret |",
	"datadog_monitor_notification_rule": "name recipients | filter.tags",
	"datadog_monitor": "name type query message | tags include_tags notify_no_data require_full_window new_group_delay " +
		"monitor_thresholds.critical monitor_thresholds.warning",
	"datadog_dashboard_json": "dashboard |",
}

// meta are Terraform's own arguments.
var meta = []string{"for_each", "count", "depends_on"}

// terraform parses the configuration: its blocks, by type and labels.
func terraform(t *testing.T) map[string]*hclsyntax.Block {
	t.Helper()
	files, err := filepath.Glob(terraformDir + "/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	blocks := map[string]*hclsyntax.Block{}
	parser := hclparse.NewParser()
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(hclwrite.Format(src)) != string(src) {
			t.Errorf("%s is not as terraform fmt leaves it", path)
		}
		f, diags := parser.ParseHCL(src, path)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			name := strings.Join(append([]string{b.Type}, b.Labels...), " ")
			if blocks[name] != nil {
				t.Errorf("%s is there twice", name)
			}
			blocks[name] = b
		}
	}
	return blocks
}

// TestTerraform: the configuration parses, uses arguments that the provider
// has, and refers to nothing that is not there.
func TestTerraform(t *testing.T) {
	blocks := terraform(t)
	used := map[string]bool{}
	for name, b := range blocks {
		if b.Type == "resource" {
			known, ok := arguments[b.Labels[0]]
			if !ok {
				t.Errorf("%s: no such resource is known here", name)
				continue
			}
			required, optional, _ := strings.Cut(known, "|")
			have := argumentsOf("", b.Body)
			for _, a := range strings.Fields(required) {
				if !slices.Contains(have, a) {
					t.Errorf("%s has no %s", name, a)
				}
			}
			all := slices.Concat(strings.Fields(required), strings.Fields(optional), meta)
			for _, a := range have {
				if !slices.Contains(all, a) {
					t.Errorf("%s: there is no argument %s", name, a)
				}
			}
		}
		diags := hclsyntax.VisitAll(b.Body, func(n hclsyntax.Node) hcl.Diagnostics {
			e, ok := n.(*hclsyntax.ScopeTraversalExpr)
			if !ok {
				return nil
			}
			root := e.Traversal.RootName()
			if len(e.Traversal) < 2 {
				return nil // a loop's variable, or a type
			}
			attr, _ := e.Traversal[1].(hcl.TraverseAttr)
			switch {
			case root == "var":
				used[attr.Name] = true
				if blocks["variable "+attr.Name] == nil {
					t.Errorf("%s: there is no variable %s", name, attr.Name)
				}
			case strings.HasPrefix(root, "datadog_"):
				if blocks["resource "+root+" "+attr.Name] == nil {
					t.Errorf("%s: there is no %s.%s", name, root, attr.Name)
				}
			}
			return nil
		})
		if diags.HasErrors() {
			t.Error(diags)
		}
	}
	for name, b := range blocks {
		if b.Type != "variable" {
			continue
		}
		if b.Body.Attributes["description"] == nil || b.Body.Attributes["type"] == nil {
			t.Errorf("%s says too little", name)
		}
		if !used[b.Labels[0]] {
			t.Errorf("%s is not used", name)
		}
		if strings.Contains(name, "token") != (b.Body.Attributes["sensitive"] != nil) {
			t.Errorf("%s: what is secret is sensitive, and nothing else", name)
		}
	}
}

func argumentsOf(prefix string, body *hclsyntax.Body) []string {
	var out []string
	for name := range body.Attributes {
		out = append(out, prefix+name)
	}
	for _, b := range body.Blocks {
		out = append(out, argumentsOf(b.Type+".", b.Body)...)
	}
	return out
}

// TestTerraformIsTheJSON: Terraform makes the webhook and the monitor that the
// JSON files and the guide describe.
func TestTerraformIsTheJSON(t *testing.T) {
	blocks := terraform(t)
	obj := cty.ObjectVal
	vars := map[string]cty.Value{
		"path": obj(map[string]cty.Value{"module": cty.StringVal(terraformDir)}),
		"var": obj(map[string]cty.Value{
			"profbot_url": cty.StringVal("https://profbot.example.com/"), "webhook_name": cty.StringVal("profbot"), "profbot_token": cty.StringVal("t"),
		}),
		"datadog_webhook": obj(map[string]cty.Value{"profbot": obj(map[string]cty.Value{"name": cty.StringVal("profbot")})}),
		"each": obj(map[string]cty.Value{
			"key":   cty.StringVal("live-api"),
			"value": obj(map[string]cty.Value{"env": cty.StringVal("prod"), "cores": cty.NumberIntVal(1)}),
		}),
	}
	eval := func(resource string, without ...string) map[string]any {
		t.Helper()
		return evaluate(t, blocks["resource "+resource].Body, vars, append(without, meta...))
	}

	var hook, monitor map[string]any
	readJSON(t, "../datadog/webhook.json", &hook)
	if d := cmp.Diff(hook, eval("datadog_webhook profbot"), jsonTexts); d != "" {
		t.Errorf("webhook (-json +terraform):\n%s", d)
	}
	readJSON(t, "../datadog/monitor.json", &monitor)
	got := eval("datadog_monitor cpu")
	options := map[string]any{"thresholds": got["monitor_thresholds"]}
	delete(got, "monitor_thresholds")
	for k := range monitor["options"].(map[string]any) {
		if v, ok := got[k]; ok {
			options[k] = v
			delete(got, k)
		}
	}
	got["options"] = options
	if d := cmp.Diff(monitor, got); d != "" {
		t.Errorf("monitor (-json +terraform):\n%s", d)
	}
	if v := eval("datadog_webhook_custom_variable token"); v["name"] != "PROFBOT_TOKEN" || v["is_secret"] != true || v["value"] != "t" {
		t.Errorf("variable = %v", v)
	}

	// The webhook sends the template that profbot is tested with.
	payload, err := os.ReadFile("../datadog/payload.json")
	if err != nil {
		t.Fatal(err)
	}
	if hook["payload"] != string(payload) {
		t.Error("webhook.json has another payload than payload.json")
	}
}

// jsonTexts compares texts that are JSON by what they say.
var jsonTexts = cmp.Comparer(func(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil {
		return cmp.Equal(x, y)
	}
	return a == b
})

// evaluate gives the arguments of a body their values.
func evaluate(t *testing.T, body *hclsyntax.Body, vars map[string]cty.Value, without []string) map[string]any {
	t.Helper()
	ctx := &hcl.EvalContext{Variables: vars, Functions: map[string]function.Function{
		"trimsuffix": stdlib.TrimSuffixFunc, "jsonencode": stdlib.JSONEncodeFunc, "concat": stdlib.ConcatFunc,
		"file": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				text, err := os.ReadFile(args[0].AsString())
				return cty.StringVal(string(text)), err
			},
		}),
	}}
	out := map[string]any{}
	for name, a := range body.Attributes {
		if slices.Contains(without, name) {
			continue
		}
		v, diags := a.Expr.Value(ctx)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		text, err := ctyjson.Marshal(v, v.Type())
		if err != nil {
			t.Fatal(err)
		}
		var x any
		if err := json.Unmarshal(text, &x); err != nil {
			t.Fatal(err)
		}
		out[name] = x
	}
	for _, b := range body.Blocks {
		out[b.Type] = evaluate(t, b.Body, vars, without)
	}
	return out
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
