// Command bench compares sfcache with other caches and with what services
// write by hand, on the same work, in one process and in turns:
//
//	go run .            everything, some minutes
//	go run . -quick     a first look, under a minute
//
// It starts a redis-server of its own on the loopback. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if arg := os.Getenv(childEnv); arg != "" {
		err = beChild(ctx, arg)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	fast := flags.Bool("quick", false, "measure less, under a minute")
	check := flags.Bool("check", false, "fail with a list of the cells that miss the bar")
	cells := flags.String("run", "", "only cells whose `scenario/case` matches, such as hot/4KB or cold")
	which := flags.String("contenders", "", "only contenders whose `name` matches")
	md := flags.String("md", "", "write the tables to a `file` as Markdown")
	js := flags.String("json", "", "write everything, each round, to a `file`")
	profile := flags.String("cpuprofile", "", "write a CPU profile of the run to a `file`; narrow it with -run and -contenders")
	rounds := flags.Int("rounds", 0, "how many rounds; 0 means the mode's own number")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	r := &runner{settings: full, out: out, report: newReport(*fast)}
	if *fast {
		r.settings = quick
	}
	if *rounds > 0 {
		r.rounds = *rounds
	}
	var err error
	if r.cells, err = regexp.Compile(*cells); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if r.which, err = regexp.Compile(*which); err != nil {
		return fmt.Errorf("-contenders: %w", err)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // peers log through it
	if r.server, err = startRedis(ctx); err != nil {
		return err
	}
	defer r.server.stop()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for _, s := range scenarios {
		if err := s.run(ctx, r); err != nil {
			return err
		}
	}
	r.report.hold()
	missed := r.report.printBar(out)
	if *md != "" {
		if err := writeFile(*md, func(w io.Writer) error { r.report.writeMarkdown(w); return nil }); err != nil {
			return err
		}
	}
	if *js != "" {
		if err := writeFile(*js, r.report.writeJSON); err != nil {
			return err
		}
	}
	if *check && missed > 0 {
		return fmt.Errorf("%d cells miss the bar", missed)
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
