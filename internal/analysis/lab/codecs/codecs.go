// Package codecs runs many serialization libraries on one value, each under
// labels that say what every sample does.
package codecs

import (
	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// Op encodes or decodes once.
type Op func() error

// Codec is one library.
type Codec struct {
	Name           string
	Encode, Decode Op // either may be nil
}

// feed is what every codec works on.
var feed = svc.NewFeed(25)

// All codecs; the files of this package add theirs.
var All []Codec

// add makes a codec of a pair of functions on byte slices.
func add(name string, marshal func(any) ([]byte, error), unmarshal func([]byte, any) error) {
	c := Codec{Name: name, Encode: func() error { _, err := marshal(feed); return err }}
	if unmarshal != nil {
		b, err := marshal(feed)
		if err != nil {
			panic(name + ": " + err.Error())
		}
		c.Decode = func() error { return unmarshal(b, new(svc.Feed)) }
	}
	All = append(All, c)
}
