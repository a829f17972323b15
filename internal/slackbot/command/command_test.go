package command

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/incident"
)

func TestParse(t *testing.T) {
	cpu := func(c Command) Command {
		c.Verb, c.Kind = Capture, incident.KindCPU
		if c.Service == "" {
			c.Service = "live-api"
		}
		return c
	}
	tests := []struct {
		text string
		want Command
	}{
		{"", Command{}},
		{" \u00a0\u200b", Command{}},
		{"cpu live-api", cpu(Command{})},
		{"CPU live-api", cpu(Command{})},
		{"profile live-api", cpu(Command{})},
		{"flame live-api", cpu(Command{})},
		{"/cpu live-api", cpu(Command{})},
		{"cpu live-api 30s", cpu(Command{Window: 30 * time.Second})},
		{"cpu 30s live-api", cpu(Command{Window: 30 * time.Second})},
		{"cpu live-api 30", cpu(Command{Window: 30 * time.Second})},
		{"cpu live-api 30 seconds", cpu(Command{Window: 30 * time.Second})},
		{"cpu live-api for 2 min", cpu(Command{Window: 2 * time.Minute})},
		{"cpu live-api 1m30s", cpu(Command{Window: 90 * time.Second})},
		{"cpu live-api window=45s pods=3", cpu(Command{Window: 45 * time.Second, Pods: 3})},
		{"cpu live-api pod=live-api-7d9f-x2", cpu(Command{Pod: "live-api-7d9f-x2"})},
		{"cpu live-api PODS=3", cpu(Command{Pods: 3})},
		{"cpu live-api --pods 3", cpu(Command{Pods: 3})},
		{"cpu live-api --pods=3", cpu(Command{Pods: 3})},
		{"cpu live-api —pods 3", cpu(Command{Pods: 3})},
		{"cpu live-api – 30s", cpu(Command{Window: 30 * time.Second})},
		{"cpu live-api pods 3", cpu(Command{Pods: 3})},
		{"cpu “live-api”", cpu(Command{})},
		{"cpu ‘live-api’", cpu(Command{})},
		{"cpu „live-api“ 30s", cpu(Command{Window: 30 * time.Second})},
		{"cpu “live-api", cpu(Command{})},
		{"cpu live–api", cpu(Command{})},
		{"cpu live\u2011api\u00a030s", cpu(Command{Window: 30 * time.Second})},
		{"cpu pod=“a-1” live-api", cpu(Command{Pod: "a-1"})},
		{"`cpu live-api`", cpu(Command{})},
		{"*cpu* `live-api`", cpu(Command{})},
		{"<@U0BOT|profbot> cpu live-api", cpu(Command{})},
		{"cpu <http://live-api.prod|live-api.prod>", cpu(Command{Service: "live-api.prod"})},
		{"cpu live-api, 30s.", cpu(Command{Window: 30 * time.Second})},
		{"cpu live-api/prod", cpu(Command{Env: "prod"})},
		{"cpu live-api env=prod", cpu(Command{Env: "prod"})},
		{"cpu service:live-api", cpu(Command{})},
		{"cpu service=live-api", cpu(Command{})},
		{"cpu eu-south-1/ecs/gateway", cpu(Command{Service: "eu-south-1/ecs/gateway"})},
		{"cpu \"a/b\"", cpu(Command{Service: "a/b"})},
		{"cpu 3scale", cpu(Command{Service: "3scale"})},
		{"cpu \"30s\"", cpu(Command{Service: "30s"})},
		{"cpu größe", cpu(Command{Service: "größe"})},
		{"mem live-api", Command{Verb: Capture, Kind: incident.KindHeap, Service: "live-api"}},
		{"heap live-api", Command{Verb: Capture, Kind: incident.KindHeap, Service: "live-api"}},
		{"goroutines live-api", Command{Verb: Capture, Kind: incident.KindGoroutine, Service: "live-api"}},
		{"locks live-api", Command{Verb: Capture, Kind: incident.KindMutex, Service: "live-api"}},
		{"block live-api", Command{Verb: Capture, Kind: incident.KindBlock, Service: "live-api"}},
		{"allocs live-api 5m", Command{Verb: Capture, Kind: incident.KindAllocsAfter, Service: "live-api", Window: 5 * time.Minute}},
		{"diff live-api", Command{Verb: Diff, Service: "live-api"}},
		{"diff live-api since=2h", Command{Verb: Diff, Service: "live-api", Since: 2 * time.Hour}},
		{"compare live-api since 1 day", Command{Verb: Diff, Service: "live-api", Since: 24 * time.Hour}},
		{"verify 01JD3K", Command{Verb: Verify, Subject: "01JD3K"}},
		{"history live-api", Command{Verb: History, Service: "live-api"}},
		{"Services", Command{Verb: Services}},
		{"status", Command{Verb: Status}},
		{"why live-api?", Command{Verb: Why, Subject: "live-api"}},
		{"why 4711", Command{Verb: Why, Subject: "4711"}},
		{"why <https://app.datadoghq.com/monitors/1?from=2&amp;to=3>", Command{Verb: Why, Subject: "https://app.datadoghq.com/monitors/1?from=2&to=3"}},
		{"mute live-api 2h", Command{Verb: Mute, Service: "live-api", For: 2 * time.Hour}},
		{"snooze live-api for 3 days", Command{Verb: Mute, Service: "live-api", For: 72 * time.Hour}},
		{"unmute live-api/prod", Command{Verb: Unmute, Service: "live-api", Env: "prod"}},
		{"digest on", Command{Verb: Digest, Subject: "on"}},
		{"digest Stop", Command{Verb: Digest, Subject: "off"}},
		{"help", Command{Verb: Help}},
		{"?", Command{Verb: Help}},
		{"help memory", Command{Verb: Help, Subject: "heap"}},
		{"cpu --help", Command{Verb: Help, Subject: "cpu"}},
		{"cpu —help", Command{Verb: Help, Subject: "cpu"}},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("Parse(%q) = %+v, %v, want what %q gave", got.String(), again, err, tt.text)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"haep live-api", "there is no command \"haep\", did you mean heap?: try heap live-api"},
		{"cpi live-api", "there is no command \"cpi\", did you mean cpu?: try cpu live-api"},
		{"gorutine x", "there is no command \"gorutine\", did you mean goroutine?: try goroutine live-api"},
		{"statsu", "there is no command \"statsu\", did you mean status?: try status"},
		{"umnute x", "there is no command \"umnute\", did you mean unmute?: try unmute live-api"},
		{"memroy x", "there is no command \"memroy\", did you mean heap?: try heap live-api"},
		{"live-api", "there is no command \"live-api\", help lists them: try cpu live-api, or help"},
		{strings.Repeat("x", 100), "there is no command \"" + strings.Repeat("x", 39) + "…\", help lists them: try cpu live-api, or help"},
		{"cpu", "cpu needs a service, services lists them: try cpu live-api"},
		{"cpu live-api 6m", "the time for cpu is between 1s and 5m: try cpu live-api 30s"},
		{"cpu live-api 30x", "\"30x\" is no time: write it as 30s, 5m, 2h or 1d: try cpu live-api 30s"},
		{"cpu live-api 30s 40s", "there are two times: try cpu live-api 30s"},
		{"cpu live-api 0s", "\"0s\" is no time: write it as 30s, 5m, 2h or 1d: try cpu live-api 30s"},
		{"cpu live-api pods=21", "pods is a number from 1 to 20, not \"21\": try cpu live-api pods=3"},
		{"cpu live-api pods=0", "pods is a number from 1 to 20, not \"0\": try cpu live-api pods=3"},
		{"heap live-api pods=all", "pods is a number from 1 to 20, not \"all\": try heap live-api pods=3"},
		{"cpu live-api pod=a pods=2", "give either pod, one by its name, or pods, how many: try cpu live-api pods=3"},
		{"cpu live-api pod=a pod=b", "there are two pods, \"a\" and \"b\": try cpu live-api"},
		{"cpu live-api --pods", "pods needs a value: try cpu live-api"},
		{"cpu live-api --port=8080", "cpu has no option \"--port=8080\": try cpu live-api/prod pod=live-api-7d9f"},
		{"cpu live-api extra", "cpu does not know what to do with \"extra\": try cpu live-api/prod pod=live-api-7d9f"},
		{"cpu live-api please=1", "cpu does not know what to do with \"please=1\": try cpu live-api/prod pod=live-api-7d9f"},
		{"cpu $(reboot)", "\"$(reboot)\" is no name of a service: try cpu live-api"},
		{"cpu " + strings.Repeat("x", 201), "\"" + strings.Repeat("x", 39) + "…\" is no name of a service: try cpu live-api"},
		{"history live-api pods=3", "history takes no pods: try history live-api"},
		{"diff live-api since=31d", "the time for diff is between 1m and 30d: try diff live-api since=2h"},
		{"verify", "verify needs an incident: try verify 01JD3K"},
		{"why", "why needs an alert or service: try why live-api"},
		{"mute live-api", "say for how long to mute, up to 30d: try mute live-api 2h"},
		{"mute live-api 2", "\"2\" is no time: write it as 30s, 5m, 2h or 1d: try mute live-api 2h"},
		{"mute live-api 9999w", "the time for mute is between 1m and 30d: try mute live-api 2h"},
		{"mute 2h", "mute needs a service, services lists them: try mute live-api 2h"},
		{"services now", "services does not know what to do with \"now\": try services"},
		{"digest", "say whether this channel wants the weekly digest: try digest on, or digest off"},
		{"digest maybe", "digest is on or off, not \"maybe\": try digest on"},
		{"help haep", "there is no command \"haep\", did you mean heap?: try heap live-api"},
		{strings.Repeat("cpu ", 1000), "that is too long to be a command: try help"},
	}
	for _, tt := range tests {
		if _, err := Parse(tt.text); err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%.60q) = %v, want %s", tt.text, err, tt.want)
		}
	}
}

// TestMissing is for commands in an incident's thread, where the rest is known.
func TestMissing(t *testing.T) {
	for text, want := range map[string]Command{
		"mute 2h":        {Verb: Mute, For: 2 * time.Hour},
		"cpu 30s pods=2": {Verb: Capture, Kind: incident.KindCPU, Window: 30 * time.Second, Pods: 2},
		"verify":         {Verb: Verify},
	} {
		got, err := Parse(text)
		if e, ok := errors.AsType[*Error](err); !ok || !e.Missing {
			t.Errorf("Parse(%q): %v, want that something is missing", text, err)
		}
		if got != want {
			t.Errorf("Parse(%q) = %+v, want %+v", text, got, want)
		}
	}
}

// TestExamples holds the help to what the parser takes.
func TestExamples(t *testing.T) {
	for _, f := range forms {
		for _, e := range f.examples {
			c, err := Parse(e)
			if err != nil || c.Verb != f.verb || c.Kind != f.kind {
				t.Errorf("example %q of %s: %+v, %v", e, f.word, c, err)
			}
			if !strings.Contains(HelpText(f.word, "/profbot "), "`/profbot "+e+"`") {
				t.Errorf("help of %s lacks %q", f.word, e)
			}
		}
		for _, a := range strings.Fields(f.aliases) {
			if got := lookup(a); got.word != f.word {
				t.Errorf("%s is an alias of %s and %s", a, f.word, got.word)
			}
		}
		if !strings.Contains(HelpText("", ""), "`"+strings.TrimSpace(f.word+" "+f.usage)+"`") {
			t.Errorf("the list of commands lacks %s", f.word)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"cpu live-api 30s pods=3", "mute “a/b” 2h", "why <https://x/?a=b&amp;c|x>", "diff x since=1d env=\"30s\"", "help ?", "cpu 'h' pod=\"since\"", "cpu x –pods 3", "&amp;lt;",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Problem == "" || e.Try == "" {
				t.Fatalf("Parse(%q): %#v", text, err)
			}
			return
		}
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Fatalf("Parse(%q) = %+v as %q, which is %+v, %v", text, c, c, again, err)
		}
	})
}
