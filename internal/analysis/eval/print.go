package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is the whole judgement.
type result struct {
	Lines   []line    `json:"profiles"`
	Labs    []labLine `json:"codec_labs,omitempty"`
	Total   line      `json:"total"`
	Lab     labLine   `json:"codec_lab"`
	Misses  []miss    `json:"misses,omitempty"` // by samples, largest first
	OK      bool      `json:"ok"`
	Summary string    `json:"summary"`
}

// The bars, in percent.
const (
	barPure   = 99.0
	barWhole  = 99.0
	barShares = 93.0
	barSource = 95.0
	barCodec  = 98.0
)

// evaluate judges everything that a truth names.
func evaluate(file string) (*result, error) {
	t, err := readTruth(file)
	if err != nil {
		return nil, err
	}
	r := &result{Total: line{Profile: "total"}, Lab: labLine{Profile: "total"}}
	for _, p := range t.Profiles {
		if len(p.Endpoints) == 0 {
			continue // a lab, or a profile to look at
		}
		l, misses, err := t.profile(p)
		if err != nil {
			return nil, err
		}
		r.Lines = append(r.Lines, l)
		r.Misses = append(r.Misses, misses...)
		r.Total.add(l)
	}
	for _, name := range t.labs() {
		l, misses, err := t.lab(name)
		if err != nil {
			return nil, err
		}
		r.Labs = append(r.Labs, l)
		r.Misses = append(r.Misses, misses...)
		r.Lab.Samples += l.Samples
		r.Lab.Right += l.Right
		r.Lab.None += l.None
		r.Lab.Wrong += l.Wrong
	}
	slices.SortFunc(r.Misses, func(a, b miss) int {
		return cmp.Or(cmp.Compare(b.Samples, a.Samples), cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.What, b.What), cmp.Compare(a.Detail, b.Detail))
	})
	r.judge()
	return r, nil
}

func (a *line) add(b line) {
	a.Samples += b.Samples
	a.Marked += b.Marked
	a.Placed += b.Placed
	a.Pure += b.Pure
	a.Complete += b.Complete
	a.Handlers += b.Handlers
	a.HandlersFound += b.HandlersFound
	a.Shares += b.Shares
	a.SharesIn += b.SharesIn
	a.SharesInAsIs += b.SharesInAsIs
	a.SourceRight += b.SourceRight
	a.SourceUnknown += b.SourceUnknown
	a.SourceWrong += b.SourceWrong
}

func (a line) sourced() int64 { return a.SourceRight + a.SourceUnknown + a.SourceWrong }

// judge compares the totals with the bars and sums up.
func (r *result) judge() {
	t, lab := r.Total, r.Lab
	var below []string
	check := func(what string, k, n int64, bar float64) {
		if n > 0 && percent(k, n) < bar {
			below = append(below, fmt.Sprintf("%s %.2f %% < %g %%", what, percent(k, n), bar))
		}
	}
	check("purity", t.Pure, t.Placed, barPure)
	check("completeness", t.Complete, t.Marked, barWhole)
	check("handlers", int64(t.HandlersFound), int64(t.Handlers), 100)
	check("decode shares", int64(t.SharesIn), int64(t.Shares), barShares)
	check("sources", t.SourceRight, t.sourced(), barSource)
	if t.SourceWrong > 0 {
		below = append(below, fmt.Sprintf("%d samples with a wrong source", t.SourceWrong))
	}
	check("codecs", lab.Right, lab.Samples, barCodec)
	if lab.Wrong > 0 {
		below = append(below, fmt.Sprintf("%d samples in the wrong direction", lab.Wrong))
	}
	if t.Marked+int64(t.Handlers)+int64(t.Shares)+t.sourced()+lab.Samples == 0 {
		below = append(below, "nothing could be judged")
	}
	r.OK = len(below) == 0
	r.Summary = "eval: " + fmt.Sprintf("%d profiles, %d marked samples: purity %s, completeness %s, handlers %d/%d, decode shares %d/%d (%s), sources right %s, wrong %d, codecs right %s, wrong %d",
		len(r.Lines), t.Marked, pct(t.Pure, t.Placed), pct(t.Complete, t.Marked), t.HandlersFound, t.Handlers, t.SharesIn, t.Shares, pct(int64(t.SharesIn), int64(t.Shares)),
		pct(t.SourceRight, t.sourced()), t.SourceWrong, pct(lab.Right, lab.Samples), lab.Wrong)
	if r.OK {
		r.Summary += ": ok"
	} else {
		r.Summary += ": BELOW THE BAR: " + strings.Join(below, "; ")
	}
}

func percent(k, n int64) float64 { return 100 * float64(k) / float64(n) }

func pct(k, n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", percent(k, n))
}

// print writes the misses when they are asked for, the table and the summary.
func (r *result) print(w io.Writer, verbose bool, top int) {
	if verbose {
		for _, m := range r.Misses[:min(top, len(r.Misses))] {
			fmt.Fprintf(w, "%s %s: %s, %d samples: %s\n", m.Profile, m.Endpoint, m.What, m.Samples, m.Detail)
			for _, s := range m.Stacks {
				fmt.Fprintf(w, "    %s\n", s)
			}
		}
		fmt.Fprintln(w)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "profile\trouter\tmarked\tpure\tcomplete\thandlers\tdecode shares\tas reported\tsources right/unknown/wrong")
	for _, l := range append(slices.Clone(r.Lines), r.Total) {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%d/%d\t%d/%d\t%d\t%d/%d/%d\n", strings.TrimSuffix(l.Profile, ".cpu.pb.gz"), l.Router, l.Marked,
			pct(l.Pure, l.Placed), pct(l.Complete, l.Marked), l.HandlersFound, l.Handlers, l.SharesIn, l.Shares, l.SharesInAsIs,
			l.SourceRight, l.SourceUnknown, l.SourceWrong)
	}
	tw.Flush()
	if len(r.Labs) > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(tw, "codec lab\tsamples\tright\tnone\twrong")
		for _, l := range r.Labs {
			fmt.Fprintf(tw, "%s\t%d\t%s\t%d\t%d\t%s\n", l.Profile, l.Samples, pct(l.Right, l.Samples), l.None, l.Wrong, l.Note)
		}
		tw.Flush()
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, r.Summary)
}
