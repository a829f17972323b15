package profile

import "fmt"

// The wire format of protocol buffers, as far as profiles use it:
// https://protobuf.dev/programming-guides/encoding/.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field is one field of a message: a number, or bytes.
type field struct {
	num  int
	wire int
	u    uint64 // of a varint or a fixed number
	b    []byte // of a length-delimited field: a part of the message, not a copy
}

// uvarint reads a varint; n is 0 when b does not hold a whole one of at most
// 64 bits.
func uvarint(b []byte) (u uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		return uint64(b[0]&0x7f) | uint64(b[1])<<7, 2
	}
	return longUvarint(b)
}

func longUvarint(b []byte) (u uint64, n int) {
	for i, c := range b {
		if i == 10 || i == 9 && c > 1 {
			return 0, 0
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return u, i + 1
		}
	}
	return 0, 0
}

// next reads the field at the start of b and returns what follows it.
func next(b []byte) (f field, rest []byte, err error) {
	key, n := uvarint(b)
	if n == 0 || key>>3 == 0 || key>>3 > 1<<29-1 {
		return f, nil, fmt.Errorf("%w: a field's key is cut off or out of range", ErrMalformed)
	}
	f.num, f.wire = int(key>>3), int(key&7)
	b = b[n:]
	switch f.wire {
	case wireVarint:
		if f.u, n = uvarint(b); n == 0 {
			return f, nil, fmt.Errorf("%w: a number is cut off or too long", ErrMalformed)
		}
		return f, b[n:], nil
	case wireFixed64:
		n = 8
	case wireFixed32:
		n = 4
	case wireBytes:
		size, k := uvarint(b)
		if k == 0 || size > uint64(len(b)-k) {
			return f, nil, fmt.Errorf("%w: it ends in the middle of a field", ErrMalformed)
		}
		f.b = b[k : k+int(size)]
		return f, b[k+int(size):], nil
	default:
		return f, nil, fmt.Errorf("%w: a field has wire type %d, which the format does not have", ErrMalformed, f.wire)
	}
	if len(b) < n {
		return f, nil, fmt.Errorf("%w: it ends in the middle of a field", ErrMalformed)
	}
	for i := range n {
		f.u |= uint64(b[i]) << (8 * i)
	}
	return f, b[n:], nil
}

// numbers counts the numbers of a repeated field, which may be packed into one
// field or not.
func (f field) numbers() (int, error) {
	switch f.wire {
	case wireVarint:
		return 1, nil
	case wireBytes:
		count := 0
		for b := f.b; len(b) > 0; count++ {
			_, n := uvarint(b)
			if n == 0 {
				return 0, errList
			}
			b = b[n:]
		}
		return count, nil
	}
	return 0, errNumber(f.wire)
}

var errList = fmt.Errorf("%w: a number in a list is cut off or too long", ErrMalformed)

func errNumber(wire int) error {
	return fmt.Errorf("%w: a number has wire type %d", ErrMalformed, wire)
}

// need is the error of a field with another wire type than the format says.
func (f field) need(wire int) error {
	if f.wire != wire {
		return fmt.Errorf("%w: field %d has wire type %d, not %d", ErrMalformed, f.num, f.wire, wire)
	}
	return nil
}

// numbers calls yield with the numbers in a message's fields from first to
// last. Other fields are passed over.
func numbers(b []byte, first, last int, yield func(num int, u uint64) error) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if f.num < first || f.num > last {
			continue
		}
		if err := f.need(wireVarint); err != nil {
			return err
		}
		if err := yield(f.num, f.u); err != nil {
			return err
		}
	}
	return nil
}
