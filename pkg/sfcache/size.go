package sfcache

import (
	"reflect"
	"slices"
	"sync"
)

// SizeOf estimates the bytes of memory that v keeps alive, v itself included:
// strings, slices, maps and what pointers lead to, rounded up as Go's
// allocator does. Channels and functions count as their own words. What two
// parts of v share counts twice, unless the type can lead back to itself: then
// nothing is counted twice, and rings end. It is what a hold counts by when
// Config.Size is nil.
//
// The first call for a type works out a plan; later ones visit only what can
// vary, so that a slice of structs without pointers is a multiplication.
func SizeOf[V any](v V) int64 {
	rv := reflect.ValueOf(&v).Elem()
	s := sizer{}
	return round(int64(rv.Type().Size())) + s.beyond(planOf(rv.Type()), rv)
}

// plan says what of a type leads to memory beyond its own words.
type plan struct {
	flat   bool // nothing does
	rings  bool // a value may lead to itself
	fields []field
	elem   *plan // of a pointer, slice, array or map
	key    *plan // of a map
}

type field struct {
	index int
	plan  *plan
}

var plans sync.Map // reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	b := planner{seen: map[reflect.Type]*plan{}}
	p := b.build(t)
	for _, q := range b.seen {
		q.rings = b.rings
	}
	plans.Store(t, p)
	return p
}

// planner makes the plan of one type and all it leads to.
type planner struct {
	seen  map[reflect.Type]*plan
	way   []reflect.Type // from the first type to the one being built
	rings bool
}

func (b *planner) build(t reflect.Type) *plan {
	if p := b.seen[t]; p != nil {
		b.rings = b.rings || slices.Contains(b.way, t)
		return p
	}
	p := &plan{}
	b.seen[t] = p
	b.way = append(b.way, t)
	defer func() { b.way = b.way[:len(b.way)-1] }()
	switch t.Kind() {
	case reflect.String:
	case reflect.Interface:
		b.rings = true // whatever is in it
	case reflect.Pointer, reflect.Slice:
		p.elem = b.build(t.Elem())
	case reflect.Map:
		p.key, p.elem = b.build(t.Key()), b.build(t.Elem())
	case reflect.Array:
		p.elem = b.build(t.Elem())
		p.flat = p.elem.flat
	case reflect.Struct:
		for i := range t.NumField() {
			if f := b.build(t.Field(i).Type); !f.flat {
				p.fields = append(p.fields, field{i, f})
			}
		}
		p.flat = len(p.fields) == 0
	default:
		p.flat = true
	}
	return p
}

// sizer walks one value.
type sizer struct {
	// seen are the pointers and maps met so far, where there may be rings; a
	// slice is seen at its first element.
	seen map[uintptr]struct{}
}

// first reports whether v, a pointer, map or slice, leads somewhere new.
func (s *sizer) first(plan *plan, v reflect.Value) bool {
	if v.IsNil() {
		return false
	}
	if !plan.rings {
		return true
	}
	p := v.Pointer()
	if _, ok := s.seen[p]; ok {
		return false
	}
	if s.seen == nil {
		s.seen = map[uintptr]struct{}{}
	}
	s.seen[p] = struct{}{}
	return true
}

// beyond is the memory that v leads to.
func (s *sizer) beyond(p *plan, v reflect.Value) (n int64) {
	if p.flat {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return round(int64(v.Len()))
	case reflect.Interface:
		if v.IsNil() {
			return 0
		}
		e := v.Elem()
		n = s.beyond(planOf(e.Type()), e)
		switch e.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
			return n // the word in the interface is the value
		}
		return n + round(int64(e.Type().Size()))
	case reflect.Pointer:
		if !s.first(p, v) {
			return 0
		}
		return round(int64(v.Type().Elem().Size())) + s.beyond(p.elem, v.Elem())
	case reflect.Slice:
		if v.Cap() == 0 || !s.first(p, v) {
			return 0
		}
		n = round(int64(v.Cap()) * int64(v.Type().Elem().Size()))
		if !p.elem.flat {
			for i := range v.Len() {
				n += s.beyond(p.elem, v.Index(i))
			}
		}
		return n
	case reflect.Array:
		for i := range v.Len() {
			n += s.beyond(p.elem, v.Index(i))
		}
		return n
	case reflect.Map:
		if !s.first(p, v) {
			return 0
		}
		// Groups of eight slots with a control word each, between half and
		// seven eighths full.
		slot := int64(v.Type().Key().Size() + v.Type().Elem().Size())
		n = 48 + round(int64(v.Len())*(slot+1)*3/2)
		if p.key.flat && p.elem.flat {
			return n
		}
		for it := v.MapRange(); it.Next(); {
			n += s.beyond(p.key, it.Key()) + s.beyond(p.elem, it.Value())
		}
		return n
	case reflect.Struct:
		for _, f := range p.fields {
			n += s.beyond(f.plan, v.Field(f.index))
		}
		return n
	}
	return 0
}

// round is the allocator's size for an object of n bytes. Its classes lie 8
// bytes apart at first, then about an eighth; whole pages above 32 KiB.
func round(n int64) int64 {
	step := int64(8)
	switch {
	case n == 0:
		return 0
	case n > 32<<10:
		step = 8 << 10
	case n > 1024:
		step = 256
	case n > 256:
		step = 32
	case n > 32:
		step = 16
	}
	return (n + step - 1) / step * step
}
