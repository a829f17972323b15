package analysis

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Headline is the difference in one line.
func (d *Diff) Headline() string {
	var parts []string
	for _, x := range d.Endpoints {
		if x.Significant() && len(parts) < 3 {
			parts = append(parts, fmt.Sprintf("%s %s: %s → %s of the CPU", x.Name, x.Trend, percent(x.Before.Part), percent(x.After.Part)))
		}
	}
	for _, x := range d.Work {
		if x.Significant() && len(parts) < 3 {
			parts = append(parts, fmt.Sprintf("%s %s: %s → %s", x.Name, x.Trend, percent(x.Before.Part), percent(x.After.Part)))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("No significant change in %d comparisons", d.Tests)
	}
	return strings.Join(parts, "; ")
}

// Changes says what changed significantly, a sentence each and at most so many:
// endpoints first, then kinds of work, each the most changed first.
func (d *Diff) Changes(most int) []string {
	var out []string
	for _, x := range slices.Concat(d.Endpoints, d.Work) {
		if x.Significant() && len(out) < most {
			out = append(out, fmt.Sprintf("%s %s: %s → %s of the CPU, %s points", x.Name, x.Trend, percent(x.Before.Part), percent(x.After.Part), x.points()))
		}
	}
	return out
}

// WriteDiff writes the difference for a terminal or a text file.
func WriteDiff(w io.Writer, d *Diff) error {
	fmt.Fprintf(w, "Against the base: %s\n", d.Headline())
	if d.RequestsPerCPUSecondBefore > 0 {
		fmt.Fprintf(w, "%s requests a second of CPU before, %s now\n", thousands(int64(d.RequestsPerCPUSecondBefore)), thousands(int64(d.RequestsPerCPUSecondAfter)))
	}
	for _, part := range []struct {
		title string
		list  []Delta
	}{{"ENDPOINT", d.Endpoints}, {"WORK", d.Work}, {"OUTSIDE", d.Parts}, {"CODEC", d.Codecs}} {
		if len(part.list) == 0 {
			continue
		}
		fmt.Fprintln(w)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		perRequest := ""
		if slices.ContainsFunc(part.list, func(x Delta) bool { return x.PerRequestBefore > 0 }) {
			perRequest = "CPU A REQUEST"
		}
		fmt.Fprintf(tw, "%s\tBEFORE\tNOW\tCHANGE (95 %%)\t%s\t\n", part.title, perRequest)
		for _, x := range part.list {
			name := x.Name
			if x.Endpoint != "" {
				name += " in " + x.Endpoint
			}
			if x.Was != "" {
				name += " (was " + x.Was + ")"
			}
			request := ""
			if x.PerRequestBefore > 0 {
				request = fmt.Sprintf("%s → %s", x.PerRequestBefore.Round(time.Microsecond), x.PerRequestAfter.Round(time.Microsecond))
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", name, percent(x.Before.Part), percent(x.After.Part), x.points(), request, x.Trend)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		title string
		list  []FindingRef
	}{{"New", d.New}, {"Gone", d.Gone}, {"Still there", d.Kept}} {
		for _, f := range part.list {
			fmt.Fprintf(w, "\n%s: %s", part.title, strings.TrimSpace(f.Endpoint+" "+f.Title))
			if f.Func != "" {
				fmt.Fprintf(w, ", at %s", placeName(f.Func, "", 0))
			}
			fmt.Fprintf(w, "  [%s]", f.Rule)
		}
		if len(part.list) > 0 {
			fmt.Fprintln(w)
		}
	}
	for _, n := range d.Notes {
		fmt.Fprintf(w, "\nNote: %s\n", n)
	}
	_, err := fmt.Fprintf(w, "\nA change is named when it is significant at the 5 %% level over all %d comparisons together (two-proportion tests, Holm).\n", d.Tests)
	return err
}

// points writes a change in percentage points: "+3.2 (+1.0 to +5.4)".
func (x Delta) points() string {
	p := func(f float64) string { return fmt.Sprintf("%+.1f", 100*f) }
	return fmt.Sprintf("%s (%s to %s)", p(x.Point), p(x.Change.Low), p(x.Change.High))
}
