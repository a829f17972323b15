package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// spread is a median with the least and the largest of the turns.
type spread struct{ mid, low, high float64 }

func spreadOf(v []float64) spread {
	v = slices.Sorted(slices.Values(v))
	return spread{v[len(v)/2], v[0], v[len(v)-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.mid, s.low, s.high) }

// ran is one process that ended well.
type ran struct {
	wall time.Duration
	rss  int64 // most resident bytes; at least this command's own, which is small
	out  []byte
}

// command runs a process and waits for it.
func command(ctx context.Context, name string, args ...string) (ran, error) {
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = &out, &errs
	start := time.Now()
	if err := c.Run(); err != nil {
		return ran{}, fmt.Errorf("%s %v: %w: %s", name, args, err, errs.Bytes())
	}
	r := ran{wall: time.Since(start), out: out.Bytes()}
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.rss = u.Maxrss << 10
	}
	return r, nil
}

// self runs this command as a child on files.
func self(ctx context.Context, files ...string) (cost, error) {
	var c cost
	exe, err := os.Executable()
	if err != nil {
		return c, err
	}
	r, err := command(ctx, exe, append([]string{"-child"}, files...)...)
	if err != nil {
		return c, err
	}
	err = json.Unmarshal(r.out, &c)
	return c, err
}

// rival is one way to spend time on a file.
type rival struct {
	name string
	run  func(file string) (ran, error)
}

// rivals are ours, theirs, and what is only a remark.
func rivals(ctx context.Context, o options) ([]rival, error) {
	tool, err := command(ctx, "go", "tool", "-n", "pprof")
	if err != nil {
		return nil, err
	}
	pprof := string(bytes.TrimSpace(tool.out))
	png := filepath.Join(o.dir, "flame.png")
	return []rival{
		{"profbot analyze --png", func(f string) (ran, error) { return command(ctx, o.profbot, "analyze", "--png", png, f) }},
		{"go tool pprof -top", func(f string) (ran, error) { return command(ctx, "go", "tool", "pprof", "-top", f) }},
		{"pprof -top, no go command", func(f string) (ran, error) { return command(ctx, pprof, "-top", f) }},
		{"go tool pprof -proto", func(f string) (ran, error) {
			return command(ctx, "go", "tool", "pprof", "-proto", "-output", filepath.Join(o.dir, "out.pb.gz"), f)
		}},
	}, nil
}

// duel is the result of all turns on one file.
type duel struct {
	raw    int64
	wall   []spread // milliseconds, by rival
	ratios []spread // ours to the rival's
	rss    spread   // profbot's growth, to raw bytes
	heap   spread   // to raw bytes
	cost   cost     // of the child's median turn by heap
}

func fight(ctx context.Context, o options, file string) (duel, error) {
	rs, err := rivals(ctx, o)
	if err != nil {
		return duel{}, err
	}
	var d duel
	walls, ratios := make([][]float64, len(rs)), make([][]float64, len(rs))
	var rss []float64
	var costs []cost
	for turn := range o.turns + 1 {
		var ours time.Duration
		for i, r := range rs {
			got, err := r.run(file)
			if err != nil {
				return d, err
			}
			if turn == 0 {
				continue // it warms the caches
			}
			if i == 0 {
				ours = got.wall
				none, err := command(ctx, o.profbot, "version")
				if err != nil {
					return d, err
				}
				rss = append(rss, float64(got.rss-none.rss))
			}
			walls[i] = append(walls[i], float64(got.wall)/1e6)
			ratios[i] = append(ratios[i], ours.Seconds()/got.wall.Seconds())
		}
		c, err := self(ctx, file)
		if err != nil {
			return d, err
		}
		if turn > 0 {
			costs = append(costs, c)
		}
	}
	for i := range rs {
		d.wall, d.ratios = append(d.wall, spreadOf(walls[i])), append(d.ratios, spreadOf(ratios[i]))
	}
	d.cost, d.heap = middle(costs)
	d.raw = d.cost.Raw
	for i := range rss {
		rss[i] /= float64(d.raw)
	}
	d.rss = spreadOf(rss)
	return d, nil
}

// middle is the median child, and the spread of all in heap to raw bytes.
func middle(costs []cost) (cost, spread) {
	slices.SortFunc(costs, func(a, b cost) int { return int(a.Heap - b.Heap) })
	var heaps []float64
	for _, c := range costs {
		heaps = append(heaps, float64(c.Heap)/float64(c.Raw))
	}
	return costs[len(costs)/2], spreadOf(heaps)
}

// crowd is the cost of some pods together, to that of each alone.
type crowd struct {
	pods       int
	time, heap spread // to the sum of the single ones
	perPod     cost   // a pod's part of the median turn
}

func pods(ctx context.Context, o options, numbers ...int) ([]crowd, error) {
	var files []string
	for i := range podCount {
		files = append(files, podFile(o.dir, i))
	}
	out := make([]crowd, len(numbers))
	times, heaps, costs := make([][]float64, len(numbers)), make([][]float64, len(numbers)), make([][]cost, len(numbers))
	for range o.turns {
		// sums[n] is the cost of the first n pods one by one.
		sums := make([]cost, podCount+1)
		for i, f := range files {
			c, err := self(ctx, f)
			if err != nil {
				return nil, err
			}
			sums[i+1] = cost{Report: sums[i].Report + c.Report, Heap: sums[i].Heap + c.Heap}
		}
		for k, n := range numbers {
			c, err := self(ctx, files[:n]...)
			if err != nil {
				return nil, err
			}
			times[k] = append(times[k], c.Report.Seconds()/sums[n].Report.Seconds())
			heaps[k] = append(heaps[k], float64(c.Heap)/float64(sums[n].Heap))
			costs[k] = append(costs[k], c)
		}
	}
	for k, n := range numbers {
		c, _ := middle(costs[k])
		c.Report, c.Heap, c.Raw = c.Report/time.Duration(n), c.Heap/int64(n), c.Raw/int64(n)
		out[k] = crowd{n, spreadOf(times[k]), spreadOf(heaps[k]), c}
	}
	return out, nil
}
