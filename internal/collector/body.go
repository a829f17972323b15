package collector

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/incident"
)

var (
	errRawLimit = errors.New("over the decompressed limit")
	errShape    = errors.New("not the shape of a profile")
	errTwice    = errors.New("compressed twice")
	errMore     = errors.New("bytes behind the profile")
)

// limits bound what is accepted as a profile.
type limits struct {
	raw     int64 // decompressed bytes
	samples int   // see [Options.MaxSamples]
}

// vet makes sure that data is one whole profile of the kind within the limits,
// and compresses it when it came raw. A compressed profile is unpacked as a
// stream to look at it, and never held unpacked. s is kept out of the error.
func vet(data []byte, k incident.Kind, lim limits, s secrets) (gz []byte, raw int64, samples int, err error) {
	if len(data) == 0 {
		return nil, 0, 0, &Error{What: incident.OutcomeNotProfile, Words: "the answer is empty"}
	}
	gzipped := bytes.HasPrefix(data, gzipMagic)
	packed := bytes.NewReader(data)
	in := &counter{r: packed, limit: lim.raw}
	if gzipped {
		zr, err := gzip.NewReader(packed)
		if err != nil {
			return nil, 0, 0, bodyError(err, nil, lim, s)
		}
		// A second member would be read as a part of the first by some and left
		// out by others: one file must not be two profiles.
		zr.Multistream(false)
		in.r = zr
	}
	br := bufio.NewReader(in)
	head, _ := br.Peek(excerptBytes) // its error comes again below
	head = bytes.Clone(head)
	if gzipped && bytes.HasPrefix(head, gzipMagic) {
		return nil, 0, 0, bodyError(errTwice, nil, lim, s)
	}
	sh, err := scan(br, lim.samples)
	if err == nil && gzipped && packed.Len() > 0 {
		err = errMore
	}
	if err != nil {
		return nil, 0, 0, bodyError(err, head, lim, s)
	}
	if err := sh.is(k, s); err != nil {
		return nil, 0, 0, err
	}
	if gzipped {
		return data, in.n, sh.samples, nil
	}
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, werr := zw.Write(data)
	if err := errors.Join(werr, zw.Close()); err != nil {
		return nil, 0, 0, &Error{What: incident.OutcomeNotProfile, Words: "it cannot be compressed: " + err.Error()} // a bytes.Buffer does not fail
	}
	return b.Bytes(), in.n, sh.samples, nil
}

var gzipMagic = []byte{0x1f, 0x8b}

// bodyError says what is wrong with a body that begins with head when it is
// unpacked.
func bodyError(err error, head []byte, lim limits, s secrets) error {
	e := &Error{What: incident.OutcomeNotProfile}
	many, counted := errors.AsType[tooMany](err)
	switch {
	case errors.Is(err, errRawLimit):
		e.What, e.Words = incident.OutcomeTooLarge, fmt.Sprintf("it unpacks to more than the limit of %d bytes", lim.raw)
	case counted:
		e.What, e.Words = incident.OutcomeTooLarge, many.Error()
	case errors.Is(err, errTwice):
		e.Words = "it is compressed twice: something before the pod compresses what is compressed already"
	case errors.Is(err, errMore):
		e.Words = "more bytes follow the profile"
	case isText(head):
		e.Words = fmt.Sprintf("it begins with %q", s.excerpt(head))
	case errors.Is(err, errShape):
		e.Words = "it is neither text nor a profile"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Words, e.retry = "the profile is cut off", true
	default:
		e.Words, e.retry = "the profile is damaged: "+clean(err.Error()), true
	}
	return e
}

// kindTypes are sample types of which a profile of a kind has one.
var kindTypes = map[incident.Kind][]string{
	incident.KindCPU:          {"cpu"},
	incident.KindAllocsBefore: {"alloc_space", "inuse_space"},
	incident.KindAllocsAfter:  {"alloc_space", "inuse_space"},
	incident.KindHeap:         {"alloc_space", "inuse_space"},
	incident.KindGoroutine:    {"goroutine"},
	incident.KindMutex:        {"contentions", "delay"},
	incident.KindBlock:        {"contentions", "delay"},
}

// is makes sure that a profile is of the kind that was asked for. A profile
// that does not name its types where they can be seen at once is let through:
// the analysis looks at it as a whole.
func (sh shape) is(k incident.Kind, s secrets) error {
	want := kindTypes[k]
	if slices.Contains(sh.types, unseen) || len(want) == 0 || slices.ContainsFunc(sh.types, func(t string) bool { return slices.Contains(want, t) }) {
		return nil
	}
	return &Error{
		What:  incident.OutcomeNotProfile,
		Words: fmt.Sprintf("it is a profile of %s, and one of %s was asked for", s.excerpt([]byte(strings.Join(sh.types, ", "))), want[0]),
	}
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
