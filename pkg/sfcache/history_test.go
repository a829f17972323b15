package sfcache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/profbot/profbot/pkg/sfcache"
)

// What the package promises of one key is a regular register: a read returns
// the last value whose write was over when the read began, or that of a write
// that overlaps the read. By definition that is so when each read by itself,
// together with all writes, is linearizable, so that is what porcupine checks.
// Whole histories are not linearizable: a load that a write has unlinked may
// read what the next write, which is not over yet, has put into the source, when
// later readers still get what the first one stored.

// op is one operation of a history: a write of a value, with the cache told of
// it, or a read. 0 is "there is none".
type op struct {
	key   string
	write bool
	value int
}

var register = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, _ any) (bool, any) {
		o := input.(op)
		if o.write {
			return true, o.value
		}
		return state == o.value, state
	},
}

// history collects what goroutines did, on one clock.
type history struct {
	now atomic.Int64
	mu  sync.Mutex // protects ops
	ops map[string][]porcupine.Operation
}

// do runs one operation; f returns what was read or written, and false to
// leave it out of the history.
func (h *history) do(client int, key string, write bool, f func() (int, bool)) {
	began := h.now.Add(1)
	v, ok := f()
	ended := h.now.Add(1)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[key] = append(h.ops[key], porcupine.Operation{ClientId: client, Input: op{key, write, v}, Call: began, Return: ended})
}

// regular checks each read with all writes.
func (h *history) regular(t *testing.T) {
	t.Helper()
	for key, ops := range h.ops {
		var writes, reads []porcupine.Operation
		for _, o := range ops {
			if o.Input.(op).write {
				writes = append(writes, o)
			} else {
				reads = append(reads, o)
			}
		}
		for _, r := range reads {
			if !porcupine.CheckOperations(register, append(slices.Clip(around(writes, r)), r)) {
				t.Errorf("%s: read %d between %d and %d; the writes: %s", key, r.Input.(op).value, r.Call, r.Return, tell(around(writes, r)))
				return
			}
		}
	}
}

// around leaves out writes that cannot matter for r: those that begin after it,
// and those that were over when another one began that was over before it.
func around(writes []porcupine.Operation, r porcupine.Operation) (some []porcupine.Operation) {
	var last int64 // the latest begin of a write that was over when r began
	for _, w := range writes {
		if w.Return < r.Call {
			last = max(last, w.Call)
		}
	}
	for _, w := range writes {
		if w.Call < r.Return && w.Return >= last {
			some = append(some, w)
		}
	}
	return some
}

func tell(writes []porcupine.Operation) (s string) {
	for _, w := range writes {
		s += fmt.Sprintf(" %d [%d %d]", w.Input.(op).value, w.Call, w.Return)
	}
	return s
}

// backing is where values really are, with pauses to let others in. Writers of
// one key take turns, as the rows of a database make them.
type backing struct {
	mu   sync.Mutex // protects vals
	vals map[string]int
	turn map[string]*sync.Mutex
	next atomic.Int64
}

func (b *backing) load(_ context.Context, key string) (int, error) {
	pause()
	b.mu.Lock()
	v, ok := b.vals[key]
	b.mu.Unlock()
	pause()
	if !ok {
		return 0, sfcache.ErrNotFound
	}
	return v, nil
}

func pause() {
	for range rand.IntN(20) {
		runtime.Gosched()
	}
}

// write writes a new value, or with remove none, and returns it.
func (b *backing) write(key string, remove bool, told func(v int) error) (int, bool) {
	b.turn[key].Lock()
	defer b.turn[key].Unlock()
	v := 0
	if !remove {
		v = int(b.next.Add(1))
	}
	b.mu.Lock()
	if remove {
		delete(b.vals, key)
	} else {
		b.vals[key] = v
	}
	b.mu.Unlock()
	pause()
	if err := told(v); err != nil {
		panic(err)
	}
	return v, true
}

// play makes a history of goroutines on few keys. The hold has room for two
// values of three and may lose them at once, so that every tier takes part.
func play(t *testing.T, cfg sfcache.Config[int]) (*history, sfcache.Stats) {
	t.Helper()
	b := &backing{vals: map[string]int{}, turn: map[string]*sync.Mutex{}}
	keys := []string{"a", "b", "c"}
	for _, k := range keys {
		b.turn[k] = new(sync.Mutex)
	}
	cfg.Load = b.load
	c := open(t, cfg)
	h := &history{ops: map[string][]porcupine.Operation{}}
	result := func(v int, err error) (int, bool) {
		if err != nil && !errors.Is(err, sfcache.ErrNotFound) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		return v, err == nil || errors.Is(err, sfcache.ErrNotFound)
	}
	var wg sync.WaitGroup
	for client := range 6 {
		wg.Go(func() {
			for range 250 {
				key := keys[rand.IntN(len(keys))]
				switch rand.IntN(20) {
				case 0:
					h.do(client, key, true, func() (int, bool) {
						return b.write(key, false, func(v int) error { return c.Set(t.Context(), key, v) })
					})
				case 1:
					h.do(client, key, true, func() (int, bool) {
						return b.write(key, rand.IntN(4) == 0, func(int) error { return c.Delete(t.Context(), key) })
					})
				case 2:
					h.do(client, key, false, func() (int, bool) { return result(c.Refresh(t.Context(), key)) })
				case 3:
					ctx, cancel := context.WithCancel(t.Context())
					go func() { pause(); cancel() }()
					h.do(client, key, false, func() (int, bool) { return result(c.Get(ctx, key)) })
				case 4:
					many, err := map[string]int(nil), error(nil)
					h.do(client, key, false, func() (int, bool) {
						many, err = c.GetMany(t.Context(), keys)
						return result(many[key], err)
					})
				case 5:
					c.Unhold(key)
				default:
					h.do(client, key, false, func() (int, bool) { return result(c.Get(t.Context(), key)) })
				}
			}
		})
	}
	wg.Wait()
	return h, c.Stats()
}

// histories are configurations for play.
func histories() map[string]sfcache.Config[int] {
	tiny := sfcache.Hold[int]{MaxBytes: 500}
	return map[string]sfcache.Config[int]{
		"hold":               {TTL: time.Minute, Hold: tiny},
		"hold, absence":      {TTL: time.Minute, Hold: tiny, NegativeTTL: time.Minute},
		"short":              {TTL: 2 * ms, Hold: tiny, Local: local, NegativeTTL: ms},
		"local":              {TTL: time.Minute, Hold: sfcache.Hold[int]{MaxBytes: -1}, Local: local, NegativeTTL: time.Minute},
		"hold and local":     {TTL: time.Minute, Hold: tiny, Local: local},
		"hold TTL and local": {TTL: time.Minute, Hold: sfcache.Hold[int]{TTL: ms}, Local: local},
	}
}

func TestHistoriesAreRegular(t *testing.T) {
	cfgs := histories()
	for name, cfg := range histories() {
		cfg.Name, cfg.Remote = "t", newMemory()
		cfgs[name+" and remote"] = cfg
		cfg.Lease, cfg.Remote = time.Second, newMemory()
		cfgs[name+" and remote with leases"] = cfg
	}
	cfgs["remote"] = sfcache.Config[int]{Name: "t", TTL: time.Minute, Hold: sfcache.Hold[int]{MaxBytes: -1}, Remote: newMemory()}
	for name, cfg := range cfgs {
		t.Run(name, func(t *testing.T) {
			h, s := play(t, cfg)
			h.regular(t)
			if s.Loads == 0 || s.HoldHits+s.LocalHits+s.RemoteHits == 0 {
				t.Errorf("the tiers took no part: %+v", s)
			}
		})
	}
}

// The check itself finds what must not be.
func TestHistoryCheckFindsStaleReads(t *testing.T) {
	at := func(call, ret int64, write bool, v int) porcupine.Operation {
		return porcupine.Operation{Input: op{"k", write, v}, Call: call, Return: ret}
	}
	writes := []porcupine.Operation{at(1, 2, true, 1), at(3, 6, true, 2), at(7, 8, true, 3)}
	for _, tt := range []struct {
		read porcupine.Operation
		ok   bool
	}{
		{at(4, 5, false, 1), true},
		{at(4, 5, false, 2), true},  // during the write of 2 both
		{at(4, 5, false, 3), false}, // not yet written
		{at(9, 10, false, 2), false},
		{at(9, 10, false, 3), true},
		{at(9, 10, false, 0), false},
	} {
		if got := porcupine.CheckOperations(register, append(around(writes, tt.read), tt.read)); got != tt.ok {
			t.Errorf("%s: read %+v is judged %v", tell(writes), tt.read, got)
		}
	}
}
