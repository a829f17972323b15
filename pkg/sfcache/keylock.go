package sfcache

import (
	"context"
	"sync"
)

// keyLocks are locks by key that exist while they are used: writes of one key
// reach the tiers in one order.
type keyLocks struct {
	mu sync.Mutex // protects m and what is in it, but for places
	m  map[string]*keyLock
}

type keyLock struct {
	in    *keyLocks
	key   string
	users int           // those who hold it or want to
	place chan struct{} // of capacity 1: full while somebody holds it
	late  bool          // another process wrote the key since it was locked
}

// lock waits until nobody else holds key's lock, or ctx ends.
func (l *keyLocks) lock(ctx context.Context, key string) (*keyLock, error) {
	l.mu.Lock()
	k := l.m[key]
	if k == nil {
		if l.m == nil {
			l.m = map[string]*keyLock{}
		}
		k = &keyLock{in: l, key: key, place: make(chan struct{}, 1)}
		l.m[key] = k
	}
	k.users++
	l.mu.Unlock()
	select {
	case k.place <- struct{}{}:
		l.mu.Lock()
		defer l.mu.Unlock()
		k.late = false
		return k, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		k.leaveLocked()
		return nil, ended(ctx)
	}
}

func (k *keyLock) unlock() {
	<-k.place
	k.in.mu.Lock()
	defer k.in.mu.Unlock()
	k.leaveLocked()
}

// leaveLocked forgets the lock when its last user goes. Must be called with
// the keyLocks' mu held.
func (k *keyLock) leaveLocked() {
	if k.users--; k.users == 0 {
		delete(k.in.m, k.key)
	}
}

// overtake tells who holds key's lock that another process wrote it.
func (l *keyLocks) overtake(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.m[key]; k != nil {
		k.late = true
	}
}

// overtakeAll tells everybody that any key may have been written.
func (l *keyLocks) overtakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.m {
		k.late = true
	}
}

// overtaken reports whether another process wrote the key since it was locked.
func (k *keyLock) overtaken() bool {
	k.in.mu.Lock()
	defer k.in.mu.Unlock()
	return k.late
}
