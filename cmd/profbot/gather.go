package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/profile"
)

// pod is where one pod's profiles come from: files that belong together, or an
// address that was pulled.
type pod struct {
	name   string
	input  string // as a person gave it
	files  []file
	picked bool // by the folder, not by a person: what is no profile is left out
}

// file is one profile's bytes, read when its pod's turn has come.
type file struct {
	name string
	read func() ([]byte, error)
}

// profileName splits a file's name into the pod's and the kind's, as in
// "live-api-0.cpu.pb.gz", "live-api-0.allocs-before.pb.gz" and "heap.pprof".
// The kind is believed only for grouping: what a file holds is read from it.
var profileName = regexp.MustCompile(`^(?:(.*)[._-])?(?:cpu|profile|allocs|heap|goroutines?|mutex|block)(?:[-_.]?(?:before|after|[01]))?\.(?:pb\.gz|pb|pprof|prof|out|gz)$`)

// profileFile matches what may be a profile in a folder.
var profileFile = regexp.MustCompile(`\.(pb\.gz|pb|pprof|prof)$`)

// gather puts the inputs together by pod: files whose names differ only in
// the kind, of one folder, are one pod's.
func gather(inputs []string, stdin io.Reader, maxRaw int64) ([]*pod, error) {
	var out []*pod
	groups := map[[2]string]*pod{}
	add := func(path, input string, picked bool) {
		dir, base := filepath.Split(path)
		f := file{path, func() ([]byte, error) { return readFile(path, maxRaw) }}
		m := profileName.FindStringSubmatch(base)
		if m == nil {
			out = append(out, &pod{name: base, input: input, files: []file{f}, picked: picked})
			return
		}
		key := [2]string{dir, m[1]}
		p := groups[key]
		if p == nil {
			p = &pod{name: m[1], input: input, picked: picked}
			groups[key] = p
			out = append(out, p)
		}
		p.files = append(p.files, f)
		p.picked = p.picked && picked
	}
	for _, in := range inputs {
		if in == "-" {
			out = append(out, &pod{name: "-", input: in, files: []file{{in, func() ([]byte, error) {
				return io.ReadAll(io.LimitReader(stdin, maxRaw+1)) // Parse refuses the byte over the limit
			}}}})
			continue
		}
		if isURL(in) {
			out = append(out, &pod{input: in})
			continue
		}
		info, err := os.Stat(in)
		if err != nil || !info.IsDir() {
			add(in, in, false) // what cannot be read is said when it is read
			continue
		}
		entries, err := os.ReadDir(in) // not Glob: the folder's name may hold a pattern
		if err != nil {
			return nil, err
		}
		had := len(out)
		for _, e := range entries {
			if !e.IsDir() && (profileFile.MatchString(e.Name()) || profileName.MatchString(e.Name())) {
				add(filepath.Join(in, e.Name()), in, true)
			}
		}
		if len(out) == had {
			return nil, fmt.Errorf("%s: the folder holds no profiles (*.pb.gz, *.pprof, *.prof)", in)
		}
	}
	for _, p := range out {
		if p.name != "" || len(p.files) == 0 {
			continue
		}
		// Plain names: "cpu.pb.gz" alone is its own, beside others it is its
		// folder's.
		first := p.files[0].name
		if abs, err := filepath.Abs(first); err == nil && p.picked {
			p.name = filepath.Base(filepath.Dir(abs))
		} else {
			p.name, p.input = filepath.Base(first), first
		}
	}
	return out, nil
}

func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, openFault(name, err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// kept is one profile of a pod with the file's name.
type kept struct {
	name string
	prof *profile.Profile
}

// load reads a pod's files into what the analysis takes: one entry for each
// CPU profile, the first of which has the others beside it. left are files of
// a folder that are no profiles.
func (p *pod) load(maxRaw int64) (pods []analysis.PodProfiles, left []string, err error) {
	byKind := map[analysis.Kind][]kept{}
	for _, f := range p.files {
		data, err := f.read()
		if err != nil {
			return nil, nil, err
		}
		prof, kind, err := parse(data, f.name, maxRaw)
		if err != nil && p.picked {
			left = append(left, fmt.Sprintf("%s: %v", f.name, err))
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.name, err)
		}
		byKind[kind] = append(byKind[kind], kept{f.name, prof})
	}
	if len(byKind) == 0 {
		return nil, left, nil
	}
	pp := analysis.PodProfiles{Pod: p.name}
	pp.AllocsBefore, pp.AllocsAfter = ends(byKind[analysis.KindAllocs])
	pp.HeapBefore, pp.HeapAfter = ends(byKind[analysis.KindHeap])
	pp.MutexBefore, pp.Mutex = ends(byKind[analysis.KindMutex])
	pp.BlockBefore, pp.Block = ends(byKind[analysis.KindBlock])
	_, pp.Goroutine = ends(byKind[analysis.KindGoroutine])
	// The two hold the same: one of them can stand for both.
	if pp.HeapAfter == nil && pp.AllocsBefore != nil {
		pp.HeapBefore, pp.HeapAfter = pp.AllocsBefore, pp.AllocsAfter
	}
	if pp.AllocsAfter == nil && pp.HeapBefore != nil {
		pp.AllocsBefore, pp.AllocsAfter = pp.HeapBefore, pp.HeapAfter
	}
	cpus := byKind[analysis.KindCPU]
	if len(cpus) == 0 {
		return append(pods, pp), left, nil
	}
	for i, c := range cpus {
		if i > 0 {
			pp = analysis.PodProfiles{Pod: p.name}
		}
		pp.CPU = c.prof
		if len(cpus) > 1 {
			pp.Pod = fmt.Sprintf("%s (%d)", p.name, i+1)
		}
		pods = append(pods, pp)
	}
	return pods, left, nil
}

// ends are the earliest and the latest of snapshots; one alone is the latest.
func ends(list []kept) (before, after *profile.Profile) {
	if len(list) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(list, func(a, b kept) int {
		return cmp.Or(a.prof.Time.Compare(b.prof.Time), strings.Compare(order(a.name), order(b.name)))
	})
	after = list[len(list)-1].prof
	if len(list) > 1 {
		before = list[0].prof
	}
	return before, after
}

// order makes names of files sort as they were taken: "before" after "after"
// would be the alphabet's.
func order(name string) string { return strings.ReplaceAll(name, "before", "0") }

// parse reads one profile. Errors are in the words of a person who gave the
// wrong file, not of the format.
func parse(data []byte, name string, maxRaw int64) (*profile.Profile, analysis.Kind, error) {
	if len(data) == 0 {
		return nil, "", errors.New("not a pprof profile: it is empty")
	}
	p, err := profile.Parse(data, maxRaw)
	if err != nil {
		return nil, "", err
	}
	kind, err := analysis.Check(p, name)
	return p, kind, err
}

// distinguish gives pods of the same name different ones: files their path as
// it was given, and what is then still the same a number.
func distinguish(pods []*pod) {
	count := func() map[string]int {
		n := map[string]int{}
		for _, p := range pods {
			n[p.name]++
		}
		return n
	}
	same := count()
	for _, p := range pods {
		if same[p.name] > 1 && !isURL(p.input) {
			p.name = p.input
			if p.picked && len(p.files) > 0 && profileName.MatchString(filepath.Base(p.files[0].name)) {
				if m := profileName.FindStringSubmatch(filepath.Base(p.files[0].name)); m[1] != "" {
					p.name = filepath.Join(p.input, m[1])
				}
			}
		}
	}
	same = count()
	nth := map[string]int{}
	for _, p := range pods {
		if name := p.name; same[name] > 1 {
			nth[name]++
			p.name = fmt.Sprintf("%s (%d)", name, nth[name])
		}
	}
}

// openFault says of an input that is no file what a person may have meant.
func openFault(in string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if fault := addressFault(in); fault != nil {
		return fault
	}
	return err
}
