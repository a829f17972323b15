package profile

import (
	"fmt"
	"math"
)

// reader decodes functions and locations, and checks samples.
type reader struct {
	p         *Profile
	types     int // how many values a sample has
	functions ids
	texts     map[uint64]string // copies of strings, by their places in the table
	names     int               // bytes that functions' names may still have
}

// A profile may have this many bytes in the names and files of its functions
// for each of its raw ones, and some more. Real ones have less than two, since
// few names are those of several functions; each has to be looked at.
const (
	namesTimes = 8
	namesFree  = 1 << 18
)

func (r *reader) function(b []byte) error {
	var id uint64
	var fn Function
	var system uint64 // the name of the symbol table: the same in every Go profile
	err := numbers(b, 1, 5, func(num int, u uint64) error {
		ok := true
		switch num {
		case 1:
			id = u
		case 2:
			fn.Name, ok = r.str(u)
		case 3:
			system, ok = u, u < uint64(len(r.p.strings))
		case 4:
			fn.File, ok = r.str(u)
		case 5:
			fn.Line = int64(u)
		}
		if !ok {
			return errString
		}
		return nil
	})
	if err != nil {
		return err
	}
	if fn.Name == "" {
		fn.Name, _ = r.str(system)
	}
	if r.names -= len(fn.Name) + len(fn.File); r.names < 0 {
		return fmt.Errorf("%w: its functions have longer names than any program's", ErrMalformed)
	}
	if err := r.functions.add(id, "function"); err != nil {
		return err
	}
	r.p.Functions = append(r.p.Functions, fn)
	return nil
}

func (r *reader) location(b []byte) error {
	var id uint64
	at := location{first: uint32(len(r.p.lines))}
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.num {
		case 1:
			if err := f.need(wireVarint); err != nil {
				return err
			}
			id = f.u
		case 4:
			if err := f.need(wireBytes); err != nil {
				return err
			}
			l, err := r.line(f.b)
			if err != nil {
				return err
			}
			r.p.lines = append(r.p.lines, l)
			at.n++
		}
	}
	if err := r.p.ids.add(id, "location"); err != nil {
		return err
	}
	r.p.locations = append(r.p.locations, at)
	return nil
}

func (r *reader) line(b []byte) (Line, error) {
	l := Line{Function: -1}
	err := numbers(b, 1, 2, func(num int, u uint64) error {
		switch {
		case num == 2:
			l.Number = int32(min(u, math.MaxInt32))
		case u != 0:
			i, ok := r.functions.find(u)
			if !ok {
				return fmt.Errorf("%w: a line refers to function %d, which is not there", ErrMalformed, u)
			}
			l.Function = int32(i)
		}
		return nil
	})
	return l, err
}

// sample checks a sample, so that reading it later cannot fail.
func (r *reader) sample(b []byte) error {
	values := 0
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch f.num {
		case 1:
			err = r.p.ids.check(f)
		case 2:
			var n int
			n, err = f.numbers()
			values += n
		case 3:
			if err = f.need(wireBytes); err == nil {
				_, err = r.p.label(f.b)
			}
		}
		if err != nil {
			return err
		}
	}
	if values != r.types {
		return fmt.Errorf("%w: a sample has %d values where the profile has %d sample types", ErrMalformed, values, r.types)
	}
	return nil
}

// ids maps the ids of a profile to indexes. Writers number from 1, in which
// case no map is needed.
type ids struct {
	n    int
	byID map[uint64]uint32 // nil as long as every id was its place
	cap  int
}

func newIDs(capacity int) ids { return ids{cap: capacity} }

func (t *ids) add(id uint64, what string) error {
	if id == 0 {
		return fmt.Errorf("%w: a %s has the id 0", ErrMalformed, what)
	}
	if t.byID == nil && id != uint64(t.n)+1 {
		t.byID = make(map[uint64]uint32, t.cap)
		for i := range t.n {
			t.byID[uint64(i)+1] = uint32(i)
		}
	}
	if t.byID != nil {
		if _, twice := t.byID[id]; twice {
			return fmt.Errorf("%w: two %ss have the id %d", ErrMalformed, what, id)
		}
		t.byID[id] = uint32(t.n)
	}
	t.n++
	return nil
}

func (t *ids) find(id uint64) (uint32, bool) {
	if t.byID == nil {
		return uint32(id - 1), id-1 < uint64(t.n)
	}
	i, ok := t.byID[id]
	return i, ok
}

// check checks that a sample's locations are there.
func (t *ids) check(f field) error {
	if f.wire == wireVarint {
		return t.has(f.u)
	}
	if f.wire != wireBytes {
		return errNumber(f.wire)
	}
	for b := f.b; len(b) > 0; {
		id, n := uvarint(b)
		if n == 0 {
			return errList
		}
		b = b[n:]
		if t.byID == nil && id-1 < uint64(t.n) {
			continue
		}
		if err := t.has(id); err != nil {
			return err
		}
	}
	return nil
}

func (t *ids) has(id uint64) error {
	if _, ok := t.find(id); !ok {
		return fmt.Errorf("%w: a sample refers to location %d, which is not there", ErrMalformed, id)
	}
	return nil
}
