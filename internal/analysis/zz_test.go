package analysis

import (
	"os"
	"testing"

	"github.com/profbot/profbot/internal/profile"
)

func BenchmarkZZ(b *testing.B) {
	data, _ := os.ReadFile("/tmp/h2/bench/big.pb.gz")
	for b.Loop() {
		p, err := profile.Parse(data, 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Analyze([]PodProfiles{{CPU: p}}, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
