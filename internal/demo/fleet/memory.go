package fleet

import "runtime/metrics"

// memoryBytes is what this process has from the operating system, without what
// it gave back.
func memoryBytes() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
