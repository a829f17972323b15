// Command storm measures profbot under an alert storm and fails below the bar:
//
//	go run ./scripts/storm -exe bin/profbot
//	go run ./scripts/storm -exe bin/profbot -pods 100 -alerts 10 -window 1s # in half a minute
//	go run ./scripts/storm -exe bin/profbot -simultaneous 16 -window 1s -slow=false # all pods, in one
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
	flag.IntVar(&opt.Alerts, "alerts", 50, "alerts, each of a service of its own")
	flag.IntVar(&opt.Pods, "pods", 500, "pods of all services together")
	flag.IntVar(&opt.Nodes, "nodes", 40, "nodes that the pods run on")
	flag.IntVar(&opt.Simultaneous, "simultaneous", 4, "profbot's budget of CPU profiles at once")
	flag.IntVar(&opt.PerService, "per-service", 2, "its budget of one service")
	flag.IntVar(&opt.PerNode, "per-node", 1, "its budget of one node")
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
	fmt.Printf("%d pods of %d services on %d nodes, %d alerts at once\n", opt.Pods, opt.Alerts, opt.Nodes, opt.Alerts)
	res, err := storm.Run(ctx, opt)
	ok := table(opt, res)
	if err != nil {
		return err // the folder stays: its log says more
	}
	if !ok {
		return fmt.Errorf("below the bar; see %s", dir)
	}
	return os.RemoveAll(dir)
}

// table writes what was measured against the bar, and whether it reaches it.
func table(opt storm.Options, r storm.Result) bool {
	all := true
	row := func(what string, got any, bar string, ok bool) {
		mark := "ok"
		if !ok {
			mark, all = "BELOW", false
		}
		fmt.Printf("%-44s %12v   %-18s %s\n", what, got, bar, mark)
	}
	n := opt.Alerts
	most := func(what string, got, budget int) {
		row("most CPU profiles at once"+what, got, fmt.Sprintf("at most %d", budget), got <= budget && got > 0)
	}
	exactly := func(what string, got, want int) { row(what, got, fmt.Sprint(want), got == want) }
	exactly("pods discovered", r.Discovered, opt.Pods)
	exactly("alerts accepted, each of two deliveries", r.Alerts, n)
	exactly("incidents kept and done", r.Incidents, n)
	exactly("incidents told to their end", r.Told, n)
	exactly("with a picture", r.Pictures, n)
	exactly("with details", r.Details, n)
	exactly("messages twice", r.Extra, 0)
	exactly("requests to pods that have not opted in", r.Uninvited, 0)
	most("", r.MostAtOnce, opt.Simultaneous)
	most(" of a service", r.MostPerService, opt.PerService)
	most(" of a node", r.MostPerNode, opt.PerNode)
	most(" of a pod", r.MostPerPod, 1)
	row("peak RSS of profbot, MiB", fmt.Sprintf("%.0f", float64(r.PeakRSS)/(1<<20)), fmt.Sprintf("below %d", maxRSS>>20), r.PeakRSS < maxRSS && r.PeakRSS > 0)
	fmt.Printf("%-44s %12d\n", "CPU profiles", r.Profiles)
	fmt.Printf("%-44s %12s\n", "last CPU profile after", r.LastProfile.Round(time.Second))
	fmt.Printf("%-44s %12s\n", "last verdict told after", r.LastTold.Round(time.Second))
	fmt.Printf("%-44s %12s\n", "last picture and details after", r.Whole.Round(time.Second))
	fmt.Printf("%-44s %12d\n", "requests that Slack refused for their rate", r.Limited)
	return all
}
