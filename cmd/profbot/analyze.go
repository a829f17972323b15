package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
)

// exitBroken is the exit code of a report that breaks a --fail-on condition.
const exitBroken = 3

type analyzeCmd struct {
	Inputs     []string          `arg:"" name:"FILE|FOLDER|URL" help:"Profiles, gzipped or not (- is standard input), folders of them, or addresses of pprof endpoints such as http://10.1.2.3:6060/debug/pprof. Files of one pod are told by their names (live-0.cpu.pb.gz and live-0.allocs1.pb.gz), kinds by what is in them. Several pods are taken as one service's."`
	Window     time.Duration     `help:"How long to sample an address that has no ?seconds=N of its own." default:"30s"`
	Service    string            `help:"Name to put on the report."`
	MinSamples int64             `help:"Judge endpoints with this many samples or more." default:"100" placeholder:"N"`
	AppPrefix  []string          `help:"Package prefix of the application, when the guess is wrong." placeholder:"example.com/shop"`
	Route      map[string]string `help:"What people call a handler, by the end of its function's name. Repeatable." placeholder:"'(*API).List=GET /list'" mapsep:"none"`
	Rate       []rate            `help:"An endpoint's requests, all pods together: narrows the expected gain. Repeatable." placeholder:"'GET /x=1200/s'" sep:"none"`
	Keys       []keys            `help:"How many keys the requests ask for, of every endpoint or of one ('GET /x=50'). Repeatable." placeholder:"50" sep:"none"`
	Hold       time.Duration     `help:"How long a shared value could be kept, for the expected gain." default:"100ms"`
	Base       []string          `help:"What to compare with: a file, folder or address. Repeatable." placeholder:"FILE|FOLDER|URL" sep:"none"`
	BaseRate   []rate            `help:"As --rate, of the base." placeholder:"'GET /x=1200/s'" sep:"none"`
	FailOn     []condition       `help:"End with exit code 3 when the lower end of the interval reaches this: decode=30%, 'GET /x:encode=20%', '*:decode=50%', gc=25%, verdict=cache-decode, grew=5% (against --base). Repeatable." placeholder:"CONDITION" sep:"none"`
	Draw       string            `help:"What --png and --svg draw: cpu, allocs, heap, goroutine, mutex, block, or change (against --base). The first that there is by default; --html has them all." placeholder:"KIND"`
	Zoom       string            `help:"Draw this endpoint, below a bar of the whole process." placeholder:"ENDPOINT"`
	PNG        string            `help:"Write the flame graph as a picture to this file; - is standard output." placeholder:"FILE"`
	SVG        string            `help:"Write the flame graph as SVG to this file; - is standard output." placeholder:"FILE"`
	HTML       string            `help:"Write the interactive flame graph to this file; - is standard output." placeholder:"FILE"`
	Pprof      string            `help:"Write the CPU samples with an endpoint label, for go tool pprof -tagroot=endpoint, to this file; - is standard output." placeholder:"FILE"`
	JSON       string            `help:"Write the report as JSON to this file; - is standard output. docs/report-json.md describes it." placeholder:"FILE"`
	MaxRaw     int64             `help:"Refuse profiles above this many decompressed bytes." default:"268435456"`
}

// check finds what is wrong with the flags before anything is read.
func (c *analyzeCmd) check() error {
	toStdout := 0
	for _, name := range []string{c.PNG, c.SVG, c.HTML, c.Pprof, c.JSON} {
		if name == "-" {
			toStdout++
		}
	}
	fromStdin := 0
	for _, in := range slices.Concat(c.Inputs, c.Base) {
		if in == "-" {
			fromStdin++
		}
	}
	switch {
	case toStdout > 1:
		return errors.New("only one of --png, --svg, --html, --pprof and --json can go to standard output")
	case fromStdin > 1:
		return errors.New("standard input can be read once: give - once")
	case c.Window < time.Second:
		return fmt.Errorf("--window=%s: a process samples for 1s at least", c.Window)
	case c.MaxRaw < 1:
		return fmt.Errorf("--max-raw=%d: no profile is that small", c.MaxRaw)
	case c.MinSamples < 1:
		return fmt.Errorf("--min-samples=%d: a verdict needs 1 at least", c.MinSamples)
	case c.Hold < time.Millisecond:
		return fmt.Errorf("--hold=%s: want 1ms at least", c.Hold)
	case len(c.BaseRate) > 0 && len(c.Base) == 0:
		return errors.New("--base-rate is of what --base names, and there is none")
	}
	for _, f := range c.FailOn {
		if f.metric == "grew" && len(c.Base) == 0 {
			return fmt.Errorf("--fail-on=%s: %w", f.text, errNoBase)
		}
	}
	return nil
}

func (c *analyzeCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	res, err := c.report(ctx, s, c.Inputs, c.Rate)
	if err != nil {
		return err
	}
	tabs := tabsOf(res)
	if len(c.Base) > 0 {
		base, err := c.report(ctx, s, c.Base, c.BaseRate)
		if err != nil {
			return fmt.Errorf("the base: %w", err)
		}
		res.Report.Diff = analysis.DiffReports(base.Report, res.Report)
		if change, err := analysis.DiffTree(base.Tree, res.Tree); err == nil { // both have CPU samples
			tabs = append(tabs, flame.Tab{Name: "change", Tree: change})
		}
	}
	if err := c.write(s, res, tabs); err != nil {
		return err
	}
	return c.verdict(s, res.Report)
}

func (c *analyzeCmd) thresholds() analysis.Thresholds {
	return analysis.Thresholds{MinSamples: c.MinSamples}.WithDefaults()
}

// report analyses inputs. Profiles are parsed one pod at a time, and what is
// read from a pod is less than its profiles are.
func (c *analyzeCmd) report(ctx context.Context, s streams, inputs []string, given []rate) (*analysis.Result, error) {
	rates, err := rateMap(given)
	if err != nil {
		return nil, err
	}
	pods, err := gather(inputs, s.in, c.MaxRaw)
	if err != nil {
		return nil, err
	}
	if err := c.pullAll(ctx, s.err, pods); err != nil {
		return nil, err
	}
	distinguish(pods)
	var lerr error
	var left []string
	seq := iter.Seq[analysis.PodProfiles](func(yield func(analysis.PodProfiles) bool) {
		for _, p := range pods {
			pp, no, err := p.load(c.MaxRaw)
			left = append(left, no...)
			if err != nil {
				lerr = err
				return
			}
			for _, x := range pp {
				if !yield(x) {
					return
				}
			}
		}
	})
	res, err := analysis.AnalyzeSeq(seq, analysis.Options{
		Service: c.Service, AppPrefixes: c.AppPrefix, Routes: c.Route, Thresholds: c.thresholds(), Rates: rates, Keys: keyMap(c.Keys), Hold: c.Hold, Trees: c.PNG+c.SVG+c.HTML != "", Samples: c.Pprof != "",
	})
	for _, l := range left {
		fmt.Fprintf(s.err, "profbot: left out: %s\n", l)
	}
	switch {
	case lerr != nil:
		return nil, lerr
	case errors.Is(err, analysis.ErrNoCPU):
		return nil, errors.New("there is no profile to analyse")
	case err != nil:
		return nil, err
	}
	for _, r := range given {
		if !slices.ContainsFunc(res.Report.Endpoints, func(e analysis.Endpoint) bool { return e.Name == r.endpoint }) {
			fmt.Fprintf(s.err, "profbot: --rate: no endpoint %q in the profiles\n", r.endpoint)
		}
	}
	return res, nil
}

// write puts out what was asked for.
func (c *analyzeCmd) write(s streams, res *analysis.Result, tabs []flame.Tab) error {
	opt := flame.Options{Title: res.Report.Headline(), Subtitle: subtitle(res.Report)}
	for _, e := range res.Report.Flagged() {
		opt.Highlight = append(opt.Highlight, e.Name)
	}
	var tree *analysis.Tree
	if c.PNG+c.SVG+c.HTML != "" {
		var err error
		if tree, err = c.drawn(tabs); err != nil {
			return err
		}
		if res.Report.Diff != nil && c.Draw == "change" {
			opt.Title = res.Report.Diff.Headline()
		}
		if tree.Kind != "cpu" {
			opt.Subtitle += fmt.Sprintf("; drawn: %s, %s", tree.Kind, tree.Format(tree.Root.Total))
		}
		if opt.Zoom = c.Zoom; c.Zoom != "" && !hasEndpoint(tree.Root, c.Zoom) {
			return fmt.Errorf("--zoom: no samples of %q: name an endpoint as the report does", c.Zoom)
		}
	}
	stdout := false
	for _, out := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{c.PNG, func(w io.Writer) error { return flame.PNG(w, tree, opt) }},
		{c.SVG, func(w io.Writer) error { return flame.SVG(w, tree, opt) }},
		{c.HTML, func(w io.Writer) error { return flame.Page(w, tabs, opt) }},
		{c.Pprof, func(w io.Writer) error { return export(w, res) }},
		{c.JSON, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(res.Report)
		}},
	} {
		if err := writeOutput(out.name, s.out, out.write); err != nil {
			return err
		}
		stdout = stdout || out.name == "-"
	}
	if stdout {
		return nil // the text would spoil it
	}
	if err := analysis.WriteText(s.out, res.Report); err != nil || res.Report.Diff == nil {
		return err
	}
	fmt.Fprintln(s.out)
	return analysis.WriteDiff(s.out, res.Report.Diff)
}

// tabsOf are the trees that there is something to draw of.
func tabsOf(res *analysis.Result) []flame.Tab {
	var out []flame.Tab
	for _, t := range append([]*analysis.Tree{res.Tree}, res.Others...) {
		if t != nil && t.Root.Total > 0 {
			out = append(out, flame.Tab{Name: t.Kind, Tree: t})
		}
	}
	return out
}

// drawn picks the tree for pictures.
func (c *analyzeCmd) drawn(tabs []flame.Tab) (*analysis.Tree, error) {
	var names []string
	for _, t := range tabs {
		if c.Draw == "" || t.Name == c.Draw {
			return t.Tree, nil
		}
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return nil, errors.New("no flame graph: there are no samples to draw")
	}
	return nil, fmt.Errorf("--draw=%s: there is only %s", c.Draw, strings.Join(names, ", "))
}

func hasEndpoint(n *analysis.Node, name string) bool {
	return n.Endpoint == name || slices.ContainsFunc(n.Children, func(c *analysis.Node) bool { return hasEndpoint(c, name) })
}

// verdict holds the report against the --fail-on conditions.
func (c *analyzeCmd) verdict(s streams, r *analysis.Report) error {
	failed := false
	for _, f := range c.FailOn {
		why, unseen := f.broken(r, c.thresholds())
		switch {
		case why != "":
			failed = true
			fmt.Fprintf(s.err, "profbot: --fail-on %s: %s\n", f.text, why)
		case unseen:
			fmt.Fprintf(s.err, "profbot: --fail-on %s: no endpoint %q in the profiles, so it holds\n", f.text, f.endpoint)
		}
	}
	if failed {
		return &exitError{code: exitBroken}
	}
	return nil
}

// subtitle says under a picture's title what was read: service, pods or files,
// the longest window and the samples of all.
func subtitle(r *analysis.Report) string {
	const named = 3 // more do not fit a line
	var parts, pods []string
	if r.Service != "" {
		parts = append(parts, r.Service)
	}
	for _, p := range r.Pods {
		pods = append(pods, p.Name)
	}
	if len(pods) > named {
		pods = append(pods[:named-1], fmt.Sprintf("%d more", len(pods)-named+1))
	}
	parts = append(parts, pods...)
	if window := r.Window.Round(time.Second); window > 0 {
		parts = append(parts, window.String()+" of CPU profile")
	}
	return strings.Join(append(parts, fmt.Sprintf("%d samples", r.Samples)), ", ")
}

// writeOutput writes to the named file; "" writes nothing and "-" writes to
// stdout. What cannot be made leaves the file alone.
func writeOutput(name string, stdout io.Writer, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if name == "-" {
		_, err := stdout.Write(b.Bytes())
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}
