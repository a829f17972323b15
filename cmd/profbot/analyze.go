package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/profile"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/collector"
	"github.com/profbot/profbot/internal/flame"
	"github.com/profbot/profbot/internal/incident"
)

type analyzeCmd struct {
	Inputs     []string      `arg:"" name:"FILE|FOLDER|URL" help:"CPU profiles, gzipped or not (- is standard input), folders of *.cpu.pb.gz, or addresses of pprof endpoints such as http://10.1.2.3:6060/debug/pprof. Several are taken as pods of one service."`
	Window     time.Duration `help:"How long to sample an address that has no ?seconds=N of its own." default:"30s"`
	Service    string        `help:"Name to put on the report."`
	MinSamples int64         `help:"Judge endpoints with this many samples or more." default:"100" placeholder:"N"`
	AppPrefix  []string      `help:"Package prefix of the application, when the guess is wrong." placeholder:"example.com/shop"`
	PNG        string        `help:"Write the flame graph as a picture to this file; - is standard output." placeholder:"FILE"`
	HTML       string        `help:"Write the interactive flame graph to this file; - is standard output." placeholder:"FILE"`
	JSON       string        `help:"Write the report as JSON to this file; - is standard output." placeholder:"FILE"`
	MaxRaw     int64         `help:"Refuse profiles above this many decompressed bytes." default:"268435456"`
}

func (c *analyzeCmd) Run(ctx context.Context, s streams) error {
	toStdout := 0
	for _, name := range []string{c.PNG, c.HTML, c.JSON} {
		if name == "-" {
			toStdout++
		}
	}
	if toStdout > 1 {
		return errors.New("only one of --png, --html and --json can go to standard output")
	}
	if c.Window < time.Second {
		return fmt.Errorf("--window=%s: a process samples for 1s at least", c.Window)
	}
	if c.MaxRaw < 1 {
		return fmt.Errorf("--max-raw=%d: no profile is that small", c.MaxRaw)
	}
	if c.MinSamples < 1 {
		return fmt.Errorf("--min-samples=%d: a verdict needs 1 at least", c.MinSamples)
	}
	var pods []analysis.PodProfiles
	inputs, err := expand(c.Inputs)
	if err != nil {
		return err
	}
	for _, in := range inputs {
		pod, err := c.load(ctx, s, in)
		if err != nil {
			return err
		}
		pods = append(pods, pod)
	}
	distinguish(pods, inputs)
	res, err := analysis.Analyze(pods, analysis.Options{
		Service: c.Service, AppPrefixes: c.AppPrefix, Thresholds: analysis.Thresholds{MinSamples: c.MinSamples},
	})
	if err != nil {
		return err
	}
	opt := flame.Options{Title: res.Report.Headline(), Subtitle: subtitle(res.Report)}
	for _, e := range res.Report.Flagged() {
		opt.Highlight = append(opt.Highlight, e.Name)
	}
	for _, out := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{c.PNG, func(w io.Writer) error { return flame.PNG(w, res.Tree, opt) }},
		{c.HTML, func(w io.Writer) error { return flame.HTML(w, res.Tree, opt) }},
		{c.JSON, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(res.Report)
		}},
	} {
		if err := writeOutput(out.name, s.out, out.write); err != nil {
			return err
		}
	}
	if toStdout > 0 {
		return nil // the text would spoil it
	}
	return analysis.WriteText(s.out, res.Report)
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

// distinguish gives pods of the same name different ones: files their path as
// it was given, and what is then still the same a number.
func distinguish(pods []analysis.PodProfiles, inputs []string) {
	count := func() map[string]int {
		n := map[string]int{}
		for _, p := range pods {
			n[p.Pod]++
		}
		return n
	}
	same := count()
	for i := range pods {
		if same[pods[i].Pod] > 1 && !isURL(inputs[i]) {
			pods[i].Pod = inputs[i]
		}
	}
	same = count()
	nth := map[string]int{}
	for i := range pods {
		if name := pods[i].Pod; same[name] > 1 {
			nth[name]++
			pods[i].Pod = fmt.Sprintf("%s (%d)", name, nth[name])
		}
	}
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

// load reads one input: a file, standard input, or a running process.
func (c *analyzeCmd) load(ctx context.Context, s streams, in string) (analysis.PodProfiles, error) {
	if isURL(in) {
		return c.pull(ctx, s, in)
	}
	var data []byte
	var err error
	if in == "-" {
		data, err = io.ReadAll(io.LimitReader(s.in, c.MaxRaw+1)) // Parse refuses the byte over the limit
	} else {
		if data, err = readFile(in, c.MaxRaw); err != nil {
			err = openFault(in, err)
		}
	}
	if err != nil {
		return analysis.PodProfiles{}, err
	}
	p, err := parseCPU(data, c.MaxRaw)
	if err != nil {
		return analysis.PodProfiles{}, fmt.Errorf("%s: %w", in, err)
	}
	return analysis.PodProfiles{Pod: filepath.Base(in), CPU: p}, nil
}

func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// pull takes what profbot itself would take from a pod: allocs, CPU, allocs.
// The allocs snapshots only sharpen the report, so their failure is a remark
// on a report that there is; without one the CPU profile's reason says enough.
func (c *analyzeCmd) pull(ctx context.Context, s streams, addr string) (analysis.PodProfiles, error) {
	target, window, err := targetOf(addr, c.Window)
	if err != nil {
		return analysis.PodProfiles{}, err
	}
	col, err := collector.New(collector.Options{MaxRawBytes: c.MaxRaw})
	if err != nil {
		return analysis.PodProfiles{}, err
	}
	get := func(kind incident.Kind) (*profile.Profile, error) {
		got, err := col.Pull(ctx, target, kind, window)
		if err != nil {
			return nil, err
		}
		return profile.Parse(got.Data, c.MaxRaw)
	}
	pod := analysis.PodProfiles{Pod: target.Pod}
	var noAllocs error
	if pod.AllocsBefore, noAllocs = get(incident.KindAllocsBefore); noAllocs == nil {
		fmt.Fprintf(s.err, "profbot: sampling %s for %s\n", target.Pod, window)
	}
	if pod.CPU, err = get(incident.KindCPU); err != nil {
		return pod, fmt.Errorf("%s: %w", target.Pod, err)
	}
	if noAllocs != nil {
		fmt.Fprintf(s.err, "profbot: %s: no allocs profile: %v\n", target.Pod, noAllocs)
	} else {
		if pod.AllocsAfter, err = get(incident.KindAllocsAfter); err != nil {
			fmt.Fprintf(s.err, "profbot: %s: no second allocs profile: %v\n", target.Pod, err)
		}
	}
	return pod, nil
}
