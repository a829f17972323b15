// Package pproftest is a target to pull profiles from: a server with the real
// net/http/pprof handlers behind switches for everything that goes wrong with
// such targets.
package pproftest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"sync"
)

// Server is the target. Its methods are safe for concurrent use.
type Server struct {
	*httptest.Server

	mu            sync.Mutex // protects the fields below
	mode          Mode
	authorization string
	requests      []string
	running       map[string]int // handlers that have not returned, by path
	most          map[string]int // the most that ran at once
	hook          func(path string)
	cpu           []byte
}

// New starts a target; Close ends it.
func New() *Server { return NewOn(nil) }

// NewOn starts a target that listens where it is told, such as at the address
// of a pod, or behind TLS; nil is anywhere.
func NewOn(l net.Listener) *Server {
	s := &Server{running: map[string]int{}, most: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(s.handler())
	if l != nil {
		s.Listener.Close()
		s.Listener = l
	}
	s.Start()
	return s
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.URL.RequestURI())
		s.running[r.URL.Path]++
		s.most[r.URL.Path] = max(s.most[r.URL.Path], s.running[r.URL.Path])
		mode, want, hook, cpu := s.mode, s.authorization, s.hook, s.cpu
		s.mu.Unlock()
		defer func() { // also when the handler breaks the connection by a panic
			s.mu.Lock()
			s.running[r.URL.Path]--
			s.mu.Unlock()
		}()
		if hook != nil {
			hook(r.URL.Path)
		}
		if want != "" && r.Header.Get("Authorization") != want {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		if mode == Real && cpu != nil && r.URL.Path == "/debug/pprof/profile" {
			_, _ = w.Write(cpu) // a caller that went away is its business
			return
		}
		answer(w, r, mode, mux)
	})
}

// PprofURL is the target's pprof index.
func (s *Server) PprofURL() string { return s.URL + "/debug/pprof" }

// SetMode changes how the target behaves from now on.
func (s *Server) SetMode(m Mode) {
	if made := bodies[m]; made != nil {
		made() // now, so that the making takes no part in the first pull
	}
	s.mu.Lock()
	s.mode = m
	s.mu.Unlock()
}

// ServeCPU makes the target answer with this CPU profile, at once. A process
// has one CPU profiler: several targets in one process need this.
func (s *Server) ServeCPU(profile []byte) { s.mu.Lock(); s.cpu = profile; s.mu.Unlock() }

// Require makes the target ask for this Authorization header.
func (s *Server) Require(authorization string) {
	s.mu.Lock()
	s.authorization = authorization
	s.mu.Unlock()
}

// OnRequest is called with the path of every request before it is answered.
func (s *Server) OnRequest(f func(path string)) { s.mu.Lock(); s.hook = f; s.mu.Unlock() }

// Requests lists the paths with queries that were asked for.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// Running is how many requests are being answered.
func (s *Server) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for _, n := range s.running {
		sum += n
	}
	return sum
}

// Most is how many requests of a path, such as "/debug/pprof/profile", were
// being answered at once at most.
func (s *Server) Most(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most[path]
}
