package flame

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestShorter(t *testing.T) {
	for name, want := range map[string][]string{
		"json.(*decodeState).value":      {"json.(*decodeState).value", "(*decodeState).value", "value"},
		"http.HandlerFunc.ServeHTTP":     {"http.HandlerFunc.ServeHTTP", "HandlerFunc.ServeHTTP", "ServeHTTP"},
		"json.Unmarshal":                 {"json.Unmarshal", "Unmarshal"},
		"svc.(*API).Fanout.func1":        {"svc.(*API).Fanout.func1", "(*API).Fanout.func1", "Fanout.func1"},
		"errgroup.(*Group).Go.func1.2":   {"errgroup.(*Group).Go.func1.2", "(*Group).Go.func1.2", "Go.func1.2"},
		"memmove":                        {"memmove"},
		"(*API).List":                    {"(*API).List", "List"},
		"GET /live/list":                 {"GET /live/list"},
		"main.routes.func3 (main.go:41)": {"main.routes.func3 (main.go:41)", "routes.func3 (main.go:41)"},
		"":                               {""},
		".":                              {"."},
	} {
		if d := cmp.Diff(want, shorter(name)); d != "" {
			t.Errorf("%q (-want +got):\n%s", name, d)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"json.Unmarshal", "\x00\x1b", "\xff\xfe", "a\u202eb", strings.Repeat("é", 405)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := clean(s)
		if !utf8.ValidString(c) || utf8.RuneCountInString(c) > 400 || strings.ContainsAny(c, "\x00\n\r\t\x1b\u202e\u2028") {
			t.Errorf("clean(%q) is %q", s, c)
		}
		for _, name := range shorter(c) {
			if !strings.HasSuffix(c, name) {
				t.Errorf("%q is no end of %q", name, c)
			}
		}
	})
}
