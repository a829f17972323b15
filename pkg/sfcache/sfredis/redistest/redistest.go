//go:build unix

// Package redistest starts real Redis servers for tests and benchmarks. Each
// listens on a loopback port of its own, keeps nothing on disk and ends with
// the test.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a redis-server process. Its methods are for the test's goroutine.
type Server struct {
	// Addr is host:port, the same after Restart.
	Addr string

	tb      testing.TB
	args    []string
	dir     string
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has ended
	cluster bool
}

// Start starts a server, with more of redis-server's arguments if need be.
// Where there is no redis-server it skips the test, and fails it where CI=true.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, false, args)
}

// StartCluster starts a cluster of one node, which has all slots.
func StartCluster(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, true, args)
}

const attempts = 5 // another process may take a port before redis-server does

func start(tb testing.TB, cluster bool, args []string) *Server {
	tb.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatal("redis-server is not installed: scripts/setup.sh installs it")
		}
		tb.Skip("redis-server is not installed: scripts/setup.sh installs it")
	}
	s := &Server{tb: tb, args: args, dir: tb.TempDir(), cluster: cluster}
	tb.Cleanup(s.Kill)
	for try := 1; ; try++ {
		s.Addr = net.JoinHostPort("127.0.0.1", freePort(tb))
		if err = s.run(bin); err == nil {
			return s
		}
		if try == attempts {
			tb.Fatal(err)
		}
	}
}

func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// run starts the process and waits until it, and no other, answers.
func (s *Server) run(bin string) error {
	_, port, _ := net.SplitHostPort(s.Addr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir, "--logfile", s.log()}, s.args...)
	if s.cluster {
		args = append(args, "--cluster-enabled", "yes", "--cluster-port", freePort(s.tb))
	}
	cmd := exec.CommandContext(context.Background(), bin, args...) // Kill ends it
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	endWithParent(cmd.SysProcAttr)
	started, done := make(chan error), make(chan struct{})
	go func() { // ends with the process
		// The kernel ties a child's fate to the thread that started it.
		runtime.LockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.done = cmd, done
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.up() {
			return nil
		}
		select {
		case <-tick.C:
		case <-done:
			return fmt.Errorf("redis-server ended: %s", s.tail())
		case <-deadline.C:
			s.Kill()
			return fmt.Errorf("redis-server does not answer: %s", s.tail())
		}
	}
}

func (s *Server) log() string { return filepath.Join(s.dir, "redis.log") }

func (s *Server) tail() string {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// up reports whether this process answers, and has its slots in a cluster.
func (s *Server) up() bool {
	info, err := s.say("INFO server")
	if err != nil || !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.cmd.Process.Pid)) {
		return false
	}
	if !s.cluster {
		return true
	}
	if info, err = s.say("CLUSTER INFO"); err == nil && strings.Contains(info, "cluster_slots_assigned:0\r\n") {
		_, _ = s.say("CLUSTER ADDSLOTSRANGE 0 16383")
	}
	return err == nil && strings.Contains(info, "cluster_state:ok")
}

// say sends an inline command and returns the lines of its answer, which has
// none that is empty but at the end.
func (s *Server) say(command string) (string, error) {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(context.Background(), "tcp", s.Addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "%s\r\nQUIT\r\n", command); err != nil {
		return "", err
	}
	var all strings.Builder
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String(), nil // it hung up after QUIT
		}
	}
}

// Pid is the process's.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Stop ends the server as an operator would, and waits for it.
func (s *Server) Stop() {
	s.signal(syscall.SIGTERM)
	<-s.done
}

// Kill ends the server with SIGKILL, also one that is paused or has ended, and
// waits for it.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // the only error is that it has ended
	<-s.done
}

// Restart starts the server again after Stop or Kill, empty, on its port.
func (s *Server) Restart() {
	s.tb.Helper()
	select {
	case <-s.done:
	default:
		s.tb.Fatal("redistest: Restart of a server that runs")
	}
	if err := s.run(s.cmd.Path); err != nil {
		s.tb.Fatal(err)
	}
}

// Pause lets the server answer nothing, and keep its connections, until Resume.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume is the end of Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatalf("redistest: %s: %v", sig, err)
	}
}
