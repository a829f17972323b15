package analysis

import (
	"cmp"
	"fmt"
	"path"
	"strings"
)

// sharable sums the decode samples whose bytes concurrent callers could have
// had decoded for them once: those that come out of a store or a reply, and
// not out of each caller's own request.
func sharable(e Endpoint) (n int64, via []string) {
	for _, s := range e.Sources {
		switch s.Kind {
		case SourceCache, SourceDB, SourceReply:
			n += s.Share.Samples
			if name := cmp.Or(s.Via, string(s.Kind)); s.Share.Part >= 0.1 {
				via = append(via, name)
			}
		}
	}
	return n, via
}

// judge applies the rules to one endpoint. A kind of work dominates when the
// lower end of its interval reaches the threshold, so that a lucky sample
// flags nobody.
func judge(e Endpoint, th Thresholds) Verdict {
	switch {
	case e.Share.Part < th.MinShare:
		return Verdict{
			Rule: RuleNone, Title: "a small part of the CPU",
			Why: fmt.Sprintf("It takes %s of the service's CPU; endpoints below %s are not judged.", e.Share, percent(th.MinShare)),
		}
	case e.Share.Samples < th.MinSamples:
		return Verdict{
			Rule: RuleFewSamples, Title: "too few samples to say",
			Why:  fmt.Sprintf("%d samples were seen in it; the rules need %d.", e.Share.Samples, th.MinSamples),
			Next: "Profile longer, or more pods.",
		}
	case e.Decode.Low >= th.Dominated:
		return judgeDecode(e, th)
	case e.Encode.Low >= th.Dominated:
		return judgeEncode(e, th)
	case e.Compress.Low >= th.Compress:
		return judgeCompress(e, th)
	}
	return Verdict{
		Rule: RuleNone, Title: "not dominated by decoding or encoding",
		Why:  fmt.Sprintf("Decoding is %s and encoding %s of its CPU; the rule asks for a lower bound of %s.", e.Decode, e.Encode, percent(th.Dominated)),
		Next: undecided(e, th),
	}
}

func judgeDecode(e Endpoint, th Thresholds) Verdict {
	c, _ := e.codec(Decode)
	spent := fmt.Sprintf("%s of its CPU is %s decoding (%d of %d samples; the rule asks for a lower bound of %s)",
		e.Decode, c.Name, e.Decode.Samples, e.Decode.Of, percent(th.Dominated))
	n, via := sharable(e)
	// Half of the decoding must be known to be sharable: an endpoint that
	// reads a request and a little cache must not be sent after the cache.
	if n*2 < e.Decode.Samples {
		v := Verdict{Rule: RuleDecode, Why: spent + "."}
		if e.sourceShare(SourceRequest) >= 0.5 {
			v.Title = "decodes request bodies"
			v.Next = fmt.Sprintf("Every request brings its own bytes, so sharing would not help: make the body smaller or the codec faster at %s.", where(c))
		} else if e.sourceShare(SourceQueue) >= 0.5 {
			v.Title = "decodes queue messages"
			v.Next = fmt.Sprintf("Every message is decoded once, so sharing would not help: make messages smaller or the codec faster at %s.", where(c))
		} else {
			v.Title = "decodes, source of the bytes unknown"
			v.Next = fmt.Sprintf("Look at %s: if many callers decode the same bytes there, one shared flight around load and decode ends it.", where(c))
		}
		return v
	}
	v := Verdict{Rule: RuleCacheDecode, Flagged: true}
	what, title := "cached bytes", "decodes cached bytes again and again"
	switch s := e.Sources[0]; s.Kind {
	case SourceDB:
		what, title = "database results", "decodes the same database results again and again"
	case SourceReply:
		what, title = "replies of another service", "decodes another service's replies again and again"
	}
	v.Title = title
	v.Why = fmt.Sprintf("%s; %s of those are %s", spent, percent(float64(n)/float64(e.Decode.Samples)), what)
	if len(via) > 0 {
		v.Why += " from " + strings.Join(via, ", ")
	}
	if e.DecodeGC >= 0.01 {
		v.Why += fmt.Sprintf("; the garbage of decoding adds %s of the service's CPU", percent(e.DecodeGC))
	}
	v.Why += "."
	v.Next = fmt.Sprintf("At %s, replace the read and the decode by one Get of sfcache (github.com/profbot/profbot/pkg/sfcache): callers who come together share one load and one decoded value, and its hold keeps it for those who come next.", where(c))
	return v
}

func judgeEncode(e Endpoint, th Thresholds) Verdict {
	c, _ := e.codec(Encode)
	return Verdict{
		Rule: RuleEncode, Flagged: true, Title: "encodes its replies again and again",
		Why: fmt.Sprintf("%s of its CPU is %s encoding (%d of %d samples; the rule asks for a lower bound of %s).",
			e.Encode, c.Name, e.Encode.Samples, e.Encode.Of, percent(th.Dominated)),
		Next: fmt.Sprintf("If callers get the same reply, share the encoded bytes at %s; else make the reply smaller or the codec faster.", where(c)),
	}
}

func judgeCompress(e Endpoint, th Thresholds) Verdict {
	c, ok := e.codec(Compress)
	d, other := e.codec(Decompress)
	v := Verdict{
		Rule: RuleCompress, Flagged: true, Title: "compresses again and again",
		Next: fmt.Sprintf("At %s, keep the compressed bytes where callers get the same reply, or take a faster level or codec; small replies are best left as they are.", where(c)),
	}
	if other && (!ok || d.Share.Samples > c.Share.Samples) {
		c = d
		v.Title = "decompresses again and again"
		v.Next = fmt.Sprintf("At %s, keep what was decompressed where callers read the same bytes, or store them in a cheaper codec.", where(c))
	}
	v.Why = fmt.Sprintf("%s of its CPU is compression, mostly %s (%d of %d samples; the rule asks for a lower bound of %s).",
		e.Compress, c.Name, e.Compress.Samples, e.Compress.Of, percent(th.Compress))
	return v
}

// Work is the kind of work that the endpoint's verdict is about, in a word
// ("decoding") and as a share of the endpoint: decoding unless the verdict
// names another.
func (e Endpoint) Work() (share Share, doing string, d Direction) {
	switch e.Verdict.Rule {
	case RuleEncode:
		return e.Encode, "encoding", Encode
	case RuleCompress:
		d = Compress
		for _, c := range e.Codecs {
			if c.Direction == Compress || c.Direction == Decompress {
				d = c.Direction // they are sorted: the heavier
				break
			}
		}
		return e.Compress, "compression", d
	}
	return e.Decode, "decoding", Decode
}

// codec is the endpoint's heaviest codec in a direction.
func (e Endpoint) codec(d Direction) (Codec, bool) {
	for _, c := range e.Codecs {
		if c.Direction == d {
			return c, true
		}
	}
	return Codec{Name: "unknown"}, false
}

// sourceShare is the part of the decode samples that a kind of source has.
func (e Endpoint) sourceShare(k SourceKind) float64 {
	var n int64
	for _, s := range e.Sources {
		if s.Kind == k {
			n += s.Share.Samples
		}
	}
	if e.Decode.Samples == 0 {
		return 0
	}
	return float64(n) / float64(e.Decode.Samples)
}

// where names the place to change: "(*catalog).rooms (catalog.go:88)".
func where(c Codec) string {
	if c.Caller == "" {
		return c.Entry
	}
	pkg, sym := splitName(c.Caller)
	name := pretty(&fn{name: c.Caller, pkg: pkg, sym: sym})
	if c.CallerFile == "" {
		return name
	}
	return fmt.Sprintf("%s (%s:%d)", name, path.Base(c.CallerFile), c.CallerLine)
}
