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
// Config.Hold.Size is nil.
//
// The first call for a type works out a plan; later ones visit only what can
// vary, so that a slice of structs without pointers is a multiplication.
func SizeOf[V any](v V) int64 {
	rv := reflect.ValueOf(&v).Elem()
	p := planOf(rv.Type())
	s := sizer{rings: p.rings}
	return alloc(int64(rv.Type().Size()), true) + s.beyond(p, rv)
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
	rings bool // whether there may be any
	// seen are the pointers and maps met so far, where there may be rings; a
	// slice is seen at its first element.
	seen map[uintptr]struct{}
}

// first reports whether v, a pointer, map or slice, leads somewhere new.
func (s *sizer) first(v reflect.Value) bool {
	if v.IsNil() {
		return false
	}
	if !s.rings {
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
		return alloc(int64(v.Len()), true)
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
		return n + alloc(int64(e.Type().Size()), planOf(e.Type()).flat)
	case reflect.Pointer:
		if !s.first(v) {
			return 0
		}
		return alloc(int64(v.Type().Elem().Size()), p.elem.flat) + s.beyond(p.elem, v.Elem())
	case reflect.Slice:
		if v.Cap() == 0 || !s.first(v) {
			return 0
		}
		n = alloc(int64(v.Cap())*int64(v.Type().Elem().Size()), p.elem.flat)
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
		if !s.first(v) {
			return 0
		}
		n = mapSize(v.Len(), int64(v.Type().Key().Size()), int64(v.Type().Elem().Size()), p.key.flat && p.elem.flat)
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

// mapSize is the memory of a map itself: groups of eight slots with a byte of
// control each, one of them for up to eight keys, and doubled whenever seven
// eighths are full. Keys and elements over 128 bytes are objects of their own.
func mapSize(n int, key, elem int64, flat bool) int64 {
	const header, most = 48, 128
	if n == 0 {
		return header
	}
	var apart int64
	for _, size := range []*int64{&key, &elem} {
		if *size > most {
			apart += int64(n) * alloc(*size, flat)
			*size = 8
		}
	}
	slots := int64(8)
	for n > 8 && slots*7 < int64(n)*8 {
		slots *= 2
	}
	return header + alloc(slots*(1+(key+elem+7)/8*8), flat) + apart
}

// classes are the allocator's sizes for small objects: see
// internal/runtime/gc.SizeClassToSize.
var classes = [...]int64{
	0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512,
	576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528,
	6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
}

// alloc is what the allocator takes for an object of n bytes: the next of its
// sizes, with a word for objects over 512 bytes that have pointers; whole pages
// above 32 KiB. flat says that it has none.
func alloc(n int64, flat bool) int64 {
	const words, page = 512, 8 << 10
	if n > words && !flat {
		n += 8
	}
	if n > classes[len(classes)-1] {
		return (n + page - 1) / page * page
	}
	i, _ := slices.BinarySearch(classes[:], n)
	return classes[i]
}
