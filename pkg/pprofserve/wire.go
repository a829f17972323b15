package pprofserve

import (
	"encoding/binary"
	"errors"
)

// This file reads and writes the little of protocol buffers that profiles are
// made of: integers and bytes, one field after the other.

var errWire = errors.New("not a profile: broken protocol buffer")

// field is one field of a message: data for wire type 2, n for the others.
type field struct {
	num  uint64
	n    uint64
	data []byte
	wire uint64
}

// next takes the first field off b.
func next(b []byte) (f field, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, errWire
	}
	b = b[n:]
	f.num, f.wire = tag>>3, tag&7
	switch f.wire {
	case 0:
		if f.n, n = binary.Uvarint(b); n <= 0 {
			return f, nil, errWire
		}
		return f, b[n:], nil
	case 1:
		if len(b) < 8 {
			return f, nil, errWire
		}
		return f, b[8:], nil
	case 2:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return f, nil, errWire
		}
		end := n + int(size)
		f.data = b[n:end]
		return f, b[end:], nil
	case 5:
		if len(b) < 4 {
			return f, nil, errWire
		}
		return f, b[4:], nil
	}
	return f, nil, errWire
}

// each calls do for every field of message b.
func each(b []byte, do func(field) error) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		if err := do(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// appendInts adds the integers of a repeated field, packed or not.
func (f field) appendInts(to []uint64) ([]uint64, error) {
	if f.wire == 0 {
		return append(to, f.n), nil
	}
	for b := f.data; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errWire
		}
		to, b = append(to, v), b[n:]
	}
	return to, nil
}

// putInt appends an integer field, unless it is 0.
func putInt(to []byte, num int, v uint64) []byte {
	if v == 0 {
		return to
	}
	return binary.AppendUvarint(binary.AppendUvarint(to, uint64(num)<<3), v)
}

// putBytes appends a field of bytes.
func putBytes[B []byte | string](to []byte, num int, b B) []byte {
	to = binary.AppendUvarint(to, uint64(num)<<3|2)
	to = binary.AppendUvarint(to, uint64(len(b)))
	return append(to, b...)
}

// putInts appends a repeated integer field, packed.
func putInts[I uint64 | int64](to []byte, num int, vs []I) []byte {
	var packed []byte
	for _, v := range vs {
		packed = binary.AppendUvarint(packed, uint64(v))
	}
	return putBytes(to, num, packed)
}
