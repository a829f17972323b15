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
)

// PodConfig configures one pod process.
type PodConfig struct {
	Name   string
	Redis  string // host:port
	Labels bool   // set the pprof label "endpoint" on every request
}

// announcement is the line a pod writes when it is ready.
type announcement struct {
	API   string `json:"api"`
	Pprof string `json:"pprof"`
	PID   int    `json:"pid"`
}

// RunPod is the life of a pod process: it serves until ctx ends or stdin
// does, which is how it learns that its parent is gone. It announces its
// addresses in one line on stdout.
func RunPod(ctx context.Context, cfg PodConfig, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with stdin, at the latest when the process does
		_, _ = io.Copy(io.Discard, stdin) // an error is an end, too
		cancel(errors.New("stdin was closed"))
	}()
	cat := newCatalog(cfg.Redis)
	defer cat.redis.Close()
	if err := cat.check(ctx); err != nil {
		return fmt.Errorf("pod %s: %w", cfg.Name, err)
	}
	api, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer api.Close()
	debug, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer debug.Close()

	failed := make(chan error, 2)
	var servers []*http.Server
	for _, s := range []struct {
		l net.Listener
		h http.Handler
	}{{api, (&liveAPI{cat}).routes(cfg.Labels)}, {debug, debugRoutes(cat)}} {
		srv := &http.Server{Handler: s.h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
		servers = append(servers, srv)
		go func() { failed <- srv.Serve(s.l) }() // ended by Close below
	}
	line, err := json.Marshal(announcement{"http://" + api.Addr().String(), "http://" + debug.Addr().String() + "/debug/pprof", os.Getpid()})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%s\n", line); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for _, s := range servers {
		_ = s.Close() // the process ends; nobody waits for its requests
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// debugRoutes is the pod's second port: pprof, and what the fleet asks of it.
func debugRoutes(cat *catalog) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/cpu", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]float64{"cpu_seconds": cpuSeconds()})
	})
	mux.HandleFunc("GET /debug/cache", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]int64{"hits": cat.local.HitCount(), "misses": cat.local.MissCount(), "entries": cat.local.EntryCount()})
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away is its business
}
