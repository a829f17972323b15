package profile

// Sample is one sample. It and what it holds are valid until the next one.
type Sample struct {
	// Locations are indexes for [Profile.Lines], the leaf first.
	Locations []uint32
	// Values are as many as [Profile.SampleTypes].
	Values []int64
	Labels []Label
}

// Label is one label with a text. Labels that hold numbers are left out.
type Label struct{ Key, Value string }

// Samples yields the samples in the order of the profile. labels picks the
// keys of labels to read; nil reads none.
func (p *Profile) Samples(labels func(key string) bool) func(yield func(*Sample) bool) {
	return func(yield func(*Sample) bool) {
		s := &Sample{}
		texts := labelTexts{keys: map[uint64]string{}, values: map[uint64]string{}}
		for _, at := range p.samples {
			f, _, _ := next(p.raw[at:])
			p.read(s, f.b, labels, texts)
			if !yield(s) {
				return
			}
		}
	}
}

// labelTexts are the texts of labels by their places in the table; a key's is
// "" when it was not asked for.
type labelTexts struct{ keys, values map[uint64]string }

// read decodes a sample that was checked.
func (p *Profile) read(s *Sample, b []byte, want func(string) bool, texts labelTexts) {
	s.Locations, s.Values, s.Labels = s.Locations[:0], s.Values[:0], s.Labels[:0]
	for len(b) > 0 {
		f, rest, _ := next(b)
		b = rest
		switch f.num {
		case 1:
			if f.wire == wireVarint {
				i, _ := p.ids.find(f.u)
				s.Locations = append(s.Locations, i)
				continue
			}
			for ids := f.b; len(ids) > 0; {
				id, n := uvarint(ids)
				i, _ := p.ids.find(id)
				s.Locations = append(s.Locations, i)
				ids = ids[n:]
			}
		case 2:
			if f.wire == wireVarint {
				s.Values = append(s.Values, int64(f.u))
				continue
			}
			for list := f.b; len(list) > 0; {
				v, n := uvarint(list)
				s.Values = append(s.Values, int64(v))
				list = list[n:]
			}
		case 3:
			if want == nil {
				continue
			}
			l, _ := p.label(f.b)
			if l.value == 0 {
				continue
			}
			key, seen := texts.keys[l.key]
			if !seen {
				if key = p.text(l.key); !want(key) {
					key = ""
				}
				texts.keys[l.key] = key
			}
			if key == "" {
				continue
			}
			value, seen := texts.values[l.value]
			if !seen {
				value = p.text(l.value)
				texts.values[l.value] = value
			}
			s.Labels = append(s.Labels, Label{key, value})
		}
	}
}

// rawLabel is a label by its places in the string table; value is 0 for one
// that holds a number.
type rawLabel struct{ key, value uint64 }

func (p *Profile) label(b []byte) (l rawLabel, err error) {
	err = numbers(b, 1, 2, func(num int, u uint64) error {
		if u >= uint64(len(p.strings)) {
			return errString
		}
		if num == 1 {
			l.key = u
		} else {
			l.value = u
		}
		return nil
	})
	return l, err
}
