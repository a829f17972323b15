package sfcache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuard follows a Remote that fails and comes back.
func TestGuard(t *testing.T) {
	down := errors.New("down")
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	fail := func(context.Context) error { return down }
	well := func(context.Context) error { return nil }
	const timeout = 100 * time.Millisecond
	for name, test := range map[string]func(t *testing.T, g *guard){
		"a call is bounded": func(t *testing.T, g *guard) {
			began := time.Now()
			if err := g.read(t.Context(), hang); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != timeout {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		},
		"it rests, longer each time": func(t *testing.T, g *guard) {
			for range restAfter {
				if err := g.read(t.Context(), fail); !errors.Is(err, down) {
					t.Fatal(err)
				}
			}
			for _, rest := range []time.Duration{restFirst, 2 * restFirst, 4 * restFirst, 8 * restFirst, 16 * restFirst, restMost, restMost} {
				began := time.Now()
				if err := g.read(t.Context(), well); !errors.Is(err, errResting) {
					t.Fatalf("%v, want a rest", err)
				}
				<-time.After(rest - 1) // of the bubble's clock
				if err := g.read(t.Context(), fail); !errors.Is(err, errResting) {
					t.Fatalf("%v after %s, want a rest of %s", err, time.Since(began), rest)
				}
				<-time.After(1)
				if err := g.read(t.Context(), fail); !errors.Is(err, down) {
					t.Fatalf("%v after %s, want a probe", err, rest)
				}
			}
		},
		"calls that fail together rest once": func(t *testing.T, g *guard) {
			for range 100 {
				go g.read(t.Context(), hang)
			}
			synctest.Wait()
			<-time.After(timeout + restFirst)
			synctest.Wait()
			if err := g.read(t.Context(), well); err != nil {
				t.Error(err)
			}
			if err := g.read(t.Context(), fail); !errors.Is(err, down) {
				t.Errorf("%v, want one failure to be none in a row", err)
			}
		},
		"one probe at a time": func(t *testing.T, g *guard) {
			for range restAfter {
				g.read(t.Context(), fail)
			}
			<-time.After(restFirst)
			go g.read(t.Context(), hang)
			synctest.Wait()
			if err := g.read(t.Context(), well); !errors.Is(err, errResting) {
				t.Errorf("%v beside a probe, want a rest", err)
			}
			<-time.After(timeout)
			synctest.Wait()
		},
		"a write is made in a rest, and ends it": func(t *testing.T, g *guard) {
			for range restAfter {
				g.read(t.Context(), fail)
			}
			if err := g.write(t.Context(), fail); !errors.Is(err, down) {
				t.Errorf("%v, want the write's own error", err)
			}
			if err := g.write(t.Context(), well); err != nil {
				t.Error(err)
			}
			if err := g.read(t.Context(), well); err != nil {
				t.Error(err)
			}
		},
		"who leaves says nothing": func(t *testing.T, g *guard) {
			for range restAfter - 1 {
				g.read(t.Context(), fail)
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout/2)
			defer cancel()
			g.write(ctx, hang)
			if err := g.read(t.Context(), fail); !errors.Is(err, down) {
				t.Errorf("%v, want no rest yet", err)
			}
			if err := g.read(t.Context(), well); !errors.Is(err, errResting) {
				t.Errorf("%v, want a rest", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &guard{timeout: timeout}) })
		})
	}
}
