// Package pproftest is a target to pull profiles from: a server with the real
// net/http/pprof handlers behind switches for everything that goes wrong with
// such targets.
package pproftest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"strings"
	"sync"
)

// Mode is how the target behaves.
type Mode string

// Modes of a target.
const (
	Real         Mode = ""              // the real handlers of this process
	Busy         Mode = "busy"          // the CPU profiler is taken, in net/http/pprof's words
	NoPprof      Mode = "no pprof"      // 404
	Page         Mode = "page"          // 200 with HTML, as a catch-all route answers
	Redirect     Mode = "redirect"      // to /elsewhere at another host name, which is this server too
	Hang         Mode = "hang"          // nothing until the caller goes
	Slow         Mode = "slow"          // the first half of a profile, then nothing until the caller goes
	Cut          Mode = "cut"           // a profile that ends too soon
	Reset        Mode = "reset"         // the connection breaks
	Bomb         Mode = "bomb"          // a valid profile of 16 MiB in 16 KiB
	Raw          Mode = "raw"           // an uncompressed profile
	Empty        Mode = "empty"         // 200 and no body
	WriteTimeout Mode = "write timeout" // more than 4 seconds are refused, in an older Go's words
	Broken       Mode = "broken"        // 500 with control characters in its words
	Echo         Mode = "echo"          // 500 that repeats the caller's Authorization
)

// Server is the target. Its methods are safe for concurrent use.
type Server struct {
	*httptest.Server

	mu            sync.Mutex // protects the fields below
	mode          Mode
	authorization string
	requests      []string
	hook          func(path string)
	cpu           []byte
}

// New starts a target; Close ends it.
func New() *Server {
	s := &Server{}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.URL.RequestURI())
		mode, want, hook, cpu := s.mode, s.authorization, s.hook, s.cpu
		s.mu.Unlock()
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
	}))
	return s
}

// PprofURL is the target's pprof index.
func (s *Server) PprofURL() string { return s.URL + "/debug/pprof" }

// SetMode changes how the target behaves from now on.
func (s *Server) SetMode(m Mode) { s.mu.Lock(); s.mode = m; s.mu.Unlock() }

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

func answer(w http.ResponseWriter, r *http.Request, mode Mode, real http.Handler) {
	switch mode {
	case Busy:
		w.Header().Set("X-Go-Pprof", "1")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintln(w, "Could not enable CPU profiling: cpu profiling already in use")
	case NoPprof:
		http.NotFound(w, r)
	case Page:
		fmt.Fprintln(w, "<!doctype html><title>Welcome</title>")
	case Redirect:
		if r.URL.Path == "/elsewhere" {
			http.NotFound(w, r)
			return
		}
		_, port, _ := net.SplitHostPort(r.Host)
		http.Redirect(w, r, "http://localhost:"+port+"/elsewhere", http.StatusFound)
	case Hang:
		<-r.Context().Done() // the caller's time limit ends this
	case Slow:
		_, _ = w.Write(half(r, real)) // a caller that went away is its business
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case Cut:
		_, _ = w.Write(half(r, real))
	case Reset:
		panic(http.ErrAbortHandler)
	case Bomb:
		_, _ = w.Write(bomb())
	case Raw:
		rec := httptest.NewRecorder()
		real.ServeHTTP(rec, short(r))
		zr, err := gzip.NewReader(rec.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		var b bytes.Buffer
		_, _ = b.ReadFrom(zr)
		_, _ = w.Write(b.Bytes())
	case Empty:
	case WriteTimeout:
		var seconds int
		if _, err := fmt.Sscanf(r.URL.Query().Get("seconds"), "%d", &seconds); err == nil && seconds > 4 {
			http.Error(w, "profile duration exceeds server's WriteTimeout", http.StatusBadRequest)
			return
		}
		real.ServeHTTP(w, short(r))
	case Broken:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "it \x1b[31mbroke\x1b[0m\n<!channel> "+strings.Repeat("x", 500))
	case Echo:
		http.Error(w, "not for "+r.Header.Get("Authorization"), http.StatusInternalServerError)
	default:
		real.ServeHTTP(w, r)
	}
}

// half is the first half of a real profile.
func half(r *http.Request, real http.Handler) []byte {
	rec := httptest.NewRecorder()
	real.ServeHTTP(rec, short(r))
	return rec.Body.Bytes()[:rec.Body.Len()/2]
}

// short asks the real handlers for a profile that is quickly made.
func short(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	if r.URL.Query().Has("seconds") {
		r.URL.RawQuery = "seconds=1"
	}
	return r
}

// bomb is made once: it takes the longest of all answers.
var bomb = sync.OnceValue(func() []byte {
	const size = 16 << 20
	head := []byte{0x0a, 0, 0x32, 0, 0x32} // a sample type, the empty string, and a very long one
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(binary.AppendUvarint(head, size)) // a bytes.Buffer does not fail
	_, _ = zw.Write(make([]byte, size))
	_ = zw.Close()
	return b.Bytes()
})
