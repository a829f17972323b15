package analysis

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Flagged lists the endpoints whose verdict asks for work, by share of CPU.
func (r *Report) Flagged() []Endpoint {
	var out []Endpoint
	for _, e := range r.Endpoints {
		if e.Verdict.Flagged {
			out = append(out, e)
		}
	}
	return out
}

// Headline is the report in one line, for the top of a thread and the title
// of a picture.
func (r *Report) Headline() string {
	flagged := r.Flagged()
	problems := r.Problems()
	switch {
	case r.Focus == KindHeap && r.Heap != nil && r.Heap.Live > 0:
		return r.heapHeadline()
	case r.partial():
		return r.partialHeadline(problems)
	case r.Samples == 0:
		return "The process was idle: the CPU profile has no samples"
	case len(flagged) == 1:
		e := flagged[0]
		s, _, _ := e.Work()
		doing := "decodes " + what(e)
		switch e.Verdict.Rule {
		case RuleEncode:
			doing = "encodes replies"
		case RuleCompress:
			doing = "is compression"
		}
		return fmt.Sprintf("%s: %s of its CPU %s (%s-%s, n=%s)", e.Name, percent(s.Part), doing, bare(s.Low), percent(s.High), thousands(s.Of))
	case len(flagged) > 1:
		a, b := flagged[0], flagged[1]
		line := fmt.Sprintf("%s and %s: %s and %s of their CPU goes to %s", a.Name, b.Name, percent(worst(a).Part), percent(worst(b).Part), doing(a, b))
		if n := len(flagged) - 2; n > 0 {
			line += fmt.Sprintf(", %d more endpoints flagged", n)
		}
		return line
	case len(problems) > 0:
		return problems[0].headline()
	case len(r.Endpoints) == 0:
		return fmt.Sprintf("No endpoint found; the largest part is %s", largestOther(r))
	}
	e := r.Endpoints[0]
	if e.Verdict.Rule == RuleFewSamples {
		return fmt.Sprintf("Too few samples to judge: %s leads with %d", e.Name, e.Share.Samples)
	}
	if e.Verdict.Rule == RuleDecode {
		return fmt.Sprintf("%s %s: %s of its CPU", e.Name, e.Verdict.Title, percent(e.Decode.Part))
	}
	return fmt.Sprintf("No endpoint is dominated by decoding; %s leads with %s of the CPU", e.Name, percent(e.Share.Part))
}

func worst(e Endpoint) Share {
	s, _, _ := e.Work()
	return s
}

// doing names the work of two endpoints in one word or two.
func doing(a, b Endpoint) string {
	_, x, _ := a.Work()
	_, y, _ := b.Work()
	switch {
	case x == y && a.Verdict.Rule == RuleCacheDecode && b.Verdict.Rule == RuleCacheDecode:
		return "decoding " + what(a)
	case x == y:
		return x
	}
	return x + " and " + y
}

// what says what an endpoint decodes: "cached JSON".
func what(e Endpoint) string {
	format := "values"
	if c, ok := e.codec(Decode); ok {
		format = formatOf(c.Name)
	}
	if len(e.Sources) > 0 {
		switch e.Sources[0].Kind {
		case SourceCache:
			return "cached " + format
		case SourceDB:
			return format + " from the database"
		case SourceReply:
			return format + " replies"
		}
	}
	return format
}

// formatOf is the format of a codec as people say it.
func formatOf(codec string) string {
	l := strings.ToLower(codec)
	switch {
	case l == "sonic" || l == "jsoniter" || l == "ugorji" || l == "gojay" || l == "segmentio/encoding" || strings.Contains(l, "json"):
		return "JSON"
	case strings.Contains(l, "proto"):
		return "protobuf"
	case strings.HasPrefix(l, "msg"):
		return "msgpack"
	}
	return strings.TrimPrefix(codec, "encoding/")
}

func largestOther(r *Report) string {
	if len(r.Other) == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%s with %s", r.Other[0].Name, percent(r.Other[0].Share.Part))
}

// AltText says in words what the flame graph shows, in at most 1,900
// characters (Slack's limit for an alternative text is 2,000).
func (r *Report) AltText() string {
	var b strings.Builder
	kind := r.Pictured()
	if kind == KindCPU {
		fmt.Fprintf(&b, "Flame graph of %d CPU samples", r.Samples)
	} else {
		fmt.Fprintf(&b, "Flame graph of %s", kindList([]Kind{kind}))
	}
	if r.Service != "" {
		fmt.Fprintf(&b, " of %s", r.Service)
	}
	fmt.Fprintf(&b, ". %s.", r.Headline())
	if kind != KindCPU {
		for _, f := range r.Findings {
			for _, e := range f.Evidence {
				fmt.Fprintf(&b, " %s.", e)
			}
		}
		return cut(b.String(), 1900)
	}
	for _, e := range r.Endpoints {
		if e.Share.Part < 0.01 {
			break
		}
		fmt.Fprintf(&b, " %s takes %s of the CPU: %s decoding, %s encoding, %s I/O.", e.Name, percent(e.Share.Part),
			percent(e.Decode.Part), percent(e.Encode.Part), percent(e.IO.Part))
	}
	for _, p := range r.Other {
		if p.Share.Part < 0.02 {
			break
		}
		fmt.Fprintf(&b, " %s: %s.", p.Name, percent(p.Share.Part))
	}
	return cut(b.String(), 1900)
}

// cut shortens s to at most n runes, with an ellipsis.
func cut(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// WriteText writes the report for a terminal or a text file.
func WriteText(w io.Writer, r *Report) error {
	fmt.Fprintf(w, "%s\n", r.Headline())
	if r.Service != "" || len(r.Pods) > 0 {
		fmt.Fprintln(w)
	}
	if r.Service != "" {
		fmt.Fprintf(w, "service %s\n", r.Service)
	}
	for _, p := range r.Pods {
		role := ""
		if p.Control {
			role = "  (control: not part of the shares)"
		}
		fmt.Fprintf(w, "%s: %s samples, %s of CPU in %s (%.2f cores), decoding %s%s\n", cmp.Or(p.Name, "profile"), thousands(p.Samples),
			p.CPU.Round(10*time.Millisecond), p.Window.Round(100*time.Millisecond), p.Cores, p.Decode, role)
	}
	if len(r.Pods) > 0 {
		if err := writeEndpoints(w, r); err != nil {
			return err
		}
	}
	writeFindings(w, r)
	if len(r.Suspected) > 0 {
		fmt.Fprintln(w, "\nThese sound like codecs and are not in the table, so they were not counted:")
		for _, p := range r.Suspected {
			fmt.Fprintf(w, "  %s  %s\n", percent(p.Share.Part), p.Name)
		}
	}
	if r.Truncated.Samples > 0 {
		fmt.Fprintf(w, "\n%s of the samples have stacks that the runtime cut off.\n", percent(r.Truncated.Part))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nNote: %s\n", n)
	}
	return nil
}

// writeEndpoints writes the table.
func writeEndpoints(w io.Writer, r *Report) error {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ENDPOINT\tCPU\tDECODE\tENCODE\tI/O\tSAMPLES\tBYTES FROM\tVERDICT")
	for _, e := range r.Endpoints {
		mark := ""
		if e.Verdict.Flagged {
			mark = "FLAGGED: "
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s%s\n", e.Name, percent(e.Share.Part), e.Decode, percent(e.Encode.Part), percent(e.IO.Part),
			thousands(e.Share.Samples), e.BytesFrom(), mark, e.Verdict.Title)
	}
	for _, p := range r.Other {
		if p.Share.Part >= 0.005 {
			fmt.Fprintf(tw, "%s\t%s\t\t\t\t%s\t\t\n", p.Name, percent(p.Share.Part), thousands(p.Share.Samples))
		}
	}
	return tw.Flush()
}

// BytesFrom says in a few words where the decoded bytes came from: "cache
// (freecache)", with the share when it is not nearly all.
func (e Endpoint) BytesFrom() string {
	if e.Decode.Samples == 0 || len(e.Sources) == 0 {
		return "-"
	}
	// One kind may show under several clients and rules.
	kind, via := e.Sources[0].Kind, e.Sources[0].Via
	out := string(kind)
	if via != "" {
		out += " (" + via + ")"
	}
	if p := e.sourceShare(kind); p < 0.95 {
		out += " " + percent(p)
	}
	return out
}

// thousands writes 12345 as "12,345".
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
