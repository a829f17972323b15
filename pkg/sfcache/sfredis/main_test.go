package sfredis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/profbot/profbot/pkg/sfcache"
	"github.com/profbot/profbot/pkg/sfcache/sfredis"
	"github.com/profbot/profbot/pkg/sfcache/sfredis/redistest"
)

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// TestMain is also the start of the processes that tests start: see
// process_test.go. At the end nothing of the package may be running.
func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // servers go away in most of these tests
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	code := m.Run()
	if left := leftRunning(); left != "" && code == 0 {
		fmt.Fprintln(os.Stderr, "still running after the last test:\n"+left)
		code = 1
	}
	os.Exit(code)
}

// leftRunning is the stacks of the goroutines that have to do with caches or
// their Redis, after a while in which they may end.
func leftRunning() string {
	var left []string
	within(10*time.Second, func() bool {
		left = left[:0]
		buf := make([]byte, 1<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(g, "leftRunning") && !strings.Contains(g, "TestMain(") &&
				(strings.Contains(g, "pkg/sfcache") || strings.Contains(g, "go-redis")) {
				left = append(left, g)
			}
		}
		return len(left) == 0
	})
	return strings.Join(left, "\n\n")
}

// within reports whether ok came true in time.
func within(d time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return ok()
		}
	}
	return true
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(20*time.Second, ok) {
		t.Fatalf("not in 20 s: %s", what)
	}
}

func client(t *testing.T, s *redistest.Server) *redis.Client {
	return clientOf(t, &redis.Options{Addr: s.Addr, ContextTimeoutEnabled: true})
}

func clientOf(t *testing.T, opt *redis.Options) *redis.Client {
	c := redis.NewClient(opt)
	t.Cleanup(func() { c.Close() })
	return c
}

// item is what the caches here hold.
type item struct {
	N int `json:"n"`
}

var errNoLoad = errors.New("nothing was to be loaded")

// open is sfcache.New with what all tests want the same, and waits until the
// cache hears messages, if it is to.
func open(t *testing.T, r *sfredis.Remote, cfg sfcache.Config[item]) *sfcache.Cache[item] {
	t.Helper()
	w := &watching{Remote: r, listens: make(chan struct{}, 1)}
	cfg.Remote = w
	if cfg.Name == "" && !cfg.Raw {
		cfg.Name = "items"
	}
	if cfg.TTL == 0 {
		cfg.TTL = time.Minute
	}
	if cfg.Load == nil {
		cfg.Load = func(context.Context, string) (item, error) { return item{}, errNoLoad }
	}
	cfg.LoadTimeout = max(cfg.LoadTimeout, time.Minute)
	if cfg.RemoteTimeout == 0 {
		cfg.RemoteTimeout = 5 * time.Second // the machine may be busy
	}
	c, err := sfcache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	select {
	case <-w.listens:
	case <-time.After(20 * time.Second):
		t.Fatal("the cache does not listen")
	}
	return c
}

// watching tells when the first missed has been handled: until then a cache
// forgets what it gets.
type watching struct {
	*sfredis.Remote
	listens chan struct{}
}

func (w *watching) Watch(ctx context.Context, changed func(string, []string), missed func()) error {
	tell := func() {
		select {
		case w.listens <- struct{}{}:
		default:
		}
	}
	err := w.Remote.Watch(ctx, changed, func() { missed(); tell() })
	if err == nil {
		tell() // it has no messages
	}
	return err
}

func get(t *testing.T, c *sfcache.Cache[item], key string) int {
	t.Helper()
	v, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return v.N
}
