package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

type options struct {
	profbot, corpus, dir string
	turns                int
	check                bool
}

// The bar.
const (
	maxTime = 0.6 // of go tool pprof -top
	maxHeap = 3   // times the raw bytes; of the large file, since constants are most of the small one's
	maxSum  = 1   // of what the pods cost one by one
	maxPNG  = 300 << 10
)

// bench measures and prints.
func bench(ctx context.Context, o options, w io.Writer) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "profbot-bench")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // the system empties it in the end
		o.dir = dir
	}
	// In a process of its own, so that this one stays small: the system counts
	// the memory of the process that starts another as the other's.
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if _, err := command(ctx, exe, "-make", "-corpus", o.corpus, "-dir", o.dir); err != nil {
		return err
	}
	rs, err := rivals(ctx, o)
	if err != nil {
		return err
	}
	ok := true
	bar := func(met bool) string {
		ok = ok && met
		if met {
			return "ok"
		}
		return "BELOW THE BAR"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range []struct {
		name, file string
		judged     bool // in memory
	}{{"small", smallFile(o.dir), false}, {"large", largeFile(o.dir), true}} {
		d, err := fight(ctx, o, f.file)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s: %.1f MB raw, %d turns\twall ms\tours to theirs\t\n", f.name, mb(d.raw), o.turns)
		for i, r := range rs {
			word := ""
			if i == 1 {
				word = fmt.Sprintf("at most %.1f: %s", maxTime, bar(d.ratios[i].mid <= maxTime))
			}
			fmt.Fprintf(t, "  %s\t%.0f (%.0f-%.0f)\t%v\t%s\n", r.name, d.wall[i].mid, d.wall[i].low, d.wall[i].high, d.ratios[i], word)
		}
		word := ""
		if f.judged {
			word = fmt.Sprintf("at most %d: %s", maxHeap, bar(d.heap.mid <= maxHeap))
		}
		fmt.Fprintf(t, "  peak heap to raw bytes\t%.1f MB\t%v\t%s\n", mb(d.cost.Heap), d.heap, word)
		fmt.Fprintf(t, "  resident above profbot version\t%.1f MB\t%v\t\n", d.rss.mid*mb(d.raw), d.rss)
		fmt.Fprintf(t, "  report %d ms, picture %d ms\tallocated %.0f MB\tresults %.1f MB\t\n", d.cost.Report.Milliseconds(), d.cost.Picture.Milliseconds(), mb(d.cost.Allocs), mb(d.cost.Live))
		fmt.Fprintf(t, "  picture\t%d KB\t\tat most %d: %s\n\t\t\t\n", d.cost.PNG>>10, maxPNG>>10, bar(d.cost.PNG <= maxPNG))
	}
	crowds, err := pods(ctx, o, 1, 5, 10, podCount)
	if err != nil {
		return err
	}
	fmt.Fprintf(t, "pods of %.1f MB raw\tms, heap each\ttime to the sum\theap to the sum\n", mb(crowds[0].perPod.Raw))
	for _, c := range crowds {
		word := ""
		if c.pods > 1 {
			word = fmt.Sprintf("\tat most %d: %s", maxSum, bar(c.time.mid <= maxSum && c.heap.mid <= maxSum))
		}
		fmt.Fprintf(t, "  %d\t%d ms, %.1f MB\t%v\t%v%s\n", c.pods, c.perPod.Report.Milliseconds(), mb(c.perPod.Heap), c.time, c.heap, word)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if o.check && !ok {
		return errBelow
	}
	return nil
}

func mb(n int64) float64 { return float64(n) / 1e6 }
