package receive

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	const authorized = `"team_id":"T1","enterprise_id":"E1","api_app_id":"A1","event_id":"Ev1","authorizations":[{"user_id":"U0BOT","is_bot":true}]`
	event := func(s string) string { return `{"type":"event_callback",` + authorized + `,"event":` + s + `}` }
	mention := func(r Request) *Request {
		r.Kind, r.App, r.Team, r.Enterprise = Mention, "A1", "T1", "E1"
		return &r
	}
	tests := []struct {
		name, data string
		want       *Request // nil when it is ignored
	}{
		{
			"mention in a thread",
			event(`{"type":"app_mention","user":"U1","user_team":"T2","team":"T1","text":"<@U0BOT> cpu live-api","ts":"2.0","thread_ts":"1.0","channel":"C1"}`),
			mention(Request{ID: "message C1 2.0", User: "U1", UserTeam: "T2", Channel: "C1", Thread: "1.0", Message: "2.0", Text: "cpu live-api"}),
		},
		{
			"mention in a sentence",
			event(`{"type":"app_mention","user":"U1","team":"T1","text":"hey <@U0BOT|profbot>  why <@U2>?","ts":"2.0","channel":"C1"}`),
			mention(Request{ID: "message C1 2.0", User: "U1", UserTeam: "T1", Channel: "C1", Message: "2.0", Text: "why <@U2>?"}),
		},
		{
			"direct message",
			event(`{"type":"message","channel_type":"im","user":"U1","text":" services ","ts":"2.0","channel":"D1"}`),
			mention(Request{ID: "message D1 2.0", User: "U1", Channel: "D1", Message: "2.0", Direct: true, Text: "services"}),
		},
		{"message in a channel", event(`{"type":"message","channel_type":"channel","user":"U1","text":"cpu x","ts":"2.0","channel":"C1"}`), nil},
		{"our own message", event(`{"type":"message","channel_type":"im","user":"U0BOT","text":"cpu x","ts":"2.0","channel":"D1"}`), nil},
		{"message of a bot", event(`{"type":"message","channel_type":"im","bot_id":"B1","user":"U3","text":"cpu x","ts":"2.0","channel":"D1"}`), nil},
		{"mention by a bot", event(`{"type":"app_mention","bot_id":"B1","user":"U3","text":"<@U0BOT> cpu x","ts":"2.0","channel":"C1"}`), nil},
		{"changed message", event(`{"type":"message","subtype":"message_changed","channel_type":"im","channel":"D1","ts":"2.0","message":{}}`), nil},
		{"edited mention", event(`{"type":"app_mention","edited":{"user":"U1","ts":"3.0"},"user":"U1","text":"<@U0BOT> cpu x","ts":"2.0","channel":"C1"}`), nil},
		{"event with another shape", event(`{"type":"app_mention","user":{"id":"U1"}}`), nil},
		{"event without a type", event(`"x"`), nil},
		{"event of another type", event(`{"type":"user_change","user":{"id":"U1"}}`), nil},
		{"callback without an event", `{"type":"event_callback"}`, nil},
		{"list", `[]`, nil},
		{"null", `null`, nil},
		{"closed modal", `{"type":"view_closed","view":{"id":"V1"},"is_cleared":false}`, nil},
		{
			"home",
			event(`{"type":"app_home_opened","user":"U1","channel":"D1","tab":"home","view":{"id":"V1","hash":"h","callback_id":"home"}}`),
			&Request{
				Kind: Home, ID: "Ev1", App: "A1", Team: "T1", Enterprise: "E1", User: "U1",
				View: &View{ID: "V1", Hash: "h", Callback: "home", Values: map[string]map[string][]string{}},
			},
		},
		{"messages of the home", event(`{"type":"app_home_opened","user":"U1","channel":"D1","tab":"messages"}`), nil},
		{
			"click in a thread",
			`{"type":"block_actions","user":{"id":"U1","username":"steve","name":"x","team_id":"T2"},"api_app_id":"A1","container":{"type":"message","message_ts":"2.0","channel_id":"C1","thread_ts":"1.0"},
				"trigger_id":"7.8","team":{"id":"T1"},"enterprise":null,"channel":{"id":"C1"},"message":{"ts":"2.0","thread_ts":"1.0"},"response_url":"https://hooks/1",
				"actions":[{"action_id":"again","block_id":"b","value":"01JD","type":"button"}]}`,
			&Request{
				Kind: Click, ID: "7.8", App: "A1", Team: "T1", User: "U1", UserName: "steve", UserTeam: "T2", Channel: "C1", Thread: "1.0", Message: "2.0",
				Trigger: "7.8", Response: "https://hooks/1", Block: "b", Action: "again", Value: "01JD",
			},
		},
		{
			"click on the message that has a thread, whose blocks are of a new kind",
			`{"type":"block_actions","user":{"id":"U1","name":"steve"},"container":{"message_ts":"1.0","channel_id":"C1"},"trigger_id":"7.8","message":{"ts":"1.0","thread_ts":"1.0","blocks":[{"type":7}]},
				"actions":[{"action_id":"more","block_id":"b","type":"overflow","selected_option":{"value":"mute"}}]}`,
			&Request{Kind: Click, ID: "7.8", User: "U1", UserName: "steve", Channel: "C1", Message: "1.0", Trigger: "7.8", Block: "b", Action: "more", Value: "mute"},
		},
		{"click on nothing", `{"type":"block_actions","actions":[]}`, nil},
		{"click of another shape", `{"type":"block_actions","actions":{}}`, nil},
		{
			"modal",
			`{"type":"view_submission","team":null,"user":{"id":"U1"},"trigger_id":"7.8","view":{"id":"V1","hash":"h","callback_id":"capture","private_metadata":"C1","app_installed_team_id":"T1","state":{"values":{
				"service":{"s":{"type":"external_select","selected_option":{"value":"live-api"}}},
				"kinds":{"k":{"type":"checkboxes","selected_options":[{"value":"cpu"},{"value":"heap"}]}},
				"pods":{"p":{"type":"number_input","value":"3"}},
				"who":{"w":{"type":"multi_users_select","selected_users":["U1","U2"]}},
				"where":{"w":{"type":"conversations_select","selected_conversation":"C2"}},
				"when":{"w":{"type":"datetimepicker","selected_date_time":1700000000}},
				"none":{"n":{"type":"plain_text_input","value":null}}}}}}`,
			&Request{
				Kind: Submit, ID: "7.8", Team: "T1", User: "U1", Trigger: "7.8",
				View: &View{ID: "V1", Hash: "h", Callback: "capture", Private: "C1", Values: map[string]map[string][]string{
					"service": {"s": {"live-api"}}, "kinds": {"k": {"cpu", "heap"}}, "pods": {"p": {"3"}}, "who": {"w": {"U1", "U2"}}, "where": {"w": {"C2"}}, "when": {"w": {"1700000000"}},
				}},
			},
		},
		{
			"menu",
			`{"type":"block_suggestion","user":{"id":"U1"},"team":{"id":"T1"},"api_app_id":"A1","action_id":"s","block_id":"service","value":"liv","view":{"id":"V1","callback_id":"capture"}}`,
			&Request{Kind: Suggest, App: "A1", Team: "T1", User: "U1", Block: "service", Action: "s", Value: "liv", View: &View{ID: "V1", Callback: "capture", Values: map[string]map[string][]string{}}},
		},
		{
			"shortcut of a message",
			`{"type":"message_action","callback_id":"profile","trigger_id":"7.8","user":{"id":"U1","name":"steve"},"team":{"id":"T1"},"channel":{"id":"C1"},"message":{"ts":"2.0","thread_ts":"1.0"},"response_url":"https://hooks/1"}`,
			&Request{Kind: Shortcut, ID: "7.8", Team: "T1", User: "U1", UserName: "steve", Channel: "C1", Message: "2.0", Thread: "1.0", Trigger: "7.8", Response: "https://hooks/1", Action: "profile"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decodeJSON([]byte(tt.data))
			if (got.ignored != "") != (tt.want == nil) {
				t.Fatalf("ignored %q: %+v", got.ignored, got.request)
			}
			if tt.want == nil {
				return
			}
			if diff := cmp.Diff(*tt.want, got.request); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := decodeJSON([]byte(`{"type":"app_rate_limited","team_id":"T1","minute_rate_limited":1518467820}`)); !got.limited {
		t.Errorf("app_rate_limited: %+v", got)
	}
}

func TestDecodeCommand(t *testing.T) {
	want := Request{
		Kind: Command, ID: "1.2", App: "A1", Team: "T1", Enterprise: "E1", User: "U1", UserName: "steve", Channel: "D1", Direct: true,
		Text: "cpu live-api 30s", Trigger: "1.2", Response: "https://hooks/1",
	}
	got := decodeFields([]byte(`{"command":"/profbot","text":"cpu live-api 30s","trigger_id":"1.2","api_app_id":"A1","team_id":"T1","enterprise_id":"E1","enterprise_name":null,
		"is_enterprise_install":false,"user_id":"U1","user_name":"steve","channel_id":"D1","channel_name":"directmessage","response_url":"https://hooks/1"}`))
	if diff := cmp.Diff(want, got.request); diff != "" || got.ignored != "" {
		t.Errorf("ignored %q (-want +got):\n%s", got.ignored, diff)
	}
	for _, bad := range []string{`[]`, `{}`, `{"command":7}`} {
		if got := decodeFields([]byte(bad)); got.ignored == "" {
			t.Errorf("%s became %+v", bad, got.request)
		}
	}
}

func TestViewValue(t *testing.T) {
	v := &View{Values: map[string]map[string][]string{"b": {"a": {"x", "y"}}}}
	if got := v.Value("b", "a") + v.Value("b", "c") + v.Value("d", "a"); got != "x" {
		t.Errorf("values %q, want x", got)
	}
}

func TestBehind(t *testing.T) {
	for _, tt := range []struct{ text, bot, want string }{
		{"<@U0BOT> status", "U0BOT", "status"},
		{"<@U0BOT|profbot>status", "U0BOT", "status"},
		{"<@U0BOTX> said <@U0BOT> status", "U0BOT", "status"},
		{"<@U2> said\n<@U0BOT>\nstatus <@U0BOT>", "U0BOT", "status <@U0BOT>"},
		{"thanks <@U0BOT>", "U0BOT", ""},
		{"<@U0BOT", "U0BOT", "<@U0BOT"},
		{" status ", "U0BOT", "status"},
		{"<@U0BOT> status", "", "status"},
		{"why <@U2>", "", "why <@U2>"},
		{"<@U0BOTX> hi", "U0BOT", "<@U0BOTX> hi"},
		{"<@U2", "", "<@U2"},
		{"", "", ""},
	} {
		if got := behind(tt.text, tt.bot); got != tt.want {
			t.Errorf("behind(%q, %q) = %q, want %q", tt.text, tt.bot, got, tt.want)
		}
	}
}
