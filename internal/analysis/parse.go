package analysis

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/google/pprof/profile"
)

// DefaultMaxRaw is the limit on decompressed bytes where none is given. The
// largest CPU profiles seen of real services were 2.5 MB; parsed, a profile
// takes about five times its raw size.
const DefaultMaxRaw = 64 << 20

// Parse reads a profile in pprof's format, gzipped or not. It refuses more
// than maxRaw decompressed bytes (0 means [DefaultMaxRaw]) before it parses
// anything, so that a small upload cannot unfold into a large one.
func Parse(data []byte, maxRaw int64) (*profile.Profile, error) {
	if maxRaw <= 0 {
		maxRaw = DefaultMaxRaw
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: no bytes", ErrNotProfile)
	}
	raw := data
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotProfile, err)
		}
		raw, err = io.ReadAll(io.LimitReader(zr, maxRaw+1))
		if err != nil {
			return nil, fmt.Errorf("not a whole profile: %w", err)
		}
	}
	if int64(len(raw)) > maxRaw {
		return nil, fmt.Errorf("the profile is larger than the limit of %d bytes", maxRaw)
	}
	p, err := parseRaw(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotProfile, err)
	}
	return p, nil
}

// parseRaw keeps a malformed profile from ending the process: the parser is
// strict, but profiles come from other people's processes.
func parseRaw(raw []byte) (p *profile.Profile, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("malformed: %v", r)
		}
	}()
	p, err = profile.ParseUncompressed(raw)
	if err != nil {
		return nil, err
	}
	if len(p.SampleType) == 0 {
		return nil, errors.New("it has no sample types")
	}
	return p, p.CheckValid()
}

// sampleIndex finds a sample type by name; -1 when there is none.
func sampleIndex(p *profile.Profile, names ...string) int {
	for _, name := range names {
		for i, t := range p.SampleType {
			if t.Type == name {
				return i
			}
		}
	}
	return -1
}

// sampleTypes lists a profile's sample types for an error.
func sampleTypes(p *profile.Profile) string {
	var b bytes.Buffer
	for i, t := range p.SampleType {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s/%s", t.Type, t.Unit)
	}
	return b.String()
}
