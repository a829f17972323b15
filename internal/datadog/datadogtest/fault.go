package datadogtest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is what goes wrong with a request.
type Fault struct {
	// Call is the request that it happens to, "POST /api/v1/events"; "" is any.
	Call   string
	Delay  time.Duration // before anything else
	Status int           // answered in place of the real answer, with Body
	Body   string        // of that; "" is what a proxy says
	Reset  bool          // the connection is reset
	Half   bool          // the answer ends in its middle
	// After lets the request take effect first: only its answer is lost.
	After bool
}

func (f Fault) breaks() bool { return f.Status != 0 || f.Reset || f.Half }

// answer breaks the answer that has the status and the data.
func (f Fault) answer(w http.ResponseWriter, status int, data []byte) {
	switch {
	case f.Reset:
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if tcp, ok := c.(interface{ SetLinger(int) error }); ok {
				_ = tcp.SetLinger(0) // a reset, and not an end
			}
			_ = c.Close()
		}
	case f.Half:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(status)
		_, _ = w.Write(data[:len(data)/2])
	default:
		body := f.Body
		if body == "" {
			w.Header().Set("Content-Type", "text/html")
			body = "<html><h1>" + http.StatusText(f.Status) + "</h1></html>"
		}
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(body))
	}
}

// FaultNext lets the fault happen to the next n requests that it is about.
func (s *Server) FaultNext(n int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.faults = append(s.faults, f)
	}
}

// takeFault is what goes wrong with r. The caller holds s.mu.
func (s *Server) takeFault(r *http.Request) Fault {
	for i, f := range s.faults {
		if f.Call == "" || strings.HasPrefix(r.Method+" "+r.URL.Path, f.Call) {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			return f
		}
	}
	return Fault{}
}

// limit is a rate limit: so many calls in each period, which begins when the
// clock is at a multiple of it.
type limit struct {
	max    int
	period time.Duration
	began  time.Time
	used   int
}

// SetLimit changes a rate limit: query, event_stream_api, monitor or
// global_org.
func (s *Server) SetLimit(name string, most int, period time.Duration) {
	s.mu.Lock()
	s.limits[name] = &limit{max: most, period: period}
	s.mu.Unlock()
}

// FailNext makes the next n queries answer 429, with a rate limit that resets
// after so many whole seconds.
func (s *Server) FailNext(n int, reset time.Duration) {
	s.mu.Lock()
	s.fail, s.reset = n, reset
	s.mu.Unlock()
}

// count counts a call against a limit and says in h where it stands.
func (s *Server) count(h http.Header, name string) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := s.limits[name], s.opt.Now()
	if began := now.Truncate(l.period); !began.Equal(l.began) {
		l.began, l.used = began, 0
	}
	reset := l.began.Add(l.period).Sub(now)
	over := l.used >= l.max
	if !over {
		l.used++
	}
	remaining := l.max - l.used
	if name == "query" && s.fail > 0 {
		s.fail--
		over, remaining, reset = true, 0, s.reset
	}
	h.Set("X-RateLimit-Name", name)
	h.Set("X-RateLimit-Limit", strconv.Itoa(l.max))
	h.Set("X-RateLimit-Period", strconv.Itoa(int(l.period/time.Second)))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
	h.Set("X-RateLimit-Reset", strconv.Itoa(int((reset+time.Second-1)/time.Second)))
	if over {
		return reply{http.StatusTooManyRequests, "Rate limit of requests reached"}
	}
	return reply{}
}
