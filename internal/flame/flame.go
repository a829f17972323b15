// Package flame draws call trees: [PNG] for a Slack thread, [SVG] as a crisp
// file, [HTML] as one self-contained page to click through.
//
// All draw an icicle, callers on top, and colour a frame by what it works
// for, not by its name: decoding red, encoding orange, the collector slate.
// Colour is never the only sign: boxes carry names and shares, and the legend
// names every colour with its share of the samples. A tree of two profiles
// ([analysis.DiffTree]) is coloured by what grew and what shrank instead.
package flame

import (
	"errors"

	"github.com/profbot/profbot/internal/analysis"
)

// Options say what stands around the boxes. The zero value is right.
type Options struct {
	Title    string // the verdict in one line; it is set largest
	Subtitle string // service, pods, window, samples
	// Width and MaxHeight are in pixels; PNG and SVG only. 0 means 1600 and
	// 920 in a PNG: Slack shows pictures 360 to 720 pixels wide, where a 16:9
	// picture of this size keeps its title readable. An SVG is as high as its
	// rows are unless MaxHeight limits it.
	Width, MaxHeight int
	// Highlight names endpoints whose topmost boxes get an outline.
	Highlight []string
	// Zoom names an endpoint. A picture then shows the whole process as one
	// bar and below it what this endpoint does, merged over all places where it
	// occurs, such as goroutines that it started; a page opens on it. "" means
	// the whole process, and so does an endpoint that is not in the tree.
	Zoom string
}

var errEmpty = errors.New("nothing to draw: the call tree is empty")

func check(t *analysis.Tree) error {
	if t == nil || t.Root == nil || t.Root.Total <= 0 {
		return errEmpty
	}
	return nil
}
