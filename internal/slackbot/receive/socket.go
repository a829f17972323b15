package receive

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
)

// Times of Socket Mode.
const (
	openTimeout = 15 * time.Second // of each of the two steps
	silence     = 30 * time.Second // without a frame or ping a connection is taken for dead, as Slack's own clients do
	drain       = 30 * time.Second // how long a connection is read that Slack wants to be replaced: it ends it itself after ten
	stable      = time.Minute      // a connection that lasted this long is replaced without a wait
	maxWait     = time.Minute
)

// SocketOptions configure a [Socket]. AppToken, Handler and Seen are required.
type SocketOptions struct {
	// AppToken is the app-level token with the scope connections:write, "xapp-...".
	AppToken string
	// APIURL is the address of Slack's Web API; "" means https://slack.com/api/.
	APIURL  string
	Handler Handler
	Seen    Seen
	Logger  *slog.Logger // nil discards
	// HTTPClient asks for the address of a socket, and lends the socket the
	// proxy, the dialer and the TLS configuration of its transport when that is
	// a [*http.Transport]. nil means a client of its own.
	HTTPClient *http.Client
}

// Socket is the way in for a profbot that nobody can reach: it opens Slack's
// Socket Mode and keeps it open. Of several replicas each has its own, up to
// ten, and Slack sends each request to one of them.
//
// slack-go has a client for this too. It hides why Slack disconnects, replaces
// a connection only after it has closed the old one, and never acknowledges what
// it cannot decode, which Slack then sends three more times; so only the call
// for the address is its.
type Socket struct {
	deliverer
	api   *slack.Client
	trans *http.Transport // whose ways the socket goes

	mu    sync.Mutex // protects state
	state SocketState
}

// SocketState says how a [Socket] is.
type SocketState struct {
	Connected bool
	Since     time.Time // of the last change; the zero time before Run
	Trouble   string    // what is wrong, in plain words; "" when connected, and at first
}

// NewSocket checks the options. It does not talk to Slack; [Socket.Run] does.
func NewSocket(opt SocketOptions) (*Socket, error) {
	d, err := newDeliverer(opt.Handler, opt.Seen, opt.Logger)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(opt.AppToken, "xapp-") {
		return nil, errors.New("open slack socket: it takes an app-level token, which begins with xapp-: make one under Basic Information, App-Level Tokens, with the scope connections:write")
	}
	api, err := url.Parse(cmp.Or(opt.APIURL, slack.APIURL))
	if err != nil || api.Host == "" || (api.Scheme != "https" && api.Scheme != "http") {
		return nil, fmt.Errorf("open slack socket: API URL %q is not an http or https address", opt.APIURL)
	}
	client := http.Client{Transport: http.DefaultTransport}
	if opt.HTTPClient != nil {
		client = *opt.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // requests carry the token
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		transport = http.DefaultTransport.(*http.Transport)
	}
	return &Socket{
		deliverer: d, trans: transport,
		api: slack.New("", slack.OptionAppLevelToken(opt.AppToken), slack.OptionAPIURL(strings.TrimSuffix(api.String(), "/")+"/"), slack.OptionHTTPClient(&client)),
	}, nil
}

// State says how the socket is. It is safe for concurrent use.
func (s *Socket) State() SocketState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// change notes a new state, and tells the log when it is another one.
func (s *Socket) change(ctx context.Context, trouble string) {
	connected := trouble == ""
	s.mu.Lock()
	same := s.state.Connected == connected && s.state.Trouble == trouble
	if !same {
		s.state = SocketState{Connected: connected, Since: time.Now(), Trouble: trouble}
	}
	s.mu.Unlock()
	switch {
	case same:
	case connected:
		s.log.InfoContext(ctx, "slack socket is open")
	default:
		s.log.WarnContext(ctx, "slack socket is not open, trying again", "error", trouble)
	}
}

// Run keeps a connection to Slack until ctx ends, then lets running handlers
// finish and returns nil. It outlasts any failure but a token that Slack does
// not take, for which it returns an error that says what to do. It is called
// once.
func (s *Socket) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var connections sync.WaitGroup
	defer connections.Wait()
	defer cancel()
	for attempt := 0; ; attempt++ {
		began := time.Now()
		least, err := s.once(ctx, &connections)
		if ctx.Err() != nil {
			return nil
		}
		if remedy := fatal(err); remedy != "" {
			s.change(ctx, remedy)
			return fmt.Errorf("open slack socket: %w: %s", err, remedy)
		}
		if time.Since(began) >= stable {
			attempt = 0
		}
		wait := max(least, backoff(attempt))
		s.log.DebugContext(ctx, "slack socket will be opened", "in", wait, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// backoff is how long to wait before a connection is opened again: not at all
// after one that lasted, then up to maxWait, each replica a little differently.
func backoff(attempt int) time.Duration {
	if attempt == 0 {
		return 0
	}
	wait := min(maxWait, time.Second<<min(attempt-1, 10))
	return wait - rand.N(wait/4+1)
}

// once opens a connection and returns when it should be replaced, and how long
// to wait at least. The connection may live on for a while in connections.
func (s *Socket) once(ctx context.Context, connections *sync.WaitGroup) (time.Duration, error) {
	ws, err := s.open(ctx)
	if err != nil {
		if ctx.Err() == nil && fatal(err) == "" {
			s.change(ctx, trouble(err))
		}
		if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
			return limited.RetryAfter, err
		}
		return 0, err
	}
	c := &connection{Socket: s, ws: ws, leave: make(chan error, 1)}
	connections.Go(func() { c.run(ctx) })
	err = <-c.leave
	if d, ok := errors.AsType[*disconnect](err); ok && d.replace() {
		return 0, err // the old connection is still good
	}
	if ctx.Err() == nil {
		s.change(ctx, trouble(err))
	}
	return 0, err
}

// trouble is the text of an error without the addresses in it, of which the
// ports are new each time: the same trouble is told once.
func trouble(err error) string {
	text := err.Error()
	for op, ok := errors.AsType[*net.OpError](err); ok; op, ok = errors.AsType[*net.OpError](op.Err) {
		text = strings.ReplaceAll(text, op.Error(), op.Err.Error())
	}
	return text
}

// open asks for the address of a socket, which works once, and connects to it.
func (s *Socket) open(ctx context.Context) (*websocket.Conn, error) {
	ask, cancel := context.WithTimeoutCause(ctx, openTimeout, errors.New("slack gave no address for a socket within 15s"))
	defer cancel()
	_, address, err := s.api.StartSocketModeContext(ask)
	if err != nil {
		return nil, fmt.Errorf("ask slack for a socket: %w", causeOf(ask, err))
	}
	dialer := websocket.Dialer{
		Proxy: s.trans.Proxy, NetDialContext: s.trans.DialContext, TLSClientConfig: &tls.Config{},
		HandshakeTimeout: openTimeout,
		// Slack drops answers of several frames without a word: one is larger
		// than any that it takes.
		WriteBufferSize: 32 << 10,
	}
	if s.trans.TLSClientConfig != nil {
		dialer.TLSClientConfig = s.trans.TLSClientConfig.Clone()
	}
	dialer.TLSClientConfig.NextProtos = []string{"http/1.1"} // there is no upgrade in HTTP/2, which the transport may have put here
	dial, cancelDial := context.WithTimeoutCause(ctx, openTimeout, errors.New("slack's socket did not open within 15s"))
	defer cancelDial()
	ws, resp, err := dialer.DialContext(dial, address, nil)
	if resp != nil {
		resp.Body.Close()
	}
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the address is a secret: it holds a ticket
		}
		return nil, fmt.Errorf("connect to slack's socket: %w", causeOf(dial, err))
	}
	ws.SetReadLimit(DefaultMaxBody)
	return ws, nil
}

// causeOf is why a context has ended, when that is behind an error.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// fatal says what to do about an error that no retry helps against; "" for others.
func fatal(err error) string {
	refused, ok := errors.AsType[slack.SlackErrorResponse](err)
	if !ok {
		return ""
	}
	switch refused.Err {
	case "invalid_auth", "not_authed", "token_revoked", "token_expired":
		return "make a new app-level token under Basic Information, App-Level Tokens, with the scope connections:write"
	case "not_allowed_token_type":
		return "use the app-level token, which begins with xapp-"
	case "missing_scope", "no_permission":
		return "give the app-level token the scope connections:write"
	case "account_inactive", "team_disabled", "user_removed_from_team", "team_access_not_granted":
		return "install the app in the workspace again"
	}
	return ""
}
