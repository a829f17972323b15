package flame

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"

	"github.com/profbot/profbot/internal/analysis"
)

// The palette has a ramp for every ground that text stands on: shade 0 is the
// ground, the last is ink. Drawing straight into a palette makes the file a
// third of an RGBA picture's and costs no quantisation.
const (
	shades  = 8
	paper   = 21 // the ramps after those of looks
	band    = 22
	grounds = 23
)

var (
	ink      = [3]uint8{0x1a, 0x1a, 0x22}
	paperRGB = [3]uint8{0xff, 0xff, 0xff}
	bandRGB  = [3]uint8{0xf4, 0xf1, 0xec}
)

func palette() color.Palette {
	p := make(color.Palette, 0, grounds*shades)
	ramp := func(from [3]uint8) {
		for i := range shades {
			var c [3]uint8
			for k := range c {
				c[k] = uint8((int(from[k])*(shades-1-i) + int(ink[k])*i) / (shades - 1))
			}
			p = append(p, color.RGBA{c[0], c[1], c[2], 0xff})
		}
	}
	for _, l := range looks {
		ramp(l.rgb)
	}
	ramp(paperRGB)
	ramp(bandRGB)
	return p
}

// defaultHeight is the most that a picture is high where nothing is said.
const defaultHeight = 920

// PNG draws the tree as a picture: the title in a band on top, a legend, the
// whole process as a bar when [Options.Zoom] names an endpoint, then rows of
// boxes. Frames deeper than fit are cut with a note that says so.
func PNG(w io.Writer, t *analysis.Tree, opt Options) error {
	if err := check(t); err != nil {
		return err
	}
	if opt.MaxHeight == 0 {
		opt.MaxHeight = defaultHeight
	}
	s, err := compose(t, opt, 1)
	if err != nil {
		return err
	}
	defer s.close()
	enc := png.Encoder{CompressionLevel: png.DefaultCompression}
	if err := enc.Encode(w, s.raster()); err != nil {
		return fmt.Errorf("encode picture: %w", err)
	}
	return nil
}

// raster draws the scene. Edges fall on whole pixels: a blurred edge between
// two boxes reads as a third.
func (s *scene) raster() *image.Paletted {
	img := image.NewPaletted(image.Rect(0, 0, s.width, s.height), palette())
	fill(img, img.Rect, paper*shades)
	for _, sh := range s.shapes {
		x0, x1 := int(sh.x0), int(sh.x1)
		r := image.Rect(x0, int(sh.y0), max(x1, x0+1), int(sh.y1))
		switch {
		case sh.outline:
			outline(img, r)
		case sh.low0 != 0 || sh.low1 != 0:
			for y := r.Min.Y; y < r.Max.Y; y++ {
				f := float64(y-r.Min.Y) / math.Max(1, float64(r.Dy()))
				f = f * f * (3 - 2*f) // a curve: straight lines would look like boxes cut off
				fill(img, image.Rect(int(sh.x0+(sh.low0-sh.x0)*f), y, int(sh.x1+(sh.low1-sh.x1)*f), y+1), sh.color)
			}
		case sh.color >= 0:
			fill(img, r, sh.color)
		}
		for _, t := range sh.texts {
			draw(img, s.faces[t.face], t.x, t.y, t.s, t.ground)
		}
	}
	return img
}

func fill(img *image.Paletted, r image.Rectangle, index int) {
	r = r.Intersect(img.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := img.Pix[img.PixOffset(r.Min.X, y) : img.PixOffset(r.Max.X-1, y)+1]
		for i := range row {
			row[i] = uint8(index)
		}
	}
}

// outline draws a frame of three pixels in ink.
func outline(img *image.Paletted, r image.Rectangle) {
	const line = paper*shades + shades - 1
	for _, side := range []image.Rectangle{
		{r.Min, image.Pt(r.Max.X, r.Min.Y+3)},
		{image.Pt(r.Min.X, r.Max.Y-3), r.Max},
		{r.Min, image.Pt(r.Min.X+3, r.Max.Y)},
		{image.Pt(r.Max.X-3, r.Min.Y), r.Max},
	} {
		if !side.Intersect(img.Rect).Empty() {
			fill(img, side, line)
		}
	}
}
