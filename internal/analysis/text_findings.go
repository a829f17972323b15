package analysis

import (
	"fmt"
	"go/format"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// partial reports whether there was no CPU profile.
func (r *Report) partial() bool { return len(r.Kinds) > 0 && !slices.Contains(r.Kinds, KindCPU) }

func (r *Report) partialHeadline(problems []Finding) string {
	of := "From " + kindList(r.Kinds) + " alone: "
	switch {
	case len(problems) > 0:
		return of + lower(problems[0].headline())
	case len(r.Findings) > 0:
		return of + r.Findings[0].Title
	}
	return of + "nothing to report"
}

// heapHeadline is the headline of a report about memory.
func (r *Report) heapHeadline() string {
	h := r.Heap
	if f, ok := r.finding(RuleHeapGrowth); ok {
		return fmt.Sprintf("The live heap grows: %s, %s more than %s before, most at %s",
			bytesText(h.Live), bytesText(h.Live-h.Before), h.Window.Round(time.Second), f.Evidence[0].Place())
	}
	line := bytesText(h.Live) + " live in the heap"
	if h.Pods > 1 {
		line = fmt.Sprintf("%s live in the heaps of %d pods", bytesText(h.Live), h.Pods)
	}
	if f, ok := r.finding(RuleHeap); ok {
		line += fmt.Sprintf(", most allocated at %s: %s", f.Evidence[0].Place(), percent(f.Evidence[0].Share.Part))
	}
	return line
}

// finding is the first finding of a rule.
func (r *Report) finding(rule Rule) (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Rule == rule })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}

// Lead are the findings that a report is about first, whatever their
// severity: those of memory where that is the question, and all where there is
// no CPU profile. Else there are none: the endpoints lead.
func (r *Report) Lead() []Finding {
	if r.Focus == KindHeap && r.Heap != nil {
		var out []Finding
		for _, rule := range []Rule{RuleHeapGrowth, RuleHeap} {
			if f, ok := r.finding(rule); ok {
				out = append(out, f)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	if r.partial() {
		return r.Findings
	}
	return nil
}

// Pictured is the kind of profile that the report's flame graph shows.
func (r *Report) Pictured() Kind {
	switch {
	case r.Focus == KindHeap && r.Heap != nil && r.Heap.Live > 0:
		return KindHeap
	case !r.partial():
		return KindCPU
	}
	return r.Kinds[0]
}

// headline is a finding in one line: whose, what, and the heaviest place.
func (f Finding) headline() string {
	line := f.Title
	if f.Endpoint != "" {
		line = f.Endpoint + " " + f.Title
	} else if r, n := utf8.DecodeRuneInString(line); n > 0 {
		line = string(unicode.ToUpper(r)) + line[n:]
	}
	if len(f.Evidence) > 0 {
		line += ", most at " + f.Evidence[0].Place()
	}
	return line
}

// lower begins a sentence's rest with a small letter, unless that is a name's.
func lower(s string) string {
	if first, rest, ok := strings.Cut(s, " "); ok && strings.IndexFunc(first[1:], func(r rune) bool { return !unicode.IsLower(r) }) < 0 {
		return strings.ToLower(first[:1]) + first[1:] + " " + rest
	}
	return s
}

// writeFindings writes the flagged endpoints and the findings, each with its
// rule, its evidence and one next step.
func writeFindings(w io.Writer, r *Report) {
	for _, e := range r.Flagged() {
		fmt.Fprintf(w, "\n%s %s  [%s]\n  %s\n  Next: %s\n", e.Name, e.Verdict.Title, e.Verdict.Rule, e.Verdict.Why, e.Verdict.Next)
		if e.Gain == nil {
			continue
		}
		writeGain(w, e.Gain)
		for _, a := range e.Gain.Assumes {
			fmt.Fprintf(w, "    assumed: %s\n", a)
		}
		if e.Gain.Narrow != "" {
			fmt.Fprintf(w, "    %s\n", e.Gain.Narrow)
		}
		if s := Snippet(e); s != "" {
			fmt.Fprintf(w, "\n%s\n", indent(s, "      "))
		}
	}
	for _, e := range r.Endpoints {
		if !e.Verdict.Flagged && e.Verdict.Next != "" && (e.Verdict.Rule == RuleFewSamples || e.Verdict.Rule == RuleNone) {
			fmt.Fprintf(w, "\n%s: %s\n  %s %s\n", e.Name, e.Verdict.Title, e.Verdict.Why, e.Verdict.Next)
			break // the largest; the others need the same
		}
	}
	for _, f := range r.Findings {
		name := f.Title
		if f.Endpoint != "" {
			name = f.Endpoint + " " + f.Title
		}
		fmt.Fprintf(w, "\n%s  [%s, %s]\n  %s\n", name, f.Rule, f.Severity, f.Why)
		for _, e := range f.Evidence {
			fmt.Fprintf(w, "    %s\n", e)
		}
		fmt.Fprintf(w, "  Next: %s\n", f.Next)
	}
}

// writeGain writes what sharing would save: a sentence where all is known, a
// table where it is not.
func writeGain(w io.Writer, g *Gain) {
	if len(g.Cases) == 0 {
		fmt.Fprintf(w, "  Gain: %s\n", g)
		return
	}
	fmt.Fprintf(w, "  Gain: sharing in flight alone would save %s of the endpoint's CPU (%s of the process's, %s).\n", g.Flight.Endpoint, g.Flight.Process, g.Flight.cores())
	fmt.Fprintf(w, "    With a hold of %s it is %s (%s of the process's, %s), by how often callers want the same key:\n", g.HoldTime, g.Hold.Endpoint, g.Hold.Process, g.Hold.cores())
	for _, c := range g.Cases {
		line := fmt.Sprintf("%s/s for one key: %s", compact(c.RatePerKey), c.Hold)
		if c.Keys > 0 {
			line = fmt.Sprintf("%s hot, %s", areKeys(c.Keys), line)
		}
		if c.Flight != nil {
			line += fmt.Sprintf(", in flight alone %s", *c.Flight)
		}
		fmt.Fprintf(w, "      %s\n", line)
	}
}

// compact writes a number with at most two digits behind the point.
func compact(f float64) string {
	if f >= 10 {
		return thousands(int64(math.Round(f)))
	}
	return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
}

// String says an evidence in one line: "62 % (58-66 %) allocates at
// (*Repo).load (repo.go:12), 3.2 MB".
func (e Evidence) String() string {
	line := fmt.Sprintf("%s %s: %s", e.Share, e.What, e.Place())
	if e.Via != "" {
		line += " in " + e.Via
	}
	switch e.Unit {
	case "bytes":
		line += ", " + bytesText(e.Value)
	case "nanoseconds":
		line += fmt.Sprintf(", %.3g s", float64(e.Value)/1e9)
	case "":
	default:
		line += fmt.Sprintf(", %s %s", thousands(e.Value), e.Unit)
	}
	return line
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by)
}

// Snippet is Go code that puts sfcache in the place of what a flagged endpoint
// does now, with the names filled in that the profile tells; "" for another
// verdict. V stands for the type that is decoded, which no profile tells.
func Snippet(e Endpoint) string {
	c, ok := e.codec(Decode)
	if e.Verdict.Rule != RuleCacheDecode || !ok || c.Caller == "" {
		return ""
	}
	f := newFn(c.Caller, c.CallerFile, 0)
	name := identifier(f.last)
	place := path.Base(c.CallerFile) + fmt.Sprintf(":%d", c.CallerLine)
	_, via := sharable(e)
	from := strings.Join(via, " and ")
	if from == "" {
		from = "the store"
	}
	tiers := ""
	if strings.Contains(from, "freecache") {
		tiers += "\tLocal: sfcache.Local{Bytes: 64 << 20}, // in place of the freecache that is there\n"
	}
	if strings.Contains(from, "redis") || strings.Contains(from, "rueidis") || strings.Contains(from, "radix") {
		tiers += "\tRemote: sfredis.New(client, sfredis.Options{}), // the client that is there\n\tRaw: true, // the bytes that are there, without sfcache's envelope\n"
	}
	codec := ""
	if c.Name != "encoding/json" {
		codec = fmt.Sprintf("\tCodec: codec, // Marshal and Unmarshal of %s\n", c.Name)
	}
	src := fmt.Sprintf(`// V is what %s decodes.
%sCache, err := sfcache.New(sfcache.Config[V]{
	Name: %q,
	TTL:  time.Minute, // as long as the bytes live now
	Hold: sfcache.Hold[V]{TTL: %d * time.Millisecond}, // how old a value may be
%s%s	Load: load, // what fills %s on a miss: func(ctx context.Context, key string) (V, error)
})
// At %s, in place of the read from %s and %s:
v, err := %[2]sCache.Get(ctx, key) // shared: do not change it, or set Config.Clone
`, placeName(c.Caller, "", 0), name, name, holdOf(e).Milliseconds(), tiers, codec, from, place, from, c.Entry)
	if out, err := format.Source([]byte(src)); err == nil {
		return string(out)
	}
	return "" // a name that is no Go: nothing to paste
}

// identifier makes a local variable's name of a function's.
func identifier(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || unicode.IsDigit(r) {
		return "value"
	}
	return string(unicode.ToLower(r)) + s[n:]
}
