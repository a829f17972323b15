package datadog_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"
)

// TestDeploy: what deploy/datadog has to send to Datadog is what its API
// knows, field by field.
func TestDeploy(t *testing.T) {
	var monitor v1.Monitor
	var hook v1.WebhooksIntegration
	var dashboard v1.Dashboard
	for file, v := range map[string]any{"monitor.json": &monitor, "webhook.json": &hook, "dashboard.json": &dashboard} {
		text, err := os.ReadFile("../../deploy/datadog/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, v); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, p := range unknown(file, reflect.ValueOf(v)) {
			t.Error(p)
		}
	}
	if !strings.Contains(monitor.GetMessage(), "@webhook-"+hook.Name) {
		t.Errorf("the monitor does not call the webhook: %q", monitor.GetMessage())
	}
	var headers map[string]string
	if err := json.Unmarshal([]byte(hook.GetCustomHeaders()), &headers); err != nil || headers["Authorization"] != "Bearer $PROFBOT_TOKEN" {
		t.Errorf("headers %q, %v", hook.GetCustomHeaders(), err)
	}
	if len(dashboard.Widgets) < 4 {
		t.Errorf("%d groups on the dashboard", len(dashboard.Widgets))
	}
}

// TestDeployIsStrict: a field or a value that the API does not know is seen,
// however deep.
func TestDeployIsStrict(t *testing.T) {
	text, err := os.ReadFile("../../deploy/datadog/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		`"layout_type": "ordered"`:    `"layout_type": "orderly"`,
		`"show_legend"`:               `"show_legends"`,
		`"display_type": "bars"`:      `"display_type": "barrs"`,
		`"data_source": "metrics"`:    `"data_source": "metric"`,
		`"formula": "a"`:              `"formulae": "a"`,
		`"palette": "white_on_red"`:   `"palette": "pink_on_white"`,
		`"response_format": "scalar"`: `"response_format": "scala"`,
	} {
		var d v1.Dashboard
		bad := strings.Replace(string(text), from, to, 1)
		if bad == string(text) {
			t.Errorf("the dashboard has no %s", from)
		}
		if err := json.Unmarshal([]byte(bad), &d); err == nil && len(unknown("", reflect.ValueOf(&d))) == 0 {
			t.Errorf("%s was taken", to)
		}
	}
}

// unknown lists what the client found and did not understand: it keeps such
// fields in AdditionalProperties and whole objects in UnparsedObject.
func unknown(path string, v reflect.Value) (out []string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			out = unknown(path, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, unknown(path, v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			switch {
			case !v.Type().Field(i).IsExported():
			case name == "AdditionalProperties" || name == "UnparsedObject":
				if f.Kind() != reflect.Map && f.Kind() != reflect.Interface || f.IsZero() {
					continue
				}
				out = append(out, path+": "+name+" "+strings.TrimSpace(strings.SplitN(jsonOf(f.Interface()), "\n", 2)[0]))
			default:
				out = append(out, unknown(path+"."+name, f)...)
			}
		}
	}
	return out
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b[:min(len(b), 200)])
}
