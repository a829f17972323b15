package collector

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/profbot/profbot/internal/incident"
)

var (
	errRawLimit = errors.New("over the decompressed limit")
	errShape    = errors.New("not the shape of a profile")
)

// vet makes sure that data is one whole profile of at most maxRaw bytes, and
// compresses it when it came raw. A compressed profile is unpacked as a stream
// to look at it, and never held unpacked. secrets are kept out of the error.
func vet(data []byte, maxRaw int64, secrets []string) (gz []byte, raw int64, err error) {
	if len(data) == 0 {
		return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "the answer is empty"}
	}
	gzipped := bytes.HasPrefix(data, []byte{0x1f, 0x8b})
	in := &counter{r: bytes.NewReader(data), limit: maxRaw}
	if gzipped {
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, 0, bodyError(err, nil, maxRaw, secrets)
		}
		in.r = zr
	}
	br := bufio.NewReader(in)
	head, _ := br.Peek(excerptBytes) // its error comes again below
	head = bytes.Clone(head)
	if err := scan(br); err != nil {
		return nil, 0, bodyError(err, head, maxRaw, secrets)
	}
	if gzipped {
		return data, in.n, nil
	}
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, werr := zw.Write(data)
	if err := errors.Join(werr, zw.Close()); err != nil {
		return nil, 0, &Error{What: incident.OutcomeNotProfile, Words: "it cannot be compressed: " + err.Error()} // a bytes.Buffer does not fail
	}
	return b.Bytes(), in.n, nil
}

// bodyError says what is wrong with a body that begins with head when it is
// unpacked.
func bodyError(err error, head []byte, maxRaw int64, secrets []string) error {
	e := &Error{What: incident.OutcomeNotProfile}
	switch {
	case errors.Is(err, errRawLimit):
		e.What, e.Words = incident.OutcomeTooLarge, fmt.Sprintf("it unpacks to more than the limit of %d bytes", maxRaw)
	case isText(head):
		e.Words = fmt.Sprintf("it begins with %q", excerpt(head, secrets))
	case errors.Is(err, errShape):
		e.Words = "it is neither text nor a profile"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Words, e.retry = "the profile is cut off", true
	default:
		e.Words, e.retry = "the profile is damaged: "+clean(err.Error()), true
	}
	return e
}

// isText reports whether b can be read by people: it is not empty and has no
// control characters but those of text and terminals. A profile has others
// within its first few bytes.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && !(c >= '\t' && c <= '\r') && c != 0x1b {
			return false
		}
	}
	return len(b) > 0
}

// counter counts what is read and stops it at the limit.
type counter struct {
	r        io.Reader
	n, limit int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n > c.limit {
		return n, errRawLimit
	}
	return n, err
}

// Fields of the Profile message in profile.proto that scan looks at.
const (
	fieldSampleType  = 1
	fieldStringTable = 6
	fieldComment     = 13
	fieldLast        = 15 // the last one known today
)

// scan reads a message to its end and makes sure that it has the shape of
// profile.proto's Profile: known fields have their wire types, there is a
// sample type, and the string table begins with the empty string. What the
// samples mean is the analysis' question. It allocates nothing by a length
// that the message claims.
func scan(r *bufio.Reader) error {
	var sampleType, stringTable bool
	for {
		tag, err := uvarint(r)
		if errors.Is(err, io.EOF) {
			if !sampleType || !stringTable {
				return errShape
			}
			return nil
		}
		if err != nil {
			return err
		}
		field, wire := tag>>3, tag&7
		if field == 0 || field > 1<<29-1 || !wireFits(field, wire) {
			return errShape
		}
		switch wire {
		case 0:
			_, err = uvarint(r)
		case 1:
			err = skip(r, 8)
		case 5:
			err = skip(r, 4)
		default:
			var n uint64
			if n, err = uvarint(r); err != nil {
				break
			}
			switch field {
			case fieldSampleType:
				sampleType = true
			case fieldStringTable:
				if !stringTable && n != 0 {
					return errShape
				}
				stringTable = true
			}
			err = skip(r, n)
		}
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF // within a field
		}
		if err != nil {
			return err
		}
	}
}

// wireFits reports whether a field may come with a wire type. Fields that a
// later profile.proto may add can have any that still exists.
func wireFits(field, wire uint64) bool {
	const varint, fixed64, counted, fixed32 = 0, 1, 2, 5
	switch {
	case field > fieldLast:
		return wire == varint || wire == fixed64 || wire == counted || wire == fixed32
	case field == fieldComment:
		return wire == varint || wire == counted // packed or not
	case field <= fieldStringTable || field == 11:
		return wire == counted
	}
	return wire == varint
}

func skip(r *bufio.Reader, n uint64) error {
	if n > math.MaxInt32 { // no protobuf message is longer
		return errShape
	}
	_, err := r.Discard(int(n))
	return err
}

// uvarint reads one varint. io.EOF means that there was none.
func uvarint(r io.ByteReader) (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) && shift > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errShape
}
