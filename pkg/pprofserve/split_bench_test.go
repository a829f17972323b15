package pprofserve

import (
	"io"
	"runtime/pprof"
	"testing"
)

// BenchmarkSplit is what a running recording loses when another begins or
// ends: the profiler is stopped, the segment written, and it starts again.
func BenchmarkSplit(b *testing.B) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		b.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	for b.Loop() {
		pprof.StopCPUProfile()
		if err := pprof.StartCPUProfile(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
