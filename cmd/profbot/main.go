package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line. Each command is one file.
type cli struct {
	Demo    demoCmd    `cmd:"" help:"Run the whole loop on this machine: hot services, an alert, profiles, a Slack thread. Needs nothing else."`
	Serve   serveCmd   `cmd:"" help:"Run the service: Datadog webhooks in, Slack threads out."`
	Install installCmd `cmd:"" help:"Set up what profbot works with: Datadog, and the Slack app."`
	Analyze analyzeCmd `cmd:"" help:"Report on Go profiles: files, folders, or addresses of pprof endpoints."`
	Trigger triggerCmd `cmd:"" help:"Send an example alert to a running profbot, exactly as Datadog would."`
	Verify  verifyCmd  `cmd:"" help:"Ask a running profbot to prove a fix: profile again, and compare in the incident's thread."`
	Doctor  doctorCmd  `cmd:"" help:"Look at everything that profbot depends on, and say what is good and what to do next."`
	Version versionCmd `cmd:"" help:"Print the version."`

	VersionFlag versionFlag `name:"version" help:"Print the version."`

	DemoPod demoPodCmd `cmd:"" hidden:"" help:"One of the demo's services."`
}

// streams is where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// exitError ends the process with a code of its own; err is printed when it
// is not nil.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

// run is main without os.Exit, so that deferred calls run. It returns the exit
// code: 0 done, 1 the command failed, 2 the command line is wrong, 3 a report
// breaks a --fail-on condition.
func run(args []string, io streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("profbot"),
		kong.Description("profbot profiles hot Go services when a monitor fires, and says in Slack which endpoint decodes the same cached bytes again and again."),
		kong.UsageOnError(),
		kong.Vars{"default_url": defaultURL},
		kong.Writers(io.out, io.err),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(io),
	)
	if err != nil {
		panic(err) // the struct tags above are wrong: a bug that any test shows
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(io.err, "profbot: %v\nRun \"profbot --help\" for the commands.\n", err)
		return 2
	}
	if err := k.Run(); err != nil {
		code := 1
		if e, ok := errors.AsType[*exitError](err); ok {
			code, err = e.code, e.err
		}
		if err != nil {
			fmt.Fprintf(io.err, "profbot: %v\n", err)
		}
		return code
	}
	return 0
}

// logger returns a logger that writes to w in the given format.
func logger(w io.Writer, level slog.Level, format string) *slog.Logger {
	opt := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}
