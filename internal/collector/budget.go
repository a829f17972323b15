package collector

import (
	"context"
	"slices"
	"sync"
)

// service is what a budget and a breaker is about: the pods of one service in
// one environment.
type service struct{ name, env string }

// place is what a pull takes up while it runs.
type place struct {
	service service
	node    string   // "" counts for no node
	pods    []string // names of the process, each of which is taken by one pull at a time
}

// budget hands out places within its bounds. Services take turns: the one that
// was served least recently comes first, so that none starves another. Within
// a service the order is that of asking, but who must wait for a pod or a node
// does not keep others waiting, for a while (see patience).
type budget struct {
	total, perService, perNode int // 0 means no bound

	mu      sync.Mutex // protects the fields below, and the queues and waiters
	running int
	pods    map[string]bool
	nodes   map[string]int
	queues  map[service]*queue // those with pulls that run or wait
	order   []*queue           // those with pulls that wait, the least recently served first
}

type queue struct {
	service service
	running int
	waiting []*waiter // in the order of asking
}

type waiter struct {
	place
	granted chan struct{} // closed, with mu held, when the place is its own
	passed  int           // how many of its queue were served that had asked later
}

// patience is how often a waiter is passed by others of its service before
// they wait for it: else one that needs a busy node might wait forever, its
// service's bound being filled up by others whenever the node is free.
const patience = 8

func newBudget(total, perService, perNode int) *budget {
	return &budget{
		total: total, perService: perService, perNode: perNode,
		pods: map[string]bool{}, nodes: map[string]int{}, queues: map[service]*queue{},
	}
}

// acquire waits for a place until ctx ends. The returned function gives it
// back and must be called once.
func (b *budget) acquire(ctx context.Context, at place) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w := &waiter{place: at, granted: make(chan struct{})}
	b.mu.Lock()
	q := b.queues[at.service]
	if q == nil {
		q = &queue{service: at.service}
		b.queues[at.service] = q
	}
	if q.waiting = append(q.waiting, w); len(q.waiting) == 1 {
		b.order = append(b.order, q)
	}
	b.serveLocked()
	b.mu.Unlock()
	select {
	case <-w.granted:
		return func() { b.release(w) }, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		b.leaveLocked(q, i)
		b.serveLocked() // others may have waited for this one
	}
	b.mu.Unlock()
	if i < 0 {
		b.release(w) // it was granted at the same moment
	}
	return nil, context.Cause(ctx)
}

func (b *budget) release(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[w.service]
	b.running--
	q.running--
	if b.nodes[w.node]--; b.nodes[w.node] <= 0 {
		delete(b.nodes, w.node)
	}
	for _, p := range w.pods {
		delete(b.pods, p)
	}
	b.forgetLocked(q)
	b.serveLocked()
}

// serveLocked grants every place that can be granted. Must be called with mu
// held, after every change.
func (b *budget) serveLocked() {
	for i := 0; i < len(b.order); i++ {
		q := b.order[i]
		j := b.nextLocked(q)
		if j < 0 {
			continue
		}
		w := q.waiting[j]
		for _, earlier := range q.waiting[:j] {
			earlier.passed++
		}
		b.running++
		q.running++
		b.nodes[w.node]++
		for _, p := range w.pods {
			b.pods[p] = true
		}
		b.leaveLocked(q, j)
		if k := slices.Index(b.order, q); k >= 0 { // now it is its turn last
			b.order = append(slices.Delete(b.order, k, k+1), q)
		}
		close(w.granted)
		i = -1 // from the beginning
	}
}

// nextLocked is the first waiter of q whose place is free; -1 for none.
func (b *budget) nextLocked(q *queue) int {
	if b.running >= b.total || b.perService > 0 && q.running >= b.perService {
		return -1
	}
	for i, w := range q.waiting {
		nodeFree := b.perNode == 0 || w.node == "" || b.nodes[w.node] < b.perNode
		if nodeFree && !slices.ContainsFunc(w.pods, func(p string) bool { return b.pods[p] }) {
			return i
		}
		if w.passed >= patience {
			break
		}
	}
	return -1
}

// leaveLocked takes waiter i out of q.
func (b *budget) leaveLocked(q *queue, i int) {
	q.waiting = slices.Delete(q.waiting, i, i+1)
	if len(q.waiting) == 0 {
		b.order = slices.DeleteFunc(b.order, func(o *queue) bool { return o == q })
	}
	b.forgetLocked(q)
}

func (b *budget) forgetLocked(q *queue) {
	if q.running == 0 && len(q.waiting) == 0 {
		delete(b.queues, q.service)
	}
}

// counts are how many of a service run and wait.
func (b *budget) counts() map[service][2]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[service][2]int, len(b.queues))
	for s, q := range b.queues {
		out[s] = [2]int{q.running, len(q.waiting)}
	}
	return out
}
