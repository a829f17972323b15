package spelling_test

import (
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/spelling"
)

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"heap", "heap", 0},
		{"heep", "heap", 1},
		{"hep", "heap", 1},
		{"heapp", "heap", 1},
		{"cpu", "", 3},
		{"kitten", "sitting", 3},
		{"grün", "grun", 1},
		{"live-api", "gift-api", 3},
		{"haep", "heap", 1},
		{strings.Repeat("a", 300), "a", 300},
	} {
		if got, back := spelling.Distance(tc.a, tc.b), spelling.Distance(tc.b, tc.a); got != tc.want || back != tc.want {
			t.Errorf("Distance(%q, %q) = %d, and back %d, want %d", tc.a, tc.b, got, back, tc.want)
		}
	}
}
