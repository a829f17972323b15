package analysis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// paired is one endpoint of two reports. One side may be missing, and either
// may be several handlers that cannot be told apart from build to build.
type paired struct {
	name, was           string
	names, wasNames     []string
	before, after       int64 // samples
	perBefore, perAfter time.Duration
}

// matchEndpoints pairs the endpoints of two builds. Routes and RPC methods
// keep their names. Handler functions are matched by name, and function
// literals, whose numbers shift when one is added, by the function that makes
// them: in the order of their lines where it makes as many as before, else
// taken together.
func matchEndpoints(before, after []Endpoint) []paired {
	var out []paired
	usedB, usedA := map[int]bool{}, map[int]bool{}
	one := func(b, a int) {
		var p paired
		if b >= 0 {
			usedB[b] = true
			p.was, p.name, p.wasNames = before[b].Name, before[b].Name, []string{before[b].Name}
			p.before, p.perBefore = before[b].Share.Samples, before[b].CPUPerRequest
		}
		if a >= 0 {
			usedA[a] = true
			p.name, p.names = after[a].Name, []string{after[a].Name}
			p.was = cmp.Or(p.was, p.name)
			p.after, p.perAfter = after[a].Share.Samples, after[a].CPUPerRequest
		}
		out = append(out, p)
	}
	// Literals of one function first, since the name of one may have become
	// that of another.
	type group struct{ b, a []int }
	literals := map[string]*group{}
	var order []string
	note := func(e Endpoint, add func(*group)) {
		base := baseOf(e)
		if base == "" {
			return
		}
		if literals[base] == nil {
			literals[base] = &group{}
			order = append(order, base)
		}
		add(literals[base])
	}
	for i, e := range before {
		note(e, func(g *group) { g.b = append(g.b, i) })
	}
	for i, e := range after {
		note(e, func(g *group) { g.a = append(g.a, i) })
	}
	for _, base := range order {
		g := literals[base]
		byLine := func(es []Endpoint) func(i, j int) int {
			return func(i, j int) int {
				return cmp.Or(cmp.Compare(es[i].Line, es[j].Line), cmp.Compare(es[i].Handler, es[j].Handler))
			}
		}
		slices.SortFunc(g.b, byLine(before))
		slices.SortFunc(g.a, byLine(after))
		switch {
		case len(g.b) == len(g.a):
			for k := range g.b {
				one(g.b[k], g.a[k])
			}
		case len(g.b) > 0 && len(g.a) > 0:
			p := paired{name: fmt.Sprintf("%s (its %d and now %d function literals together)", shortBase(base), len(g.b), len(g.a))}
			p.was = p.name
			for _, i := range g.b {
				usedB[i] = true
				p.before += before[i].Share.Samples
				p.wasNames = append(p.wasNames, before[i].Name)
			}
			for _, i := range g.a {
				usedA[i] = true
				p.after += after[i].Share.Samples
				p.names = append(p.names, after[i].Name)
			}
			out = append(out, p)
		}
	}
	for _, same := range []func(b, a Endpoint) bool{
		func(b, a Endpoint) bool { return b.Name == a.Name },
		// A label may have been added, or a route been given a name.
		func(b, a Endpoint) bool { return b.Handler != "" && b.Handler == a.Handler },
	} {
		for i, b := range before {
			if usedB[i] {
				continue
			}
			for j, a := range after {
				if !usedA[j] && same(b, a) {
					one(i, j)
					break
				}
			}
		}
	}
	for i := range before {
		if !usedB[i] {
			one(i, -1)
		}
	}
	for j := range after {
		if !usedA[j] {
			one(-1, j)
		}
	}
	return out
}

// baseOf is the function that makes an endpoint's handler, where that is a
// function literal and nothing else names the endpoint; "" otherwise.
func baseOf(e Endpoint) string {
	if e.How != "stack" || e.Handler == "" {
		return ""
	}
	f := newFn(e.Handler, e.File, e.Line)
	// A configured route is no function's name.
	if !f.has(isClosure) || !strings.HasPrefix(e.Name, pretty(f)) {
		return ""
	}
	return f.base
}

func shortBase(base string) string { return placeName(base, "", 0) }
