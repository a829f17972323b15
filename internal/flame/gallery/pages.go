package main

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"path/filepath"

	"github.com/profbot/profbot/internal/flame"
	"github.com/profbot/profbot/internal/flame/flametest"
)

// pages takes pictures of one page in a browser.
func (g gallery) pages(ctx context.Context, tabs []flame.Tab, opt flame.Options) error {
	var page bytes.Buffer
	if err := flame.Page(&page, tabs, opt); err != nil {
		return err
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(page.Bytes()) // the browser may have gone
	}))
	defer s.Close()
	for _, shot := range []struct {
		file          string
		width, height int
		dark          bool
		hash          string
		keys          []string
	}{
		{"page-light.png", 1200, 860, false, "", []string{"0", "ArrowDown", "ArrowDown", "ArrowDown"}},
		{"page-dark.png", 1200, 860, true, "search=json|gzip", []string{"0", "ArrowDown", "n"}},
		{"page-callers.png", 1200, 860, false, "view=callers", []string{"0", "ArrowDown", "t"}},
		{"page-diff.png", 1200, 860, false, "tab=3", []string{"0", "ArrowDown"}},
		{"page-360-light.png", 360, 720, false, "tab=1", []string{"0", "ArrowDown"}},
		{"page-360-dark.png", 360, 720, true, "", []string{"0", "ArrowDown", "ArrowDown"}},
	} {
		if err := g.shoot(ctx, s.URL+"/#"+shot.hash, shot.file, shot.width, shot.height, shot.dark, shot.keys); err != nil {
			return fmt.Errorf("%s: %w", shot.file, err)
		}
	}
	return nil
}

func (g gallery) shoot(ctx context.Context, url, file string, width, height int, dark bool, keys []string) error {
	p, err := flametest.Open(ctx, width, height)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Dark(dark); err != nil {
		return err
	}
	if err := p.Go(url); err != nil {
		return err
	}
	if err := p.Press(keys...); err != nil {
		return err
	}
	if err := p.Eval(`scrollTo(0, 0)`, nil); err != nil {
		return err
	}
	data, err := p.Screenshot()
	if err != nil {
		return err
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return writePNG(filepath.Join(g.out, file), img)
}
