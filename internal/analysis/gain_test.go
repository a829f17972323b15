package analysis

import (
	"go/parser"
	"go/token"
	"math"
	"strings"
	"testing"
	"time"
)

// flagged is a report of one pod, 10 s long, whose endpoint "list" decodes 600
// of its 800 samples out of a cache, with 100 samples beside it.
func flagged(t *testing.T, opt Options, inside int64) *Gain {
	t.Helper()
	pod := PodProfiles{Pod: "a", CPU: made(map[string]int64{
		serve + "main.list#10@list.go;github.com/coocood/freecache.(*Cache).Get": 20,
		serve + "main.list#12@list.go;encoding/json.Unmarshal":                   600,
		serve + "main.list#14@list.go;main.sortRooms":                            180,
		"runtime.gcBgMarkWorker;runtime.gcDrain":                                 100,
	})}
	if inside > 0 {
		pod.Goroutine = gorOf(map[string]int64{serve + "main.list#12@list.go" + park: inside})
	}
	res, err := Analyze([]PodProfiles{pod}, opt)
	if err != nil {
		t.Fatal(err)
	}
	g := res.Report.Endpoints[0].Gain
	if g == nil {
		t.Fatalf("no gain: %+v", res.Report.Endpoints[0].Verdict)
	}
	return g
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// TestGainFormulas works the savings out by hand: 600 samples of 10 ms in 10 s
// are 0.6 decodes at once.
func TestGainFormulas(t *testing.T) {
	f := share(600, 800)
	sat := func(a float64) float64 { return 1 - 1/(1+a) }
	g := flagged(t, Options{Rates: map[string]float64{"list": 1200}, Keys: map[string]int{"*": 50}}, 0)
	// T = 0.6 / 1200 = 0.5 ms; the rate for one key is 24.
	if g.DecodeTime != 500*time.Microsecond || g.Func != "main.list" || g.Line != 12 {
		t.Errorf("T %s at %s:%d", g.DecodeTime, g.Func, g.Line)
	}
	flight, hold := sat(24*0.0005), sat(24*(0.0005+0.1))
	for _, x := range []struct {
		what      string
		got, want float64
	}{
		{"flight low", g.Flight.Endpoint.Low, f.Low * flight},
		{"flight high", g.Flight.Endpoint.High, f.High * flight},
		{"hold low", g.Hold.Endpoint.Low, f.Low * hold},
		{"hold high", g.Hold.Endpoint.High, f.High * hold},
		{"process high", g.Hold.Process.High, share(600, 900).High * hold},
		{"cores high", g.Hold.Cores.High, share(600, 900).High * hold * 0.9},
	} {
		if !near(x.got, x.want) {
			t.Errorf("%s: %.5f, want %.5f", x.what, x.got, x.want)
		}
	}
	if len(g.Cases) != 0 || g.Narrow != "" {
		t.Errorf("all is known, and there are cases %+v, %q", g.Cases, g.Narrow)
	}
}

// TestGainIsARange: what is not known makes the range wide, and never narrow.
func TestGainIsARange(t *testing.T) {
	f := share(600, 800)
	none := flagged(t, Options{}, 0)
	if none.Flight.Endpoint.Low != 0 || none.Hold.Endpoint.Low != 0 || !near(none.Hold.Endpoint.High, f.High) || len(none.Cases) != 4 ||
		!strings.Contains(none.Narrow, "--rate 'list=") || !strings.Contains(none.Narrow, "--keys") {
		t.Errorf("nothing is known: %+v", none)
	}
	rate := flagged(t, Options{Rates: map[string]float64{"list": 1200}}, 0)
	if rate.Flight.Endpoint.Low != 0 || len(rate.Cases) != 4 || rate.Cases[0].Keys != 1 || rate.Cases[0].Flight == nil ||
		rate.Cases[0].Hold.Low <= rate.Cases[3].Hold.High || strings.Contains(rate.Narrow, "--rate") {
		t.Errorf("the rate is known: %+v", rate)
	}
	keyed := flagged(t, Options{Keys: map[string]int{"list": 50}}, 0)
	if keyed.Flight.Endpoint.Low == 0 || len(keyed.Cases) != 4 || strings.Contains(keyed.Narrow, "--keys") {
		t.Errorf("the keys are known: %+v", keyed)
	}
	both := flagged(t, Options{Rates: map[string]float64{"list": 1200}, Keys: map[string]int{"*": 50}}, 0)
	for _, wide := range []*Gain{none, rate, keyed} {
		if wide.Hold.Endpoint.Low > both.Hold.Endpoint.Low || wide.Hold.Endpoint.High < both.Hold.Endpoint.High ||
			wide.Flight.Endpoint.Low > both.Flight.Endpoint.Low {
			t.Errorf("%+v does not hold %+v", wide.Hold, both.Hold)
		}
	}
}

// TestGainBounds: of k callers at most 1 - 1/k of the decodes go by a flight.
func TestGainBounds(t *testing.T) {
	f := share(600, 800)
	for inside, want := range map[int64]float64{2: 0.5, 5: 0.8} {
		g := flagged(t, Options{}, inside)
		if g.Inside != inside || g.Flight.Endpoint.High > f.High*want+1e-9 {
			t.Errorf("%d inside: flight up to %.3f, want at most %.3f", inside, g.Flight.Endpoint.High, f.High*want)
		}
	}
	if more, fewer := flagged(t, Options{}, 40), flagged(t, Options{}, 2); more.Flight.Endpoint.High <= fewer.Flight.Endpoint.High {
		t.Error("more callers at once do not save more")
	}
}

// TestGainOfAllRequests: an endpoint has at most the requests of all.
func TestGainOfAllRequests(t *testing.T) {
	f := share(600, 800)
	g := flagged(t, Options{Requests: 20}, 0)
	a := 20*0.1 + 0.6
	if want := f.High * (1 - 1/(1+a)); !near(g.Hold.Endpoint.High, want) || g.Hold.Endpoint.Low != 0 {
		t.Errorf("hold %+v, want up to %.4f", g.Hold.Endpoint, want)
	}
	if !strings.Contains(strings.Join(g.Assumes, "\n"), "At most all of the 20 requests a second") {
		t.Errorf("assumes %q", g.Assumes)
	}
}

// TestGainTakesGC: the garbage of decoding goes with it.
func TestGainTakesGC(t *testing.T) {
	pod := PodProfiles{
		Pod: "a", CPU: made(map[string]int64{
			serve + "main.list#10;github.com/coocood/freecache.(*Cache).Get": 20,
			serve + "main.list#12;encoding/json.Unmarshal":                   600,
			"runtime.gcBgMarkWorker;runtime.gcDrain":                         380,
		}),
		AllocsAfter: heapOf(0, map[string]int64{serve + "main.list#12;encoding/json.Unmarshal": 50 * mb, "main.other#3": 50 * mb}),
	}
	res, err := Analyze([]PodProfiles{pod}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := res.Report.Endpoints[0].Gain
	if !near(g.GC, 0.19) {
		t.Fatalf("GC %.3f, want half of 38 %%", g.GC)
	}
	if want := share(600, 1000).High + 0.19; !near(g.Hold.Process.High, want) {
		t.Errorf("process %.4f, want %.4f", g.Hold.Process.High, want)
	}
}

// TestSnippet: what is shown is Go, with the profile's names.
func TestSnippet(t *testing.T) {
	e := Endpoint{
		Verdict: Verdict{Rule: RuleCacheDecode}, Decode: share(50, 100),
		Codecs:  []Codec{{Name: "msgpack", Direction: Decode, Entry: "github.com/vmihailenco/msgpack/v5.Unmarshal", Caller: "example.com/live.(*catalog).Rooms.func1", CallerFile: "/src/live/catalog.go", CallerLine: 88}},
		Sources: []Source{{Kind: SourceCache, Via: "freecache + go-redis", Share: share(50, 50)}},
	}
	got := Snippet(e)
	if _, err := parser.ParseFile(token.NewFileSet(), "x.go", "package p\nfunc _() {\n"+got+"\n}", 0); err != nil {
		t.Errorf("%v\n%s", err, got)
	}
	for _, want := range []string{"roomsCache.Get(ctx, key)", "catalog.go:88", "sfredis.New", "sfcache.Local{", "msgpack", "100 * time.Millisecond"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	e.Verdict.Rule = RuleDecode
	if got := Snippet(e); got != "" {
		t.Errorf("advice for another verdict: %s", got)
	}
}
