// Command eval holds package analysis to profiles whose truth is known: which
// handler every sample belongs to, what part of the CPU decodes, where the
// decoded bytes came from, and which way a codec ran.
//
//	go run ./internal/analysis/eval -truth truth.json [-json] [-v]
//
// The truth names its profiles relative to itself; see truth.go for its form.
// The exit status is 1 when a bar is missed or the truth cannot be read. The
// last line of the table is the summary.
//
// # What is judged
//
// Purity and completeness (bar: 99 % each). A sample belongs to an endpoint
// when its stack holds the endpoint's marker frame; the outermost marker
// counts. Of the marked samples in one reported endpoint, those of its most
// common true endpoint are pure. Of one endpoint's marked samples, those that
// land in the reported endpoint where most of them landed are complete; the
// ones that land in none count against it. Where functions are shared by all
// endpoints (a framework's decoding) no marker is on the stack, and nothing is
// said.
//
// Handlers (bar: all). The reported endpoint with most of a marker's samples
// must be called what the truth expects, by its name or its handler's. Our
// names have no type parameters, so `\[\.\.\.\]` is dropped from the pattern.
//
// Decode share (bar: 93 % of the endpoints, which leaves the interval its
// 5 % and the clocks 2). The truth's clocks are thread CPU clocks around four
// segments of the handler: getting the bytes, decoding, application work and
// encoding. An endpoint's samples hold two things that no clock ran for or
// that ran under another name, and the comparison has to take both into
// account or it compares different quantities:
//
//   - writing the response runs below the handler, and after the last clock
//     stopped: samples below a response writer leave the denominator;
//   - reading a request's body is I/O to the analysis, wherever it happens,
//     while the clock of an endpoint that decodes the request runs from the
//     first read to the last byte decoded: where the truth's source is the
//     request body, samples below a body's reader count as decoding.
//
// Nothing else is moved. The share so counted has a Wilson 95 % interval like
// every share of a report, and the truth must lie inside it. Every endpoint
// counts that has a true share and at least one sample, since a small one has a
// wide interval; none count where an RPC framework decodes the request outside
// the clocks (routers grpc and connect). The table shows the share as reported
// too.
//
// Sources (bar: 95 % right, none wrong). Every sample that decodes carries the
// kind of its source, right when it is the truth's, unknown, or wrong. Of
// endpoints whose truth is "none" or "unknown" nothing is judged, nor where a
// framework decoded the request before it called the marked function.
//
// Codecs (bar: 98 % right, none in the wrong direction). In a codec lab's
// profile the labels codec and op say what every sample does.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "eval:", err)
		os.Exit(1)
	}
}

var errBelow = errors.New("below the bar")

func run(args []string, w io.Writer) error {
	flags := flag.NewFlagSet("eval", flag.ContinueOnError)
	file := flags.String("truth", "internal/analysis/testdata/corpus/truth.json", "the truth `file`")
	asJSON := flags.Bool("json", false, "print JSON instead of a table")
	verbose := flags.Bool("v", false, "print every miss with its heaviest stacks")
	top := flags.Int("top", 40, "how many misses -v prints")
	if err := flags.Parse(args); err != nil {
		return err
	}
	res, err := evaluate(*file)
	if err != nil {
		return err
	}
	if *asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(res); err != nil {
			return err
		}
	} else {
		res.print(w, *verbose, *top)
	}
	if !res.OK {
		return errBelow
	}
	return nil
}
