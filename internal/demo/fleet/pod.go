// Package fleet runs the demo's services: live-streaming APIs, each a process
// of its own with pprof by pkg/pprofserve, a local cache, Redis behind it, and a load
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
	"os"
	"time"

	"github.com/profbot/profbot/pkg/pprofserve"
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
	API     string `json:"api"`
	Pprof   string `json:"pprof"`
	Control string `json:"control"`
	PID     int    `json:"pid"`
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
	controlListener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, apiListener.Close())
	}
	profiles, err := pprofserve.Start(pprofserve.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		return errors.Join(err, apiListener.Close(), controlListener.Close())
	}
	defer func() { _ = profiles.Stop() }() // the process ends
	api := &http.Server{
		Handler:           live.routes(cfg.Labels),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	control := &http.Server{
		Handler:           controlRoutes(live),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	failed := make(chan error, 2)
	go func() { failed <- api.Serve(apiListener) }()         // ended by Shutdown below
	go func() { failed <- control.Serve(controlListener) }() // ended by Close below

	err = announce(stdout, announcement{
		API: "http://" + apiListener.Addr().String(), Pprof: "http://" + profiles.Addr() + "/debug/pprof",
		Control: "http://" + controlListener.Addr().String(), PID: os.Getpid(),
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
	_ = control.Close() // nobody needs its answers any more
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

// controlRoutes is what the fleet asks of a pod, on a port of its own.
func controlRoutes(live *liveAPI) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cpu", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]float64{"cpu_seconds": cpuSeconds(), "memory_bytes": memoryBytes()})
	})
	mux.HandleFunc("GET /cache", func(w http.ResponseWriter, _ *http.Request) {
		local := live.catalog.local
		answer(w, map[string]int64{"hits": local.HitCount(), "misses": local.MissCount(), "entries": local.EntryCount()})
	})
	// Like a feature flag: the pod stays, so that its address does.
	mux.HandleFunc("POST /fix", func(w http.ResponseWriter, _ *http.Request) {
		live.fixed.Store(true)
		answer(w, map[string]bool{"fixed": true})
	})
	mux.HandleFunc("GET /sfcache", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]sfcache.Stats{"rooms": live.lists.rooms.Stats(), "gifts": live.lists.gifts.Stats()})
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away is its business
}
