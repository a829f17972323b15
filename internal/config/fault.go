package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/spelling"
)

// Fault is one thing that is wrong, and what to write instead.
type Fault struct {
	// File is the file's name, or the environment variable's.
	File         string
	Line, Column int    // 0 when there is no place
	Key          string // "capture.cpu", "services[0].targets[1].url"
	Problem      string
	Fix          string
}

func (f Fault) String() string {
	s := f.File
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	if s != "" {
		s += ": "
	}
	if f.Key != "" {
		s += f.Key + ": "
	}
	s += f.Problem
	if f.Fix != "" {
		s += ": " + f.Fix
	}
	return s
}

// Faults is the error of a configuration that is not good.
type Faults []Fault

// Error is one line per fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("the configuration has %d faults\n%s", len(fs), strings.Join(lines, "\n"))
}

func (fs Faults) sorted() Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	return fs
}

// nearest finds the known name that somebody may have meant; "" when none is near.
func nearest(name string, known []string) string {
	best, least := "", 4
	for _, k := range known {
		if d := spelling.Distance(name, k); d < least && d*2 < max(len(name), 2) {
			best, least = k, d
		}
	}
	return best
}
