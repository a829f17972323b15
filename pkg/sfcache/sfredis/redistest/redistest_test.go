//go:build unix

package redistest

import (
	"strings"
	"syscall"
	"testing"
)

func TestServer(t *testing.T) {
	s := Start(t)
	answers := func(want bool) {
		t.Helper()
		if got, err := s.say("PING"); strings.HasPrefix(got, "+PONG") != want {
			t.Fatalf("PING: %q, %v; want an answer: %t", got, err, want)
		}
	}
	answers(true)
	addr, pid := s.Addr, s.Pid()
	s.Pause()
	answers(false)
	s.Resume()
	answers(true)
	s.Stop()
	answers(false)
	s.Restart()
	answers(true)
	if s.Addr != addr || s.Pid() == pid {
		t.Errorf("after Restart: %s as %d, want %s and not %d", s.Addr, s.Pid(), addr, pid)
	}
	s.Pause()
	s.Kill()
	if err := syscall.Kill(s.Pid(), 0); err == nil {
		t.Error("the process is there after Kill")
	}
	s.Kill()
}

func TestCluster(t *testing.T) {
	s := StartCluster(t)
	if got, err := s.say("SET foo bar"); err != nil || !strings.HasPrefix(got, "+OK") {
		t.Errorf("SET: %q, %v", got, err)
	}
}
