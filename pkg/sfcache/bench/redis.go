package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// databases is how many contenders can use a server at once, each with a
// database of its own, since they store different bytes under the same keys.
const databases = 64

// server is a redis-server on this machine that keeps nothing on disk.
type server struct {
	addr    string
	cmd     *exec.Cmd
	dir     string
	clients map[int]*redis.Client
}

var errNoRedis = errors.New("redis-server is not installed")

// startRedis starts a redis-server on a free port of the loopback.
func startRedis(ctx context.Context) (*server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	// The port is free a moment before the server takes it.
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir, err := os.MkdirTemp("", "sfcache-bench")
	if err != nil {
		return nil, err
	}
	s := &server{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir, clients: map[int]*redis.Client{}}
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", dir, "--databases", strconv.Itoa(databases), "--loglevel", "warning")
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	c := s.client(0)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err = c.Ping(ctx).Err(); err == nil {
			return s, nil
		}
		if time.Now().After(deadline) {
			s.stop()
			return nil, fmt.Errorf("redis-server on %s: %w", s.addr, err)
		}
	}
}

// client is the client of a database.
func (s *server) client(db int) *redis.Client {
	c := s.clients[db]
	if c == nil {
		c = newClient(s.addr, db)
		s.clients[db] = c
	}
	return c
}

func newClient(addr string, db int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, DB: db, ContextTimeoutEnabled: true})
}

// flush empties all databases.
func (s *server) flush(ctx context.Context) error { return s.client(0).FlushAll(ctx).Err() }

// stop ends the server and waits for it.
func (s *server) stop() {
	for _, c := range s.clients {
		_ = c.Close()
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
	_ = os.RemoveAll(s.dir)
}
