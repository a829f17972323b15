package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func bytesOf(t *testing.T, p *profile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestInputs: the same corpus makes the same bytes, of the size that was asked
// for, with copies that are valid and do not merge.
func TestInputs(t *testing.T) {
	base, err := merged("../testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	const size = 3 << 20
	p := grown(base, size)
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	raw := bytesOf(t, p)
	if len(raw) < size || len(raw) > size*11/10 {
		t.Errorf("%d bytes for %d", len(raw), size)
	}
	again, err := merged("../testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, bytesOf(t, grown(again, size))) {
		t.Error("the same corpus made other bytes")
	}
	seen, deepest := map[string]bool{}, 0
	for _, s := range p.Sample {
		deepest = max(deepest, len(s.Location))
		for _, l := range s.Location {
			for _, line := range l.Line {
				seen[line.Function.Name] = true
			}
		}
	}
	if !seen["truth/svc.(*API).Live"] || !seen["truth/svc.(*V1API).Live"] || !seen["truth/svc.(*V3tree).walk"] || deepest < 64 {
		t.Errorf("%d functions, deepest stack %d", len(seen), deepest)
	}
	one, two := pod(p, 1), pod(p, 2)
	for i, q := range []*profile.Profile{one, two} {
		if err := q.CheckValid(); err != nil {
			t.Fatal(err)
		}
		if part := float64(len(q.Sample)) / float64(len(p.Sample)); part < 0.6 || part > 0.8 {
			t.Errorf("pod %d has %.2f of the samples", i, part)
		}
	}
	if bytes.Equal(bytesOf(t, one), bytesOf(t, two)) {
		t.Error("pods are the same")
	}
}

func TestRenamed(t *testing.T) {
	for _, tc := range [][2]string{
		{"truth/svc.(*API).Live", "truth/svc.(*V7API).Live"},
		{"main.main", "main.V7main"},
		{"main.stdmux.func1", "main.V7stdmux.func1"},
		{"truth/svc.wrap[go.shape.struct {x/y.Z}]", "truth/svc.V7wrap[go.shape.struct {x/y.Z}]"},
		{"main.(*T[truth/svc.X]).Do", "main.(*V7T[truth/svc.X]).Do"},
	} {
		if got := renamed(tc[0], 7); got != tc[1] {
			t.Errorf("%s: %s, want %s", tc[0], got, tc[1])
		}
	}
}

func TestChild(t *testing.T) {
	var out bytes.Buffer
	file := "../testdata/corpus/router-std.cpu.pb.gz"
	if err := beChild([]string{file, file}, &out); err != nil {
		t.Fatal(err)
	}
	var c cost
	if err := json.Unmarshal(out.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	if c.Raw < 100<<10 || c.Heap < c.Raw || c.RSS < c.Heap || c.Live > c.Heap || c.Report <= 0 || c.Picture <= 0 || c.PNG < 1000 {
		t.Errorf("cost %+v", c)
	}
	if err := beChild([]string{"gone.pb.gz"}, &out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestSpread(t *testing.T) {
	if got := spreadOf([]float64{0.9, 0.2, 0.5}).String(); got != "0.50 (0.20-0.90)" {
		t.Error(got)
	}
	c, s := middle([]cost{{Heap: 30, Raw: 10}, {Heap: 10, Raw: 10}, {Heap: 20, Raw: 10}})
	if c.Heap != 20 || s != (spread{2, 1, 3}) {
		t.Errorf("%+v %v", c, s)
	}
}

func TestArguments(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-n", "0"}, &out); err == nil || !strings.Contains(err.Error(), "1 turn at least") {
		t.Errorf("no turns: %v", err)
	}
	if err := run(t.Context(), []string{"-make", "-corpus", filepath.Join(t.TempDir(), "none"), "-dir", t.TempDir()}, &out); err == nil || !strings.Contains(err.Error(), "holds no") {
		t.Errorf("no corpus: %v", err)
	}
	if err := run(t.Context(), []string{"-x"}, &out); err == nil || errors.Is(err, flag.ErrHelp) {
		t.Errorf("an unknown flag: %v", err)
	}
}
