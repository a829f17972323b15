package flame

import (
	"fmt"
	"image"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// fonts parses the embedded fonts once. Parsed fonts may be shared; faces may not.
var fonts = sync.OnceValues(func() ([2]*opentype.Font, error) {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return [2]*opentype.Font{}, fmt.Errorf("parse font: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return [2]*opentype.Font{}, fmt.Errorf("parse font: %w", err)
	}
	return [2]*opentype.Font{regular, bold}, nil
})

func newFace(bold bool, size float64) (font.Face, error) {
	f, err := fonts()
	if err != nil {
		return nil, err
	}
	which := f[0]
	if bold {
		which = f[1]
	}
	face, err := opentype.NewFace(which, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, err
	}
	return &cachedFace{Face: face, advances: map[rune]advance{}}, nil
}

// cachedFace remembers how wide characters are: the font hints a glyph's
// outline anew for every question, and most of a drawing is asking.
type cachedFace struct {
	font.Face
	advances map[rune]advance
}

type advance struct {
	width fixed.Int26_6
	ok    bool
}

func (f *cachedFace) GlyphAdvance(r rune) (fixed.Int26_6, bool) {
	a, known := f.advances[r]
	if !known {
		a.width, a.ok = f.Face.GlyphAdvance(r)
		f.advances[r] = a
	}
	return a.width, a.ok
}

func measure(face font.Face, s string) int { return font.MeasureString(face, s).Ceil() }

// fit shortens s to the width with an ellipsis; "" when not even three
// characters fit.
func fit(face font.Face, s string, width int) string {
	if measure(face, s) <= width {
		return s
	}
	const dots = "…"
	left := fixed.I(width) - font.MeasureString(face, dots)
	n, used := 0, 0
	for i, r := range s {
		adv, ok := face.GlyphAdvance(r)
		if !ok {
			adv, _ = face.GlyphAdvance('?')
		}
		if left -= adv; left < 0 {
			break
		}
		n, used = n+1, i+len(string(r))
	}
	if n < 3 {
		return ""
	}
	return s[:used] + dots
}

// shorter lists a function's names from whole to bare: "json.(*Decoder).Decode",
// "(*Decoder).Decode", "Decode". The number of a literal stays with the name of
// what it stands in.
func shorter(name string) []string {
	out := []string{name}
	if i := strings.IndexByte(name, '.'); i > 0 && i+1 < len(name) && !strings.ContainsAny(name[:i], "( ") {
		out = append(out, name[i+1:])
	}
	bare := name
	if loc := literal.FindStringIndex(bare); loc != nil {
		bare = bare[:loc[0]]
	}
	if i := strings.LastIndexByte(bare, '.'); i > 0 && i+1 < len(bare) && !strings.ContainsAny(bare[i:], " )") {
		if last := name[i+1:]; last != out[len(out)-1] {
			out = append(out, last)
		}
	}
	return out
}

var literal = regexp.MustCompile(`(\.func\d+|\.\d+|\.gowrap\d+|\.deferwrap\d+|-range\d+|-fm)+$`)

// clean makes a name from a profile fit to be shown: profiles come from other
// people's processes.
func clean(s string) string {
	const most = 400 // no function's name is longer
	if len(s) > 4*most {
		s = s[:4*most]
	}
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > most {
			return -1
		}
		// Unassigned and private characters, and those that turn the direction
		// of text, have no business in a name.
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// wrap breaks s at spaces, but not between a number and its %, into at most two lines; the second is shortened.
// whole reports that nothing was.
func wrap(face font.Face, s string, width int) (lines []string, whole bool) {
	if measure(face, s) <= width {
		return []string{s}, true
	}
	cut := 0
	for i, r := range s {
		if r == ' ' && !strings.HasPrefix(s[i+1:], "%") {
			if measure(face, s[:i]) > width {
				break
			}
			cut = i
		}
	}
	if cut == 0 {
		return []string{fit(face, s, width)}, false
	}
	second := s[cut+1:]
	short := fit(face, second, width)
	return []string{s[:cut], short}, short == second
}

// draw sets a line of text with its baseline at y. ground is the palette ramp
// of what lies below, so that the edges of letters blend into it.
func draw(img *image.Paletted, face font.Face, x, y int, s string, ground int) {
	dot := fixed.P(x, y)
	prev := rune(-1)
	for _, r := range s {
		if prev >= 0 {
			dot.X += face.Kern(prev, r)
		}
		rect, mask, at, adv, ok := face.Glyph(dot, r)
		if !ok {
			rect, mask, at, adv, ok = face.Glyph(dot, '?')
		}
		if ok {
			blend(img, rect, mask, at, ground)
		}
		dot.X += adv
		prev = r
	}
}

func blend(img *image.Paletted, rect image.Rectangle, mask image.Image, at image.Point, ground int) {
	clipped := rect.Intersect(img.Rect)
	alpha, _ := mask.(*image.Alpha) // what opentype gives; At would allocate for every pixel
	for y := clipped.Min.Y; y < clipped.Max.Y; y++ {
		for x := clipped.Min.X; x < clipped.Max.X; x++ {
			mx, my := at.X+x-rect.Min.X, at.Y+y-rect.Min.Y
			var a int
			if alpha != nil {
				a = int(alpha.AlphaAt(mx, my).A) * 0x101
			} else {
				_, _, _, a32 := mask.At(mx, my).RGBA()
				a = int(a32)
			}
			if level := (a*(shades-1) + 0x7fff) / 0xffff; level > 0 {
				img.Pix[img.PixOffset(x, y)] = uint8(ground*shades + level)
			}
		}
	}
}
