package analysis

// places are the places of all nodes. Nine in ten nodes of a large profile have
// the place of their caller, a frame deeper, so each kind of place is kept once.
type places struct {
	of    []uint32 // by node: in kinds
	depth []uint16 // by node
	kinds []place  // without depth; the first is the root's
}

func newPlaces(nodes int) places {
	return places{of: make([]uint32, nodes), depth: make([]uint16, nodes), kinds: make([]place, 1, 1+nodes/12)}
}

// at is a node's place.
func (p *places) at(n uint32) place {
	pl := p.kinds[p.of[n]]
	pl.depth = p.depth[n]
	return pl
}

// clear forgets all places but the root's.
func (p *places) clear() { p.kinds = p.kinds[:1] }

// set gives a node its place, after its parent was given one.
func (p *places) set(n, parent uint32, pl place) {
	p.depth[n], pl.depth = pl.depth, 0
	if p.kinds[p.of[parent]] == pl {
		p.of[n] = p.of[parent]
		return
	}
	p.of[n] = uint32(len(p.kinds))
	p.kinds = append(p.kinds, pl)
}
