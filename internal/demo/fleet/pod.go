// Package fleet runs the demo's services: live-streaming APIs, each a process
// of its own with net/http/pprof, a local cache, Redis behind it, and a load
// generator that makes one of them hot.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/profbot/profbot/pkg/sfcache"
)

// PodConfig configures one pod process.
type PodConfig struct {
	Name  string // of the pod, for its errors
	Redis string // host:port; required
	// Labels sets the profiler label "endpoint" on every request, to its route.
	Labels bool
}

// announcement is the line that a pod writes when it serves.
type announcement struct {
	API   string `json:"api"`
	Pprof string `json:"pprof"`
	PID   int    `json:"pid"`
}

// closeTimeout is how long a pod that ends lets its requests finish.
const closeTimeout = 2 * time.Second

// RunPod is the life of a pod process: it serves until ctx ends or stdin
// does, which is how it learns that its parent is gone; both are no error. It
// announces its addresses in one line on stdout.
func RunPod(ctx context.Context, cfg PodConfig, stdin io.Reader, stdout io.Writer) error {
	if err := runPod(ctx, cfg, stdin, stdout); err != nil {
		return fmt.Errorf("pod %q: %w", cfg.Name, err)
	}
	return nil
}

func runPod(ctx context.Context, cfg PodConfig, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with stdin, at the latest when the process does
		_, _ = io.Copy(io.Discard, stdin) // an error is an end, too
		cancel(errors.New("stdin was closed"))
	}()
	cat := newCatalog(cfg.Redis, cacheBytes)
	defer func() { _ = cat.close() }()
	if err := cat.check(ctx); err != nil {
		return err
	}
	fixed, err := newLists(cat.redis)
	if err != nil {
		return err
	}
	defer fixed.close()
	live := &liveAPI{catalog: cat, lists: fixed}
	apiListener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	debugListener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, apiListener.Close())
	}
	api := &http.Server{
		Handler:           live.routes(cfg.Labels),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	// No WriteTimeout: pprof refuses profiles that are longer than it.
	debug := &http.Server{
		Handler:           debugRoutes(live),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	failed := make(chan error, 2)
	go func() { failed <- api.Serve(apiListener) }()     // ended by Shutdown below
	go func() { failed <- debug.Serve(debugListener) }() // ended by Close below

	err = announce(stdout, announcement{
		API: "http://" + apiListener.Addr().String(), Pprof: "http://" + debugListener.Addr().String() + "/debug/pprof", PID: os.Getpid(),
	})
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	closing, done := context.WithTimeoutCause(context.WithoutCancel(ctx), closeTimeout, errors.New("requests took longer than "+closeTimeout.String()))
	defer done()
	if api.Shutdown(closing) != nil {
		_ = api.Close() // the process ends: nobody waits for what is left
	}
	_ = debug.Close() // a profile under way would take its whole length
	return err
}

func announce(w io.Writer, a announcement) error {
	line, err := json.Marshal(a)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", line)
	}
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// debugRoutes is the pod's second port: pprof, and what the fleet asks of it.
func debugRoutes(live *liveAPI) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/cpu", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]float64{"cpu_seconds": cpuSeconds()})
	})
	mux.HandleFunc("GET /debug/cache", func(w http.ResponseWriter, _ *http.Request) {
		local := live.catalog.local
		answer(w, map[string]int64{"hits": local.HitCount(), "misses": local.MissCount(), "entries": local.EntryCount()})
	})
	// Like a feature flag: the pod stays, so that its address does.
	mux.HandleFunc("POST /debug/fix", func(w http.ResponseWriter, _ *http.Request) {
		live.fixed.Store(true)
		answer(w, map[string]bool{"fixed": true})
	})
	mux.HandleFunc("GET /debug/sfcache", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]sfcache.Stats{"rooms": live.lists.rooms.Stats(), "gifts": live.lists.gifts.Stats()})
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away is its business
}
