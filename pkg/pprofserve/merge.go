package pprofserve

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
)

// maxProfile bounds a profile, decompressed. It comes from this process; the
// bound is there so that no mistake eats its memory.
const maxProfile = 256 << 20

// merge makes one profile of the segments of a recording, which follow one
// another in time. One alone is passed on as it is.
func merge(segments [][]byte) ([]byte, error) {
	switch len(segments) {
	case 0:
		return nil, errNothing
	case 1:
		return segments[0], nil
	}
	m := newMerger()
	for i, s := range segments {
		if err := m.add(s, 1); err != nil {
			return nil, fmt.Errorf("segment %d of a profile: %w", i+1, err)
		}
	}
	return m.encode()
}

// delta is after minus before: two snapshots of a profile that counts up. The
// time is that of after, and duration (nanoseconds) what is between them.
func delta(before, after []byte, timeNanos, duration int64) ([]byte, error) {
	m := newMerger()
	if err := m.add(before, -1); err != nil {
		return nil, fmt.Errorf("first profile: %w", err)
	}
	if err := m.add(after, 1); err != nil {
		return nil, fmt.Errorf("second profile: %w", err)
	}
	m.time, m.duration = uint64(timeNanos), uint64(duration)
	return m.encode()
}

// merger adds profiles of one program up. Strings, mappings, functions,
// locations and samples are the same where what they are made of is; each gets
// a number, in the order in which they are seen.
type merger struct {
	strings                                 table
	mappings, functions, locations, samples table
	values                                  [][]int64 // by sample

	sampleTypes, periodType         []byte // messages, with numbers of strings
	comments                        table
	dropFrames, keepFrames, docURL  uint64
	time, duration, period, defType uint64
	any                             bool // a profile was added
}

// table gives each key a number from 0 on.
type table struct {
	ids  map[string]uint64
	keys []string
}

func (t *table) id(key []byte) uint64 {
	if id, ok := t.ids[string(key)]; ok {
		return id
	}
	if t.ids == nil {
		t.ids = map[string]uint64{}
	}
	id, k := uint64(len(t.keys)), string(key)
	t.ids[k], t.keys = id, append(t.keys, k)
	return id
}

func newMerger() *merger {
	m := &merger{}
	m.strings.id(nil) // number 0 is the empty string, says the format
	return m
}

// source is a profile while it is added: its messages by their own numbers,
// and the merger's number of each that a sample has needed so far.
type source struct {
	strings                    [][]byte
	mappings                   map[uint64]uint64
	functions, locations       map[uint64]uint64
	rawFunctions, rawLocations map[uint64][]byte
}

// text translates the number of a string.
func (m *merger) text(s *source, n uint64) (uint64, error) {
	if n >= uint64(len(s.strings)) {
		return 0, errWire
	}
	return m.strings.id(s.strings[n]), nil
}

// add adds a gzipped profile, times scale.
func (m *merger) add(gzipped []byte, scale int64) error {
	z, err := gzip.NewReader(bytes.NewReader(gzipped))
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(z, maxProfile+1))
	if err != nil {
		return err
	}
	if len(raw) > maxProfile {
		return fmt.Errorf("profile is larger than %d MB", maxProfile>>20)
	}
	return m.addRaw(raw, scale)
}

func (m *merger) addRaw(raw []byte, scale int64) error {
	s := &source{
		mappings: map[uint64]uint64{}, functions: map[uint64]uint64{}, locations: map[uint64]uint64{},
		rawFunctions: map[uint64][]byte{}, rawLocations: map[uint64][]byte{},
	}
	parts := map[uint64][]field{} // the order in a message is not said; references go against it
	if err := each(raw, func(f field) error {
		if f.num == 6 {
			s.strings = append(s.strings, f.data)
		} else {
			parts[f.num] = append(parts[f.num], f)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := m.header(s, parts); err != nil {
		return err
	}
	// All mappings, since the first has a meaning: it is the program.
	for _, f := range parts[3] {
		if err := m.mapping(s, f.data); err != nil {
			return err
		}
	}
	for num, raws := range map[uint64]map[uint64][]byte{4: s.rawLocations, 5: s.rawFunctions} {
		for _, f := range parts[num] {
			own, err := ownID(f.data)
			if err != nil {
				return err
			}
			raws[own] = f.data
		}
	}
	for _, f := range parts[2] {
		if err := m.sample(s, f.data, scale); err != nil {
			return err
		}
	}
	m.any = true
	return nil
}

// ownID is field 1 of a message, which numbers it.
func ownID(b []byte) (id uint64, err error) {
	err = each(b, func(f field) error {
		if f.num == 1 {
			id = f.n
		}
		return nil
	})
	return id, err
}

// header adds what is said once of a profile. Durations add up; the time is
// the first's, and so is all the rest.
func (m *merger) header(s *source, parts map[uint64][]field) error {
	one := func(num uint64) (v uint64) {
		for _, f := range parts[num] {
			v = f.n
		}
		return v
	}
	m.duration += one(10)
	var err error
	str := func(num uint64) (id uint64) {
		var e error
		if id, e = m.text(s, one(num)); e != nil {
			err = e
		}
		return id
	}
	for _, f := range parts[13] {
		ints, e := f.appendInts(nil)
		if e != nil {
			return e
		}
		for _, n := range ints {
			if n >= uint64(len(s.strings)) {
				return errWire
			}
			m.comments.id(s.strings[n])
		}
	}
	var types, period []byte
	for _, f := range parts[1] {
		b, e := m.valueType(s, f.data)
		if e != nil {
			return e
		}
		types = putBytes(types, 1, b)
	}
	for _, f := range parts[11] {
		b, e := m.valueType(s, f.data)
		if e != nil {
			return e
		}
		period = putBytes(nil, 11, b)
	}
	if m.any {
		if !bytes.Equal(types, m.sampleTypes) || !bytes.Equal(period, m.periodType) {
			return errors.New("profiles of two kinds")
		}
		return nil
	}
	m.sampleTypes, m.periodType = types, period
	m.time, m.period = one(9), one(12)
	m.dropFrames, m.keepFrames, m.defType, m.docURL = str(7), str(8), str(14), str(15)
	return err
}

func (m *merger) valueType(s *source, b []byte) (out []byte, err error) {
	err = each(b, func(f field) error {
		id, err := m.text(s, f.n)
		out = putInt(out, int(f.num), id)
		return err
	})
	return out, err
}

// message copies message b without field 1, which is its own number, and
// translates the fields that are numbers of strings.
func (m *merger) message(s *source, b []byte, texts func(num uint64) bool) (own uint64, out []byte, err error) {
	err = each(b, func(f field) error {
		var err error
		switch {
		case f.num == 1:
			own = f.n
		case f.wire == 2:
			out = putBytes(out, int(f.num), f.data)
		case texts(f.num):
			var id uint64
			id, err = m.text(s, f.n)
			out = putInt(out, int(f.num), id)
		default:
			out = putInt(out, int(f.num), f.n)
		}
		return err
	})
	return own, out, err
}

// mapping: 1 id, 2 start, 3 limit, 4 offset, 5 file name, 6 build id, 7... flags.
func (m *merger) mapping(s *source, b []byte) error {
	own, key, err := m.message(s, b, func(num uint64) bool { return num == 5 || num == 6 })
	s.mappings[own] = m.mappings.id(key) + 1
	return err
}

// function: 1 id, 2 name, 3 system name, 4 file name, 5 first line.
func (m *merger) function(s *source, own uint64) (uint64, error) {
	if id, ok := s.functions[own]; ok || own == 0 {
		return id, nil
	}
	raw, ok := s.rawFunctions[own]
	if !ok {
		return 0, errWire
	}
	_, key, err := m.message(s, raw, func(num uint64) bool { return num >= 2 && num <= 4 })
	id := m.functions.id(key) + 1
	s.functions[own] = id
	return id, err
}

// location: 1 id, 2 mapping, 3 address, 4 lines (1 function, 2 line, 3 column), 5 folded.
func (m *merger) location(s *source, own uint64) (uint64, error) {
	if id, ok := s.locations[own]; ok {
		return id, nil
	}
	raw, ok := s.rawLocations[own]
	if !ok {
		return 0, errWire
	}
	var key []byte
	err := each(raw, func(f field) error {
		switch f.num {
		case 1:
		case 2:
			key = putInt(key, 2, s.mappings[f.n])
		case 4:
			var line []byte
			err := each(f.data, func(f field) (err error) {
				if f.num == 1 {
					f.n, err = m.function(s, f.n)
				}
				line = putInt(line, int(f.num), f.n)
				return err
			})
			key = putBytes(key, 4, line)
			return err
		default:
			key = putInt(key, int(f.num), f.n)
		}
		return nil
	})
	id := m.locations.id(key) + 1
	s.locations[own] = id
	return id, err
}

// sample: 1 locations, 2 values, 3 labels (1 key, 2 text, 3 number, 4 unit).
func (m *merger) sample(s *source, b []byte, scale int64) error {
	var locations, values []uint64
	var labels []byte
	err := each(b, func(f field) (err error) {
		switch f.num {
		case 1:
			locations, err = f.appendInts(locations)
		case 2:
			values, err = f.appendInts(values)
		case 3:
			var label []byte
			err = each(f.data, func(f field) (err error) {
				if f.num != 3 {
					f.n, err = m.text(s, f.n)
				}
				label = putInt(label, int(f.num), f.n)
				return err
			})
			labels = putBytes(labels, 3, label)
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, l := range locations {
		if locations[i], err = m.location(s, l); err != nil {
			return err
		}
	}
	id := m.samples.id(append(putInts(nil, 1, locations), labels...))
	if id == uint64(len(m.values)) {
		m.values = append(m.values, make([]int64, len(values)))
	}
	sum := m.values[id]
	if len(sum) != len(values) {
		return errWire
	}
	for i, v := range values {
		sum[i] += scale * int64(v)
	}
	return nil
}

// encode writes the sum as a gzipped profile, without samples that are 0 and
// without what only they needed.
func (m *merger) encode() ([]byte, error) {
	raw, zeros := m.raw()
	if zeros {
		clean := newMerger()
		if err := clean.addRaw(raw, 1); err != nil {
			return nil, err
		}
		raw, _ = clean.raw()
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = z.Write(raw)
	}
	if err == nil {
		err = z.Close()
	}
	return b.Bytes(), err
}

// raw is the sum as a message. zeros says that samples were left out.
func (m *merger) raw() (out []byte, zeros bool) {
	out = bytes.Clone(m.sampleTypes)
	for id, key := range m.samples.keys {
		if !slices.ContainsFunc(m.values[id], func(v int64) bool { return v != 0 }) {
			zeros = true
			continue
		}
		out = putBytes(out, 2, putInts([]byte(key), 2, m.values[id]))
	}
	for _, t := range []struct {
		num  int
		keys []string
	}{{3, m.mappings.keys}, {4, m.locations.keys}, {5, m.functions.keys}} {
		for i, key := range t.keys {
			out = putBytes(out, t.num, append(putInt(nil, 1, uint64(i)+1), key...))
		}
	}
	var comments []uint64
	for _, c := range m.comments.keys {
		comments = append(comments, m.strings.id([]byte(c)))
	}
	if len(comments) > 0 {
		out = putInts(out, 13, comments)
	}
	for _, s := range m.strings.keys {
		out = putBytes(out, 6, s)
	}
	out = append(out, m.periodType...)
	for _, f := range []struct {
		num int
		v   uint64
	}{{7, m.dropFrames}, {8, m.keepFrames}, {9, m.time}, {10, m.duration}, {12, m.period}, {14, m.defType}, {15, m.docURL}} {
		out = putInt(out, f.num, f.v)
	}
	return out, zeros
}
