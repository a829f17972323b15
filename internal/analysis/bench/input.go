package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/pprof/profile"
)

// The inputs. Sizes are of raw bytes, at least.
const (
	smallSize = 1 << 20
	largeSize = 12 << 20
	podCount  = 20
)

func smallFile(dir string) string { return filepath.Join(dir, "small.cpu.pb.gz") }

func largeFile(dir string) string { return filepath.Join(dir, "large.cpu.pb.gz") }

func podFile(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("pod-%02d.cpu.pb.gz", i))
}

// makeInputs writes all inputs.
func makeInputs(corpus, dir string) error {
	base, err := merged(corpus)
	if err != nil {
		return err
	}
	small := grown(base, smallSize)
	if err := write(smallFile(dir), small); err != nil {
		return err
	}
	for i := range podCount {
		if err := write(podFile(dir, i), pod(small, i)); err != nil {
			return err
		}
	}
	return write(largeFile(dir), grown(base, largeSize))
}

func merged(corpus string) (*profile.Profile, error) {
	files, err := filepath.Glob(filepath.Join(corpus, "*.cpu.pb.gz"))
	if err != nil {
		return nil, err
	}
	var all []*profile.Profile
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		p, err := profile.Parse(f)
		_ = f.Close() // it was read only
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no *.cpu.pb.gz", corpus)
	}
	return profile.Merge(all)
}

func write(name string, p *profile.Profile) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := p.Write(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// grown adds copies of a profile to itself until it has the size.
func grown(base *profile.Profile, size int) *profile.Profile {
	out := base.Copy()
	for n := 1; ; n++ {
		have := rawSize(out)
		if have >= size {
			return out
		}
		c := copier{to: out, from: base, n: n, funcs: map[*profile.Function]*profile.Function{}, locs: map[*profile.Location]*profile.Location{}}
		// A copy is about as large as the first; the last one is a part.
		part := min(len(base.Sample), 1+len(base.Sample)*(size-have)/rawSize(base)*11/10)
		for _, s := range base.Sample[:part] {
			c.add(s)
		}
	}
}

func rawSize(p *profile.Profile) int {
	var n counter
	if err := p.WriteUncompressed(&n); err != nil {
		panic(err) // the counter takes everything
	}
	return int(n)
}

type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// copier adds samples of one profile to another with other names of the
// application's functions.
type copier struct {
	to, from *profile.Profile
	n        int
	funcs    map[*profile.Function]*profile.Function
	locs     map[*profile.Location]*profile.Location
	deeper   []*profile.Location // leaf first; made when first needed
}

const (
	deepEvery = 3
	deepBy    = 24 // frames
)

func (c *copier) add(s *profile.Sample) {
	x := &profile.Sample{Value: s.Value, Label: s.Label, NumLabel: s.NumLabel, NumUnit: s.NumUnit}
	app := -1 // the outermost location of the application
	for i, l := range s.Location {
		l = c.location(l)
		if owns(l) {
			app = i
		}
		x.Location = append(x.Location, l)
	}
	if app < 0 {
		return // the same in every copy
	}
	if c.n%deepEvery == 0 {
		x.Location = append(append(append([]*profile.Location{}, x.Location[:app]...), c.recursion()...), x.Location[app:]...)
	}
	c.to.Sample = append(c.to.Sample, x)
}

func owns(l *profile.Location) bool {
	for _, line := range l.Line {
		if ours(line.Function.Name) {
			return true
		}
	}
	return false
}

func ours(name string) bool {
	return strings.HasPrefix(name, "main.") || strings.HasPrefix(name, "truth/")
}

// location is a location of the copy: the same one unless it holds functions
// of the application.
func (c *copier) location(l *profile.Location) *profile.Location {
	if !owns(l) {
		// The first copy was made of from: places are the same.
		return c.to.Location[l.ID-1]
	}
	x := c.locs[l]
	if x == nil {
		x = &profile.Location{ID: uint64(len(c.to.Location) + 1), Address: l.Address + uint64(c.n)<<32}
		for _, line := range l.Line {
			x.Line = append(x.Line, profile.Line{Function: c.function(line.Function), Line: line.Line})
		}
		c.to.Location = append(c.to.Location, x)
		c.locs[l] = x
	}
	return x
}

func (c *copier) function(f *profile.Function) *profile.Function {
	if !ours(f.Name) {
		return c.to.Function[f.ID-1]
	}
	x := c.funcs[f]
	if x == nil {
		name := renamed(f.Name, c.n)
		x = &profile.Function{ID: uint64(len(c.to.Function) + 1), Name: name, SystemName: name, Filename: f.Filename, StartLine: f.StartLine}
		c.to.Function = append(c.to.Function, x)
		c.funcs[f] = x
	}
	return x
}

// renamed puts a copy's number into the first name after the package:
// "truth/svc.(*API).Live" becomes "truth/svc.(*V7API).Live".
func renamed(name string, n int) string {
	slash := strings.LastIndexByte(name[:strings.IndexAny(name+"(", "([")], '/')
	dot := slash + 1 + strings.IndexByte(name[slash+1:], '.') + 1
	if strings.HasPrefix(name[dot:], "(*") {
		dot += 2
	}
	return fmt.Sprintf("%sV%d%s", name[:dot], n, name[dot:])
}

// recursion is a function of the copy that calls itself on changing lines.
func (c *copier) recursion() []*profile.Location {
	if c.deeper != nil {
		return c.deeper
	}
	f := &profile.Function{ID: uint64(len(c.to.Function) + 1), Name: renamed("truth/svc.(*tree).walk", c.n), Filename: "truth/svc/tree.go", StartLine: 10}
	c.to.Function = append(c.to.Function, f)
	for i := range deepBy {
		l := &profile.Location{ID: uint64(len(c.to.Location) + 1), Address: uint64(c.n)<<40 + uint64(i), Line: []profile.Line{{Function: f, Line: int64(12 + i%3)}}}
		c.to.Location = append(c.to.Location, l)
		c.deeper = append(c.deeper, l)
	}
	return c.deeper
}

// pod is what one of several pods saw of the same program: seven of ten stacks,
// with counts of its own.
func pod(p *profile.Profile, n int) *profile.Profile {
	out := p.Copy()
	kept := out.Sample[:0]
	for i, s := range out.Sample {
		h := fnv.New32a()
		fmt.Fprintf(h, "%d %d", n, i)
		r := h.Sum32()
		if r%10 >= 7 {
			continue
		}
		for k := range s.Value {
			s.Value[k] *= int64(1 + r/10%3)
		}
		kept = append(kept, s)
	}
	out.Sample = kept
	return out.Compact()
}
