package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/profbot/profbot/internal/analysis"
)

const corpusDir = "../../internal/analysis/testdata/corpus/only-live-std."

// place copies profiles of the corpus into a folder, under the given names.
func place(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, kind := range files {
		data, err := os.ReadFile(corpusDir + kind + ".pb.gz")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// kindsOf says what a pod got: "cpu allocs-pair".
func kindsOf(p analysis.PodProfiles) string {
	var out []string
	for name, has := range map[string]bool{"cpu": p.CPU != nil, "pair": p.AllocsBefore != nil && p.AllocsAfter != nil, "one": p.AllocsBefore == nil && p.AllocsAfter != nil} {
		if has {
			out = append(out, name)
		}
	}
	if len(out) == 2 && out[0] > out[1] {
		out[0], out[1] = out[1], out[0]
	}
	return strings.Join(out, " ")
}

func TestGather(t *testing.T) {
	for _, tc := range []struct {
		name   string
		files  map[string]string
		inputs []string
		want   map[string]string
	}{
		{
			"as profbot stores them",
			map[string]string{"inc/live-0.cpu.pb.gz": "cpu", "inc/live-0.allocs-before.pb.gz": "allocs0", "inc/live-0.allocs-after.pb.gz": "allocs1", "inc/live-1.cpu.pb.gz": "cpu"},
			[]string{"inc"},
			map[string]string{"live-0": "cpu pair", "live-1": "cpu"},
		},
		{
			"numbered, with dots in the pod's name",
			map[string]string{"a.b.cpu.pb.gz": "cpu", "a.b.allocs0.pb.gz": "allocs0", "a.b.allocs1.pb.gz": "allocs1"},
			[]string{"."},
			map[string]string{"a.b": "cpu pair"},
		},
		{
			"plain names in a folder a pod",
			map[string]string{"p0/cpu.pprof": "cpu", "p0/allocs.pprof": "allocs0", "p1/profile.prof": "cpu"},
			[]string{"p0", "p1"},
			map[string]string{"p0": "cpu one", "p1": "cpu"},
		},
		{
			"kinds are read, not believed",
			map[string]string{"x.heap.pb.gz": "cpu", "x.cpu.pb.gz": "allocs0"},
			[]string{"."},
			map[string]string{"x": "cpu one"},
		},
		{
			"files given one by one",
			map[string]string{"x-cpu.pb.gz": "cpu", "x-allocs.pb.gz": "allocs0", "other.pb.gz": "cpu"},
			[]string{"x-cpu.pb.gz", "x-allocs.pb.gz", "other.pb.gz"},
			map[string]string{"x": "cpu one", "other.pb.gz": "cpu"},
		},
		{
			"the same pod's name in two folders",
			map[string]string{"old/a.cpu.pb.gz": "cpu", "new/a.cpu.pb.gz": "cpu"},
			[]string{"old", "new"},
			map[string]string{"old/a": "cpu", "new/a": "cpu"},
		},
		{
			"two of a kind that there is one of",
			map[string]string{"cpu.pb.gz": "cpu"},
			[]string{"cpu.pb.gz", "cpu.pb.gz"},
			map[string]string{"cpu.pb.gz (1)": "cpu", "cpu.pb.gz (2)": "cpu"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			place(t, dir, tc.files)
			t.Chdir(dir)
			pods, err := gather(tc.inputs, strings.NewReader(""), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			distinguish(pods)
			got := map[string]string{}
			for _, p := range pods {
				pps, left, err := p.load(1 << 20)
				if err != nil || len(left) > 0 {
					t.Fatalf("%v, left out %q", err, left)
				}
				for _, pp := range pps {
					got[pp.Pod] = kindsOf(pp)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("pods (-want +got):\n%s", d)
			}
		})
	}
}

// TestEndsInOrder: snapshots are ordered by when they were taken, and by their
// names only where they do not say.
func TestEndsInOrder(t *testing.T) {
	read := func(kind string) kept {
		data, err := os.ReadFile(corpusDir + kind + ".pb.gz")
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := parse(data, kind, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return kept{kind, p}
	}
	first, second := read("allocs0"), read("allocs1")
	if !first.prof.Time.Before(second.prof.Time) {
		t.Fatal("the corpus is not what this test needs")
	}
	first.name, second.name = "z", "a"
	if b, a := ends([]kept{second, first}); b != first.prof || a != second.prof {
		t.Error("not in the order of their times")
	}
	first.prof.Time, second.prof.Time = time.Time{}, time.Time{}
	first.name, second.name = "p.heap-before.pb.gz", "p.heap-after.pb.gz"
	if b, a := ends([]kept{second, first}); b != first.prof || a != second.prof {
		t.Error("before is not before after")
	}
	if b, a := ends([]kept{first}); b != nil || a != first.prof {
		t.Error("one alone is not the latest")
	}
}
