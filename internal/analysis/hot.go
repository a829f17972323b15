package analysis

import (
	"fmt"
	"regexp"
	"slices"
)

// hotRule is one kind of work that endpoints rarely need to do much of.
type hotRule struct {
	rule  Rule
	title string
	doing string // "matching regular expressions"
	// what an evidence's place does.
	what string
	next string // after "At PLACE, "
}

var hotRules = []hotRule{
	{
		RuleRegexpCompile, "compiles regular expressions in requests", "compiling regular expressions", "compiles",
		"compile the expression once, in a package variable with regexp.MustCompile: it is safe for concurrent use",
	},
	{
		RuleRegexp, "spends its time on regular expressions", "matching regular expressions", "matches",
		"look for a plain test that answers most calls first (strings.Contains, HasPrefix, Cut), or match fewer bytes",
	},
	{
		RuleReflect, "spends its time on reflection", "reflection outside codecs", "reflects",
		"do by type what is done by reflection, or keep what it found per type in a sync.Map",
	},
	{
		RuleFormat, "spends its time on formatting", "package fmt outside loggers", "formats",
		"append to a []byte with strconv and concatenate, where it runs for every request",
	},
	{
		RuleLogging, "spends its time on logging", "its logger", "logs",
		"log less there: ask Enabled first, sample what repeats, or log once a request with the fields of all",
	},
	{
		RuleCopy, "spends its time on copying memory", "copying memory outside codecs", "copies",
		"pass the bytes on instead of a copy, or make slices of the right capacity once",
	},
}

func (t Thresholds) hot(r Rule) float64 {
	if r == RuleRegexpCompile {
		return t.RegexpCompile
	}
	return t.Hot
}

var (
	compiles = regexp.MustCompile(`(?i)^(must)?compile|^\(\*(compiler|parser)\)|^(parse|newParser|onePassCompile|compileOnePass)`)
	copying  = regexp.MustCompile(`^(memmove|typedmemmove|typedslicecopy|memclrNoHeapPointers|wbMove|duffcopy)$`)
)

// heatOf says which of the rules a stack of an endpoint speaks for, and at
// which frame the work begins; "" for none. The outermost counts: what a
// logger formats is logging.
func heatOf(s *stack, fs []frame) (Rule, int) {
	codecAt := len(fs)
	if s.work.entry >= 0 && s.work.dir != noWay {
		codecAt = int(s.work.entry)
	}
	for i := min(int(s.handler), len(fs)); i < len(fs); i++ {
		f := fs[i].fn
		if f.has(isLogging) {
			return RuleLogging, i // with what it writes
		}
		if i >= codecAt || s.work.io {
			continue // a logger may still stand below
		}
		switch f.pkg {
		case "regexp", "regexp/syntax", "github.com/dlclark/regexp2":
			for _, g := range fs[i:] {
				if g.fn.pkg != f.pkg && g.fn.pkg != "regexp/syntax" {
					break
				}
				if compiles.MatchString(g.fn.sym) {
					return RuleRegexpCompile, i
				}
			}
			return RuleRegexp, i
		case "reflect":
			if !callsOut(fs[i:]) {
				return RuleReflect, i
			}
		case "fmt":
			if !callsOut(fs[i:]) {
				return RuleFormat, i
			}
		}
	}
	last := len(fs) - 1
	if last >= 0 && codecAt > last && !s.work.io && !s.work.alloc && (fs[last].fn.pkg == "runtime" || fs[last].fn.pkg == "") && copying.MatchString(fs[last].fn.sym) {
		return RuleCopy, last
	}
	return "", -1
}

// callsOut reports whether a stack leaves the package of its first frame for
// code that is not the standard library's: what reflection or a Stringer called
// is neither reflection nor formatting.
func callsOut(fs []frame) bool {
	return slices.ContainsFunc(fs[1:], func(f frame) bool { return f.fn.origin != originStd })
}

// hotPaths applies the rules to every endpoint that is judged at all.
func hotPaths(rep *Report, t *paths, cpu []stack, th Thresholds) []Finding {
	type key struct {
		end  string
		rule Rule
	}
	sites := map[key]tally{}
	for s, fs := range t.each(cpu) {
		if s.end == nil {
			continue
		}
		rule, i := heatOf(s, fs)
		if rule == "" {
			continue
		}
		k := key{s.end.name, rule}
		if sites[k] == nil {
			sites[k] = tally{}
		}
		at := site{at: siteOf(s, fs, i-1)}
		if i == 0 {
			at.at = fs[0]
		}
		if at.at.fn != fs[i].fn {
			at.via = fs[i].fn
		}
		sites[k][at] += s.value
	}
	var out []Finding
	for _, e := range rep.Endpoints {
		if e.Share.Part < th.MinShare || e.Share.Samples < th.MinSamples {
			continue
		}
		for _, r := range hotRules {
			at := sites[key{e.Name, r.rule}]
			n := at.sum()
			sh, limit := share(n, e.Share.Samples), th.hot(r.rule)
			if n == 0 || sh.Low < limit {
				continue
			}
			f := Finding{
				Rule: r.rule, Severity: SeverityMedium, Endpoint: e.Name, Title: r.title, Impact: float64(n) / float64(max(rep.Samples, 1)),
				Why: fmt.Sprintf("%s of its CPU is %s (%d of %d samples; the rule asks for a lower bound of %s).", sh, r.doing, n, e.Share.Samples, percent(limit)),
				Evidence: at.evidence(3, r.what, "", func(w weighed) Share {
					return share(w.value, e.Share.Samples)
				}),
			}
			if r.rule == RuleRegexpCompile {
				f.Severity = SeverityHigh
			}
			f.Next = fmt.Sprintf("At %s, %s.", f.Evidence[0].Place(), r.next)
			out = append(out, f)
		}
	}
	return out
}
