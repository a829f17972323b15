// Command gallery draws the pictures of docs/gallery from the corpus of the
// analysis. Run it in the root of the repository: make gallery.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
)

const corpus = "internal/analysis/testdata/corpus"

func main() {
	log.SetFlags(0)
	out := "docs/gallery"
	if len(os.Args) > 1 {
		out = os.Args[1]
	}
	if err := run(out); err != nil {
		log.Fatal("gallery: ", err)
	}
}

func run(out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	chi, err := analyse("labels-profbot-chi")
	if err != nil {
		return err
	}
	gin, err := analyse("router-gin")
	if err != nil {
		return err
	}
	if err := picture(out, "cpu.png", chi.Tree, options(chi, "live-chi, 1 pod")); err != nil {
		return err
	}
	if err := picture(out, "cpu-gin.png", gin.Tree, options(gin, "live-gin, 1 pod")); err != nil {
		return err
	}
	opt := options(chi, "live-chi, 1 pod")
	opt.Zoom = chi.Report.Endpoints[0].Name
	if err := picture(out, "zoom.png", chi.Tree, opt); err != nil {
		return err
	}
	single, err := analyse("codec-protobuf")
	if err != nil {
		return err
	}
	base, err := analyse("router-std")
	if err != nil {
		return err
	}
	diff, err := analysis.DiffTree(base.Tree, single.Tree)
	if err != nil {
		return err
	}
	if err := picture(out, "diff.png", diff, flame.Options{Title: "Since 14:05 decoding takes 12 points less of the CPU", Subtitle: "live, 1 pod before, 1 pod after"}); err != nil {
		return err
	}
	gor, err := analysis.Parse(read("labels-profbot-chi.goroutine.pb.gz"), 0)
	if err != nil {
		return err
	}
	g, err := analysis.TreeOf(gor, analysis.TreeOptions{})
	if err != nil {
		return err
	}
	if err := picture(out, "goroutine.png", g, flame.Options{Title: "What the goroutines wait for", Subtitle: "live-chi, 1 pod"}); err != nil {
		return err
	}
	cpu, _ := analysis.Parse(read("labels-profbot-chi.cpu.pb.gz"), 0)
	before, _ := analysis.Parse(read("labels-profbot-chi.allocs0.pb.gz"), 0)
	after, _ := analysis.Parse(read("labels-profbot-chi.allocs1.pb.gz"), 0)
	a, err := analysis.TreeOf(after, analysis.TreeOptions{Kind: "allocs", Before: before, CPU: cpu})
	if err != nil {
		return err
	}
	if err := picture(out, "allocs.png", a, flame.Options{Title: "Who allocates", Subtitle: "live-chi, 1 pod"}); err != nil {
		return err
	}
	return nil
}

// analyse makes the report of one corpus profile.
func analyse(name string) (*analysis.Result, error) {
	pod := analysis.PodProfiles{Pod: name}
	var err error
	if pod.CPU, err = analysis.Parse(read(name+".cpu.pb.gz"), 0); err != nil {
		return nil, err
	}
	if pod.AllocsBefore, err = analysis.Parse(read(name+".allocs0.pb.gz"), 0); err != nil {
		return nil, err
	}
	if pod.AllocsAfter, err = analysis.Parse(read(name+".allocs1.pb.gz"), 0); err != nil {
		return nil, err
	}
	return analysis.Analyze([]analysis.PodProfiles{pod}, analysis.Options{Service: name})
}

func read(name string) []byte {
	data, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		log.Fatal("gallery: ", err)
	}
	return data
}

func options(res *analysis.Result, service string) flame.Options {
	opt := flame.Options{
		Title:    res.Report.Headline(),
		Subtitle: fmt.Sprintf("%s, %s of CPU profile, %d samples", service, res.Report.Window.Round(1e9), res.Report.Samples),
	}
	for _, e := range res.Report.Flagged() {
		opt.Highlight = append(opt.Highlight, e.Name)
	}
	return opt
}

func picture(dir, name string, t *analysis.Tree, opt flame.Options) error {
	var b bytes.Buffer
	if err := flame.PNG(&b, t, opt); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644)
}
