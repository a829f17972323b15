// Package flame draws call trees: [PNG] for a Slack thread, [HTML] as one
// self-contained page to click through.
//
// Both draw an icicle, callers on top, and colour a frame by what it works
// for, not by its name: decoding red, encoding orange, the collector slate.
// Colour is never the only sign: boxes carry names and shares, and the legend
// names every colour.
package flame

import (
	"errors"

	"github.com/profbot/profbot/internal/analysis"
)

// Options say what stands around the boxes. The zero value is right.
type Options struct {
	Title    string // the verdict in one line; it is set largest
	Subtitle string // service, pods, window, samples
	// Width and MaxHeight are in pixels; PNG only. 0 means 1600 and 920: Slack
	// shows pictures 360 to 720 pixels wide, where a 16:9 picture of this size
	// keeps its title readable.
	Width, MaxHeight int
	// Highlight names endpoints whose topmost boxes get an outline.
	Highlight []string
}

var errEmpty = errors.New("nothing to draw: the call tree is empty")

func check(t *analysis.Tree) error {
	if t == nil || t.Root == nil || t.Root.Total <= 0 {
		return errEmpty
	}
	return nil
}

// look is how a category is shown.
type look struct {
	category analysis.Category
	label    string
	rgb      [3]uint8 // light enough for dark text on it
}

// looks is in the order of the legend.
var looks = []look{
	{analysis.CatDecode, "decode", [3]uint8{0xf2, 0x6b, 0x5e}},
	{analysis.CatEncode, "encode", [3]uint8{0xf7, 0xa4, 0x4c}},
	{analysis.CatCompress, "compress", [3]uint8{0xc4, 0x9a, 0xe8}},
	{analysis.CatStore, "cache, database", [3]uint8{0x8c, 0xcf, 0x7e}},
	{analysis.CatIO, "network, syscalls", [3]uint8{0x86, 0xb8, 0xf0}},
	{analysis.CatGC, "allocation, GC", [3]uint8{0xa3, 0xb1, 0xc4}},
	{analysis.CatCrypto, "crypto", [3]uint8{0x6f, 0xc9, 0xc0}},
	{analysis.CatApp, "application", [3]uint8{0xfb, 0xe0, 0x6a}},
	{analysis.CatLibrary, "libraries", [3]uint8{0xec, 0xdf, 0xc8}},
	{analysis.CatRuntime, "runtime", [3]uint8{0xd2, 0xd2, 0xd2}},
}

func lookOf(c analysis.Category) int {
	for i, l := range looks {
		if l.category == c {
			return i
		}
	}
	return len(looks) - 2 // libraries
}
