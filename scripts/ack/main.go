// Command ack measures how long people in Slack wait for the acknowledgement of
// a command while profbot works, and fails above the bar:
//
//	go run ./scripts/ack -exe bin/profbot
//	go run ./scripts/ack -exe bin/profbot -for 20s -ways http
//
// See storm.Ask for what it does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/demo/storm"
)

// bar is for the 99th percentile. Slack gives up after three seconds, and people
// feel a wait after a third of one.
const bar = 300 * time.Millisecond

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ack:", err)
		os.Exit(1)
	}
}

func run() error {
	var opt storm.AskOptions
	flag.StringVar(&opt.Exe, "exe", "bin/profbot", "profbot")
	flag.StringVar(&opt.Profiles, "profiles", "internal/analysis/testdata/corpus", "folder of the profiles that pods answer with")
	flag.IntVar(&opt.Captures, "captures", 20, "CPU profiles that run meanwhile")
	flag.DurationVar(&opt.Window, "window", 5*time.Second, "length of a CPU profile")
	flag.DurationVar(&opt.Every, "every", 200*time.Millisecond, "between two commands")
	flag.DurationVar(&opt.For, "for", time.Minute, "how long to ask, by each way")
	ways := flag.String("ways", "http,socket", "ways in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var errs []error
	for way := range strings.SplitSeq(*ways, ",") {
		opt.Socket = way == "socket"
		errs = append(errs, measure(ctx, way, opt))
	}
	return errors.Join(errs...)
}

func measure(ctx context.Context, way string, opt storm.AskOptions) error {
	dir, err := os.MkdirTemp("", "profbot-ack-")
	if err != nil {
		return err
	}
	opt.Dir = dir
	res, err := storm.Ask(ctx, opt)
	if len(res.Running) == 0 {
		return errors.Join(err, errors.New("nothing was measured; see "+dir))
	}
	fmt.Printf("by %s: %d CPU profiles of %s run (median, at least %d), %d in all; %d verdicts told\n",
		way, at(res.Running, 0.5), opt.Window, res.Running[0], res.Profiles, res.Verdicts)
	fmt.Printf("%-10s %6s %8s %8s %8s %8s\n", "command", "n", "p50", "p90", "p99", "max")
	row := func(name string, of []time.Duration) {
		ms := func(q float64) string { return fmt.Sprintf("%.0f ms", float64(at(of, q).Microseconds())/1000) }
		fmt.Printf("%-10s %6d %8s %8s %8s %8s\n", name, len(of), ms(0.5), ms(0.9), ms(0.99), ms(1))
	}
	for _, word := range slices.Sorted(maps.Keys(res.Took)) {
		row(word, res.Took[word])
	}
	all := res.All()
	row("all", all)
	fmt.Printf("orders acknowledged before they were accepted: %d of %d\n", res.Late, len(res.Took["order"]))
	switch p99 := at(all, 0.99); {
	case err != nil:
	case p99 > bar:
		err = fmt.Errorf("by %s: p99 is %s, and the bar %s", way, p99.Round(time.Millisecond), bar)
	case at(res.Running, 0.5) < opt.Captures:
		err = fmt.Errorf("by %s: only %d of %d CPU profiles ran", way, at(res.Running, 0.5), opt.Captures)
	}
	if err != nil {
		return fmt.Errorf("%w; see %s", err, dir)
	}
	return os.RemoveAll(dir)
}

// at is a quantile of sorted values: the least that no less than q of them are
// not above.
func at[T any](sorted []T, q float64) T {
	return sorted[max(0, min(len(sorted)-1, int(float64(len(sorted))*q+0.999999)-1))]
}
