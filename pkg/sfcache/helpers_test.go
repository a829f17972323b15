package sfcache_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

const ms = time.Millisecond

// source is where values really are. A load reads its value first and returns
// it when took is over, whether or not its context has ended by then: the worst
// a loader may do.
type source struct {
	mu    sync.Mutex // protects vals, took and err
	vals  map[string]string
	took  time.Duration
	err   error
	loads atomic.Int64
}

func newSource(took time.Duration, pairs ...string) *source {
	s := &source{vals: map[string]string{}, took: took}
	for i := 0; i < len(pairs); i += 2 {
		s.vals[pairs[i]] = pairs[i+1]
	}
	return s
}

func (s *source) set(key, v string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vals[key] = v
}

func (s *source) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.vals, key)
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *source) load(_ context.Context, key string) (string, error) {
	s.loads.Add(1)
	s.mu.Lock()
	v, ok := s.vals[key]
	took, err := s.took, s.err
	s.mu.Unlock()
	if took > 0 {
		time.Sleep(took)
	}
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", fmt.Errorf("source: no %q: %w", key, sfcache.ErrNotFound)
	}
	return v, nil
}

// open makes a cache that is closed when t ends.
func open[V any](t testing.TB, cfg sfcache.Config[V]) *sfcache.Cache[V] {
	t.Helper()
	c, err := sfcache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// want gets key and compares.
func want(t *testing.T, c *sfcache.Cache[string], key, v string) {
	t.Helper()
	got, err := c.Get(t.Context(), key)
	if err != nil || got != v {
		t.Errorf("Get(%q) = %q, %v; want %q", key, got, err, v)
	}
}

// wantLoads compares how often the source was asked.
func wantLoads(t *testing.T, s *source, n int64) {
	t.Helper()
	if got := s.loads.Load(); got != n {
		t.Errorf("%d loads, want %d", got, n)
	}
}

// took is how long f takes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// off is a hold that is off.
var off = sfcache.Hold[string]{MaxBytes: -1}

// local is a small Local.
var local = sfcache.Local{Bytes: 1 << 20}
