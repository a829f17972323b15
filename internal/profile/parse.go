package profile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"
)

// DefaultMaxRaw is the limit on decompressed bytes where none is given. The
// largest CPU profiles seen of real services were 2.5 MB.
const DefaultMaxRaw = 64 << 20

// maxRaw is the most that offsets of 32 bits can address.
const maxRaw = math.MaxUint32 >> 1

// Parse reads a profile in pprof's format, gzipped or not. More than limit
// decompressed bytes (0 means [DefaultMaxRaw], at most 2 GiB) are refused with
// [ErrTooLarge] before anything is parsed, so that a small upload cannot
// unfold into a large one. Anything else that is wrong wraps [ErrMalformed].
//
// The profile may keep data: it must not be changed afterwards.
func Parse(data []byte, limit int64) (*Profile, error) {
	if limit <= 0 {
		limit = DefaultMaxRaw
	}
	limit = min(limit, maxRaw)
	raw, err := decompress(data, limit)
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%w: it has more than %d bytes, the limit", ErrTooLarge, limit)
	}
	p := &Profile{raw: raw}
	if err := p.index(); err != nil {
		return nil, err
	}
	return p, nil
}

// decompress returns at most one byte more than limit.
func decompress(data []byte, limit int64) ([]byte, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: there are no bytes", ErrMalformed)
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	// The trailer of a gzip member says how much it unfolds to. It may lie, so
	// it is no more than a guess at the buffer's size: deflate cannot unfold
	// more than 1032 to 1.
	guess := int64(0)
	if len(data) >= 18 {
		guess = int64(binary.LittleEndian.Uint32(data[len(data)-4:]))
	}
	guess = min(guess, limit, int64(len(data))*1032) + 1
	b := bytes.NewBuffer(make([]byte, 0, guess+bytes.MinRead))
	if _, err := b.ReadFrom(io.LimitReader(zr, limit+1)); err != nil {
		return nil, fmt.Errorf("%w: its gzip is broken: %w", ErrMalformed, err)
	}
	return b.Bytes(), nil
}

// index walks over the profile twice: once to count, and once to find where
// everything lies. Then it decodes what samples refer to; samples are only
// checked.
func (p *Profile) index() error {
	var n counts
	if err := p.count(&n); err != nil {
		return err
	}
	switch {
	case n.strings == 0:
		return fmt.Errorf("%w: it has no strings", ErrMalformed)
	case n.types == 0:
		return fmt.Errorf("%w: it has no sample types", ErrMalformed)
	}
	r := reader{p: p, types: n.types, functions: newIDs(n.functions), texts: map[uint64]string{}, names: namesFree + namesTimes*len(p.raw)}
	f := p.find(n)
	if p.strings[0].n != 0 {
		return fmt.Errorf("%w: its first string is not empty", ErrMalformed)
	}
	p.Functions = make([]Function, 0, n.functions)
	p.locations = make([]location, 0, n.locations)
	p.ids = newIDs(n.locations)
	// Each refers to what was decoded before it.
	for _, kind := range []struct {
		list   []span
		decode func([]byte) error
	}{{f.functions, r.function}, {f.locations, r.location}, {f.header, r.header}} {
		for _, s := range kind.list {
			if err := kind.decode(p.raw[s.at : s.at+s.n]); err != nil {
				return err
			}
		}
	}
	for _, at := range p.samples {
		s, _, _ := next(p.raw[at:])
		if err := r.sample(s.b); err != nil {
			return err
		}
	}
	return nil
}

// The fields of message Profile.
const (
	fieldSampleType  = 1
	fieldSample      = 2
	fieldMapping     = 3
	fieldLocation    = 4
	fieldFunction    = 5
	fieldString      = 6
	fieldTime        = 9
	fieldDuration    = 10
	fieldPeriodType  = 11
	fieldPeriod      = 12
	fieldDefaultType = 14
)

type counts struct{ types, samples, locations, functions, strings, header int }

// count counts fields, so that slices are made once, and checks that they can
// be walked over.
func (p *Profile) count(n *counts) error {
	for b := p.raw; len(b) > 0; {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		if f.num >= fieldSampleType && f.num <= fieldString && f.wire != wireBytes {
			return f.need(wireBytes)
		}
		switch f.num {
		case fieldSample:
			n.samples++
		case fieldLocation:
			n.locations++
		case fieldFunction:
			n.functions++
		case fieldString:
			n.strings++
		case fieldSampleType:
			n.types++
			n.header++
		case fieldTime, fieldDuration, fieldPeriodType, fieldPeriod, fieldDefaultType, fieldMapping:
			n.header++
		}
		b = rest
	}
	return nil
}

// fields are where messages lie; those of the header with their keys.
type fields struct{ functions, locations, header []span }

// find notes where everything lies, after it was counted.
func (p *Profile) find(n counts) (out fields) {
	p.strings = make([]span, 0, n.strings)
	p.samples = make([]uint32, 0, n.samples)
	out = fields{make([]span, 0, n.functions), make([]span, 0, n.locations), make([]span, 0, n.header)}
	for b := p.raw; len(b) > 0; {
		f, rest, _ := next(b)
		end := uint32(len(p.raw) - len(rest))
		body := span{end - uint32(len(f.b)), uint32(len(f.b))}
		switch f.num {
		case fieldSample:
			p.samples = append(p.samples, uint32(len(p.raw)-len(b)))
		case fieldLocation:
			out.locations = append(out.locations, body)
		case fieldFunction:
			out.functions = append(out.functions, body)
		case fieldString:
			p.strings = append(p.strings, body)
		case fieldSampleType, fieldTime, fieldDuration, fieldPeriodType, fieldPeriod, fieldDefaultType, fieldMapping:
			at := uint32(len(p.raw) - len(b))
			out.header = append(out.header, span{at, end - at})
		}
		b = rest
	}
	return out
}

// header reads one of the fields that stand for themselves.
func (r *reader) header(b []byte) error {
	p := r.p
	f, _, err := next(b)
	if err != nil {
		return err
	}
	switch f.num {
	case fieldMapping:
		if p.Program == "" {
			p.Program, err = r.mapping(f.b)
		}
		return err
	case fieldSampleType, fieldPeriodType:
		if err := f.need(wireBytes); err != nil {
			return err
		}
		t, err := r.valueType(f.b)
		if err != nil {
			return err
		}
		if f.num == fieldPeriodType {
			p.PeriodType = t
		} else {
			p.SampleTypes = append(p.SampleTypes, t)
		}
		return nil
	}
	if err := f.need(wireVarint); err != nil {
		return err
	}
	switch f.num {
	case fieldTime:
		if f.u != 0 {
			p.Time = time.Unix(0, int64(f.u))
		}
	case fieldDuration:
		p.Duration = time.Duration(f.u)
	case fieldPeriod:
		p.Period = int64(f.u)
	case fieldDefaultType:
		var ok bool
		if p.DefaultType, ok = r.str(f.u); !ok {
			return errString
		}
	}
	return nil
}

var errString = fmt.Errorf("%w: it refers to a string that is not there", ErrMalformed)

// mapping reads the file name of a mapping: the program's is the first.
func (r *reader) mapping(b []byte) (file string, err error) {
	err = numbers(b, 5, 5, func(_ int, u uint64) error {
		var ok bool
		if file, ok = r.str(u); !ok {
			return errString
		}
		return nil
	})
	return file, err
}

func (r *reader) valueType(b []byte) (t ValueType, err error) {
	err = numbers(b, 1, 2, func(num int, u uint64) error {
		s, ok := r.str(u)
		if !ok {
			return errString
		}
		if num == 1 {
			t.Type = s
		} else {
			t.Unit = s
		}
		return nil
	})
	return t, err
}
