package sfcache_test

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/profbot/profbot/pkg/sfcache"
)

type ring struct {
	name string
	next *ring
}

type tree struct {
	kids []tree
	data any
}

func makeRing(n int) *ring {
	first := &ring{name: "x"}
	last := first
	for range n - 1 {
		last.next = &ring{name: "x"}
		last = last.next
	}
	last.next = first
	return first
}

const word = int64(unsafe.Sizeof(uintptr(0)))

func TestSizeOf(t *testing.T) {
	text := strings.Repeat("a", 100)
	shared := &[4]int64{}
	self := map[string]any{}
	self["self"] = self
	var loop any
	loop = &loop
	for _, tt := range []struct {
		name string
		got  int64
		want int64
	}{
		{"int", sfcache.SizeOf(int64(1)), 8},
		{"empty struct", sfcache.SizeOf(struct{}{}), 0},
		{"flat struct", sfcache.SizeOf(struct{ a, b, c int64 }{}), 24},
		{"empty string", sfcache.SizeOf(""), 2 * word},
		{"string", sfcache.SizeOf(text), 2*word + 112},
		{"nil pointer", sfcache.SizeOf((*int64)(nil)), word},
		{"pointer", sfcache.SizeOf(new(int64)), word + 8},
		{"pointer to pointer", sfcache.SizeOf(new(*int64)), word + word},
		{"slice counts its capacity", sfcache.SizeOf(make([]int64, 1, 10)), 3*word + 80},
		{"nil slice", sfcache.SizeOf([]int64(nil)), 3 * word},
		{"large slice in pages", sfcache.SizeOf(make([]byte, 40_000)), 3*word + 40_960},
		{"slice of strings", sfcache.SizeOf([]string{"12345678", ""}), 24 + 32 + 8},
		{"array of strings", sfcache.SizeOf([2]string{"12345678", ""}), 32 + 8},
		{"func and chan", sfcache.SizeOf(struct {
			f func()
			c chan int
		}{func() {}, make(chan int, 100)}), 2 * word},
		{"nil interface", sfcache.SizeOf(any(nil)), 2 * word},
		{"interface of a pointer", sfcache.SizeOf(any(shared)), 2*word + 32},
		{"interface of a string", sfcache.SizeOf(any("12345678")), 2*word + 16 + 8},
		{"shared twice", sfcache.SizeOf([2]*[4]int64{shared, shared}), 16 + 64},
		{"shared once where rings may be", sfcache.SizeOf([2]any{shared, shared}), 32 + 32},
		{"ring of three", sfcache.SizeOf(makeRing(3)), word + 3*(24+8)},
		{"pointer to itself", sfcache.SizeOf(loop), 2*word + 2*word},
		{"tree", sfcache.SizeOf(tree{kids: []tree{{data: int64(1)}}}), 48 + 48 + 8},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, tt.got, tt.want)
		}
	}
	if n := sfcache.SizeOf(self); n < 48 || n > 1000 {
		t.Errorf("a map in itself: %d bytes", n)
	}
}

// Maps, lists and what they lead to are measured on the heap.
func TestSizeOfIsTheHeaps(t *testing.T) {
	const n = 500
	for name, makeOne := range map[string]func() any{
		"map of ints": func() any {
			m := map[int]int{}
			for i := range 1000 {
				m[i] = i
			}
			return m
		},
		"small map": func() any { return map[string]string{strings.Repeat("k", 20): strings.Repeat("v", 200)} },
		"map of pointers": func() any {
			m := map[string]*track{}
			for i := range 300 {
				m[strings.Repeat("k", 1+i)] = &track{ID: strings.Repeat("i", 50)}
			}
			return m
		},
		"decoded JSON": func() any {
			v, err := sfcache.JSON[any]().Decode([]byte(`[{"id":"stream-1","tags":["a","b"],"n":1.5},{"id":"stream-2","tags":["c"],"more":{"x":[1,2,3]}}]`))
			if err != nil {
				panic(err)
			}
			return v
		},
	} {
		t.Run(name, func(t *testing.T) {
			sfcache.SizeOf(makeOne()) // the plan
			all := make([]any, n)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range all {
				all[i] = makeOne()
			}
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&after)
			var counted int64
			for _, v := range all {
				counted += sfcache.SizeOf(v) - 2*word // the interface is in all
			}
			used := float64(after.HeapAlloc) - float64(before.HeapAlloc)
			if ratio := float64(counted) / used; ratio < 0.75 || ratio > 1.33 {
				t.Errorf("%d bytes counted, %.0f on the heap: ratio %.2f", counted, used, ratio)
			}
		})
	}
}
