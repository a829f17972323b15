package slacktest

import (
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// Fault is what goes wrong with a call.
type Fault string

// The faults of [Faults].
const (
	FaultLimit   Fault = "429"                      // refused, with a Retry-After of 1 to 4 s
	FaultError   Fault = "500"                      // fails before the effect
	FaultRefuse  Fault = "reset before the effect"  // the connection is cut
	FaultCut     Fault = "reset after the effect"   // the same, and what was asked for is done
	FaultSilence Fault = "silence after the effect" // done, and never answered
)

// Faults makes a part of all calls go wrong, by chance.
type Faults struct {
	Seed uint64
	Rate float64 // of all calls, from 0 to 1
	// Kinds are those that happen, equally often; nil means all.
	Kinds []Fault
}

// faulty draws the faults. It is protected by the server's mu.
type faulty struct {
	Faults
	rand     *rand.Rand
	injected map[Fault]int
	down     time.Time // no call is answered until then
}

func newFaulty(f Faults) faulty {
	if f.Kinds == nil {
		f.Kinds = []Fault{FaultLimit, FaultError, FaultRefuse, FaultCut, FaultSilence}
	}
	return faulty{Faults: f, rand: rand.New(rand.NewPCG(f.Seed, 1)), injected: map[Fault]int{}}
}

// drawLocked is what goes wrong with the next call; "" for nothing. Must be
// called with mu held.
func (s *Server) drawLocked() (f Fault, retryAfter time.Duration) {
	switch {
	case s.opt.Now().Before(s.faulty.down):
		f = []Fault{FaultError, FaultRefuse}[s.faulty.rand.IntN(2)]
	case s.faulty.rand.Float64() < s.faulty.Rate:
		f = s.faulty.Kinds[s.faulty.rand.IntN(len(s.faulty.Kinds))]
	default:
		return "", 0
	}
	s.faulty.injected[f]++
	return f, time.Duration(1+s.faulty.rand.IntN(4)) * time.Second
}

// DownUntil makes the workspace go down until a time: calls are cut, or
// answered with 500.
func (s *Server) DownUntil(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faulty.down = t
}

// Refuse makes every call of the Web API answer with an error code, such as
// "token_revoked"; "" ends it.
func (s *Server) Refuse(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = code
}

// Injected counts the faults so far.
func (s *Server) Injected() map[Fault]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.faulty.injected)
}

// before answers a call that fails before its effect.
func (f Fault) before(w http.ResponseWriter, retryAfter time.Duration) (answered bool) {
	switch f {
	case FaultLimit:
		Failure{RetryAfter: retryAfter}.write(w)
	case FaultError:
		Failure{Code: "internal_error", Status: http.StatusInternalServerError}.write(w)
	case FaultRefuse:
		reset(w)
	default:
		return false
	}
	return true
}

// after keeps the answer from a caller whose call had its effect.
func (f Fault) after(w http.ResponseWriter, r *http.Request) {
	switch f {
	case FaultCut:
		reset(w)
	case FaultSilence:
		<-r.Context().Done() // the caller gives up
		panic(http.ErrAbortHandler)
	}
}

// reset cuts the connection: with a reset where there is one.
func reset(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // Close says what there is to say
			}
			_ = conn.Close() // it is meant to look broken
		}
	}
	panic(http.ErrAbortHandler)
}

// What Slack allows. It writes of a message a second for each channel, with
// short bursts, and of calls a minute for each method of a tier.
const (
	messageEvery = time.Second
	messageBurst = 3
)

var tiers = map[string]int{ // calls a minute
	"chat.update": 50, "conversations.history": 50, "conversations.replies": 50, "conversations.join": 50,
	"files.getUploadURLExternal": 100, "files.completeUploadExternal": 100, "files.info": 100,
}

// limitLocked is how long a call has to wait for its rate; 0 for not at all.
// Only calls that may pass are counted. Must be called with mu held.
func (s *Server) limitLocked(method, channel string) (wait time.Duration) {
	key, most, window := method, tiers[method], time.Minute
	if method == "chat.postMessage" {
		key, most, window = method+" "+channel, messageBurst, messageBurst*messageEvery
	}
	if !s.opt.Rates || most == 0 {
		return 0
	}
	now, past := s.opt.Now(), s.passed[key]
	for len(past) > 0 && now.Sub(past[0]) >= window {
		past = past[1:]
	}
	if len(past) >= most {
		s.over[key]++
		return window - now.Sub(past[0])
	}
	s.passed[key] = append(past, now)
	return 0
}

// Over counts the calls that came faster than Slack allows, by method, and for
// messages by "method channel".
func (s *Server) Over() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.over)
}
