package pprofserve

import (
	"fmt"
	"sync"
	"testing"
)

// TestBound: labels of their own have only so many endpoints, whoever asks.
func TestBound(t *testing.T) {
	table := newEndpointTable()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 3 * MaxEndpoints {
				table.get("GET", fmt.Sprintf("/%d/%d", worker%2, i))
			}
		})
	}
	wg.Wait()
	if n := len(*table.known.Load()); n != MaxEndpoints {
		t.Errorf("%d endpoints are kept, want %d", n, MaxEndpoints)
	}
	if table.get("GET", "/late") != table.other {
		t.Error("one too many has a label of its own")
	}
	for n, e := range *table.known.Load() {
		if table.get(n.method, n.route) != e {
			t.Fatalf("%v is not found again", n)
		}
	}
}
