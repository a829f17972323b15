package analysis

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gprofile "github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/profile"
)

// typed builds a profile of the given sample types ("delay/nanoseconds") from
// stacks written root first: "a;b;c 1 2".
func typed(types string, lines ...string) *profile.Profile {
	p := &gprofile.Profile{PeriodType: &gprofile.ValueType{}}
	for t := range strings.FieldsSeq(types) {
		name, unit, _ := strings.Cut(t, "/")
		p.SampleType = append(p.SampleType, &gprofile.ValueType{Type: name, Unit: unit})
	}
	at := map[string]*gprofile.Location{}
	for _, line := range lines {
		parts := strings.Fields(line)
		s := &gprofile.Sample{Value: make([]int64, len(p.SampleType))}
		for i, v := range parts[1:] {
			_, _ = fmt.Sscan(v, &s.Value[i])
		}
		for name := range strings.SplitSeq(parts[0], ";") {
			l := at[name]
			if l == nil {
				f := &gprofile.Function{ID: uint64(len(p.Function) + 1), Name: name, Filename: name + ".go"}
				l = &gprofile.Location{ID: f.ID, Line: []gprofile.Line{{Function: f, Line: 1}}}
				p.Function, p.Location, at[name] = append(p.Function, f), append(p.Location, l), l
			}
			s.Location = append([]*gprofile.Location{l}, s.Location...)
		}
		p.Sample = append(p.Sample, s)
	}
	return ours(p)
}

// flat writes a tree one node a line: depth, name, category, total.
func flat(n *Node, depth int) string {
	s := fmt.Sprintf("%s%s %s %d\n", strings.Repeat(" ", depth), n.Func, n.Category, n.Total)
	for _, c := range n.Children {
		s += flat(c, depth+1)
	}
	return s
}

// others are the trees of one pod's profiles beside the CPU's, by kind.
func others(t *testing.T, pod PodProfiles) map[string]*Tree {
	t.Helper()
	res, err := Analyze([]PodProfiles{pod}, Options{Trees: true})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*Tree{}
	for _, tree := range res.Others {
		out[tree.Kind] = tree
	}
	return out
}

func TestTreeOfWaitingGoroutines(t *testing.T) {
	p := typed("goroutine/count",
		"main.lock;sync.(*Mutex).Lock;internal/sync.(*Mutex).lockSlow;runtime.gopark 5",
		"main.pick;runtime.selectgo;runtime.gopark 4",
		"main.nap;time.Sleep;runtime.gopark 3",
		"main.read;net.(*conn).Read;internal/poll.(*FD).Read;runtime.gopark 2",
		"main.busy;main.loop 1")
	tree := others(t, PodProfiles{Goroutine: p})["goroutine"]
	want := `all library 15
 main.lock app 5
  sync.(*Mutex).Lock lock 5
   internal/sync.(*Mutex).lockSlow lock 5
    runtime.gopark lock 5
 main.pick app 4
  runtime.selectgo channel 4
   runtime.gopark channel 4
 main.nap app 3
  time.Sleep sleep 3
   runtime.gopark sleep 3
 main.read app 2
  net.(*conn).Read io 2
   internal/poll.(*FD).Read io 2
    runtime.gopark io 2
 main.busy app 1
  main.loop app 1
`
	if d := cmp.Diff(want, flat(tree.Root, 0)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if tree.Kind != "goroutine" || tree.Unit != "goroutines" {
		t.Errorf("kind %q, unit %q", tree.Kind, tree.Unit)
	}
}

// TestTreesOfKinds tells kinds, units and the size of one observation.
func TestTreesOfKinds(t *testing.T) {
	const heapTypes = "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes"
	heap := typed(heapTypes, "main.a;main.b 100 4096 10 1024")
	heap.Period, heap.PeriodType = 512, profile.ValueType{Type: "space", Unit: "bytes"}
	waited := func(leaf, values string) *profile.Profile {
		p := typed("contentions/count delay/nanoseconds", "main.a;"+leaf+" "+values)
		p.Duration = time.Second
		return p
	}
	got := others(t, PodProfiles{
		AllocsAfter: heap, HeapAfter: heap, Mutex: waited("sync.(*Mutex).Unlock", "3 3000000000"), Block: waited("runtime.chanrecv1", "3 6000000"),
		Goroutine: typed("goroutineleak/count", "main.a 12345"),
	})
	for kind, want := range map[string]struct {
		total string
		per   float64
	}{"allocs": {"4.0 KiB", 512}, "heap": {"1.0 KiB", 512}, "mutex": {"3.00 s of delay", 1e9}, "block": {"6 ms of delay", 2e6}, "goroutine": {"12,345 goroutines", 0}} {
		tree := got[kind]
		if tree == nil || tree.Format(tree.Root.Total) != want.total || tree.PerSample != want.per {
			t.Errorf("%s: %+v, want %+v", kind, tree, want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d trees", len(got))
	}
}

func TestTreeOfWhatGrew(t *testing.T) {
	const types = "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes"
	before := typed(types, "main.a;main.b 1 1000 0 0", "main.c 1 50 0 0")
	after := typed(types, "main.a;main.b 3 1600 0 0", "main.c 1 50 0 0", "main.d 1 7 0 0")
	tree := others(t, PodProfiles{AllocsBefore: before, AllocsAfter: after})["allocs"]
	if d := cmp.Diff("all library 607\n main.a app 600\n  main.b app 600\n main.d app 7\n", flat(tree.Root, 0)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestTreeOfAllocsCorpus wants the endpoints in allocs profiles where the CPU
// profile of the same process tells them.
func TestTreeOfAllocsCorpus(t *testing.T) {
	tree := others(t, PodProfiles{
		CPU: load(t, "labels-profbot-chi.cpu.pb.gz"), AllocsBefore: load(t, "labels-profbot-chi.allocs0.pb.gz"), AllocsAfter: load(t, "labels-profbot-chi.allocs1.pb.gz"),
	})["allocs"]
	by := map[string]int64{}
	var visit func(n *Node)
	visit = func(n *Node) {
		by[n.Endpoint] += n.Self
		for _, c := range n.Children {
			visit(c)
		}
	}
	visit(tree.Root)
	if by["/live/list"] == 0 && by["GET /live/list"] == 0 {
		t.Errorf("no allocation belongs to the live list: %v", by)
	}
	if by[""]*2 > tree.Root.Total {
		t.Errorf("%s of %s belong to no endpoint", tree.Format(by[""]), tree.Format(tree.Root.Total))
	}
}

// TestTreeOfLiveGoroutines reads what this Go release writes.
func TestTreeOfLiveGoroutines(t *testing.T) {
	var mu sync.Mutex
	var started, done sync.WaitGroup
	stop := make(chan struct{})
	mu.Lock()
	for range 3 {
		started.Add(1)
		done.Go(func() { started.Done(); <-stop })
	}
	started.Wait()
	var b bytes.Buffer
	err := pprof.Lookup("goroutine").WriteTo(&b, 0)
	close(stop)
	mu.Unlock()
	done.Wait()
	if err != nil {
		t.Fatal(err)
	}
	p, err := profile.Parse(b.Bytes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	tree := others(t, PodProfiles{Goroutine: p})["goroutine"]
	if text := flat(tree.Root, 0); !strings.Contains(text, "TestTreeOfLiveGoroutines") || !strings.Contains(text, " runtime.chanrecv1 channel ") {
		t.Errorf("the waiting goroutines are not there:\n%s", text)
	}
}
