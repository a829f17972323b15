package analysis

import (
	"math/rand/v2"
	"testing"
)

// TestPlaces holds what keeps each kind once against a list of all.
func TestPlaces(t *testing.T) {
	const nodes = 500
	p := newPlaces(nodes)
	want := make([]place, nodes)
	r := rand.New(rand.NewPCG(5, 6))
	for range 2 { // the second time with other places
		p.clear()
		for n := uint32(1); n < nodes; n++ {
			parent := uint32(r.IntN(int(n)))
			pl := want[parent]
			pl.depth++
			if r.IntN(10) == 0 {
				pl.handler, pl.served = n, true
			}
			p.set(n, parent, pl)
			want[n] = pl
		}
		for n := range uint32(nodes) {
			if got := p.at(n); got != want[n] {
				t.Fatalf("node %d: %+v, want %+v", n, got, want[n])
			}
		}
		if len(p.kinds) > nodes/5 {
			t.Errorf("%d kinds of %d", len(p.kinds), nodes)
		}
	}
}
