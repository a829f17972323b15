//go:build !unix

package fleet

import "runtime/metrics"

// cpuSeconds is the runtime's estimate of the CPU time that this process has
// used; it moves with each garbage collection.
func cpuSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64() - s[1].Value.Float64()
}
