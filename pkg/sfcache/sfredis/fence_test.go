package sfredis

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache/sfredis/redistest"
)

// TestFence checks names, and that Redis thinks a key and its fence to be in
// one slot.
func TestFence(t *testing.T) {
	s := redistest.StartCluster(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	seen := map[string]string{}
	for _, tc := range []struct{ key, want string }{
		{"lists:1", "{lists:1}:fence"},
		{"lists:{eu}:1", "lists:{eu}:1:fence"},
		{"{eu}", "{eu}:fence"},
		{"a{b}{c}", "a{b}{c}:fence"},
		{"a{{b}}c", "a{{b}}c:fence"}, // the tag is "{b"
		{"a{b", "{a{b}:fence"},
		{"{", "{{}:fence"},
		{"{{{", "{{{{}:fence"},
		// Here the key is its own tag and has the sign that would end it.
		{"", "{1bz}:fence"},
		{"}", "{exv}}:fence"},
		{"a}b", "{4w2}a}b:fence"},
		{"}{", "{9s}}{:fence"},
		{"{}", "{2ml}{}:fence"},
		{"{}a", "{781}{}a:fence"},
		{"a{}b{c}", "{xo}a{}b{c}:fence"},
	} {
		got := fence(tc.key)
		if got != tc.want {
			t.Errorf("fence(%q) is %q, want %q", tc.key, got, tc.want)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q have one fence", tc.key, other)
		}
		seen[got] = tc.key
		slot := func(key string) int64 {
			n, err := c.ClusterKeySlot(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if a, b := slot(tc.key), slot(got); a != b {
			t.Errorf("%q is in slot %d, its fence %q in %d", tc.key, a, got, b)
		}
	}
}

func FuzzFence(f *testing.F) {
	for _, k := range []string{"", "a", "a{b}c", "}{", "{}a", "a{}b{c}", "a{b"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		tagged := func(key string) string {
			if tag := hashTag(key); tag != "" {
				return tag
			}
			return key
		}
		if a, b := slot(tagged(key)), slot(tagged(fence(key))); a != b {
			t.Errorf("%q is in slot %d, its fence %q in %d", key, a, fence(key), b)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add("origin", "a", "b,1:", "1:a,")
	f.Fuzz(func(t *testing.T, origin, a, b, junk string) {
		got, keys, ok := openMessage(message(origin, a, b))
		if !ok || got != origin || len(keys) != 2 || keys[0] != a || keys[1] != b {
			t.Errorf("%q of %q, %q became %q of %q, %t", origin, a, b, got, keys, ok)
		}
		if o, k, ok := openMessage(junk); ok && len(message(o, k...)) > len(junk) {
			t.Errorf("%q is read as %q of %q", junk, o, k)
		}
	})
}
