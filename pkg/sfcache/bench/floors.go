package main

import "context"

// noopLister is the harness alone.
type noopLister struct{ v *List }

func openNoop(e *env) (lister, error) { return noopLister{e.value}, nil }

func (l noopLister) Get(context.Context, string) (*List, error) { return l.v, nil }
func (noopLister) Close() error                                 { return nil }

// mapLister is a map that nobody writes.
type mapLister map[string]*List

func openMap(e *env) (lister, error) {
	m := mapLister{}
	for i := range e.keys {
		v := *e.value
		v.ID = keyName(i)
		m[v.ID] = &v
	}
	return m, nil
}

func (m mapLister) Get(_ context.Context, key string) (*List, error) { return m[key], nil }
func (mapLister) Close() error                                       { return nil }

// decodeLister decodes bytes that are at hand.
type decodeLister struct {
	e     *env
	codec codec
	data  []byte
}

func openDecode(c codec) func(*env) (lister, error) {
	return func(e *env) (lister, error) {
		data, err := c.marshal(e.value)
		return decodeLister{e, c, data}, err
	}
}

func (l decodeLister) Get(context.Context, string) (*List, error) { return l.e.decode(l.codec, l.data) }
func (decodeLister) Close() error                                 { return nil }
