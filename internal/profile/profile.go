package profile

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrMalformed says that bytes are no profile, or not a whole one.
var ErrMalformed = errors.New("not a pprof profile")

// ErrTooLarge says that a profile is larger than the limit it was read with.
var ErrTooLarge = errors.New("the profile is too large")

// ValueType says what a sample's value counts, and in what.
type ValueType struct {
	Type string // "cpu", "samples", "alloc_space"
	Unit string // "nanoseconds", "count", "bytes"
}

// Profile is one profile, read-only. Functions, lines and samples refer to
// each other by index.
type Profile struct {
	SampleTypes []ValueType
	PeriodType  ValueType
	Period      int64
	Time        time.Time // zero when the profile does not say
	Duration    time.Duration
	// DefaultType is the name of the sample type that tools show first; "" when
	// the profile does not say.
	DefaultType string
	// Program is the file of the profiled program; "" when the profile does
	// not say.
	Program string

	Functions []Function
	lines     []Line
	locations []location
	ids       ids // of locations

	raw     []byte // decompressed; strings and samples lie in it
	strings []span
	samples []uint32 // where they begin, with their keys
}

// Function is one function of a profiled program.
type Function struct {
	Name string // as the program's symbol table has it
	File string // where it was compiled; "" when not known
	Line int64  // of its start; 0 when not known
}

// Line is one line of a function. A location is several of them where calls
// were inlined.
type Line struct {
	Function int32 // index in [Profile.Functions]; -1 when the profile does not say
	Number   int32 // in the function's file; 0 when not known
}

// span is a part of the raw bytes.
type span struct{ at, n uint32 }

// location is a run of lines.
type location struct{ first, n uint32 }

// NumSamples is the number of samples, those without a value included.
func (p *Profile) NumSamples() int { return len(p.samples) }

// RawSize is the size of the decompressed profile in bytes.
func (p *Profile) RawSize() int { return len(p.raw) }

// TypeIndex finds a sample type by name, the first name that is there; -1 when
// none is.
func (p *Profile) TypeIndex(names ...string) int {
	for _, name := range names {
		for i, t := range p.SampleTypes {
			if t.Type == name {
				return i
			}
		}
	}
	return -1
}

// Types lists the sample types for people: "samples/count, cpu/nanoseconds".
func (p *Profile) Types() string {
	parts := make([]string, len(p.SampleTypes))
	for i, t := range p.SampleTypes {
		parts[i] = t.Type + "/" + t.Unit
	}
	return strings.Join(parts, ", ")
}

// NumLocations is the number of locations. Those of a sample are below it.
func (p *Profile) NumLocations() int { return len(p.locations) }

// Lines are the lines of a location, the innermost inlined call first and its
// outermost caller last; none when the program had no symbol there.
func (p *Profile) Lines(location uint32) []Line {
	l := p.locations[location]
	return p.lines[l.first : l.first+l.n]
}

// maxText is where texts are cut. A few bytes can refer to a text of megabytes,
// over and over; symbols and routes are not as long.
const maxText = 2048

// str is a string of the table as a copy, which does not keep the raw bytes. It
// is cut at [maxText], and each is copied once.
func (r *reader) str(i uint64) (string, bool) {
	p := r.p
	if i >= uint64(len(p.strings)) {
		return "", false
	}
	text, ok := r.texts[i]
	if !ok {
		text = p.text(i)
		r.texts[i] = text
	}
	return text, true
}

// text copies a string that is there.
func (p *Profile) text(i uint64) string {
	s := p.strings[i]
	b := p.raw[s.at : s.at+s.n]
	if len(b) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(b[end]) {
			end--
		}
		b = b[:end]
	}
	return string(b)
}
