package collector

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
)

// Fields of the messages in profile.proto that scan looks at.
const (
	fieldSampleType  = 1
	fieldSample      = 2
	fieldMapping     = 3
	fieldLocation    = 4
	fieldFunction    = 5
	fieldStringTable = 6
	fieldComment     = 13
	fieldLast        = 15 // the last one known today
)

// Wire types that still exist.
const (
	varint, fixed64, counted, fixed32 = 0, 1, 2, 5
)

// shape is what scan learns of a profile.
type shape struct {
	types   []string // names of the sample types
	samples int
}

const (
	// unseen stands for the name of a type that is not among the first short
	// strings, where every writer of profiles has it.
	unseen    = "\x00"
	firstFew  = 64 // strings
	shortText = 64 // bytes
	mostTypes = 64 // sample types; Go's profiles have at most four
	// perSample is how many parts (frames, values, labels) samples may have on
	// average when there are as many samples as are allowed, and locations.
	perSample = 16
)

// tooMany says that a profile has more of something than is allowed.
type tooMany struct {
	what string
	most int
}

func (e tooMany) Error() string { return fmt.Sprintf("it holds more than %d %s", e.most, e.what) }

// names of the counted fields for people.
var names = map[uint64]string{
	fieldSample: "samples", fieldMapping: "mappings", fieldLocation: "locations", fieldFunction: "functions",
	fieldStringTable: "strings", fieldComment: "comments",
}

// scanner reads one message.
type scanner struct {
	r     *bufio.Reader
	at    int64 // bytes read
	most  int   // of each counted field
	count [fieldLast + 1]int
	parts int // of samples and locations

	typeNames []uint64 // indexes in the string table
	strings   []string // the first few; unseen for long ones
}

// scan reads a message to its end and makes sure that it has the shape of
// profile.proto's Profile: known fields have their wire types, there is a
// sample type, the string table begins with the empty string, and nothing is
// there too often: a message of megabytes can hold millions of samples of two
// bytes, each of which costs its reader a hundred. What the samples mean is the
// analysis' question. It allocates nothing by a length that the message claims.
func scan(r *bufio.Reader, most int) (shape, error) {
	s := &scanner{r: r, most: most}
	for {
		tag, err := s.uvarint()
		if errors.Is(err, io.EOF) {
			return s.shape()
		}
		if err == nil {
			err = s.field(tag>>3, tag&7)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // within a field
		}
		if err != nil {
			return shape{}, err
		}
	}
}

func (s *scanner) shape() (shape, error) {
	if len(s.typeNames) == 0 || s.count[fieldStringTable] == 0 {
		return shape{}, errShape
	}
	sh := shape{samples: s.count[fieldSample]}
	for _, i := range s.typeNames {
		name := unseen
		if i < uint64(len(s.strings)) {
			name = s.strings[i]
		} else if i >= uint64(s.count[fieldStringTable]) {
			return shape{}, errShape
		}
		sh.types = append(sh.types, name)
	}
	return sh, nil
}

// field reads one field of the message behind its tag.
func (s *scanner) field(field, wire uint64) error {
	if !wireFits(field, wire) {
		return errShape
	}
	if name := names[field]; name != "" {
		if s.count[field]++; s.count[field] > s.most {
			return tooMany{name, s.most}
		}
	}
	if wire != counted {
		return s.value(wire)
	}
	n, err := s.length()
	if err != nil {
		return err
	}
	switch field {
	case fieldSampleType:
		return s.sampleType(n)
	case fieldSample, fieldLocation:
		return s.inner(field, n)
	case fieldStringTable:
		return s.text(n)
	}
	return s.skip(n)
}

// sampleType reads a ValueType and keeps the index of its name.
func (s *scanner) sampleType(n int64) error {
	var name uint64
	for end := s.at + n; s.at < end; {
		tag, err := s.uvarint()
		if err != nil {
			return err
		}
		switch {
		case tag == 1<<3|varint:
			if name, err = s.uvarint(); err != nil {
				return err
			}
		case tag&7 == counted:
			return errShape
		default:
			if err := s.value(tag & 7); err != nil {
				return err
			}
		}
		if s.at > end {
			return errShape
		}
	}
	if s.typeNames = append(s.typeNames, name); len(s.typeNames) > mostTypes {
		return tooMany{"sample types", mostTypes}
	}
	return nil
}

// inner counts the parts of a sample or a location.
func (s *scanner) inner(field uint64, n int64) error {
	for end := s.at + n; s.at < end; {
		tag, err := s.uvarint()
		if err != nil {
			return err
		}
		if tag>>3 == 0 {
			return errShape
		}
		if tag&7 != counted {
			err = s.value(tag & 7)
			s.parts++
		} else {
			err = s.part(field == fieldSample && tag>>3 <= 2, end) // location ids and values are packed
		}
		if err != nil {
			return err
		}
		if s.at > end {
			return errShape
		}
		if s.parts > perSample*s.most {
			return tooMany{"frames, values and labels", perSample * s.most}
		}
	}
	return nil
}

// part reads one counted field that ends before end: many numbers, or one
// label or line.
func (s *scanner) part(packed bool, end int64) error {
	n, err := s.length()
	switch {
	case err != nil:
		return err
	case s.at+n > end:
		return errShape
	case !packed:
		s.parts++
		return s.skip(n)
	}
	for stop := s.at + n; s.at < stop; s.parts++ {
		if _, err := s.uvarint(); err != nil {
			return err
		}
		if s.at > stop {
			return errShape
		}
	}
	return nil
}

// text reads a string of the string table and keeps it if it may name a type.
func (s *scanner) text(n int64) error {
	first := s.count[fieldStringTable] == 1
	if first && n != 0 {
		return errShape
	}
	if len(s.strings) >= firstFew {
		return s.skip(n)
	}
	if n > shortText {
		s.strings = append(s.strings, unseen)
		return s.skip(n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(s.r, b)
	s.at += n
	s.strings = append(s.strings, string(b))
	return err
}

// wireFits reports whether a field may come with a wire type. Fields that a
// later profile.proto may add can have any that still exists.
func wireFits(field, wire uint64) bool {
	switch {
	case field == 0 || field > 1<<29-1:
		return false
	case field > fieldLast:
		return wire == varint || wire == fixed64 || wire == counted || wire == fixed32
	case field == fieldComment:
		return wire == varint || wire == counted // packed or not
	case field <= fieldStringTable || field == 11:
		return wire == counted
	}
	return wire == varint
}

// value skips a field that is not counted.
func (s *scanner) value(wire uint64) (err error) {
	switch wire {
	case varint:
		_, err = s.uvarint()
	case fixed64:
		err = s.skip(8)
	case fixed32:
		err = s.skip(4)
	default:
		err = errShape
	}
	return err
}

func (s *scanner) length() (int64, error) {
	n, err := s.uvarint()
	if err == nil && n > math.MaxInt32 { // no protobuf message is longer
		err = errShape
	}
	return int64(n), err
}

func (s *scanner) skip(n int64) error {
	_, err := s.r.Discard(int(n))
	s.at += n
	return err
}

// uvarint reads one varint. io.EOF means that there was none.
func (s *scanner) uvarint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := s.r.ReadByte()
		if errors.Is(err, io.EOF) && shift > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		s.at++
		if shift == 63 && b > 1 {
			return 0, errShape // more than 64 bits
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errShape
}
