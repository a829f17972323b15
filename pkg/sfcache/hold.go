package sfcache

import (
	"sync"
	"sync/atomic"
)

// hold is the decoded tier: values by key, bounded by bytes. Readers take no
// lock: get follows atomic pointers only. Writers (a fill, a removal) take mu;
// they come at the pace of decodes, thousands of times slower than readers, so
// one lock for all keys keeps the byte bound exact and the policy whole.
//
// The eviction policy is S3-FIFO (Yang et al., SOSP 2023): new values wait in
// a small queue, those read again move to the main queue, and the hashes of
// those that were not are remembered for a second chance. A hit costs at most
// a store to the value's own counter, and none once that stands at its top.
type hold[V any] struct {
	table atomic.Pointer[table[V]] // replaced under mu

	mu    sync.Mutex // protects the fields below
	max   int64      // bytes; 0: the hold is off and stays empty
	bytes int64
	count int
	small queue[V]
	main  queue[V]
	ghost ghosts
	swept uint64 // the next bucket that sweep looks at

	evicted atomic.Int64
	// gone, if not nil, is told of each item that leaves; under mu. Set once,
	// before the hold is used.
	gone func(*item[V])
}

// table is a hash table with chains. Its length is a power of two and never
// changes: hold makes a larger one with copies of the items, so that a reader
// sees one whole table or the other.
type table[V any] struct{ buckets []atomic.Pointer[item[V]] }

// item is one held value. What a reader looks at comes first, to be on the
// same cache line.
type item[V any] struct {
	hash uint64
	key  string
	next atomic.Pointer[item[V]] // in the chain; changed under hold.mu
	// soon, on the cache's clock, is when a reader must look closer: the value
	// wants a refresh, or is no longer fresh.
	soon int64
	val  V
	// reads counts up to maxReads; eviction takes from it.
	reads atomic.Int32

	// The rest does not change once the item is in the table, except where
	// said.
	err      error        // not nil: it is known that there is no value
	fresh    int64        // until then val is fresh in the hold
	end      int64        // until then it is fresh in a byte tier; from then on stale
	dead     int64        // from then on it is not even served stale
	cost     int64        // bytes
	again    atomic.Int64 // before that no refresh is started; any reader may move it on
	snapshot any          // a copy for CheckShared

	// In the queues; under hold.mu.
	newer, older *item[V]
	in           *queue[V]
}

// maxReads is enough to tell hot from warm, and soon reached: from then on
// hits do not write at all.
const maxReads = 3

// queue is a list of items, newest first.
type queue[V any] struct {
	newest, oldest *item[V]
	bytes          int64
}

func newHold[V any](max int64) *hold[V] {
	h := &hold[V]{max: max}
	size := 1
	if max > 0 {
		size = 64
	}
	h.table.Store(&table[V]{make([]atomic.Pointer[item[V]], size)})
	return h
}

// get returns the item of key, fresh or not, or nil.
func (h *hold[V]) get(hash uint64, key string) *item[V] {
	t := h.table.Load()
	for it := t.bucket(hash).Load(); it != nil; it = it.next.Load() {
		if it.hash == hash && it.key == key {
			return it
		}
	}
	return nil
}

func (t *table[V]) bucket(hash uint64) *atomic.Pointer[item[V]] {
	// The upper half: the lower bits choose the shard of the flight.
	return &t.buckets[(hash>>32)&uint64(len(t.buckets)-1)]
}

// touch notes that it was read.
func (it *item[V]) touch() {
	// Two readers may both count 1 to 2: a read is lost, which is no harm.
	if n := it.reads.Load(); n < maxReads {
		it.reads.Store(n + 1)
	}
}

// put stores it in place of what was there. It reports false if the value is
// larger than the whole hold, or the hold is off; then nothing is held for
// the key.
func (h *hold[V]) put(it *item[V]) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	into, old := &h.small, h.get(it.hash, it.key)
	if old != nil {
		into = old.in
		it.reads.Store(old.reads.Load())
		h.removeLocked(old)
	} else if h.ghost.take(it.hash) {
		into = &h.main
	}
	if it.cost > h.max {
		return false
	}
	if h.count >= len(h.table.Load().buckets) {
		h.growLocked()
	}
	b := h.table.Load().bucket(it.hash)
	it.next.Store(b.Load())
	b.Store(it)
	into.push(it)
	h.bytes += it.cost
	h.count++
	for steps := 0; h.bytes > h.max; steps++ {
		h.evictLocked(it, steps < patience)
	}
	return true
}

// remove removes key.
func (h *hold[V]) remove(hash uint64, key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if it := h.get(hash, key); it != nil {
		h.removeLocked(it)
	}
}

// clear removes everything.
func (h *hold[V]) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone != nil {
		h.eachLocked(h.gone)
	}
	h.table.Store(&table[V]{make([]atomic.Pointer[item[V]], len(h.table.Load().buckets))})
	h.small, h.main, h.ghost = queue[V]{}, queue[V]{}, ghosts{}
	h.bytes, h.count, h.swept = 0, 0, 0
}

// removeLocked takes it out. A reader that stands on it goes on along its
// next, which stays.
func (h *hold[V]) removeLocked(it *item[V]) {
	p := h.table.Load().bucket(it.hash)
	for p.Load() != it {
		p = &p.Load().next
	}
	p.Store(it.next.Load())
	it.in.unlink(it)
	if h.gone != nil {
		h.gone(it)
	}
	h.bytes -= it.cost
	h.count--
}

// growLocked doubles the table. Items are copied, since their chains change
// and readers may be on them.
func (h *hold[V]) growLocked() {
	t := &table[V]{make([]atomic.Pointer[item[V]], 2*len(h.table.Load().buckets))}
	for _, q := range []*queue[V]{&h.small, &h.main} {
		old := q.oldest
		*q = queue[V]{}
		for ; old != nil; old = old.newer {
			it := &item[V]{
				hash: old.hash, key: old.key, val: old.val, err: old.err,
				soon: old.soon, fresh: old.fresh, end: old.end, dead: old.dead, cost: old.cost, snapshot: old.snapshot,
			}
			it.reads.Store(old.reads.Load())
			it.again.Store(old.again.Load())
			b := t.bucket(it.hash)
			it.next.Store(b.Load())
			b.Store(it)
			q.push(it)
		}
	}
	h.table.Store(t)
}

// patience is how many items a put spares because they were read. Readers take
// no lock: many of them on few keys could raise the counters as fast as one
// writer lowers them, and a large queue of hot values would be walked whole.
const patience = 1000

// evictLocked removes one item, or, if it may spare those that were read, moves
// one to where it is safer. It never removes the one that came last: a value
// larger than the small queue would go at once.
func (h *hold[V]) evictLocked(last *item[V], spare bool) {
	none := h.main.oldest == nil || h.main.oldest == last && h.main.newest == last
	if it := h.small.oldest; it != nil && it != last && (h.small.bytes > h.max/10 || none) {
		if spare && it.reads.Load() > 1 {
			h.small.unlink(it)
			it.reads.Store(0)
			h.main.push(it)
			return
		}
		h.removeLocked(it)
		h.ghost.add(it.hash, max(h.count, 16))
		h.evicted.Add(1)
		return
	}
	it := h.main.oldest
	if n := it.reads.Load(); spare && n > 0 || it == last {
		it.reads.Store(max(n-1, 0))
		h.main.unlink(it)
		h.main.push(it)
		return
	}
	h.removeLocked(it)
	h.evicted.Add(1)
}

// sweep removes what is dead by now from part of the table: a fraction of the
// buckets, at least one, so that values nobody asks for any more do not stay
// until others push them out.
func (h *hold[V]) sweep(now int64, fraction float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.table.Load()
	for range 1 + int(fraction*float64(len(t.buckets))) {
		b := &t.buckets[h.swept%uint64(len(t.buckets))]
		h.swept++
		for it := b.Load(); it != nil; it = it.next.Load() {
			if it.dead <= now {
				h.removeLocked(it)
			}
		}
	}
}

// each calls f for every item.
func (h *hold[V]) each(f func(*item[V])) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.eachLocked(f)
}

// eachLocked is each with mu held.
func (h *hold[V]) eachLocked(f func(*item[V])) {
	for _, q := range []*queue[V]{&h.small, &h.main} {
		for it := q.newest; it != nil; it = it.older {
			f(it)
		}
	}
}

// size is the bytes and the number of values held.
func (h *hold[V]) size() (bytes, count int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes, int64(h.count)
}

func (q *queue[V]) push(it *item[V]) {
	it.in, it.newer, it.older = q, nil, q.newest
	if q.newest != nil {
		q.newest.newer = it
	} else {
		q.oldest = it
	}
	q.newest = it
	q.bytes += it.cost
}

func (q *queue[V]) unlink(it *item[V]) {
	if it.newer != nil {
		it.newer.older = it.older
	} else {
		q.newest = it.older
	}
	if it.older != nil {
		it.older.newer = it.newer
	} else {
		q.oldest = it.newer
	}
	it.newer, it.older, it.in = nil, nil, nil
	q.bytes -= it.cost
}

// ghosts remembers the hashes of values that were evicted unread, oldest
// forgotten first.
type ghosts struct {
	order []uint64 // from the oldest; those taken since are not in has
	has   map[uint64]struct{}
}

func (g *ghosts) add(hash uint64, max int) {
	if g.has == nil {
		g.has = map[uint64]struct{}{}
	}
	if _, ok := g.has[hash]; !ok {
		g.has[hash] = struct{}{}
		g.order = append(g.order, hash)
	}
	for len(g.order) > max {
		delete(g.has, g.order[0])
		g.order = g.order[1:]
	}
}

// take forgets hash and reports whether it was there.
func (g *ghosts) take(hash uint64) bool {
	_, ok := g.has[hash]
	delete(g.has, hash)
	return ok
}
