package main

import (
	"bytes"
	"image"
	"image/png"
	"os"

	"golang.org/x/image/draw"
)

// scaled makes a picture as wide as Slack shows it.
func scaled(img image.Image, width int) image.Image {
	b := img.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, width, b.Dy()*width/b.Dx()))
	draw.CatmullRom.Scale(out, out.Rect, img, b, draw.Src, nil)
	return out
}

// pair is one picture at two widths.
type pair [2]image.Image

// sideBySide sets pairs below one another on white.
func sideBySide(rows []pair) image.Image {
	const gap = 24
	width, height := 0, gap
	for _, r := range rows {
		width = max(width, gap+r[0].Bounds().Dx()+gap+r[1].Bounds().Dx()+gap)
		height += max(r[0].Bounds().Dy(), r[1].Bounds().Dy()) + gap
	}
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	y := gap
	for _, r := range rows {
		x := gap
		for _, img := range r {
			at := image.Rectangle{image.Pt(x, y), image.Pt(x, y).Add(img.Bounds().Size())}
			draw.Draw(out, at, img, img.Bounds().Min, draw.Src)
			x = at.Max.X + gap
		}
		y += max(r[0].Bounds().Dy(), r[1].Bounds().Dy()) + gap
	}
	return out
}

// writePNG writes a picture as small as it gets without losing colours: edges of
// letters need them.
func writePNG(file string, img image.Image) error {
	var buf bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&buf, img); err != nil {
		return err
	}
	return os.WriteFile(file, buf.Bytes(), 0o644)
}
