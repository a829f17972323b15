package collector

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// keepTurn is how long a pod's turn is kept after its first allocs profile for
// the CPU profile that follows: enough to store one profile on a busy disk.
const keepTurn = 5 * time.Second

// turns are the places for CPU profiles. The allocs profile before a CPU
// profile begins the turn that the CPU profile goes on with: in a storm the two
// would else be minutes apart, and their difference would say little about the
// CPU profile.
type turns struct {
	*budget

	mu   sync.Mutex           // protects kept
	kept map[string]*keptTurn // by the pod's first name
}

type keptTurn struct {
	release func()
	timer   *time.Timer // gives the turn back when nobody takes it
}

// keep holds a turn for the pod's next CPU profile.
func (t *turns) keep(pod string, release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := &keptTurn{release: release}
	t.kept[pod] = k // there is none before: a pod has one turn at a time
	k.timer = time.AfterFunc(keepTurn, func() {
		if t.take(pod, k) != nil {
			release()
		}
	})
}

// take ends the keeping of a pod's turn and returns it: of the turn only, or
// of any when only is nil. nil means that there is none, or not any more.
func (t *turns) take(pod string, only *keptTurn) *keptTurn {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.kept[pod]
	if k == nil || only != nil && k != only {
		return nil
	}
	delete(t.kept, pod)
	k.timer.Stop()
	return k
}

// wait waits for the pull's place, and for the jitter. end gives the place
// back, or keeps it for what follows.
func (q *pull) wait(ctx context.Context, of service, base *url.URL) (end func(good bool), err error) {
	start := time.Now()
	defer func() { q.waited = time.Since(start) }()
	if q.kind != incident.KindCPU && q.kind != incident.KindAllocsBefore {
		release, err := q.c.quick.acquire(ctx, place{service: of})
		return func(bool) { release() }, err
	}
	turns, pods := q.c.turns, processNames(q.target, base)
	if q.kind == incident.KindCPU {
		if k := turns.take(pods[0], nil); k != nil { // its jitter has been waited for
			return func(bool) { k.release() }, nil
		}
	}
	release, err := turns.acquire(ctx, place{of, q.target.Node, pods})
	if err != nil {
		return nil, err
	}
	if q.c.opt.Jitter > 0 {
		select {
		case <-time.After(q.c.opt.Random(q.c.opt.Jitter)):
		case <-ctx.Done():
			release()
			return nil, context.Cause(ctx)
		}
	}
	return func(good bool) {
		if good && q.kind == incident.KindAllocsBefore {
			turns.keep(pods[0], release)
			return
		}
		release()
	}, nil
}

// processNames are what a target's process is known by: two targets that
// share one are the same process, which can run one CPU profile. A pod that is
// known by two addresses is one, and so is an address of two names.
func processNames(t incident.Target, base *url.URL) []string {
	var names []string
	switch {
	case t.UID != "":
		names = append(names, "uid "+t.UID)
	case t.Pod != "" && t.Namespace != "":
		names = append(names, "pod "+t.Namespace+"/"+t.Pod)
	case t.Pod != "":
		names = append(names, "pod "+t.Service+"/"+t.Env+"/"+t.Pod) // only its service gives its name a meaning
	}
	if t.Via == incident.ViaDirect || len(names) == 0 { // else the host is the pod's own name for itself
		names = append(names, "address "+base.JoinPath("/").String())
	}
	return names
}
