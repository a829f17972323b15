package pprofserve

import (
	"bytes"
	"compress/gzip"
	"io"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// sampled is a function and how often it was seen.
type sampled struct {
	function string
	n        int64
}

// profileOf makes a CPU profile as the runtime does: numbers of its own, in an
// order that says nothing.
func profileOf(d time.Duration, samples ...sampled) []byte {
	strs := []string{"", "samples", "count", "cpu", "nanoseconds", "endpoint", "GET /"}
	valueType := func(typ, unit uint64) []byte { return putInt(putInt(nil, 1, typ), 2, unit) }
	var out []byte
	out = putBytes(out, 1, valueType(1, 2))
	out = putBytes(out, 1, valueType(3, 4))
	for i, s := range samples {
		id := uint64(len(samples) - i)
		strs = append(strs, s.function)
		label := putInt(putInt(nil, 1, 5), 2, 6)
		out = putBytes(out, 2, putBytes(putInts(putInts(nil, 1, []uint64{id}), 2, []int64{s.n, s.n * 10_000_000}), 3, label))
		out = putBytes(out, 4, putBytes(putInt(putInt(putInt(nil, 1, id), 2, 1), 3, uint64(len(s.function))), 4, putInt(putInt(nil, 1, id), 2, 7)))
		out = putBytes(out, 5, putInt(putInt(nil, 1, id), 2, uint64(len(strs)-1)))
	}
	out = putBytes(out, 3, putInt(putInt(nil, 1, 1), 2, 0x400000))
	for _, s := range strs {
		out = putBytes(out, 6, s)
	}
	out = putInt(out, 9, 1_700_000_000)
	out = putInt(out, 10, uint64(d))
	out = putBytes(out, 11, valueType(3, 4))
	out = putInt(out, 12, 10_000_000)
	return zipped(out)
}

func zipped(raw []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(raw)
	_ = z.Close()
	return b.Bytes()
}

// counted reads a profile back: its functions with the first value of each.
func counted(t *testing.T, profile []byte) map[string]int64 {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(profile))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var strs []string
	names, at := map[uint64]uint64{}, map[uint64]uint64{} // function -> name, location -> function
	type sample struct{ location, n uint64 }
	var samples []sample
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(each(raw, func(f field) error {
		own, err := uint64(0), error(nil)
		if f.wire == 2 && f.num >= 3 && f.num <= 5 {
			own, err = ownID(f.data)
			must(err)
		}
		switch f.num {
		case 6:
			strs = append(strs, string(f.data))
		case 5:
			return each(f.data, func(f field) error {
				if f.num == 2 {
					names[own] = f.n
				}
				return nil
			})
		case 4:
			return each(f.data, func(f field) error {
				if f.num == 4 {
					at[own], err = ownID(f.data)
				}
				return err
			})
		case 2:
			var s sample
			must(each(f.data, func(f field) error {
				if ints, err := f.appendInts(nil); err == nil && f.num == 1 {
					s.location = ints[0]
				} else if err == nil && f.num == 2 {
					s.n = ints[0]
				}
				return nil
			}))
			samples = append(samples, s)
		}
		return nil
	}))
	got := map[string]int64{}
	for _, s := range samples {
		got[strs[names[at[s.location]]]] += int64(s.n)
	}
	return got
}

func TestMerge(t *testing.T) {
	a := profileOf(time.Second, sampled{"a", 1}, sampled{"common", 10})
	b := profileOf(2*time.Second, sampled{"common", 100}, sampled{"b", 5}, sampled{"bb", 6})
	merged, err := merge([][]byte{a, b})
	if err != nil {
		t.Fatal(err)
	}
	want(t, counted(t, merged), map[string]int64{"a": 1, "common": 110, "b": 5, "bb": 6})
	if one, err := merge([][]byte{a}); err != nil || !bytes.Equal(one, a) {
		t.Errorf("one segment is not passed on as it is: %v", err)
	}
	if _, err := merge(nil); err == nil {
		t.Error("no segment is a profile")
	}
	if _, err := merge([][]byte{a, []byte("garbage")}); err == nil || !strings.Contains(err.Error(), "segment 2") {
		t.Errorf("garbage: %v", err)
	}
}

func TestDelta(t *testing.T) {
	before := profileOf(0, sampled{"same", 4}, sampled{"gone", 2}, sampled{"grown", 10})
	after := profileOf(0, sampled{"new", 1}, sampled{"same", 4}, sampled{"grown", 25})
	d, err := delta(before, after, 42, 7)
	if err != nil {
		t.Fatal(err)
	}
	want(t, counted(t, d), map[string]int64{"gone": -2, "grown": 15, "new": 1})
	z, err := gzip.NewReader(bytes.NewReader(d))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("same")) {
		t.Error("what only a sample of 0 needed is still there")
	}
	m := newMerger()
	if err := m.addRaw(raw, 1); err != nil || m.time != 42 || m.duration != 7 {
		t.Errorf("time %d, duration %d, %v", m.time, m.duration, err)
	}
	if _, err := delta(before, heap(t), 0, 0); err == nil || !strings.Contains(err.Error(), "two kinds") {
		t.Errorf("profiles of two kinds: %v", err)
	}
}

func heap(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("heap").WriteTo(&b, 0); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func want(t *testing.T, got, want map[string]int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %d, want %d", k, got[k], v)
		}
	}
}

// FuzzMerge: whatever is said to be a profile, adding it ends in an error or
// in a profile that can be added again, with the same result.
func FuzzMerge(f *testing.F) {
	for _, gz := range [][]byte{profileOf(time.Second, sampled{"a", 1}, sampled{"b", -2}), heap(f)} {
		z, err := gzip.NewReader(bytes.NewReader(gz))
		if err != nil {
			f.Fatal(err)
		}
		raw, err := io.ReadAll(z)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte{0x12, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := newMerger()
		if m.addRaw(raw, 1) != nil {
			return
		}
		once, _ := m.raw()
		again := newMerger()
		if err := again.addRaw(once, 1); err != nil {
			t.Fatalf("what was merged is no profile: %v", err)
		}
		twice, _ := again.raw()
		third := newMerger()
		if err := third.addRaw(twice, 1); err != nil {
			t.Fatal(err)
		}
		if thrice, _ := third.raw(); !bytes.Equal(twice, thrice) {
			t.Error("merging again changes it")
		}
	})
}

// BenchmarkMerge merges two segments of this program's allocations.
func BenchmarkMerge(b *testing.B) {
	p := heap(b)
	b.SetBytes(int64(len(p)) * 2)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := merge([][]byte{p, p}); err != nil {
			b.Fatal(err)
		}
	}
}
