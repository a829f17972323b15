package analysis

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEndpointsAreStable wants the same endpoints from half of a profile's
// samples as from the whole: what is learned of dispatch must not hang on one
// rare stack. Endpoints below 5 % of a half may come and go.
func TestEndpointsAreStable(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.cpu.pb.gz")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d profiles, %v", len(files), err)
	}
	var asked, kept int
	for _, file := range files {
		dir := filepath.Base(filepath.Dir(file))
		cpu := loadFrom(t, dir, filepath.Base(file))
		names := func(least int64, keep func() bool) []string {
			tr := newPaths()
			list, _, err := cpuSamples(tr, cpu)
			if err != nil {
				t.Fatal(err)
			}
			stacks := stacksOf(list)
			var total int64
			for i := range stacks {
				var n int64
				for range stacks[i].value {
					if keep() {
						n++
					}
				}
				stacks[i].value = n
				total += n
			}
			stacks = slices.DeleteFunc(stacks, func(s stack) bool { return s.value == 0 })
			classifyAll(tr, [][]stack{stacks}, nil)
			attribute(tr, stacks, nil)
			sum := map[string]int64{}
			for _, s := range stacks {
				if s.end != nil {
					sum[s.end.name] += s.value
				}
			}
			var out []string
			for name, n := range sum {
				if n*20 >= total*least && n >= 8*least {
					out = append(out, name)
				}
			}
			slices.Sort(out)
			return out
		}
		whole := names(0, func() bool { return true })
		r := rand.New(rand.NewPCG(1, 2))
		for range 4 {
			half := names(1, func() bool { return r.IntN(2) == 0 })
			for _, name := range half {
				if strings.HasPrefix(name, "goroutine ") {
					continue // its starter is seen or not, without allocs stacks
				}
				asked++
				if slices.Contains(whole, name) {
					kept++
				} else {
					t.Logf("%s: half of the samples show %q, all of them %q", filepath.Base(file), name, whole)
				}
			}
		}
	}
	t.Logf("%d of %d endpoints of halves are endpoints of the whole", kept, asked)
	if kept*100 < asked*99 {
		t.Errorf("only %d of %d endpoints of halves are endpoints of the whole", kept, asked)
	}
}
