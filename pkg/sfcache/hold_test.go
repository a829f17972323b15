package sfcache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// The hold agrees with a map: what it has is what was put last, and its books
// balance after every step.
func TestHoldModel(t *testing.T) {
	for _, bound := range []int64{1, 50, 1000, 20_000} {
		rnd := rand.New(rand.NewPCG(7, uint64(bound)))
		h := sfcache.NewHoldOf(bound)
		type put struct {
			v    string
			cost int64
			dead int64
		}
		model := map[string]put{}
		hits := 0
		for i := range 20_000 {
			key := fmt.Sprint(rnd.IntN(300))
			switch op := rnd.IntN(100); {
			case op < 45:
				v, ok := h.Get(key)
				if ok {
					hits++
				}
				if ok && v != model[key].v {
					t.Fatalf("bound %d, step %d: %s is %q, last put %q", bound, i, key, v, model[key].v)
				}
			case op < 90:
				p := put{fmt.Sprint(i), 1 + rnd.Int64N(60), int64(rnd.IntN(20_000))}
				if rnd.IntN(200) == 0 {
					p.cost = bound - rnd.Int64N(max(bound/10, 1)) // nearly all of it
				}
				if ok := h.Put(key, p.v, p.cost, p.dead); ok != (p.cost <= bound) {
					t.Fatalf("bound %d: put of %d bytes: %v", bound, p.cost, ok)
				}
				model[key] = p
				if v, ok := h.Get(key); ok != (p.cost <= bound) || ok && v != p.v {
					t.Fatalf("bound %d, step %d: after put %s is %q, %v", bound, i, key, v, ok)
				}
			case op < 97:
				h.Remove(key)
				delete(model, key)
				if v, ok := h.Get(key); ok {
					t.Fatalf("bound %d, step %d: %s is %q after remove", bound, i, key, v)
				}
			case op < 99:
				h.Sweep(int64(i))
				for key, p := range model {
					if _, ok := h.Get(key); ok && p.dead <= int64(i) {
						t.Fatalf("bound %d, step %d: %s was dead at %d and survived the sweep", bound, i, key, p.dead)
					}
				}
			case rnd.IntN(20) == 0:
				h.Clear()
				clear(model)
			}
			if i%50 == 0 {
				keys, inQueues := h.Keys()
				var sum int64
				for _, k := range keys {
					sum += model[k].cost
				}
				if bytes, n := h.Size(); bytes > bound || bytes != sum || bytes != inQueues || n != int64(len(keys)) {
					t.Fatalf("bound %d, step %d: %d bytes of %d values; the queues count %d, the values %d", bound, i, bytes, n, inQueues, sum)
				}
				slices.Sort(keys)
				if len(slices.Compact(keys)) != len(keys) {
					t.Fatalf("bound %d: a key is there twice: %v", bound, keys)
				}
			}
		}
		if bound >= 1000 && hits < 500 {
			t.Errorf("bound %d: %d hits", bound, hits)
		}
	}
}

// A value in the main queue that fills nearly all of the hold, with a little
// beside it in the small one, was moved round for ever.
func TestHoldEvictionEnds(t *testing.T) {
	h := sfcache.NewHoldOf(1000)
	h.Put("big", "1", 500, 1)
	for range 3 {
		h.Get("big")
	}
	h.Put("other", "1", 600, 1) // big moves to main, other stays
	h.Put("small", "1", 50, 1)
	for _, key := range []string{"big", "other"} {
		for range 2 { // the second time it is known to be wanted
			h.Put(key, "2", 990, 1)
			h.Put("small", "2", 50, 1)
		}
	}
	if bytes, _ := h.Size(); bytes > 1000 {
		t.Errorf("%d bytes of 1000", bytes)
	}
}

// Readers see a whole value of their key or none, while the table grows and
// values are evicted, replaced and swept.
func TestHoldConcurrentReaders(t *testing.T) {
	h := sfcache.NewHoldOf(60_000)
	var done atomic.Bool
	var hits atomic.Int64
	var readers sync.WaitGroup
	for r := range 3 {
		readers.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(r)))
			for !done.Load() {
				key := fmt.Sprint(rnd.IntN(2000))
				if v, ok := h.Get(key); ok {
					hits.Add(1)
					if !strings.HasPrefix(v, key+"=") {
						t.Errorf("%s is %q", key, v)
						return
					}
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(2, 2))
	for i := range 12_000 {
		key := fmt.Sprint(rnd.IntN(2000))
		switch rnd.IntN(20) {
		case 0:
			h.Remove(key)
		case 1:
			h.Sweep(int64(i))
		default:
			h.Put(key, fmt.Sprintf("%s=%d", key, i), 50+rnd.Int64N(20), int64(i+4000))
		}
		if i%4000 == 0 {
			h.Clear()
		}
		if i%100 == 0 {
			runtime.Gosched()
		}
	}
	for hits.Load() == 0 {
		runtime.Gosched()
	}
	done.Store(true)
	readers.Wait()
	if bytes, _ := h.Size(); bytes > 60_000 {
		t.Errorf("%d bytes of 60000", bytes)
	}
}

// lru is what the hold's hit ratio is compared with.
type lru struct {
	max   int
	order []int
}

func (l *lru) get(k int) bool {
	i := slices.Index(l.order, k)
	if i >= 0 {
		l.order = append(slices.Delete(l.order, i, i+1), k)
		return true
	}
	if l.order = append(l.order, k); len(l.order) > l.max {
		l.order = l.order[1:]
	}
	return false
}

// On a skewed load the hold hits more than LRU; a scan of keys that come once
// does not empty it.
func TestHoldHitRatio(t *testing.T) {
	const keys, room = 1000, 250
	for name, scan := range map[string]bool{"zipf": false, "zipf with scans": true} {
		rnd := rand.New(rand.NewPCG(3, 3))
		zipf := rand.NewZipf(rnd, 1.1, 1, keys-1)
		h, l := sfcache.NewHoldOf(room), &lru{max: room}
		held, recent, asked := 0, 0, 0
		ask := func(k int) {
			asked++
			if _, ok := h.Get(fmt.Sprint(k)); ok {
				held++
			} else {
				h.Put(fmt.Sprint(k), "v", 1, 1)
			}
			if l.get(k) {
				recent++
			}
		}
		next := keys
		for i := range 40_000 {
			ask(int(zipf.Uint64()))
			if scan && i%2000 == 0 {
				for range 400 {
					ask(next)
					next++
				}
			}
		}
		mine, theirs := float64(held)/float64(asked), float64(recent)/float64(asked)
		t.Logf("%s: hold %.3f, LRU %.3f", name, mine, theirs)
		if mine < theirs+0.01 {
			t.Errorf("%s: the hold hits %.3f, LRU %.3f", name, mine, theirs)
		}
	}
}

// Values that nobody asks for any more go by themselves.
func TestHoldSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, sfcache.Config[string]{TTL: time.Second, Load: func(_ context.Context, key string) (string, error) { return key, nil }})
		for i := range 500 {
			want(t, c, fmt.Sprint(i), fmt.Sprint(i))
		}
		if n := c.Stats().HeldValues; n != 500 {
			t.Errorf("%d are held", n)
		}
		time.Sleep(4 * time.Second)
		if s := c.Stats(); s.HeldValues != 0 || s.HeldBytes != 0 {
			t.Errorf("%d values, %d bytes are held long after their TTL", s.HeldValues, s.HeldBytes)
		}
	})
}

type track struct {
	ID, Title string
	Viewers   int
	Tags      []string
	Meta      map[string]string
	Next      *track
}

// The bound in bytes is the heap's, within a quarter.
func TestHoldBoundIsTheHeaps(t *testing.T) {
	const bound = 8 << 20
	for name, n := range map[string]int{"lists of 4KB": 30, "lists of 50KB": 380, "single": 1} {
		t.Run(name, func(t *testing.T) {
			codec := sfcache.JSON[[]track]()
			var in []track
			for i := range n {
				in = append(in, track{
					ID: fmt.Sprint("stream-", i), Title: strings.Repeat("x", 20+i%30), Viewers: i,
					Tags: []string{"live", "music"}, Meta: map[string]string{"lang": "de", "region": "eu"}, Next: &track{ID: fmt.Sprint(i)},
				})
			}
			data, err := codec.Encode(in)
			if err != nil {
				t.Fatal(err)
			}
			heap := func() int64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			before := heap()
			c := open(t, sfcache.Config[[]track]{
				TTL: time.Hour, Hold: sfcache.Hold[[]track]{MaxBytes: bound},
				Load: func(context.Context, string) ([]track, error) { return codec.Decode(data) },
			})
			for i := 0; c.Stats().Evicted < 20; i++ {
				if _, err := c.Get(t.Context(), fmt.Sprint("live:list:", i)); err != nil {
					t.Fatal(err)
				}
			}
			used, s := heap()-before, c.Stats()
			t.Logf("%d values: %d bytes counted, %d on the heap", s.HeldValues, s.HeldBytes, used)
			if s.HeldBytes > bound || s.HeldBytes < bound*9/10 {
				t.Errorf("%d bytes are counted, of %d", s.HeldBytes, bound)
			}
			if float64(used) > 1.25*bound || float64(used) < 0.75*bound {
				t.Errorf("%d bytes are on the heap, of a bound of %d", used, bound)
			}
			runtime.KeepAlive(c)
		})
	}
}
