package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	gprofile "github.com/google/pprof/profile"

	"github.com/profbot/profbot/internal/analysis"
)

// export writes the attributed CPU samples in pprof's format, with the label
// "endpoint", and "work" where a codec or a compressor was at it. Addresses and
// labels of the profiles that were read are left out: pods are summed up.
func export(w io.Writer, res *analysis.Result) error {
	if res.Report.Samples == 0 {
		return errors.New("--pprof: there are no CPU samples to write")
	}
	period := int64(res.Report.CPU) / res.Report.Samples
	p := &gprofile.Profile{
		SampleType:    []*gprofile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType:    &gprofile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:        period,
		DurationNanos: int64(res.Report.Window / time.Nanosecond),
	}
	functions := map[[2]string]*gprofile.Function{}
	locations := map[analysis.Frame]*gprofile.Location{}
	locate := func(f analysis.Frame) *gprofile.Location {
		if l := locations[f]; l != nil {
			return l
		}
		key := [2]string{f.Func, f.File}
		fn := functions[key]
		if fn == nil {
			fn = &gprofile.Function{ID: uint64(len(functions) + 1), Name: f.Func, SystemName: f.Func, Filename: f.File, StartLine: f.Start}
			functions[key] = fn
			p.Function = append(p.Function, fn)
		}
		l := &gprofile.Location{ID: uint64(len(locations) + 1), Line: []gprofile.Line{{Function: fn, Line: f.Line}}}
		locations[f] = l
		p.Location = append(p.Location, l)
		return l
	}
	for s := range res.Samples() {
		out := &gprofile.Sample{Value: []int64{s.Count, s.Count * period}, Label: map[string][]string{}}
		if s.Endpoint != "" {
			out.Label["endpoint"] = []string{s.Endpoint}
		}
		if s.Work != "" {
			out.Label["work"] = []string{string(s.Work)}
		}
		for _, f := range s.Frames {
			out.Location = append(out.Location, locate(f))
		}
		p.Sample = append(p.Sample, out)
	}
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	return p.Write(w)
}
