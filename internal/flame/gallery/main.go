// Command gallery draws the pictures of docs/gallery from the profiles that the
// analysis is tested with. Run it in the root of the repository: make gallery.
// It needs Chromium for the pictures of pages.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/profbot/profbot/internal/profile"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
)

const corpus = "internal/analysis/testdata/corpus"

func main() {
	log.SetFlags(0)
	out := filepath.Join("docs", "gallery")
	if len(os.Args) > 1 {
		out = os.Args[1]
	}
	if err := run(context.Background(), out); err != nil {
		log.Fatal("gallery: ", err)
	}
}

// gallery is one run.
type gallery struct{ out string }

func run(ctx context.Context, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	g := gallery{out}
	chi, err := g.cpu("cpu.png", "labels-profbot-chi", "live on chi")
	if err != nil {
		return err
	}
	if _, err := g.cpu("gin.png", "router-gin", "live on gin"); err != nil {
		return err
	}
	opt := options(chi, "live on chi")
	if len(opt.Highlight) == 0 {
		return fmt.Errorf("the analysis flags nothing to zoom to")
	}
	opt.Zoom = opt.Highlight[0]
	if err := g.png("zoom.png", chi.Tree, opt); err != nil {
		return err
	}
	diff, err := g.diff("diff.png", "router-std", "codec-protobuf")
	if err != nil {
		return err
	}
	allocs, err := other(chi, analysis.KindAllocs)
	if err != nil {
		return err
	}
	if err := g.png("allocs.png", allocs, flame.Options{
		Title:    fmt.Sprintf("%.0f %% of the allocated bytes are allocated to decode", 100*own(allocs, analysis.CatDecode)),
		Subtitle: "live on chi, 1 pod, allocations of 8 s",
	}); err != nil {
		return err
	}
	goroutines, err := other(chi, analysis.KindGoroutine)
	if err != nil {
		return err
	}
	if err := g.png("goroutines.png", goroutines, flame.Options{
		Title:    fmt.Sprintf("%.0f %% of the goroutines wait for the network", 100*own(goroutines, analysis.CatIO)),
		Subtitle: "live on chi, 1 pod, one moment",
	}); err != nil {
		return err
	}
	if err := g.slack("slack.png", "cpu.png", "zoom.png"); err != nil {
		return err
	}
	opt = options(chi, "live on chi")
	return g.pages(ctx, []flame.Tab{{Name: "CPU", Tree: chi.Tree}, {Name: "allocations", Tree: allocs}, {Name: "goroutines", Tree: goroutines}, {Name: "change", Tree: diff}}, opt)
}

// cpu draws one CPU profile of the corpus.
func (g gallery) cpu(file, name, service string) (*analysis.Result, error) {
	res, err := analyse(name)
	if err != nil {
		return nil, err
	}
	return res, g.png(file, res.Tree, options(res, service))
}

func (g gallery) diff(file, before, after string) (*analysis.Tree, error) {
	was, err := analyse(before)
	if err != nil {
		return nil, err
	}
	is, err := analyse(after)
	if err != nil {
		return nil, err
	}
	d, err := analysis.DiffTree(was.Tree, is.Tree)
	if err != nil {
		return nil, err
	}
	return d, g.png(file, d, flame.Options{
		Title:    fmt.Sprintf("On protobuf, decoding takes %.0f %% of the CPU, not %.0f %%", 100*own(is.Tree, analysis.CatDecode), 100*own(was.Tree, analysis.CatDecode)),
		Subtitle: fmt.Sprintf("live on net/http, 1 pod, %d samples before, %d after", was.Report.Samples, is.Report.Samples),
	})
}

// png draws a tree into a file.
func (g gallery) png(file string, t *analysis.Tree, opt flame.Options) error {
	var b bytes.Buffer
	if err := flame.PNG(&b, t, opt); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(filepath.Join(g.out, file), b.Bytes(), 0o644)
}

// slack shows pictures as wide as Slack does.
func (g gallery) slack(file string, names ...string) error {
	var rows []pair
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(g.out, name))
		if err != nil {
			return err
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			return err
		}
		rows = append(rows, pair{scaled(img, 720), scaled(img, 360)})
	}
	return writePNG(filepath.Join(g.out, file), sideBySide(rows))
}

// analyse makes the report of one service of the corpus. Its profiles are
// short: fewer samples must do for a verdict.
func analyse(name string) (*analysis.Result, error) {
	pod := analysis.PodProfiles{Pod: name}
	for _, p := range []struct {
		kind string
		to   **profile.Profile
	}{{"cpu", &pod.CPU}, {"allocs0", &pod.AllocsBefore}, {"allocs1", &pod.AllocsAfter}, {"goroutine", &pod.Goroutine}} {
		prof, err := load(name, p.kind)
		if p.kind == "goroutine" && errors.Is(err, fs.ErrNotExist) {
			continue // the corpus has one of them
		}
		if err != nil {
			return nil, err
		}
		*p.to = prof
	}
	res, err := analysis.Analyze([]analysis.PodProfiles{pod}, analysis.Options{Service: name, Trees: true, Thresholds: analysis.Thresholds{MinSamples: 50}})
	if err == nil {
		shorten(res.Tree)
	}
	return res, err
}

// other is the tree of a kind of profile beside the CPU's.
func other(res *analysis.Result, kind analysis.Kind) (*analysis.Tree, error) {
	for _, t := range res.Others {
		if t.Kind == string(kind) {
			shorten(t)
			return t, nil
		}
	}
	return nil, fmt.Errorf("%s has no tree of kind %s", res.Report.Service, kind)
}

// shorten leaves three elements of the paths of files: where the corpus was
// built is nobody's business.
func shorten(t *analysis.Tree) {
	each(t, func(n *analysis.Node) {
		parts := strings.Split(n.File, "/")
		n.File = strings.Join(parts[max(0, len(parts)-3):], "/")
	})
}

// each visits every node.
func each(t *analysis.Tree, f func(*analysis.Node)) {
	todo := []*analysis.Node{t.Root}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.Children...)
		f(n)
	}
}

func load(name, kind string) (*profile.Profile, error) {
	data, err := os.ReadFile(filepath.Join(corpus, name+"."+kind+".pb.gz"))
	if err != nil {
		return nil, err
	}
	return profile.Parse(data, 0)
}

func options(res *analysis.Result, service string) flame.Options {
	opt := flame.Options{
		Title:    res.Report.Headline(),
		Subtitle: fmt.Sprintf("%s, 1 pod, %s of CPU profile, %d samples", service, res.Report.Window.Round(1e9), res.Report.Samples),
	}
	for _, e := range res.Report.Flagged() {
		opt.Highlight = append(opt.Highlight, e.Name)
	}
	return opt
}

// own is the share of a tree that ends in a category.
func own(t *analysis.Tree, cat analysis.Category) float64 {
	var sum int64
	each(t, func(n *analysis.Node) {
		if n.Category == cat {
			sum += n.Self
		}
	})
	return float64(sum) / float64(t.Root.Total)
}
