package analysis

import "regexp/syntax"

// sourcePrefixes are what names begin with that match sourceFuncs: comparing is
// much quicker than matching, and a name is asked about every pattern.
var sourcePrefixes = func() []string {
	out := make([]string, len(sourceFuncs))
	for i := range sourceFuncs {
		out[i] = literalPrefix(sourceFuncs[i].match.String())
	}
	return out
}()

// literalPrefix is the text that everything begins with that a pattern matches;
// "" when there is none, or the pattern may match further on.
func literalPrefix(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) < 2 || re.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	if lit := re.Sub[1]; lit.Op == syntax.OpLiteral && lit.Flags&syntax.FoldCase == 0 {
		return string(lit.Rune)
	}
	return ""
}
