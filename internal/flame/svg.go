package flame

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"

	"github.com/profbot/profbot/internal/analysis"
)

// svgFinest is the narrowest box in an SVG, in pixels of its own size: narrower
// ones made files three times as large, for what only a magnifier shows.
const svgFinest = 1

// SVG draws the tree as [PNG] does, as a file of vectors without scripts or
// references: boxes have tooltips, and nothing is cut unless
// [Options.MaxHeight] says so. Text is set in the viewer's fonts, in the widths
// of the picture's.
func SVG(w io.Writer, t *analysis.Tree, opt Options) error {
	if err := check(t); err != nil {
		return err
	}
	s, err := compose(t, opt, svgFinest)
	if err != nil {
		return err
	}
	defer s.close()
	var b bytes.Buffer
	s.svg(&b, clean(opt.Title))
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	return nil
}

// svg writes the scene.
func (s *scene) svg(w *bytes.Buffer, title string) {
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" font-family="'Go', 'Lucida Grande', 'Segoe UI', Roboto, Helvetica, Arial, sans-serif" fill="#%02x%02x%02x">`+"\n",
		s.width, s.height, s.width, s.height, ink[0], ink[1], ink[2])
	w.WriteString("<title>")
	escape(w, title)
	w.WriteString("</title>\n<style>text{white-space:pre}")
	used := map[int]bool{}
	for _, sh := range s.shapes {
		used[sh.color] = true
	}
	for i, c := range palette() {
		if used[i] {
			r, g, b, _ := c.RGBA()
			fmt.Fprintf(w, ".c%d{fill:#%02x%02x%02x}", i, r>>8, g>>8, b>>8)
		}
	}
	for f := range faceCount {
		fmt.Fprintf(w, ".f%d{font-size:%dpx", f, s.sizes[f])
		if f == faceTitle || f == faceBold {
			w.WriteString(";font-weight:700")
		}
		w.WriteString("}")
	}
	w.WriteString("g:hover>rect{stroke:#1a1a22}</style>\n")
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", s.width, s.height)
	for _, sh := range s.shapes {
		s.shape(w, sh)
	}
	w.WriteString("</svg>\n")
}

func (s *scene) shape(w *bytes.Buffer, sh shape) {
	if sh.tip != "" {
		w.WriteString("<g><title>")
		escape(w, sh.tip)
		w.WriteString("</title>")
	}
	switch {
	case sh.outline:
		fmt.Fprintf(w, `<rect x="%s" y="%s" width="%s" height="%s" fill="none" stroke="#1a1a22" stroke-width="3"/>`,
			number(sh.x0+1.5), number(sh.y0+1.5), number(sh.x1-sh.x0-3), number(sh.y1-sh.y0-3))
	case sh.low0 != 0 || sh.low1 != 0:
		mid := number((sh.y0 + sh.y1) / 2)
		fmt.Fprintf(w, `<path class="c%d" d="M%s %sC%s %s %s %s %s %sH%sC%s %s %s %s %s %sz"/>`, sh.color,
			number(sh.x0), number(sh.y0), number(sh.x0), mid, number(sh.low0), mid, number(sh.low0), number(sh.y1),
			number(sh.low1), number(sh.low1), mid, number(sh.x1), mid, number(sh.x1), number(sh.y0))
	case sh.color >= 0:
		fmt.Fprintf(w, `<rect class="c%d" x="%s" y="%s" width="%s" height="%s"/>`, sh.color, number(sh.x0), number(sh.y0), number(sh.x1-sh.x0), number(sh.y1-sh.y0))
	}
	for _, t := range sh.texts {
		// textLength sets another font in the width of the measured one. Viewers
		// that do not know it have the inner svg to clip.
		clip := sh.color >= 0
		x, y := float64(t.x), float64(t.y)
		if clip {
			fmt.Fprintf(w, `<svg x="%s" y="%s" width="%s" height="%s">`, number(sh.x0), number(sh.y0), number(sh.x1-sh.x0-2), number(sh.y1-sh.y0))
			x, y = x-sh.x0, y-sh.y0
		}
		fmt.Fprintf(w, `<text class="f%d" x="%s" y="%s" textLength="%d" lengthAdjust="spacingAndGlyphs">`, t.face, number(x), number(y), measure(s.faces[t.face], t.s))
		escape(w, t.s)
		w.WriteString("</text>")
		if clip {
			w.WriteString("</svg>")
		}
	}
	if sh.tip != "" {
		w.WriteString("</g>")
	}
	w.WriteString("\n")
}

// escape writes text that may hold anything.
func escape(w *bytes.Buffer, s string) { _ = xml.EscapeText(w, []byte(s)) } // a buffer takes everything

// number is a coordinate with two decimals at most.
func number(f float64) string {
	f = float64(int64(f*100+0.5)) / 100
	return strconv.FormatFloat(f, 'f', -1, 64)
}
