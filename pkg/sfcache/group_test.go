package sfcache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

type label struct{}

// result is what one caller of Do got, and how long it waited.
type result struct {
	v    string
	err  error
	took time.Duration
}

// call calls Do in a goroutine and lets it come as far as it can.
func call(ctx context.Context, g *sfcache.Group[string], f func(context.Context) (string, error)) <-chan result {
	done := make(chan result, 1)
	start := time.Now()
	go func() {
		v, err := g.Do(ctx, "k", f)
		done <- result{v, err, time.Since(start)}
	}()
	synctest.Wait()
	return done
}

// deaf is a loader of 300 ms that does not heed its context.
func deaf(context.Context) (string, error) {
	time.Sleep(300 * ms)
	return "loaded", nil
}

func never(context.Context) (string, error) { panic("a second call was made") }

func TestGroupLeaderLeavesWaiterStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g sfcache.Group[string]
		ctx, cancel := context.WithCancel(t.Context())
		heeds := func(ctx context.Context) (string, error) {
			select {
			case <-time.After(300 * ms):
				return "loaded", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		leader, waiter := call(ctx, &g, heeds), call(t.Context(), &g, never)
		time.Sleep(30 * ms)
		cancel()
		if r := <-leader; !errors.Is(r.err, context.Canceled) || r.took != 30*ms {
			t.Errorf("leader got %+v, want a cancelled context after 30ms", r)
		}
		if r := <-waiter; r.err != nil || r.v != "loaded" || r.took != 300*ms {
			t.Errorf("waiter got %+v, want the value after 300ms", r)
		}
	})
}

func TestGroupDeadlines(t *testing.T) {
	for _, who := range []string{"leader", "waiter"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g sfcache.Group[string]
				short, cancel := context.WithTimeout(t.Context(), 30*ms)
				defer cancel()
				ctxs := map[string]context.Context{"leader": t.Context(), "waiter": t.Context()}
				ctxs[who] = short
				got := map[string]<-chan result{"leader": call(ctxs["leader"], &g, deaf)}
				got["waiter"] = call(ctxs["waiter"], &g, never)
				for name, c := range got {
					r := <-c
					switch {
					case name == who && (!errors.Is(r.err, context.DeadlineExceeded) || r.took != 30*ms):
						t.Errorf("%s with a deadline got %+v, want its end after 30ms", name, r)
					case name != who && (r.err != nil || r.v != "loaded" || r.took != 300*ms):
						t.Errorf("%s got %+v, want the value after 300ms", name, r)
					}
				}
			})
		})
	}
}

func TestGroupLastCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g sfcache.Group[string]
		ctx, cancel := context.WithTimeout(t.Context(), 30*ms)
		defer cancel()
		var cause error
		ended := make(chan struct{})
		r := <-call(ctx, &g, func(ctx context.Context) (string, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			// Unlinked before cancelled: whoever comes now starts a new call.
			v, err := g.Do(t.Context(), "k", func(context.Context) (string, error) { return "new", nil })
			if v != "new" || err != nil {
				t.Errorf("a new caller got %q, %v, want a call of its own", v, err)
			}
			close(ended)
			return "", ctx.Err()
		})
		if !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("got %+v", r)
		}
		<-ended
		if cause == nil || !strings.Contains(cause.Error(), "every caller has left") {
			t.Errorf("the load ended because of %v", cause)
		}
	})
}

func TestGroupKeepsValuesOfLeadersContext(t *testing.T) {
	var g sfcache.Group[string]
	ctx := context.WithValue(t.Context(), label{}, "trace 7")
	v, err := g.Do(ctx, "k", func(ctx context.Context) (string, error) {
		s, _ := ctx.Value(label{}).(string)
		return s, nil
	})
	if v != "trace 7" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestGroupTimeoutFreesCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := sfcache.Group[string]{Timeout: 100 * ms}
		leader := call(t.Context(), &g, deaf)
		time.Sleep(50 * ms)
		waiter := call(t.Context(), &g, never)
		for name, w := range map[string]struct {
			c    <-chan result
			took time.Duration
		}{"leader": {leader, 100 * ms}, "waiter": {waiter, 50 * ms}} {
			r := <-w.c
			if !errors.Is(r.err, context.DeadlineExceeded) || r.took != w.took || !strings.Contains(r.err.Error(), "no result within 100ms") {
				t.Errorf("%s got %+v", name, r)
			}
		}
		if v, err := g.Do(t.Context(), "k", func(context.Context) (string, error) { return "at once", nil }); v != "at once" || err != nil {
			t.Errorf("after a timeout got %q, %v", v, err)
		}
		time.Sleep(300 * ms) // until the loader, which nobody can stop, is done
	})
}

func explode(context.Context) (string, error) {
	time.Sleep(ms)
	panic(errors.New("boom"))
}

func exit(context.Context) (string, error) {
	time.Sleep(ms)
	runtime.Goexit()
	return "", nil
}

func TestGroupPanicAndGoexit(t *testing.T) {
	for name, tt := range map[string]struct {
		f     func(context.Context) (string, error)
		value string
		frame string
	}{
		"panic":  {explode, "boom", "explode"},
		"goexit": {exit, "runtime.Goexit was called", "exit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g sfcache.Group[string]
				var got []<-chan result
				for range 3 {
					got = append(got, call(t.Context(), &g, tt.f))
				}
				for i, c := range got {
					r := <-c
					var p *sfcache.PanicError
					if !errors.As(r.err, &p) {
						t.Fatalf("caller %d got %+v, want a PanicError", i, r)
					}
					if fmt.Sprint(p.Value) != tt.value || !strings.Contains(string(p.Stack), "sfcache_test."+tt.frame) || !strings.Contains(p.Error(), tt.value) {
						t.Errorf("caller %d: value %v, stack:\n%s", i, p.Value, p.Stack)
					}
					if is := errors.Is(r.err, sfcache.ErrGoexit); is != (name == "goexit") {
						t.Errorf("errors.Is(err, ErrGoexit) is %v", is)
					}
				}
				if v, err := g.Do(t.Context(), "k", func(context.Context) (string, error) { return "fine", nil }); v != "fine" || err != nil {
					t.Errorf("afterwards got %q, %v", v, err)
				}
			})
		})
	}
}

// Callers that overlap without a pause must not keep a finished call alive: no
// caller gets what a call returned that had ended before it came.
func TestGroupOldestFlight(t *testing.T) {
	var g sfcache.Group[int64]
	var calls atomic.Int64 // so many were made
	var ended atomic.Int64 // the last of them that somebody has the result of
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 2000 {
				before := ended.Load()
				no, err := g.Do(t.Context(), "k", func(context.Context) (int64, error) {
					no := calls.Add(1)
					for range 50 {
						runtime.Gosched()
					}
					return no, nil
				})
				if err != nil || no <= before {
					t.Errorf("a caller got call %d, %v, and call %d had ended when it came", no, err, before)
					return
				}
				for last := before; last < no && !ended.CompareAndSwap(last, no); last = ended.Load() {
				}
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n < 100 || n >= 32*2000 {
		t.Errorf("%d calls for %d callers: they were not shared, or a few lasted for ever", n, 32*2000)
	}
}

func TestGroupColdKeysInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g sfcache.Group[int]
		d := took(func() {
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					v, err := g.Do(t.Context(), fmt.Sprint(i), func(context.Context) (int, error) {
						time.Sleep(50 * ms)
						return i, nil
					})
					if v != i || err != nil {
						t.Errorf("key %d: %d, %v", i, v, err)
					}
				})
			}
			wg.Wait()
		})
		if d != 50*ms {
			t.Errorf("64 cold keys took %s, want 50ms", d)
		}
	})
}

func TestGroupEndedContext(t *testing.T) {
	var g sfcache.Group[string]
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := g.Do(ctx, "k", never); !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error and cause", err)
	}
}
