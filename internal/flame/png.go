package flame

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"

	"golang.org/x/image/font"

	"github.com/profbot/profbot/internal/analysis"
)

// The palette has a ramp for every ground that text stands on: shade 0 is the
// ground, the last is ink. Drawing straight into a palette makes the file a
// third of an RGBA picture's and costs no quantisation.
const (
	shades     = 8
	paper      = 10 // the ramp after those of looks
	band       = 11
	grounds    = 12
	margin     = 24
	rowHeight  = 30
	rowFont    = 19
	titleFont  = 46
	titleLeast = 40
	smallFont  = 24
	legendFont = 20
	minWidth   = 400
	minHeight  = 240
	// outlineLeast is the narrowest box that gets an outline: a narrower one
	// would be all ink and read as a bar.
	outlineLeast = 8
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

// PNG draws the tree as a picture: the title in a band on top, a legend, then
// rows of boxes. Frames deeper than fit are cut with a note that says so.
func PNG(w io.Writer, t *analysis.Tree, opt Options) error {
	if err := check(t); err != nil {
		return err
	}
	width, maxHeight := opt.Width, opt.MaxHeight
	if width == 0 {
		width = 1600
	}
	if maxHeight == 0 {
		maxHeight = 920
	}
	if width < minWidth || maxHeight < minHeight {
		return fmt.Errorf("draw a flame graph of %d×%d pixels: at least %d×%d are needed", width, maxHeight, minWidth, minHeight)
	}
	pic, err := newPicture(t, opt, width)
	if err != nil {
		return err
	}
	defer pic.close()
	img := pic.draw(maxHeight)
	enc := png.Encoder{CompressionLevel: png.DefaultCompression}
	if err := enc.Encode(w, img); err != nil {
		return fmt.Errorf("encode picture: %w", err)
	}
	return nil
}

// picture is one drawing in progress.
type picture struct {
	t     *analysis.Tree
	opt   Options
	width int

	title, small, legend, row, bold font.Face

	lines []string // of the title
	boxes []box
}

func newPicture(t *analysis.Tree, opt Options, width int) (*picture, error) {
	p := &picture{t: t, opt: opt, width: width}
	var err error
	for _, f := range []struct {
		face *font.Face
		bold bool
		size float64
	}{{&p.small, false, smallFont}, {&p.legend, false, legendFont}, {&p.row, false, rowFont}, {&p.bold, true, rowFont}} {
		if *f.face, err = newFace(f.bold, f.size); err != nil {
			return nil, err
		}
	}
	// The title shrinks a little before it loses words.
	for size := titleFont; ; size -= 2 {
		face, err := newFace(true, float64(size))
		if err != nil {
			return nil, err
		}
		var whole bool
		p.title = face
		if p.lines, whole = wrap(face, opt.Title, width-2*margin); whole || size-2 < titleLeast {
			break
		}
		_ = face.Close()
	}
	p.boxes = layout(t.Root, t.Root.Total/int64(p.inner()))
	return p, nil
}

func (p *picture) close() {
	for _, f := range []font.Face{p.title, p.small, p.legend, p.row, p.bold} {
		if f != nil {
			_ = f.Close() // releases memory only
		}
	}
}

func (p *picture) inner() int { return p.width - 2*margin }

func (p *picture) draw(maxHeight int) *image.Paletted {
	const lineHeight = titleFont + 8
	bandHeight := 18 + lineHeight*len(p.lines) + 10
	if p.opt.Subtitle != "" {
		bandHeight += smallFont + 12
	}
	entries, legendRows := p.legendEntries()
	top := bandHeight + 10 + legendRows*30 + 6

	rows := 0
	for _, b := range p.boxes {
		rows = max(rows, b.row+1)
	}
	const foot = 30
	room := max(1, (maxHeight-top-foot)/rowHeight)
	cut := max(0, rows-room)
	height := top + min(rows, room)*rowHeight + foot/2
	if cut > 0 {
		height = top + min(rows, room)*rowHeight + foot
	}
	img := image.NewPaletted(image.Rect(0, 0, p.width, height), palette())
	fill(img, img.Rect, paper*shades)
	fill(img, image.Rect(0, 0, p.width, bandHeight), band*shades)
	fill(img, image.Rect(0, bandHeight-2, p.width, bandHeight), band*shades+2)
	y := 18 + titleFont - 6
	for _, line := range p.lines {
		draw(img, p.title, margin, y, line, band)
		y += lineHeight
	}
	draw(img, p.small, margin, y-titleFont+smallFont+12, fit(p.small, p.opt.Subtitle, p.inner()), band)

	draw(img, p.legend, margin, bandHeight+10+21, legendLead, paper)
	for _, e := range entries {
		x, y := margin+e.x, bandHeight+10+e.row*30
		fill(img, image.Rect(x, y+4, x+22, y+24), lookOf(e.category)*shades)
		draw(img, p.legend, x+30, y+21, e.text, paper)
	}
	for _, b := range p.boxes {
		if b.row < room {
			p.box(img, b, top)
		}
	}
	// Outlines last, so that no neighbour covers them.
	for _, b := range p.boxes {
		if b.row < room && b.first && slices.Contains(p.opt.Highlight, b.node.Endpoint) {
			if r := p.rect(b, top); r.Dx() >= outlineLeast {
				outline(img, r.Inset(-1))
			}
		}
	}
	if cut > 0 {
		draw(img, p.legend, margin, height-9, fmt.Sprintf("%d deeper rows are not shown; the interactive flame graph has them all", cut), paper)
	}
	return img
}

// rect is where a box stands, one pixel short on the right and below so that
// neighbours stay apart.
func (p *picture) rect(b box, top int) image.Rectangle {
	scale := float64(p.inner()) / float64(p.t.Root.Total)
	x0 := margin + int(float64(b.at)*scale)
	x1 := margin + int(float64(b.at+b.total)*scale)
	if x1-x0 > 2 {
		x1--
	}
	y := top + b.row*rowHeight
	return image.Rect(x0, y, max(x1, x0+1), y+rowHeight-1)
}

func (p *picture) box(img *image.Paletted, b box, top int) {
	r := p.rect(b, top)
	ground := lookOf(b.node.Category)
	if b.row == 0 {
		ground = paper
	}
	fill(img, r, ground*shades)
	if b.row == 0 {
		fill(img, r, band*shades+1)
		ground = band
	}
	if r.Dx() < 34 {
		return
	}
	share := fmt.Sprintf("%.0f%%", 100*float64(b.total)/float64(p.t.Root.Total))
	if b.total*100 < p.t.Root.Total*10 {
		share = fmt.Sprintf("%.1f%%", 100*float64(b.total)/float64(p.t.Root.Total))
	}
	name, face := b.label, p.row
	if b.row == 0 {
		name = fmt.Sprintf("all: %d %s", b.total, p.t.Unit)
	}
	if b.first {
		face = p.bold
		if b.node.Endpoint != b.node.Name {
			name = b.node.Endpoint + "  ·  " + name
		}
	}
	room := r.Dx() - 12
	// The share goes with the name where both fit well.
	text := fit(face, name+"  "+share, room)
	if text != name+"  "+share {
		text = fit(face, name, room)
	}
	draw(img, face, r.Min.X+6, r.Min.Y+21, text, ground)
}

type legendEntry struct {
	category analysis.Category
	text     string
	x, row   int
}

// legendLead says what the legend's shares are of: those of the title and the
// boxes include what a frame calls.
const legendLead = "own time:"

// legendEntries lists the categories of the boxes, and those that samples end
// in, with the share that ends in each, in the fixed order, wrapped into rows.
func (p *picture) legendEntries() (out []legendEntry, rows int) {
	self, drawn := map[analysis.Category]int64{}, map[int]bool{}
	walk(p.t.Root, func(n *analysis.Node) { self[n.Category] += max(0, n.Self) })
	for _, b := range p.boxes {
		if b.row > 0 { // the root has a colour of its own
			drawn[lookOf(b.node.Category)] = true
		}
	}
	lead := measure(p.legend, legendLead) + 18
	x := lead
	rows = 1
	for i, l := range looks {
		own := self[l.category]
		if own == 0 && !drawn[i] {
			continue
		}
		share := fmt.Sprintf("%.0f%%", 100*float64(own)/float64(p.t.Root.Total))
		if share == "0%" && own > 0 {
			share = "<1%"
		}
		text := l.label + " " + share
		need := 30 + measure(p.legend, text) + 26
		if x+need > p.inner() && x > lead {
			x, rows = lead, rows+1
		}
		out = append(out, legendEntry{l.category, text, x, rows - 1})
		x += need
	}
	return out, rows
}

func walk(root *analysis.Node, f func(*analysis.Node)) {
	todo := []*analysis.Node{root}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.Children...)
		f(n)
	}
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
