package routers

import (
	"math/rand/v2"
	"time"
)

// Every calls f some 300 times a second until stop is closed. The pauses are
// random: the kernel takes CPU samples on its tick, and what keeps time with
// the tick is always sampled in the same place.
func Every(stop <-chan struct{}, f func() error) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Duration(rand.ExpFloat64() * float64(2500*time.Microsecond))):
			if err := f(); err != nil {
				return err
			}
		}
	}
}
