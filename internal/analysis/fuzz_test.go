package analysis

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	gprofile "github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/profile"
)

// slim is a profile of the corpus without gzip and with a few of its samples,
// so that what is changed in it means something.
func slim(t testing.TB, name string, samples int) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "corpus", name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := gprofile.ParseData(data)
	if err != nil {
		t.Fatal(err)
	}
	p.Sample = p.Sample[:min(samples, len(p.Sample))]
	var b bytes.Buffer
	if err := p.Compact().WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzAnalyze feeds whatever parses as profiles to the whole analysis and to
// trees of all kinds. It must neither panic, nor give shares outside 0 to 1, nor
// lose a sample.
func FuzzAnalyze(f *testing.F) {
	cpu, labels := slim(f, "router-grpc.cpu.pb.gz", 4), slim(f, "labels-profbot-chi.cpu.pb.gz", 4)
	before, after := slim(f, "router-std.allocs0.pb.gz", 3), slim(f, "router-std.allocs1.pb.gz", 3)
	goroutine := slim(f, "labels-profbot-chi.goroutine.pb.gz", 3)
	f.Add(cpu, before, after, goroutine)
	f.Add(labels, after, before, goroutine)
	f.Add(slim(f, "only-live-std.cpu.pb.gz", 4), []byte{}, after, cpu)
	f.Add(cpu, cpu, labels, after)
	f.Add([]byte("\x0a\x04\x08\x01\x10\x02"), []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, cpu, before, after, goroutine []byte) {
		parse := func(data []byte) *profile.Profile {
			p, err := profile.Parse(data, 1<<16)
			if err != nil {
				return nil
			}
			return p
		}
		pod := PodProfiles{Pod: "a", CPU: parse(cpu), AllocsBefore: parse(before), AllocsAfter: parse(after), Goroutine: parse(goroutine)}
		if res, err := Analyze([]PodProfiles{pod, pod, {Pod: "c", Control: true, CPU: pod.AllocsAfter}}, Options{}); err == nil {
			checkResult(t, res)
		}
		for _, p := range []*profile.Profile{pod.CPU, pod.AllocsAfter, pod.Goroutine} {
			all := PodProfiles{
				Pod: "b", CPU: pod.CPU, AllocsBefore: pod.AllocsBefore, AllocsAfter: p, Goroutine: p,
				HeapBefore: pod.AllocsBefore, HeapAfter: p, MutexBefore: pod.AllocsBefore, Mutex: p, Block: p,
			}
			res, err := Analyze([]PodProfiles{all}, Options{Trees: true})
			if err != nil {
				continue
			}
			checkResult(t, res)
			for _, tree := range res.Others {
				checkTree(t, tree.Root)
				if d, err := DiffTree(tree, tree); err != nil || d.Root == nil {
					t.Errorf("a tree against itself: %v", err)
				}
			}
			for _, f := range res.Report.Findings {
				for _, e := range f.Evidence {
					if s := e.Share; s.Part < 0 || s.Part > 1 || s.Low > s.High || math.IsNaN(s.Part) {
						t.Errorf("%s: share %+v", f.Rule, s)
					}
				}
			}
			if d := DiffReports(res.Report, res.Report); d == nil {
				t.Error("no difference of a report with itself")
			}
			if err := WriteText(&bytes.Buffer{}, res.Report); err != nil {
				t.Error(err)
			}
		}
	})
}

func checkResult(t *testing.T, res *Result) {
	t.Helper()
	r := res.Report
	checkTree(t, res.Tree.Root)
	if res.Tree.Root.Total != r.Samples {
		t.Errorf("tree holds %d samples, report %d", res.Tree.Root.Total, r.Samples)
	}
	shares := []Share{r.Truncated, r.Unattributed}
	var sum int64
	for _, e := range r.Endpoints {
		shares = append(shares, e.Share, e.Decode, e.Encode, e.Compress, e.IO, e.Alloc)
		sum += e.Share.Samples
		if e.BackgroundGC < 0 || e.BackgroundGC > 1 || e.DecodeGC > e.BackgroundGC+1e-9 {
			t.Errorf("%s: background GC %v, of decoding %v", e.Name, e.BackgroundGC, e.DecodeGC)
		}
	}
	for _, o := range r.Other {
		shares = append(shares, o.Share)
		sum += o.Share.Samples
	}
	if sum != r.Samples {
		t.Errorf("endpoints and others have %d samples of %d", sum, r.Samples)
	}
	for _, s := range shares {
		if s.Part < 0 || s.Part > 1 || s.Low > s.High || math.IsNaN(s.Part) {
			t.Errorf("share %+v", s)
		}
	}
	if err := WriteText(&bytes.Buffer{}, r); err != nil {
		t.Error(err)
	}
}
