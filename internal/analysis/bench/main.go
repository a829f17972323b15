// Command bench measures what a report costs against "go tool pprof -top" on
// the same file:
//
//	make bench-analyze                 about a minute
//	make bench-analyze ARGS=-check     exit status 1 below the bar
//
// Both run in turns, each as a process of its own, since a shared machine is
// slow for one as for the other: the ratios of single turns are what counts,
// and the table gives their median with the least and the largest.
//
// # What is measured
//
// Ours is the command "profbot analyze --png" from its start to its exit: gunzip,
// parse, the full report as text, and the picture. Theirs is "go tool pprof
// -top". As remarks there are "-proto", which merely reads and writes, and "-top"
// without the go command around it.
//
// Memory is taken in a child process of this command, which runs the same code
// as profbot does and looks at its own heap every fraction of a millisecond:
// the most bytes of objects, live or garbage, above what there was before the
// first byte was read. The file's own (compressed) bytes are counted in.
// The table also gives by how much profbot's resident memory at its
// largest exceeds that of "profbot version".
//
// Pods are profiles of one service that differ in which stacks they saw. Their
// time and memory are those of the child without the picture, which is one
// however many pods there are.
//
// # Inputs
//
// They are made from the analysis's corpus of CPU profiles, merged, with as many
// copies as the size takes. In each copy the application's functions have other
// names, so that copies do not merge, and every third has deeper stacks. There
// is no randomness: the same corpus makes the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errBelow = errors.New("below the bar")

func run(ctx context.Context, args []string, w io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	o := options{}
	flags.StringVar(&o.profbot, "profbot", "bin/profbot", "the `file` of profbot")
	flags.StringVar(&o.corpus, "corpus", "internal/analysis/testdata/corpus", "the `folder` of the corpus")
	flags.StringVar(&o.dir, "dir", "", "make the inputs in this `folder`, and keep them; default a temporary one")
	flags.IntVar(&o.turns, "n", 9, "how many turns")
	flags.BoolVar(&o.check, "check", false, "fail below the bar")
	child := flags.Bool("child", false, "analyse the files and print what it cost, as JSON")
	makes := flags.Bool("make", false, "make the inputs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *child:
		return beChild(flags.Args(), w)
	case *makes:
		return makeInputs(o.corpus, o.dir)
	case o.turns < 1:
		return errors.New("-n: 1 turn at least")
	}
	return bench(ctx, o, w)
}
