package analysis

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"
	gprofile "github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/profile"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

func TestReportGolden(t *testing.T) {
	for _, name := range []string{"only-live-std", "labels-profbot-chi", "router-grpc", "router-gin"} {
		t.Run(name, func(t *testing.T) {
			res, err := Analyze([]PodProfiles{
				{Pod: "live-api-0", CPU: load(t, name+".cpu.pb.gz"), AllocsBefore: load(t, name+".allocs0.pb.gz"), AllocsAfter: load(t, name+".allocs1.pb.gz")},
				{Pod: "live-api-1", Control: true, CPU: load(t, "router-std.cpu.pb.gz")},
			}, Options{Service: "live-api", Thresholds: Thresholds{MinSamples: 40}})
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := WriteText(&b, res.Report); err != nil {
				t.Fatal(err)
			}
			b.WriteString("\nALT TEXT\n" + res.Report.AltText() + "\n")
			golden(t, name+".txt", b.Bytes())
			if n := len([]rune(res.Report.AltText())); n > 1900 {
				t.Errorf("alternative text has %d characters", n)
			}
			checkTree(t, res.Tree.Root)
			if res.Tree.Root.Total != res.Report.Samples {
				t.Errorf("tree holds %d samples, report %d", res.Tree.Root.Total, res.Report.Samples)
			}
			if res.Control == nil {
				t.Error("no tree of the control pod")
			}
		})
	}
}

func checkTree(t *testing.T, n *Node) {
	t.Helper()
	sum := n.Self
	for _, c := range n.Children {
		sum += c.Total
		checkTree(t, c)
	}
	if sum != n.Total {
		t.Errorf("%s: self and children are %d, total %d", n.Func, sum, n.Total)
	}
}

func TestShare(t *testing.T) {
	for _, tc := range []struct {
		k, n int64
		want string
	}{
		{0, 0, "-"},
		{0, 10, "0 % (0-28 %)"},
		{10, 10, "100 % (72-100 %)"},
		{62, 100, "62 % (52-71 %)"},
		{4, 100, "4.0 % (1.6-9.8 %)"},
	} {
		if got := share(tc.k, tc.n).String(); got != tc.want {
			t.Errorf("share(%d, %d) = %q, want %q", tc.k, tc.n, got, tc.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tc := range []struct{ in, pkg, sym, last, base string }{
		{"encoding/json.(*Decoder).Decode", "encoding/json", "(*Decoder).Decode", "Decode", "encoding/json.(*Decoder).Decode"},
		{"main.stdmux.jsonIn[...].func6", "main", "stdmux.jsonIn.func6", "jsonIn", "main.stdmux.jsonIn"},
		{"gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml.v3", "Unmarshal", "Unmarshal", "gopkg.in/yaml.v3.Unmarshal"},
		{"example.com/a.(*T[go.shape.struct { X example.com/b.Y }]).Get", "example.com/a", "(*T).Get", "Get", "example.com/a.(*T).Get"},
		{"truth/svc.(*API).Fanout.func1.1", "truth/svc", "(*API).Fanout.func1.1", "Fanout", "truth/svc.(*API).Fanout"},
		{"main.run.gowrap2", "main", "run.gowrap2", "run", "main.run"},
		{"memeqbody", "", "memeqbody", "memeqbody", "memeqbody"},
		{"main.(*API).List-fm", "main", "(*API).List-fm", "List", "main.(*API).List"},
	} {
		f := newFn(tc.in, "", 0)
		if f.pkg != tc.pkg || f.sym != tc.sym || f.last != tc.last || f.base != tc.base {
			t.Errorf("%s: pkg %q sym %q last %q base %q", tc.in, f.pkg, f.sym, f.last, f.base)
		}
	}
}

func TestDirection(t *testing.T) {
	for sym, want := range map[string]Direction{
		"Unmarshal": Decode, "(*Decoder).Decode": Decode, "Marshal": Encode, "(*Encoder).Encode": Encode,
		"checkValid": Decode, "AppendString": Encode, "(*encodeState).reflectValue": Encode, "(*decodeState).object": Decode, "helper": "",
	} {
		if got := direction(sym).direction(); got != want {
			t.Errorf("direction(%q) = %q, want %q", sym, got, want)
		}
	}
}

func TestAnalyzeRefuses(t *testing.T) {
	if _, err := Analyze(nil, Options{}); err == nil {
		t.Error("no pods gave no error")
	}
	_, err := Analyze([]PodProfiles{{Pod: "a", CPU: load(t, "router-std.allocs1.pb.gz")}}, Options{})
	if err == nil || !strings.Contains(err.Error(), "not a CPU profile: it holds alloc_objects/count") {
		t.Errorf("an allocs profile as CPU: %v", err)
	}
	if _, err := Analyze([]PodProfiles{{Pod: "a", Control: true, CPU: load(t, "router-std.cpu.pb.gz")}}, Options{}); err == nil {
		t.Error("a control pod alone gave no error")
	}
	for _, tc := range []struct {
		values [][]int64
		want   string
	}{
		{[][]int64{{500, 5e9}, {-1, -1e7}}, "it holds negative samples"},
		{[][]int64{{1, -1e7}}, "it holds negative samples"},
		{[][]int64{{math.MaxInt64, 1}, {math.MaxInt64, 1}}, "more than any process can run"},
	} {
		p := &gprofile.Profile{SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
		for _, v := range tc.values {
			p.Sample = append(p.Sample, &gprofile.Sample{Value: v})
		}
		if _, err := Analyze([]PodProfiles{{Pod: "a", CPU: ours(p)}}, Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: error %v, want %q", tc.values, err, tc.want)
		}
	}
}

func TestControlThatIsNoCPUProfile(t *testing.T) {
	res, err := Analyze([]PodProfiles{
		{Pod: "hot", CPU: load(t, "router-std.cpu.pb.gz")},
		{Pod: "cool", Control: true, CPU: load(t, "router-std.allocs1.pb.gz")},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Report.Pods) != 1 || res.Report.Pods[0].Name != "hot" || !strings.Contains(strings.Join(res.Report.Notes, "\n"), "cool: left out: not a CPU profile") {
		t.Errorf("pods %+v, notes %q", res.Report.Pods, res.Report.Notes)
	}
}

func TestIdleProcess(t *testing.T) {
	p := &gprofile.Profile{SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}, DurationNanos: 1e9}
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: ours(p)}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Report.Headline(); !strings.Contains(got, "idle") {
		t.Errorf("headline %q", got)
	}
}

// made builds a CPU profile of one sample per stack; frames are root first,
// "name:line", optionally "name:line@file".
func made(stacks map[string]int64) *profile.Profile { return ours(madeOf(stacks)) }

func madeOf(stacks map[string]int64) *gprofile.Profile {
	p := &gprofile.Profile{
		SampleType: []*gprofile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &gprofile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1e7, DurationNanos: int64(10 * time.Second),
	}
	funcs := map[string]*gprofile.Function{}
	for text, n := range stacks {
		s := &gprofile.Sample{Value: []int64{n, n * 1e7}}
		for _, f := range strings.Split(text, ";") {
			name, file, _ := strings.Cut(f, "@")
			name, no, _ := strings.Cut(name, "#")
			var line int64
			for _, c := range no {
				line = line*10 + int64(c-'0')
			}
			fn := funcs[name]
			if fn == nil {
				fn = &gprofile.Function{ID: uint64(len(funcs) + 1), Name: name, SystemName: name, Filename: file}
				funcs[name] = fn
				p.Function = append(p.Function, fn)
			}
			loc := &gprofile.Location{ID: uint64(len(p.Location) + 1), Line: []gprofile.Line{{Function: fn, Line: line}}}
			p.Location = append(p.Location, loc)
			s.Location = append([]*gprofile.Location{loc}, s.Location...)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

// ours is a profile as the analysis reads it.
func ours(p *gprofile.Profile) *profile.Profile {
	var b bytes.Buffer
	if err := p.WriteUncompressed(&b); err != nil {
		panic(err)
	}
	q, err := profile.Parse(b.Bytes(), 0)
	if err != nil {
		panic(err)
	}
	return q
}

const serve = "net/http.(*conn).serve;net/http.serverHandler.ServeHTTP;net/http.(*ServeMux).ServeHTTP;net/http.HandlerFunc.ServeHTTP;"

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		stacks map[string]int64
		want   map[string]Rule
	}{
		{"cached bytes", map[string]int64{
			serve + "main.list#10;github.com/coocood/freecache.(*Cache).Get;github.com/coocood/freecache.(*segment).get": 20,
			serve + "main.list#12;encoding/json.Unmarshal;encoding/json.(*decodeState).object":                           400,
			serve + "main.list#14;main.sortRooms": 200,
		}, map[string]Rule{"list": RuleCacheDecode}},
		{"request body", map[string]int64{
			serve + "main.chat#10;encoding/json.(*Decoder).Decode;encoding/json.(*Decoder).refill;net/http.(*body).Read": 10,
			serve + "main.chat#10;encoding/json.(*Decoder).Decode;encoding/json.(*decodeState).object":                   400,
		}, map[string]Rule{"chat": RuleDecode}},
		{"a later cache read does not feed an earlier decode", map[string]int64{
			serve + "main.chat#10;encoding/json.Unmarshal":                             400,
			serve + "main.chat#12;github.com/coocood/freecache.(*Cache).Get":           50,
			serve + "main.chat#8;io.ReadAll;net/http.(*body).Read;net/http.bodyLocked": 30,
		}, map[string]Rule{"chat": RuleDecode}},
		{"few samples", map[string]int64{
			serve + "main.list#12;encoding/json.Unmarshal": 50,
		}, map[string]Rule{"list": RuleFewSamples}},
		{"a small endpoint", map[string]int64{
			serve + "main.list#12;encoding/json.Unmarshal": 150,
			serve + "main.big#12;main.work":                9000,
		}, map[string]Rule{"list": RuleNone, "big": RuleNone}},
		{"encoding", map[string]int64{
			serve + "main.export#12;encoding/json.(*Encoder).Encode;encoding/json.(*encodeState).marshal": 300,
		}, map[string]Rule{"export": RuleEncode}},
		{"logging is no reply", map[string]int64{
			serve + "main.a#12;log/slog.(*Logger).Info;encoding/json.Marshal": 300,
		}, map[string]Rule{"a": RuleNone}},
		{"home-made dispatch", map[string]int64{
			serve + "main.router.func1#9;main.list;encoding/json.Unmarshal": 200,
			serve + "main.router.func1#9;main.user;main.work":               200,
		}, map[string]Rule{"list": RuleDecode, "user": RuleNone}},
		{"a helper on the same line is no handler", map[string]int64{
			serve + "main.list#9;main.load;encoding/json.Unmarshal":          200,
			serve + "main.list#9;main.reply;encoding/json.Marshal":           50,
			serve + "main.user#9;main.reply;encoding/json.Marshal":           50,
			serve + "main.user#8;main.work":                                  300,
			serve + "main.list#7;github.com/redis/go-redis/v9.(*Client).Get": 40,
		}, map[string]Rule{"list": RuleCacheDecode, "user": RuleNone}},
		{"goroutines of a handler", map[string]int64{
			serve + "main.fan#9;main.wait": 100,
			"golang.org/x/sync/errgroup.(*Group).Go.func1;main.fan.func1#20;encoding/json.Unmarshal":                             300,
			"golang.org/x/sync/errgroup.(*Group).Go.func1;main.fan.func1#18;github.com/redis/go-redis/v9.(*Client).Get;net.Read": 90,
		}, map[string]Rule{"fan": RuleCacheDecode}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(tc.stacks)}}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]Rule{}
			for _, e := range res.Report.Endpoints {
				got[e.Name] = e.Verdict.Rule
				if e.Verdict.Title == "" || e.Verdict.Why == "" {
					t.Errorf("%s has no reason: %+v", e.Name, e.Verdict)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("verdicts (-want +got):\n%s", d)
			}
		})
	}
}

func TestTruncatedStacks(t *testing.T) {
	deep := ""
	for range 70 {
		deep += ";main.(*tree).walk#5"
	}
	whole := serve + "main.list#3;main.start#4" + deep[:len(deep)/2]
	cut := "main.start#4" + deep // its root is gone
	orphan := "main.other#9" + strings.ReplaceAll(deep, "walk", "fly")
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(map[string]int64{whole: 300, cut: 200, orphan: 100})}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := res.Report
	if len(r.Endpoints) != 1 || r.Endpoints[0].Name != "list" || r.Endpoints[0].Share.Samples != 500 {
		t.Errorf("endpoints: %+v", r.Endpoints)
	}
	if r.Truncated.Samples != 100 || r.Unattributed.Samples != 100 {
		t.Errorf("truncated %d, unattributed %d samples, want 100 each", r.Truncated.Samples, r.Unattributed.Samples)
	}
}

func TestRoutesAndPrefixes(t *testing.T) {
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(map[string]int64{
		serve + "corp/shop.(*API).List;corp/shop.sort": 300,
	})}}, Options{AppPrefixes: []string{"corp"}, Routes: map[string]string{"(*API).List": "GET /shop"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Report.Endpoints) != 1 || res.Report.Endpoints[0].Name != "GET /shop" {
		t.Errorf("endpoints: %+v", res.Report.Endpoints)
	}
}

// TestAnalyzeKeepsNoProfile: when the next pod's profiles are asked for, the
// ones before are garbage.
func TestAnalyzeKeepsNoProfile(t *testing.T) {
	var seen []weak.Pointer[profile.Profile]
	read := func(name string) *profile.Profile {
		p := load(t, name)
		seen = append(seen, weak.Make(p))
		return p
	}
	pods := func(yield func(PodProfiles) bool) {
		for range 3 {
			runtime.GC()
			for i, p := range seen {
				if p.Value() != nil {
					t.Errorf("profile %d is kept", i)
				}
			}
			if !yield(PodProfiles{Pod: "a", CPU: read("router-std.cpu.pb.gz"), AllocsBefore: read("router-std.allocs0.pb.gz"), AllocsAfter: read("router-std.allocs1.pb.gz")}) {
				return
			}
		}
	}
	if res, err := AnalyzeSeq(pods, Options{}); err != nil || len(res.Report.Pods) != 3 || len(seen) != 9 {
		t.Errorf("%d profiles, %v", len(seen), err)
	}
}

func BenchmarkAnalyze(b *testing.B) {
	p := load(b, "router-std.cpu.pb.gz")
	before, after := load(b, "router-std.allocs0.pb.gz"), load(b, "router-std.allocs1.pb.gz")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Analyze([]PodProfiles{{Pod: "a", CPU: p, AllocsBefore: before, AllocsAfter: after}}, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
