package analysis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gprofile "github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/profile"
)

// kindMade builds a profile of any kind from stacks as in made; the values are
// as many as the types, which are written "type/unit".
func kindMade(types []string, stacks map[string][]int64) *profile.Profile {
	flat := map[string]int64{}
	for s := range stacks {
		flat[s] = 1
	}
	p := madeOf(flat)
	p.SampleType, p.PeriodType, p.Period, p.DurationNanos = nil, nil, 0, 0
	for _, t := range types {
		name, unit, _ := strings.Cut(t, "/")
		p.SampleType = append(p.SampleType, &gprofile.ValueType{Type: name, Unit: unit})
	}
	for _, s := range p.Sample {
		var names []string
		for i := len(s.Location) - 1; i >= 0; i-- {
			l := s.Location[i].Line[0]
			name := l.Function.Name
			if l.Line > 0 {
				name += fmt.Sprint("#", l.Line)
			}
			if l.Function.Filename != "" {
				name += "@" + l.Function.Filename
			}
			names = append(names, name)
		}
		s.Value = stacks[strings.Join(names, ";")]
	}
	return ours(p)
}

var (
	mutexTypes = []string{"contentions/count", "delay/nanoseconds"}
	heapTypes  = []string{"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"}
	gorTypes   = []string{"goroutine/count"}
)

// taken sets the time at which a snapshot was taken.
func taken(p *profile.Profile, seconds int64) *profile.Profile {
	p.Time = time.Unix(1e9+seconds, 0)
	return p
}

func heapOf(seconds int64, stacks map[string]int64) *profile.Profile {
	v := map[string][]int64{}
	for s, n := range stacks {
		v[s] = []int64{1, n, 1, n}
	}
	return taken(kindMade(heapTypes, v), seconds)
}

func mutexOf(seconds int64, stacks map[string][]int64) *profile.Profile {
	return taken(kindMade(mutexTypes, stacks), seconds)
}

func gorOf(stacks map[string]int64) *profile.Profile {
	v := map[string][]int64{}
	for s, n := range stacks {
		v[s] = []int64{n}
	}
	return kindMade(gorTypes, v)
}

const (
	mb   = 1 << 20
	park = ";runtime.gopark"
)

// TestFindings holds every rule against stacks on both sides of its limit.
func TestFindings(t *testing.T) {
	// An endpoint of 1,000 samples of which k are the given stack's.
	hot := func(stack string, k int64) PodProfiles {
		return PodProfiles{CPU: made(map[string]int64{serve + "main.list#12;" + stack: k, serve + "main.list#14;main.sortRooms": 1000 - k})}
	}
	gc := func(background, malloc int64) PodProfiles {
		return PodProfiles{CPU: made(map[string]int64{
			"runtime.gcBgMarkWorker;runtime.gcDrain": background, serve + "main.list#12;runtime.mallocgc": malloc,
			serve + "main.list#14;main.sortRooms": 1000 - background - malloc,
		}), AllocsAfter: heapOf(0, map[string]int64{serve + "main.list#12;main.copy#33@copy.go": 90 * mb, serve + "main.list#13": 10 * mb})}
	}
	lock := func(seconds float64, waits int64) PodProfiles {
		stack := "main.(*store).put#40@store.go;sync.(*Mutex).Unlock"
		return PodProfiles{
			CPU:         made(map[string]int64{serve + "main.list#14": 1000}),
			MutexBefore: mutexOf(0, map[string][]int64{stack: {5, 7e9}}),
			Mutex:       mutexOf(10, map[string][]int64{stack: {5 + waits, 7e9 + int64(10*seconds*1e9)}}),
		}
	}
	piled := func(waiting, others int64) PodProfiles {
		return PodProfiles{Goroutine: gorOf(map[string]int64{
			"net/http.(*conn).serve;main.list#9@list.go;database/sql.(*DB).QueryContext;database/sql.(*DB).conn;runtime.selectgo" + park: waiting,
			"main.worker#3;main.step#4": others,
			"net/http.(*conn).serve;net/http.(*connReader).Read;internal/poll.runtime_pollWait" + park: 5000, // idle connections
		})}
	}
	grow := func(before, after int64) PodProfiles {
		return PodProfiles{
			HeapBefore: heapOf(0, map[string]int64{"main.keep#7@keep.go": before, "main.other#8": 100 * mb}),
			HeapAfter:  heapOf(120, map[string]int64{"main.keep#7@keep.go": after, "main.other#8": 100 * mb}),
		}
	}
	for _, tc := range []struct {
		name  string
		pod   PodProfiles
		rule  Rule
		fires bool
		place string // of the first evidence, and in Next
	}{
		{"regexp compiled", hot("main.match#5@match.go;regexp.MustCompile;regexp.compile;regexp/syntax.Parse", 25), RuleRegexpCompile, true, "match (match.go:5)"},
		{"regexp compiled, hardly seen", hot("main.match#5@match.go;regexp.MustCompile;regexp.compile", 12), RuleRegexpCompile, false, ""},
		{"regexp matched", hot("main.match#5@match.go;regexp.(*Regexp).MatchString;regexp.(*Regexp).doExecute", 180), RuleRegexp, true, "match (match.go:5)"},
		{"regexp matched, below", hot("main.match#5@match.go;regexp.(*Regexp).MatchString", 160), RuleRegexp, false, ""},
		{"matching is no compiling", hot("main.match#5@match.go;regexp.(*Regexp).MatchString", 300), RuleRegexpCompile, false, ""},
		{"reflection", hot("main.fill#6@fill.go;reflect.Value.Call", 180), RuleReflect, true, "fill (fill.go:6)"},
		{"reflection, below", hot("main.fill#6@fill.go;reflect.Value.Call", 160), RuleReflect, false, ""},
		{"reflection of a codec", hot("main.fill#6@fill.go;encoding/json.Unmarshal;reflect.Value.Set", 500), RuleReflect, false, ""},
		{"formatting", hot("main.key#6@key.go;fmt.Sprintf;fmt.(*pp).doPrintf", 180), RuleFormat, true, "key (key.go:6)"},
		{"formatting, below", hot("main.key#6@key.go;fmt.Sprintf;fmt.(*pp).doPrintf", 160), RuleFormat, false, ""},
		{"formatting for a logger", hot("main.key#6@key.go;log/slog.(*Logger).Info;fmt.Sprintf", 500), RuleFormat, false, ""},
		{"logging", hot("main.key#6@key.go;log/slog.(*Logger).Info;encoding/json.Marshal", 180), RuleLogging, true, "key (key.go:6)"},
		{"logging with what it writes", hot("main.key#6@key.go;go.uber.org/zap.(*Logger).Info;os.(*File).Write;syscall.write", 180), RuleLogging, true, "key (key.go:6)"},
		{"logging, below", hot("main.key#6@key.go;log/slog.(*Logger).Info", 160), RuleLogging, false, ""},
		{"copying", hot("main.dup#6@dup.go;runtime.memmove", 180), RuleCopy, true, "dup (dup.go:6)"},
		{"copying, below", hot("main.dup#6@dup.go;runtime.memmove", 160), RuleCopy, false, ""},
		{"copying in a codec", hot("main.dup#6@dup.go;encoding/json.Marshal;runtime.memmove", 500), RuleCopy, false, ""},
		{"garbage", gc(200, 100), RuleGC, true, "copy (copy.go:33)"},
		{"garbage, below", gc(200, 70), RuleGC, false, ""},
		{"lock", lock(0.8, 100), RuleLock, true, "(*store).put (store.go:40)"},
		{"lock, below", lock(0.4, 100), RuleLock, false, ""},
		{"lock, too few waits to be sure", lock(0.8, 4), RuleLock, false, ""},
		{"pile-up", piled(120, 60), RulePileUp, true, "list (list.go:9)"},
		{"pile-up, too few", piled(99, 3), RulePileUp, false, ""},
		{"pile-up, not most", piled(120, 110), RulePileUp, false, ""},
		{"heap growth", grow(100*mb, 170*mb), RuleHeapGrowth, true, "keep (keep.go:7)"},
		{"heap growth, below", grow(100*mb, 115*mb), RuleHeapGrowth, false, ""},
		{"heap growth, within the noise of sampling", grow(100*mb, 130*mb), RuleHeapGrowth, false, ""},
		{"a heap that shrinks", grow(100*mb, 20*mb), RuleHeapGrowth, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.pod.Pod = "a"
			res, err := Analyze([]PodProfiles{tc.pod}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var found *Finding
			for i, f := range res.Report.Problems() {
				if f.Rule == tc.rule {
					found = &res.Report.Problems()[i]
				}
			}
			if (found != nil) != tc.fires {
				t.Fatalf("%s fires: %t; findings %+v", tc.rule, found != nil, res.Report.Findings)
			}
			if found == nil {
				return
			}
			if found.Title == "" || found.Why == "" || len(found.Evidence) == 0 {
				t.Fatalf("incomplete: %+v", found)
			}
			if got := found.Evidence[0].Place(); got != tc.place || !strings.Contains(found.Next, tc.place) {
				t.Errorf("place %q, next %q, want %q", got, found.Next, tc.place)
			}
			if s := found.Evidence[0].Share; s.Of == 0 || s.Low > s.Part || s.High < s.Part {
				t.Errorf("share %+v", s)
			}
		})
	}
}

// TestSmallEndpointsAreLeftAlone: what is not judged gets no finding either.
func TestSmallEndpointsAreLeftAlone(t *testing.T) {
	res, err := Analyze([]PodProfiles{{Pod: "a", CPU: made(map[string]int64{
		serve + "main.list#12;main.match#5;regexp.MustCompile": 90,
		serve + "main.big#12;main.work":                        900,
	})}}, Options{})
	if err != nil || len(res.Report.Findings) != 0 {
		t.Errorf("%+v, %v", res.Report.Findings, err)
	}
}

// TestThresholdsMoveTheRules: each limit is the one that its rule asks.
func TestThresholdsMoveTheRules(t *testing.T) {
	pod := PodProfiles{
		Pod: "a", CPU: made(map[string]int64{
			serve + "main.list#12;main.match#5;regexp.MustCompile":              60,
			serve + "main.list#12;fmt.Sprintf":                                  300,
			serve + "main.list#12;runtime.mallocgc":                             300,
			serve + "main.list#12;compress/gzip.(*Writer).Write":                340,
			"net/http.(*conn).serve;net/http.(*connReader).startBackgroundRead": 1,
		}),
		Goroutine:   gorOf(map[string]int64{"main.wait#3;sync.(*Mutex).Lock;sync.runtime_SemacquireMutex;runtime.semacquire1" + park: 150}),
		MutexBefore: mutexOf(0, map[string][]int64{"main.f#1;sync.(*Mutex).Unlock": {1, 1}}),
		Mutex:       mutexOf(10, map[string][]int64{"main.f#1;sync.(*Mutex).Unlock": {1000, 20e9}}),
		HeapBefore:  heapOf(0, map[string]int64{"main.keep#7": 200 * mb}),
		HeapAfter:   heapOf(60, map[string]int64{"main.keep#7": 400 * mb}),
	}
	rulesAt := func(th Thresholds) map[Rule]bool {
		res, err := Analyze([]PodProfiles{pod}, Options{Thresholds: th})
		if err != nil {
			t.Fatal(err)
		}
		got := map[Rule]bool{}
		for _, f := range res.Report.Problems() {
			got[f.Rule] = true
		}
		for _, e := range res.Report.Flagged() {
			got[e.Verdict.Rule] = true
		}
		return got
	}
	all := map[Rule]bool{RuleRegexpCompile: true, RuleFormat: true, RuleGC: true, RuleCompress: true, RulePileUp: true, RuleLock: true, RuleHeapGrowth: true}
	if d := cmp.Diff(all, rulesAt(Thresholds{})); d != "" {
		t.Errorf("by default (-want +got):\n%s", d)
	}
	for rule, th := range map[Rule]Thresholds{
		RuleRegexpCompile: {RegexpCompile: 0.1}, RuleFormat: {Hot: 0.4}, RuleGC: {GC: 0.5}, RuleCompress: {Compress: 0.5},
		RulePileUp: {PileUp: 200}, RuleLock: {LockWait: 3}, RuleHeapGrowth: {HeapGrowth: 2},
	} {
		if rulesAt(th)[rule] {
			t.Errorf("%s fires below %+v", rule, th)
		}
	}
}

func TestWaiters(t *testing.T) {
	res, err := Analyze([]PodProfiles{{
		Pod: "a",
		Mutex: func() *profile.Profile {
			p := mutexOf(0, map[string][]int64{"main.hold#1;sync.(*Mutex).Unlock": {500, 30e9}})
			p.Duration = 10 * time.Second
			return p
		}(),
		Block: func() *profile.Profile {
			p := mutexOf(0, map[string][]int64{"main.want#2;sync.(*Mutex).Lock": {500, 30e9}, "main.idle#3;runtime.chanrecv1": {5, 900e9}})
			p.Duration = 10 * time.Second
			return p
		}(),
	}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ps := res.Report.Problems()
	if len(ps) != 1 || len(ps[0].Evidence) != 2 || ps[0].Evidence[0].Func != "main.hold" || ps[0].Evidence[1].Func != "main.want" {
		t.Fatalf("%+v", ps)
	}
	if !strings.Contains(ps[0].Why, "3 s for locks in each second") {
		t.Errorf("why: %s", ps[0].Why)
	}
}

// TestPartialReports: any kind alone says something, and says that it is alone.
func TestPartialReports(t *testing.T) {
	for name, tc := range map[string]struct {
		pod      PodProfiles
		rule     Rule
		headline string
	}{
		"heap":      {PodProfiles{HeapAfter: heapOf(0, map[string]int64{"main.keep#7": 9 * mb})}, RuleHeap, "From the heap profile alone: what lives in the heap"},
		"allocs":    {PodProfiles{AllocsAfter: heapOf(0, map[string]int64{"main.make#7": 9 * mb})}, RuleAllocation, "From the allocs profile alone: where memory is allocated"},
		"goroutine": {PodProfiles{Goroutine: gorOf(map[string]int64{"main.work#7": 3})}, RuleGoroutines, "From the goroutine profile alone: what the goroutines do"},
		"mutex":     {PodProfiles{Mutex: mutexOf(0, map[string][]int64{"main.f#1;sync.(*Mutex).Unlock": {9, 9e9}})}, RuleWaiting, "From the mutex profile alone: locks were waited for"},
		"block":     {PodProfiles{Block: mutexOf(0, map[string][]int64{"main.f#1;runtime.chanrecv1": {9, 9e9}})}, RuleWaiting, "From the block profile alone: goroutines waited"},
		"growth": {
			PodProfiles{HeapBefore: heapOf(0, map[string]int64{"main.keep#7": 100 * mb}), HeapAfter: heapOf(60, map[string]int64{"main.keep#7": 300 * mb})},
			RuleHeapGrowth, "From the heap profile alone: the live heap grows, most at keep",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.pod.Pod = "a"
			res, err := Analyze([]PodProfiles{tc.pod}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := res.Report
			if len(r.Findings) != 1 || r.Findings[0].Rule != tc.rule || len(r.Endpoints) != 0 {
				t.Fatalf("findings %+v", r.Findings)
			}
			if got := r.Headline(); !strings.HasPrefix(got, tc.headline) {
				t.Errorf("headline %q", got)
			}
			if !strings.Contains(strings.Join(r.Notes, "\n"), "There is no CPU profile") {
				t.Errorf("notes %q", r.Notes)
			}
			var b strings.Builder
			if err := WriteText(&b, r); err != nil || !strings.Contains(b.String(), "Next: ") || strings.Contains(b.String(), "ENDPOINT") {
				t.Errorf("%v\n%s", err, &b)
			}
		})
	}
}

func TestOutliers(t *testing.T) {
	pod := func(name string, decode, list, user int64) PodProfiles {
		return PodProfiles{Pod: name, CPU: made(map[string]int64{
			serve + "main.list#12;encoding/json.Unmarshal": decode, serve + "main.list#14;main.sort": list, serve + "main.user#3;main.work": user,
		})}
	}
	differing := func(pods ...PodProfiles) map[string][]string {
		res, err := Analyze(pods, Options{})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]string{}
		for _, p := range res.Report.Pods {
			for _, d := range p.Differs {
				out[p.Name] = append(out[p.Name], d.What)
			}
			if len(p.Differs) > 0 != strings.Contains(strings.Join(res.Report.Notes, "\n"), p.Name+" differs from the other pods: ") {
				t.Errorf("%s: notes %q", p.Name, res.Report.Notes)
			}
		}
		return out
	}
	if got := differing(pod("a", 300, 300, 400), pod("b", 310, 290, 400), pod("c", 320, 300, 380)); len(got) != 0 {
		t.Errorf("noise: %v", got)
	}
	if got := differing(pod("a", 300, 300, 400), pod("b", 340, 320, 340), pod("c", 620, 200, 180)); cmp.Diff([]string{"decode", "list", "user"}, got["c"]) != "" {
		t.Errorf("an outlier: %v", got)
	}
	if got := differing(pod("a", 3000, 3000, 4000), pod("b", 3400, 2800, 3800)); len(got) != 0 {
		t.Errorf("significant, and too small to matter: %v", got)
	}
	if got := differing(pod("a", 3, 3, 4), pod("b", 9, 0, 0)); len(got) != 0 {
		t.Errorf("hardly any samples: %v", got)
	}
}

func TestAdvice(t *testing.T) {
	few := PodProfiles{Pod: "a", CPU: made(map[string]int64{serve + "main.list#12;encoding/json.Unmarshal": 40})}
	next := func(pods ...PodProfiles) string {
		res, err := Analyze(pods, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return res.Report.Endpoints[0].Verdict.Next
	}
	if got, want := next(few), "Profile 30 s instead of 10 s, or 3 pods instead of 1."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// 30 of 100 is above the limit, and its interval begins at 22 %.
	open := PodProfiles{Pod: "a", CPU: made(map[string]int64{serve + "main.list#12;encoding/json.Unmarshal": 60, serve + "main.list#14": 140})}
	if got := next(open); !strings.Contains(got, "more samples would decide. Profile 20 s instead of 10 s, or 2 pods instead of 1.") {
		t.Errorf("got %q", got)
	}
	below := PodProfiles{Pod: "a", CPU: made(map[string]int64{serve + "main.list#12;encoding/json.Unmarshal": 20, serve + "main.list#14": 180})}
	if got := next(below); got != "" {
		t.Errorf("what is decided gets %q", got)
	}
	long := few
	long.CPU = made(map[string]int64{serve + "main.list#12;encoding/json.Unmarshal": 2})
	if got, want := next(long), "Profile 5 min on 2 pods."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCheck(t *testing.T) {
	cpu := made(map[string]int64{"main.f#1@f.go": 1})
	micro := made(map[string]int64{"main.f#1@f.go": 1})
	micro.SampleTypes[1].Unit = "microseconds"
	negative := heapOf(0, map[string]int64{"main.f#1@f.go": -5})
	alloc := heapOf(0, map[string]int64{"main.f#1@f.go": 5})
	alloc.DefaultType = "alloc_space"
	for _, tc := range []struct {
		name string
		p    *profile.Profile
		file string
		kind Kind
		want string
	}{
		{"cpu", cpu, "x", KindCPU, ""},
		{"heap", heapOf(0, map[string]int64{"main.f#1@f.go": 5}), "x.pb.gz", KindHeap, ""},
		{"allocs by its default type", alloc, "heap.pb.gz", KindAllocs, ""},
		{"allocs by its name", heapOf(0, nil), "a/live.allocs0.pb.gz", KindAllocs, ""},
		{"mutex by who unlocks", mutexOf(0, map[string][]int64{"main.f#1@f.go;sync.(*RWMutex).RUnlock": {1, 1}}), "block.pb.gz", KindMutex, ""},
		{"block by who waits", mutexOf(0, map[string][]int64{"main.f#1@f.go;runtime.selectgo": {1, 1}}), "mutex.pb.gz", KindBlock, ""},
		{"block by its name", mutexOf(0, nil), "a.block.pb.gz", KindBlock, ""},
		{"goroutine", gorOf(map[string]int64{"main.f#1@f.go": 1}), "", KindGoroutine, ""},
		{"of another language", made(map[string]int64{"java.lang.Thread.run#1@Thread.java": 1}), "", "", "not of a Go program"},
		{"of another kind", kindMade([]string{"threadcreate/count"}, map[string][]int64{"main.f#1@f.go": {1}}), "", "", "says something here: it holds threadcreate/count"},
		{"in other units", micro, "", "", "its cpu is in microseconds, and Go's in nanoseconds"},
		{"a difference", negative, "", "", "it holds negative values"},
	} {
		kind, err := Check(tc.p, tc.file)
		if kind != tc.kind || (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %q, %v", tc.name, kind, err)
		}
	}
}

func TestLowerPoisson(t *testing.T) {
	// Exact lower limits of 1, 10, 100: 0.0253, 4.7954, 81.364.
	for n, want := range map[int64]float64{0: 0, 1: 0.0253, 10: 0.47954, 100: 0.81364} {
		if got := lowerPoisson(n); got < want-0.02 || got > want+0.02 {
			t.Errorf("lowerPoisson(%d) = %.4f, want %.4f", n, got, want)
		}
	}
	if z := bonferroni(1); z < 1.9599 || z > 1.96 {
		t.Errorf("one comparison: %v", z)
	}
	if z := bonferroni(10); z < 2.806 || z > 2.808 {
		t.Errorf("ten comparisons: %v", z)
	}
}
