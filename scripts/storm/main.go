// Command storm measures profbot under an alert storm and fails below the bar:
//
//	go run ./scripts/storm -exe bin/profbot
//
// See package storm for what it does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/profbot/profbot/internal/demo/storm"
)

// maxRSS is the bar for profbot's memory.
const maxRSS = 300 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

func run() error {
	opt := storm.Options{Progress: func(s string) { fmt.Println("  " + s) }}
	flag.StringVar(&opt.Exe, "exe", "bin/profbot", "profbot")
	flag.StringVar(&opt.Profiles, "profiles", "internal/analysis/testdata/corpus", "folder of the profiles that pods answer with")
	flag.IntVar(&opt.Services, "services", 50, "services, each with an alert")
	flag.IntVar(&opt.Pods, "pods", 10, "pods of a service")
	flag.IntVar(&opt.Simultaneous, "simultaneous", 4, "profbot's budget of profiles at once")
	flag.DurationVar(&opt.Window, "window", 2*time.Second, "length of a CPU profile")
	flag.BoolVar(&opt.Slow, "slow", true, "limit requests as Slack does")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "profbot-storm-")
	if err != nil {
		return err
	}
	opt.Dir = dir
	fmt.Printf("%d pods of %d services, %d alerts at once\n", opt.Services*opt.Pods, opt.Services, opt.Services)
	res, err := storm.Run(ctx, opt)
	ok := print(opt, res)
	if err != nil {
		return err // the folder stays: its log says more
	}
	if !ok {
		return fmt.Errorf("below the bar; see %s", dir)
	}
	return os.RemoveAll(dir)
}

// print writes what was measured against the bar, and whether it reaches it.
func print(opt storm.Options, r storm.Result) bool {
	all := true
	row := func(what string, got any, bar string, ok bool) {
		mark := "ok"
		if !ok {
			mark, all = "BELOW", false
		}
		fmt.Printf("%-44s %12v   %-18s %s\n", what, got, bar, mark)
	}
	n := opt.Services
	row("alerts accepted", r.Alerts, fmt.Sprint(n), r.Alerts == n)
	row("incidents kept and done", r.Incidents, fmt.Sprint(n), r.Incidents == n)
	row("incidents told to their end", r.Told, fmt.Sprint(n), r.Told == n)
	row("pictures, details", fmt.Sprintf("%d, %d", r.Pictures, r.Details), fmt.Sprintf("%d, %d", n, n), r.Pictures == n && r.Details == n)
	row("CPU profiles at once, most", r.MostAtOnce, fmt.Sprintf("at most %d", opt.Simultaneous), r.MostAtOnce <= opt.Simultaneous && r.MostAtOnce > 0)
	row("CPU profiles of one pod at once, most", r.MostPerPod, "1", r.MostPerPod == 1)
	row("peak RSS of profbot, MiB", fmt.Sprintf("%.0f", float64(r.PeakRSS)/(1<<20)), fmt.Sprintf("below %d", maxRSS>>20), r.PeakRSS < maxRSS && r.PeakRSS > 0)
	fmt.Printf("%-44s %12d\n", "CPU profiles", r.Profiles)
	fmt.Printf("%-44s %12s\n", "last CPU profile after", r.LastProfile.Round(time.Second))
	fmt.Printf("%-44s %12s\n", "last verdict told after", r.LastTold.Round(time.Second))
	fmt.Printf("%-44s %12s\n", "last picture and details after", r.Whole.Round(time.Second))
	fmt.Printf("%-44s %12d\n", "requests that Slack refused for their rate", r.Limited)
	return all
}
