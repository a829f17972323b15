package analysis

import (
	"fmt"
	"strings"
)

// noSymbol is the name of frames of which only the address is known.
const noSymbol = "(unknown)"

// strange says in a note that profiles are not what the rules were made for:
// half of the samples or more have no names, or none of their names is Go's.
// The report then counts correctly and knows nothing. "" for Go's profiles.
func strange(t *paths, cpu []stack) string {
	named := make([]bool, len(t.nodes)) // there is a name at the node or above it
	for n := 1; n < len(t.nodes); n++ {
		named[n] = named[t.nodes[n].parent] || t.at(uint32(n)).fn.name != noSymbol
	}
	var all, without int64
	for i := range cpu {
		s := &cpu[i]
		all += s.value
		if !named[s.node] {
			without += s.value
		}
	}
	if all == 0 {
		return ""
	}
	if without*2 >= all {
		return fmt.Sprintf("No symbols: %s of the samples hold addresses only, so that no endpoint or codec can be told. "+
			"A profile from the process's own pprof endpoint holds the names.", percent(float64(without)/float64(all)))
	}
	for _, f := range t.all {
		if f.pkg != "" && stdPackage(f) || strings.HasSuffix(f.file, ".go") || strings.HasSuffix(f.file, ".s") {
			return ""
		}
	}
	if all < fewStrange {
		return "" // too few to tell
	}
	return "Not a Go program: no function of the profile is from a Go file or the standard library, and the rules know Go only."
}

// fewStrange is the number of samples from which on a program's profile shows
// the runtime.
const fewStrange = 100
