package slackbot_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot"
	"github.com/profbot/profbot/internal/slackbot/receive"
)

// indented is JSON as a person can read it.
func indented(t *testing.T, data json.RawMessage) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func TestForm(t *testing.T) {
	open(t, slackbot.DeskOptions{Pods: 2}, func(t *testing.T, o *office) {
		r := o.request(receive.Command)
		if reply := o.do(r); reply.Body != nil || len(o.s.Modals()) != 1 {
			t.Fatalf("%v, %d modals", reply.Body, len(o.s.Modals()))
		}
		golden(t, "desk-form.view.json", indented(t, o.s.Modals()[0].JSON))
		// A trigger works once and for three seconds; the answer is what else to do.
		if a := o.read(o.do(r).Body); !strings.Contains(a.Text, "took too long to open: try again, or type it: /profbot cpu") {
			t.Errorf("a used trigger: %q", a.Text)
		}
		o.back.known = nil
		if a := o.typed(""); !strings.Contains(a.Text, "knows no service") {
			t.Errorf("no services: %q", a.Text)
		}

		// Many services are asked for as one types.
		for i := range 250 {
			o.back.known = append(o.back.known, slackbot.Known{Service: fmt.Sprintf("svc-%03d-api", i), Env: "prod", Pods: 1})
		}
		o.back.known = append(o.back.known, slackbot.Known{Service: "api-gateway", Pods: 1}, slackbot.Known{Service: strings.Repeat("long", 60)})
		o.do(o.request(receive.Command))
		modals := o.s.Modals()
		if last := string(modals[len(modals)-1].JSON); !strings.Contains(last, `"external_select"`) || !strings.Contains(last, `"min_query_length":0`) || strings.Contains(last, "svc-001") {
			t.Errorf("the form for many: %s", last)
		}
		golden(t, "desk-form-many.view.json", indented(t, modals[len(modals)-1].JSON))
		suggest := func(typed string) []string {
			r := o.request(receive.Suggest)
			r.Action, r.Value = slackbot.ActionService, typed
			data, err := json.Marshal(o.do(r).Body)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Options []struct {
					Text  struct{ Text string }
					Value string
				}
			}
			if err := json.Unmarshal(data, &got); err != nil || got.Options == nil || len(got.Options) > 100 {
				t.Errorf("%q: %d options, %v", typed, len(got.Options), err)
			}
			var out []string
			for _, o := range got.Options {
				out = append(out, o.Text.Text+"="+o.Value)
			}
			return out
		}
		if n := len(suggest("")); n != 100 {
			t.Errorf("%d suggestions for nothing", n)
		}
		if d := cmp.Diff([]string{"svc-042-api (prod)=svc-042-api prod"}, suggest(" SVC-042")); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if got := suggest("api"); len(got) != 100 || got[0] != "api-gateway=api-gateway " {
			t.Errorf("what begins with it comes first: %q", got[:1])
		}
		if got := suggest("nosuch"); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

func TestSubmit(t *testing.T) {
	values := func(service, seconds, pods, pod string, kinds ...string) map[string]map[string][]string {
		one := func(s string) []string {
			if s == "" {
				return nil
			}
			return []string{s}
		}
		return map[string]map[string][]string{
			"service": {slackbot.ActionService: one(service)}, "kinds": {"desk:kinds": kinds},
			"seconds": {"desk:number": one(seconds)}, "pods": {"desk:number": one(pods)}, "pod": {"desk:pod": one(pod)},
		}
	}
	for _, tc := range []struct {
		name   string
		values map[string]map[string][]string
		place  string
		errors map[string]string
		want   *incident.Alert
	}{
		{
			"whole", values("live-api prod", "10", "3", " live-api-7d9f-x2 ", "cpu", "heap"), `{"channel":"` + channel + `"}`, nil,
			&incident.Alert{
				Key: incident.Key{Service: "live-api", Env: "prod"}, Pod: "live-api-7d9f-x2", Place: incident.Place{Channel: channel},
				Order: &incident.Order{Kinds: []incident.Kind{incident.KindCPU, incident.KindHeap}, Window: 10 * time.Second, Pods: 3},
			},
		},
		{
			"without a channel", values("room-api staging", "30", "1", "", "goroutine"), "", nil,
			&incident.Alert{
				Key:   incident.Key{Service: "room-api", Env: "staging"},
				Order: &incident.Order{Kinds: []incident.Kind{incident.KindGoroutine}, Window: 30 * time.Second, Pods: 1},
			},
		},
		{
			"nothing", values("", "", "", ""), "",
			map[string]string{
				"service": "Choose a service.", "kinds": "Choose at least one profile.",
				"seconds": "Write a whole number from 1 to 300.", "pods": "Write a whole number from 1 to 20.",
			},
			nil,
		},
		{
			"wrong", values("live-api prod", "301", "-1", "two words", "heap-before"), "not JSON",
			map[string]string{
				"kinds": "Choose at least one profile.", "seconds": "Write a whole number from 1 to 300.",
				"pods": "Write a whole number from 1 to 20.", "pod": "Write the name of one pod, or nothing.",
			},
			nil,
		},
		{
			"gone meanwhile", values("gone-api prod", "30", "1", "", "cpu"), "",
			map[string]string{"service": `there is no service "gone-api". Known are gift-api, live-api, room-api. A service is known when it is in the configuration or its pods were found`},
			nil,
		},
		{
			"no such pod", values("live-api prod", "30", "1", "nosuch", "cpu"), "",
			map[string]string{"service": `live-api has no pod "nosuch": its pods are live-api-7d9f-x2 and live-api-7d9f-k8`},
			nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			open(t, slackbot.DeskOptions{}, func(t *testing.T, o *office) {
				r := o.request(receive.Submit)
				r.View = &receive.View{ID: "V1", Callback: "desk:form", Private: tc.place, Values: tc.values}
				a := o.read(o.do(r).Body)
				if tc.errors != nil {
					if d := cmp.Diff(tc.errors, a.Errors); d != "" || a.Action != "errors" {
						t.Errorf("%s (-want +got):\n%s", a.Action, d)
					}
					return
				}
				got := o.back.orders()
				if a.Action != "update" || len(got) != 1 {
					t.Fatalf("%+v, %d orders", a, len(got))
				}
				golden(t, "desk-form-"+strings.ReplaceAll(tc.name, " ", "-")+".view.json", indented(t, a.View))
				tc.want.Source, tc.want.ID, tc.want.Cycle, tc.want.Transition, tc.want.RequestedBy, tc.want.At, tc.want.Title = "slack", "slack/req-1", "slack/req-1", incident.TransitionTriggered, ann, got[0].At, got[0].Title
				if d := cmp.Diff(*tc.want, got[0]); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
	open(t, slackbot.DeskOptions{Rights: []slackbot.Right{{Users: []string{bob}}}}, func(t *testing.T, o *office) {
		r := o.request(receive.Submit)
		r.View = &receive.View{ID: "V1", Callback: "desk:form", Values: values("live-api prod", "30", "1", "", "cpu")}
		if a := o.read(o.do(r).Body); !strings.Contains(a.Errors["service"], "You may not profile live-api: ask @"+bob) || o.back.lastDeed(t).Refused == "" {
			t.Errorf("without the right: %+v", a)
		}
		r.View.Callback = "another"
		if reply := o.do(r); reply.Body != nil {
			t.Errorf("another form: %v", reply.Body)
		}
	})
}
