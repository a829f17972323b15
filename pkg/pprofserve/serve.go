package pprofserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// Options configures what is served, where, and to whom. The zero value is
// right for a service in a cluster: port 6060, for clients in private networks.
type Options struct {
	// Addr is the address to listen on, host:port; port 0 chooses one. Empty
	// means the environment's PPROFSERVE_ADDR, and without that ":6060".
	// "127.0.0.1:6060" serves this machine or pod alone (kubectl port-forward
	// reaches it). "off" serves nothing: Start returns a server that only has
	// to be stopped.
	Addr string

	// Tokens are accepted as bearer token, or as the password of basic
	// authentication, which go tool pprof can send (http://x:TOKEN@host:6060).
	// Each of them is accepted, so that a token can be changed without a
	// moment at which one side has the wrong one. Empty means those in the
	// environment's PPROFSERVE_TOKEN, separated by commas, and without that
	// no token is asked for.
	Tokens []string

	// Networks are those whose clients are answered. Nil means loopback,
	// link-local and private ones (10/8, 172.16/12, 192.168/16, 100.64/10,
	// fc00::/7), an empty list none. 0.0.0.0/0 and ::/0 together answer
	// everybody. What counts is the connection's address: no header is believed.
	Networks []netip.Prefix

	// MaxDuration bounds the seconds of a profile or trace; what asks for more
	// is refused. Default 5 minutes.
	MaxDuration time.Duration

	// Busy says what a CPU profile does when another profiler of the process
	// has the CPU profiler. Default Interrupt.
	Busy Busy

	// WaitLimit is how long a pull waits with Busy set to Wait, at most.
	// Default 65 s: dd-trace-go's profiler stops once a minute.
	WaitLimit time.Duration

	// CPU, if set, serves /debug/pprof/profile in place of this package, for
	// profilers that can share what they sample. For pyroscope-go it is
	// http.HandlerFunc(pprof.Profile) of its package http/pprof. MaxDuration
	// holds for it, Busy does not.
	CPU http.Handler

	// Logger is told of refused clients at level debug, and warned when
	// net/http/pprof is registered on http.DefaultServeMux. Nil discards.
	Logger *slog.Logger
}

// withDefaults checks the options and fills in what they leave open.
func (o Options) withDefaults() (Options, error) {
	if o.Addr == "" {
		o.Addr = os.Getenv("PPROFSERVE_ADDR")
	}
	if o.Addr == "" {
		o.Addr = ":6060"
	}
	if len(o.Tokens) == 0 {
		if env := os.Getenv("PPROFSERVE_TOKEN"); env != "" {
			o.Tokens = strings.Split(env, ",")
		}
	}
	for i, t := range o.Tokens {
		// An empty one would let everybody in who sends an empty password.
		if t = strings.TrimSpace(t); t == "" {
			return o, fmt.Errorf("pprofserve: token %d is empty", i+1)
		}
	}
	if o.Networks == nil {
		o.Networks = private
	}
	switch {
	case o.MaxDuration < 0:
		return o, fmt.Errorf("pprofserve: MaxDuration %s is negative", o.MaxDuration)
	case o.WaitLimit < 0:
		return o, fmt.Errorf("pprofserve: WaitLimit %s is negative", o.WaitLimit)
	case o.Busy < Interrupt || o.Busy > Refuse:
		return o, fmt.Errorf("pprofserve: Busy %d is none of Interrupt, Wait and Refuse", o.Busy)
	}
	if o.MaxDuration == 0 {
		o.MaxDuration = 5 * time.Minute
	}
	if o.WaitLimit == 0 {
		o.WaitLimit = 65 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// Server serves profiles until it is stopped.
type Server struct {
	http     *http.Server
	listener net.Listener  // nil: nothing is served
	stopping chan struct{} // closed by Stop: profiles under way end with what they have
	ended    chan struct{} // closed when Serve has returned, after err is written
	err      error         // of Serve; nil when it was stopped

	stop    sync.Once
	stopErr error // of Stop; written within stop
}

// stopTimeout is how long Stop lets answers be written.
const stopTimeout = 3 * time.Second

// Start listens and serves in the background, until Stop. The error is of the
// options or of the listening; once it has returned, profiles can be pulled.
func Start(opt Options) (*Server, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{stopping: make(chan struct{}), ended: make(chan struct{})}
	if opt.Addr == "off" {
		close(s.ended)
		return s, nil
	}
	if s.listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", opt.Addr); err != nil {
		return nil, fmt.Errorf("pprofserve: %w", err)
	}
	if Exposed() {
		opt.Logger.Warn("net/http/pprof is registered on http.DefaultServeMux: it is open on every port that serves that mux")
	}
	s.http = &http.Server{
		Handler: newHandler(opt, s.stopping),
		// No WriteTimeout: each answer sets a deadline of its own.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(opt.Logger.Handler(), slog.LevelDebug),
	}
	go func() { // ended by Stop
		defer close(s.ended)
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.err = fmt.Errorf("pprofserve: %w", err)
		}
	}()
	return s, nil
}

// Addr is the address that is listened on, host:port; "" if nothing is served.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Stop ends the server. Profiles under way are answered at once with what they
// have sampled so far; connections that take longer than 3 s to read their
// answer are cut. It may be called more than once.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		close(s.stopping)
		if s.http == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			_ = s.http.Close() // whoever still reads has had its time
		}
		<-s.ended
		s.stopErr = s.err
	})
	return s.stopErr
}

// ListenAndServe serves until ctx ends, which is no error.
func ListenAndServe(ctx context.Context, opt Options) error {
	s, err := Start(opt)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.ended:
		if s.listener == nil { // "off"
			<-ctx.Done()
		}
	}
	return s.Stop()
}

// Exposed reports whether /debug/pprof/ is served by [http.DefaultServeMux],
// which importing net/http/pprof leads to, in whatever package. A service that
// serves that mux (a nil handler) on its public port gives its profiles away.
func Exposed() bool {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://localhost/debug/pprof/", http.NoBody)
	if err != nil {
		return false // not with this URL
	}
	_, pattern := http.DefaultServeMux.Handler(r)
	return strings.HasSuffix(pattern, "/debug/pprof/")
}
