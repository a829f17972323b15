package fleet

import "testing"

// TestRateAfterStall lets the machine stall for a second, as a busy one does,
// and counts the seconds until the pod is hot again.
func TestRateAfterStall(t *testing.T) {
	const perCore, want = 1200.0, 0.8 // requests per second that take one core
	allowed := nextRate(0, 0, want)
	for second := 1; ; second++ {
		if allowed/perCore >= 0.45 {
			break
		}
		if second > 5 {
			t.Fatalf("after %d s the pod uses %.2f cores", second, allowed/perCore)
		}
		allowed = nextRate(allowed, allowed/perCore, want)
	}
	for range 20 {
		allowed = nextRate(allowed, allowed/perCore, want)
	}
	if used := allowed / perCore; used < 0.75 || used > 0.85 {
		t.Errorf("it settles at %.2f cores, want %.2f", used, want)
	}
}
