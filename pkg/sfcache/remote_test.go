package sfcache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// memory is a Remote in this process: it keeps values and tokens until they
// expire, fences fills, and tells those who watch. Several caches on one memory
// are several processes.
type memory struct {
	mu        sync.Mutex // protects what follows
	values    map[string]kept
	tokens    map[string]kept
	tokenNo   int
	watchers  map[int]watcher
	watchNo   int
	calls     map[string]int // of each method
	published int
	answers   time.Duration                  // how long a call takes; it heeds its context
	err       error                          // what every call returns, if not nil
	after     func(op string, keys []string) // called when a call is done, before its answer arrives
	deaf      bool                           // Watch ends at once with an error
}

type kept struct {
	b     []byte
	until time.Time
}

type watcher struct {
	changed func(origin string, keys []string)
	missed  func()
	end     context.CancelCauseFunc
}

func newMemory() *memory {
	return &memory{values: map[string]kept{}, tokens: map[string]kept{}, watchers: map[int]watcher{}, calls: map[string]int{}}
}

func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// call is what all methods have in common.
func (m *memory) call(ctx context.Context, op string, keys []string, do func()) error {
	m.mu.Lock()
	m.calls[op]++
	answers, err, after := m.answers, m.err, m.after
	if err == nil && ctx.Err() == nil && answers < time.Hour {
		do()
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if after != nil {
		after(op, keys)
	}
	if answers > 0 {
		t := time.NewTimer(answers)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (m *memory) liveLocked(of map[string]kept, key string) (kept, bool) {
	k, ok := of[key]
	if ok && !time.Now().Before(k.until) {
		delete(of, key)
		return kept{}, false
	}
	return k, ok
}

func (m *memory) Fetch(ctx context.Context, keys []string, ask sfcache.Ask, life time.Duration) ([]sfcache.Fetched, error) {
	out := make([]sfcache.Fetched, len(keys))
	err := m.call(ctx, "fetch", keys, func() {
		for i, key := range keys {
			f := &out[i]
			v, there := m.liveLocked(m.values, key)
			if there {
				f.Value, f.Life = slices.Clone(v.b), time.Until(v.until)
			}
			if there && ask == sfcache.AskMissing {
				continue
			}
			token, taken := m.liveLocked(m.tokens, key)
			if !taken || ask == sfcache.AskSteal {
				m.tokenNo++
				f.Owner = true
				token = kept{fmt.Append(nil, m.tokenNo), time.Now().Add(life)}
				m.tokens[key] = token
			}
			f.Token = string(token.b)
		}
	})
	return out, err
}

func (m *memory) Fill(ctx context.Context, entries []sfcache.Entry) ([]bool, error) {
	stored := make([]bool, len(entries))
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	err := m.call(ctx, "fill", keys, func() {
		for i, e := range entries {
			token, ok := m.liveLocked(m.tokens, e.Key)
			if !ok || string(token.b) != e.Token {
				continue
			}
			stored[i] = true
			if e.Value != nil {
				m.values[e.Key] = kept{slices.Clone(e.Value), time.Now().Add(e.Life)}
			}
			if !e.Keep {
				delete(m.tokens, e.Key)
			}
		}
	})
	return stored, err
}

func (m *memory) Set(ctx context.Context, e sfcache.Entry, origin string) error {
	return m.write(ctx, "set", []string{e.Key}, origin, func() {
		m.values[e.Key] = kept{slices.Clone(e.Value), time.Now().Add(e.Life)}
	})
}

func (m *memory) Delete(ctx context.Context, keys []string, origin string) error {
	return m.write(ctx, "delete", keys, origin, func() {
		for _, k := range keys {
			delete(m.values, k)
		}
	})
}

func (m *memory) write(ctx context.Context, op string, keys []string, origin string, do func()) error {
	var tell []watcher
	told := false
	err := m.call(ctx, op, keys, func() {
		do()
		for _, k := range keys {
			delete(m.tokens, k)
		}
		m.published++
		for _, w := range m.watchers {
			tell = append(tell, w)
		}
		told = true
	})
	if told {
		for _, w := range tell {
			w.changed(origin, keys)
		}
	}
	return err
}

func (m *memory) Watch(ctx context.Context, changed func(string, []string), missed func()) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	m.mu.Lock()
	if m.deaf {
		m.mu.Unlock()
		return errors.New("memory: nothing can be heard")
	}
	m.watchNo++
	no := m.watchNo
	m.watchers[no] = watcher{changed, missed, end}
	m.mu.Unlock()
	defer m.set(func() { delete(m.watchers, no) })
	missed()
	<-ctx.Done()
	return context.Cause(ctx)
}

// breakOff ends every Watch with an error.
func (m *memory) breakOff() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.watchers {
		w.end(errors.New("memory: connection lost"))
	}
}

// value is what is stored of key.
func (m *memory) value(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.liveLocked(m.values, key)
	return v.b, ok
}

// put stores bytes as another program would.
func (m *memory) put(key string, b []byte, life time.Duration) {
	m.set(func() { m.values[key] = kept{b, time.Now().Add(life)} })
}

// tokensOut is how many tokens are taken out.
func (m *memory) tokensOut() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.tokens {
		if _, ok := m.liveLocked(m.tokens, k); ok {
			n++
		}
	}
	return n
}

func (m *memory) count(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}
