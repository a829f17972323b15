package flame

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/image/font"

	"github.com/profbot/profbot/internal/analysis"
)

// Measures of a picture, in pixels. At half the size, as Slack shows a picture
// of 1600 pixels at best, a row's font is still eleven pixels high.
const (
	margin      = 24
	rowHeight   = 34
	rowFont     = 22
	titleFont   = 46
	titleLeast  = 40
	smallFont   = 25
	legendFont  = 22
	legendRow   = 33
	stripHeight = 44
	funnel      = 26 // between the strip and what it is zoomed to
	minWidth    = 400
	minHeight   = 240
	// splinter is the width of boxes that alone are not worth a row.
	splinter = 12
	// outlineLeast is the narrowest box that gets an outline: a narrower one
	// would be all ink and read as a bar.
	outlineLeast = 20
)

// typeface is one of the fonts of a picture.
type typeface int

const (
	faceTitle typeface = iota
	faceSmall
	faceLegend
	faceRow
	faceBold
	faceCount
)

// scene is a picture before it is drawn: what PNG and SVG share.
type scene struct {
	width, height int
	shapes        []shape // later ones cover earlier ones
	faces         [faceCount]font.Face
	sizes         [faceCount]int
}

// shape is a filled area with what is written on it. Its sides are straight up
// unless the lower edge has ends of its own.
type shape struct {
	x0, y0, x1, y1 float64
	low0, low1     float64 // the lower edge's ends; both 0 for a rectangle
	color          int     // palette index; -1 for none
	outline        bool    // three pixels of ink around it, and nothing inside
	texts          []text
	tip            string // for a pointer to show
}

// text is one line with its baseline at y. ground is the palette ramp that it
// stands on.
type text struct {
	x, y   int
	face   typeface
	s      string
	ground int
}

func (s *scene) close() {
	for _, f := range s.faces {
		if f != nil {
			_ = f.Close() // releases memory only
		}
	}
}

func (s *scene) rect(x0, y0, x1, y1 float64, color int) {
	s.shapes = append(s.shapes, shape{x0: x0, y0: y0, x1: x1, y1: y1, color: color})
}

// write sets a line where no box is.
func (s *scene) write(x, y int, face typeface, line string, ground int) {
	if line != "" {
		s.shapes = append(s.shapes, shape{color: -1, texts: []text{{x, y, face, line, ground}}})
	}
}

// composer lays out one scene.
type composer struct {
	*scene
	t         *analysis.Tree
	opt       Options
	paint     painter
	root      *analysis.Node // of what is drawn: the tree's, or an endpoint's
	zoom      *zoomed        // nil without one
	boxes     []box
	lines     []string // of the title
	maxHeight int      // 0 for no limit
}

// compose lays a tree out. finest is the width in pixels below which boxes are
// left out.
func compose(t *analysis.Tree, opt Options, finest float64) (*scene, error) {
	c, err := newComposer(t, opt, finest)
	if err != nil {
		return nil, err
	}
	c.draw()
	return c.scene, nil
}

func newComposer(t *analysis.Tree, opt Options, finest float64) (*composer, error) {
	if opt.Width == 0 {
		opt.Width = 1600
	}
	if opt.Width < minWidth || opt.MaxHeight != 0 && opt.MaxHeight < minHeight {
		return nil, fmt.Errorf("draw a flame graph of %d×%d pixels: at least %d×%d are needed", opt.Width, opt.MaxHeight, minWidth, minHeight)
	}
	opt.Title, opt.Subtitle = clean(opt.Title), clean(opt.Subtitle)
	c := &composer{scene: &scene{width: opt.Width}, t: t, opt: opt, paint: newPainter(t.Root), root: t.Root, maxHeight: opt.MaxHeight}
	c.sizes = [faceCount]int{titleFont, smallFont, legendFont, rowFont, rowFont}
	// The title shrinks a little before it loses words.
	for size := titleFont; ; size -= 2 {
		face, err := newFace(true, float64(size))
		if err != nil {
			return nil, err
		}
		var whole bool
		c.faces[faceTitle], c.sizes[faceTitle] = face, size
		if c.lines, whole = wrap(face, opt.Title, c.inner()); whole || size-2 < titleLeast {
			break
		}
		_ = face.Close()
	}
	for f := faceSmall; f < faceCount; f++ {
		var err error
		if c.faces[f], err = newFace(f == faceBold, float64(c.sizes[f])); err != nil {
			c.close()
			return nil, err
		}
	}
	if opt.Zoom != "" {
		if z, ok := zoom(t.Root, opt.Zoom); ok {
			c.zoom, c.root = &z, z.root
		}
	}
	least := math.Ceil(float64(c.root.Total) * finest / float64(c.inner()))
	c.boxes = layout(c.root, int64(least), c.paint)
	return c, nil
}

func (c *composer) inner() int { return c.width - 2*margin }

func (c *composer) measure(f typeface, s string) int { return measure(c.faces[f], s) }

func (c *composer) fit(f typeface, s string, width int) string { return fit(c.faces[f], s, width) }

// draw fills the scene: the band with the title, the legend, the strip of a
// zoom, the rows.
func (c *composer) draw() {
	const lineHeight = titleFont + 8
	bandHeight := 18 + lineHeight*len(c.lines) + 10
	if c.opt.Subtitle != "" {
		bandHeight += smallFont + 12
	}
	c.rect(0, 0, float64(c.width), float64(bandHeight), band*shades)
	c.rect(0, float64(bandHeight-2), float64(c.width), float64(bandHeight), band*shades+2)
	y := 18 + titleFont - 6
	for _, line := range c.lines {
		c.write(margin, y, faceTitle, line, band)
		y += lineHeight
	}
	c.write(margin, y-titleFont+smallFont+12, faceSmall, c.fit(faceSmall, c.opt.Subtitle, c.inner()), band)

	top := c.legend(bandHeight + 12)
	if c.zoom != nil {
		top = c.strip(top)
	}

	rows, worth := 0, 0
	for _, b := range c.boxes {
		rows = max(rows, b.row+1)
		if s := c.place(b, top); s.x1-s.x0 >= splinter {
			worth = max(worth, b.row+1)
		}
	}
	if rows-worth <= 2 {
		worth = rows // the note would take as much room
	}
	const foot = 36
	room := rows
	if c.maxHeight > 0 {
		room = max(1, min(rows, worth, (c.maxHeight-top-foot)/rowHeight))
	}
	cut := rows - room
	c.height = top + room*rowHeight + foot/2
	if cut > 0 {
		c.height = top + room*rowHeight + foot
	}
	for _, b := range c.boxes {
		if b.row < room {
			c.box(b, top)
		}
	}
	// Outlines last, so that no neighbour covers them.
	for _, b := range c.boxes {
		if b.row > 0 && b.row < room && b.first && slices.Contains(c.opt.Highlight, b.node.Endpoint) {
			c.outlined(c.place(b, top))
		}
	}
	if cut > 0 {
		noun := "rows are"
		if cut == 1 {
			noun = "row is"
		}
		c.write(margin, c.height-11, faceLegend, fmt.Sprintf("%d deeper %s not shown; the interactive flame graph has them all", cut, noun), paper)
	}
}

func (c *composer) outlined(s shape) {
	if math.Floor(s.x1)-math.Floor(s.x0) >= outlineLeast {
		c.shapes = append(c.shapes, shape{x0: s.x0 - 1, y0: s.y0 - 1, x1: s.x1 + 1, y1: s.y1 + 1, color: -1, outline: true})
	}
}

// place is where a box stands, one pixel short on the right and below so that
// neighbours stay apart.
func (c *composer) place(b box, top int) shape {
	scale := float64(c.inner()) / float64(c.root.Total)
	x0, x1 := margin+float64(b.at)*scale, margin+float64(b.at+b.total)*scale
	if x1-x0 > 2.5 {
		x1--
	} else {
		x1 -= (x1 - x0) * 0.2
	}
	y := top + b.row*rowHeight
	return shape{x0: x0, y0: float64(y), x1: x1, y1: float64(y + rowHeight - 1)}
}

func (c *composer) box(b box, top int) {
	s := c.place(b, top)
	ground := b.look
	s.color = ground * shades
	if b.row == 0 && c.root.Diff == nil {
		ground, s.color = band, band*shades+1
	}
	s.tip = c.tip(b)
	if x := int(s.x0); int(s.x1)-x >= 34 {
		face := faceRow
		if b.first || b.row == 0 {
			face = faceBold
		}
		if line := c.label(b, face, int(s.x1)-x-12); line != "" {
			s.texts = []text{{x + 6, int(s.y0) + 24, face, line, ground}}
		}
	}
	c.shapes = append(c.shapes, s)
}

// label is the most telling text that fits a box: the whole name with the
// share, else a shorter name, else without the share.
func (c *composer) label(b box, face typeface, room int) string {
	amount := c.amount(b)
	var names []string
	switch {
	case b.row == 0:
		names = []string{c.rootLabel(), "all"}
		if c.zoom != nil {
			names[1] = clean(b.node.Name)
		}
	case b.first && b.node.Endpoint != b.node.Name && c.zoom == nil:
		end := clean(b.node.Endpoint)
		names = append([]string{end + "  ·  " + clean(b.label)}, shorter(end)...)
	case b.depth > 1:
		first, last := shorter(clean(b.node.Name)), clean(b.label)
		names = []string{last, fmt.Sprintf("%s … (%d frames)", first[0], b.depth), fmt.Sprintf("%s … (%d frames)", first[len(first)-1], b.depth), first[len(first)-1] + " …"}
	default:
		names = shorter(clean(b.label))
	}
	var try []string
	for i, name := range names {
		if amount != "" {
			try = append(try, name+"  "+amount)
		}
		if i+1 == len(names) || i > 0 || amount == "" {
			try = append(try, name)
		}
	}
	if len(names) == 3 && !b.first && amount != "" { // a whole name says more than the bare one with a share
		try = slices.Insert(try, 3, names[0])
	}
	for _, line := range try {
		if line != "" && c.measure(face, line) <= room {
			return line
		}
	}
	return c.fit(face, names[len(names)-1], room)
}

// amount is what stands behind a name: the share of what is drawn, or in a
// difference the points by which it changed.
func (c *composer) amount(b box) string {
	if b.row == 0 && (c.zoom == nil || b.node.Diff == nil) {
		return "" // it is the whole
	}
	if d := b.node.Diff; d != nil {
		if !d.Significant() {
			return ""
		}
		return points(d.Change)
	}
	return percent(float64(b.total), float64(c.root.Total))
}

func (c *composer) rootLabel() string {
	d := c.root.Diff
	switch {
	case d != nil && c.zoom != nil:
		return fmt.Sprintf("%s: %s → %s of the process", clean(c.root.Name), percent(float64(d.Base), float64(c.t.Root.Diff.Base)), percent(float64(d.Cur), float64(c.t.Root.Diff.Cur)))
	case d != nil:
		return fmt.Sprintf("all: %s → %s", c.t.Format(d.Base), c.t.Format(d.Cur))
	case c.zoom != nil:
		return fmt.Sprintf("%s: %s, %s of the process (below: shares of the endpoint)", clean(c.root.Name), c.t.Format(c.root.Total), percent(float64(c.root.Total), float64(c.t.Root.Total)))
	}
	return "all: " + c.t.Format(c.root.Total)
}

// tip is everything that is known of a box.
func (c *composer) tip(b box) string {
	n := b.node
	lines := []string{clean(n.Func)}
	if b.depth > 1 {
		lines[0] = clean(b.label)
	}
	if n.File != "" {
		lines = append(lines, fmt.Sprintf("%s:%d", clean(n.File), n.Line))
	}
	if n.Endpoint != "" && n.Endpoint != n.Func {
		lines = append(lines, "endpoint "+clean(n.Endpoint))
	}
	if d, of := n.Diff, c.t.Root.Diff; d != nil && of != nil {
		sure := "not significant"
		if d.Significant() {
			sure = "significant"
		}
		return strings.Join(append(lines, fmt.Sprintf("%s → %s of all (%s, z = %.1f, %s)", percent(float64(d.Base), float64(of.Base)), percent(float64(d.Cur), float64(of.Cur)), points(d.Change), d.Z, sure)), "\n")
	}
	amount := c.t.Format(n.Total)
	if c.t.PerSecond > 0 {
		amount += fmt.Sprintf(" (%.2f s)", float64(n.Total)/c.t.PerSecond)
	}
	amount += ", " + percent(float64(n.Total), float64(c.t.Root.Total)) + " of all"
	if c.zoom != nil {
		amount += ", " + percent(float64(n.Total), float64(c.root.Total)) + " of the endpoint"
	}
	if n.Self > 0 {
		amount += ", " + percent(float64(n.Self), float64(c.t.Root.Total)) + " in the function itself"
	}
	return strings.Join(append(lines, amount), "\n")
}

// percent renders a share for a box: "46%", below ten "4.6%".
func percent(part, of float64) string {
	if of <= 0 {
		return "0%"
	}
	f := 100 * part / of
	switch {
	case f == 0:
		return "0%"
	case f < 0.05:
		return "<0.1%"
	case f < 9.95:
		return fmt.Sprintf("%.1f%%", f)
	}
	return fmt.Sprintf("%.0f%%", f)
}

// points renders a change of a share: "+12 points", "−0.8 points".
func points(change float64) string {
	sign, f := "+", 100*change
	if f < 0 {
		sign, f = "−", -f
	}
	switch {
	case f < 0.05:
		return "±0 points"
	case f < 9.95:
		return fmt.Sprintf("%s%.1f points", sign, f)
	}
	return fmt.Sprintf("%s%.0f points", sign, f)
}
